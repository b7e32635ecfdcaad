import { fittingWait } from '@selvedge/api';
import type { DeliveryRow } from '@selvedge/store';
import { beganAt, evidenceOf, unansweredSince } from './evidence.ts';
import type { SiteFacts } from './rollout-input.ts';

/** The agent keeps the same deadlines and knows why; the hub judges by itself only when the agent stays mute. */
export const answerGraceSeconds = 30;

/**
 * A site's own account moves its deadlines; by the hub's clock it gets this many times as long and no longer. So a slow download
 * that tells of progress has its time, and nobody is waited for without end.
 */
export const patience = 3;

/** What a site has to have said, and by when. */
export interface Deadline {
  readonly time: number;
  readonly seconds: number;
  readonly toDo: 'prepare' | 'activate' | 'become healthy';
}

/**
 * Until when a site may stay without an answer. Only time in touch counts, and none while the site says that it waits for
 * something that is no fault: then there is no deadline. The limits are those that the site was told with the row.
 */
export function deadlineOf(site: SiteFacts, row: DeliveryRow): Deadline | undefined {
  const { connectedSince } = site;
  if (connectedSince === undefined) return undefined;
  const report = evidenceOf(row);
  const { prepareSeconds, activate, activateAt } = row.terms;
  const by = (toDo: Deadline['toDo'], begin: number, seconds: number): Deadline => ({
    time: Math.max(begin, connectedSince) + (seconds + answerGraceSeconds) * 1000,
    seconds,
    toDo,
  });
  if (report === undefined) return by('prepare', Date.parse(row.assignedAt), prepareSeconds);
  const waiting = fittingWait(report);
  // The instant passes without a word of the site; every other wait ends with one.
  const instant = waiting?.reason === 'Instant' ? Date.parse(activateAt ?? '') : Number.NaN;
  if (waiting !== undefined && Number.isNaN(instant)) return undefined;
  const heldUp = unansweredSince(report);
  const inAll = patience * (prepareSeconds + row.deadlineSeconds);
  switch (report.state) {
    case 'Pending':
    case 'Preparing':
      // Who tells of progress is not mute.
      return earlierOf(
        by('prepare', Date.parse(report.receivedAt), prepareSeconds),
        by('prepare', heldUp, patience * prepareSeconds),
      );
    case 'Prepared':
      if (activate === 'Hold') return undefined;
      if (!Number.isNaN(instant)) return by('activate', instant, row.deadlineSeconds);
      return earlierOf(
        by('activate', beganAt(report, row), row.deadlineSeconds),
        by('activate', heldUp, inAll),
      );
    default:
      return earlierOf(
        by('become healthy', beganAt(report, row), row.deadlineSeconds),
        by('become healthy', heldUp, inAll),
      );
  }
}

/**
 * Whether the site was heard of at that instant or later: what it had not said by then it did not say. The clock alone proves
 * nothing, for a hub that was down, suspended or without its database did not listen.
 */
export function hasSpokenSince({ lastSeen }: SiteFacts, time: number): boolean {
  return lastSeen !== undefined && lastSeen >= time;
}

function earlierOf(a: Deadline, b: Deadline): Deadline {
  return b.time < a.time ? b : a;
}
