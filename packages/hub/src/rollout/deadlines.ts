import type { DeliveryRow } from '@selvedge/store';
import { beganAt, evidenceOf } from './evidence.ts';
import type { SiteFacts } from './rollout-input.ts';

/** The agent keeps the same deadlines and knows why; the hub judges by itself only when the agent stays mute. */
export const answerGraceSeconds = 30;

/** What a site has to have said, and by when. */
export interface Deadline {
  readonly time: number;
  readonly seconds: number;
  readonly toDo: 'prepare' | 'activate' | 'become healthy';
}

/**
 * Until when a site may stay without a word. Only time in touch counts, and none while the site says that it waits for
 * something that is no fault: then there is no deadline. The limits are those that the site was told with the row.
 */
export function deadlineOf(site: SiteFacts, row: DeliveryRow): Deadline | undefined {
  const { connectedSince } = site;
  if (connectedSince === undefined) return undefined;
  const report = evidenceOf(row);
  const by = (toDo: Deadline['toDo'], begin: number, seconds: number): Deadline => ({
    time: Math.max(begin, connectedSince) + (seconds + answerGraceSeconds) * 1000,
    seconds,
    toDo,
  });
  if (report === undefined) return by('prepare', Date.parse(row.assignedAt), row.terms.prepareSeconds);
  // The instant passes without a word of the site; every other wait ends with one.
  const instant = report.waiting?.reason === 'Instant' ? Date.parse(row.terms.activateAt ?? '') : Number.NaN;
  if (report.waiting !== undefined && Number.isNaN(instant)) return undefined;
  switch (report.state) {
    case 'Pending':
    case 'Preparing':
      // Who tells of progress is not mute.
      return by('prepare', Date.parse(report.receivedAt), row.terms.prepareSeconds);
    case 'Prepared':
      if (row.terms.activate === 'Hold') return undefined;
      return by('activate', Number.isNaN(instant) ? beganAt(report, row) : instant, row.deadlineSeconds);
    default:
      return by('become healthy', beganAt(report, row), row.deadlineSeconds);
  }
}
