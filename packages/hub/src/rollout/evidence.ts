import type { DeliveryRow } from '@selvedge/store';
import type { RolloutInput, SiteFacts } from './rollout-input.ts';

type Report = NonNullable<DeliveryRow['report']>;

/** The row by which this application is wanted at the site now; one of a former life, or a tombstone, is none. */
export function wantedRow(site: SiteFacts, input: RolloutInput): DeliveryRow | undefined {
  const row = input.rows.get(site.name);
  return row?.phase === 'Wanted' && row.applicationUid === input.applicationUid ? row : undefined;
}

/** Whether the row is this rollout's own assignment: its release, in its attempt. */
export function isOwn(row: DeliveryRow | undefined, input: RolloutInput): row is DeliveryRow {
  return row !== undefined && row.digest === input.release.digest && row.terms.attempt === input.number;
}

/**
 * The newest report, if it speaks of this very assignment. The epoch proves the order: the agent learns it from the
 * assignment, so no report from before can carry it, whatever its clock says.
 */
export function evidenceOf(row: DeliveryRow): Report | undefined {
  const { report } = row;
  const isOfThisAssignment =
    report !== undefined &&
    report.uid === row.applicationUid &&
    report.digest === row.digest &&
    report.epoch === row.epoch;
  return isOfThisAssignment ? report : undefined;
}

/**
 * How far the site has come with what the row asks for, by its own account.
 * - unheard: it has said nothing of this assignment yet.
 * - queued: what ran before still runs; it prepares, or waits to activate.
 * - taken: it has activated it, with whatever success.
 * - left: it runs something else for good: it went back, or refused.
 */
export type Uptake = 'unheard' | 'queued' | 'taken' | 'left';

export function uptakeOf(row: DeliveryRow): Uptake {
  const report = evidenceOf(row);
  switch (report?.state) {
    case undefined:
      return 'unheard';
    case 'Pending':
    case 'Preparing':
    case 'Prepared':
      return 'queued';
    case 'Refused':
      return 'left';
    case 'Failed':
      return hasLeft(report) ? 'left' : 'taken';
    default:
      return 'taken';
  }
}

/** It failed before it was activated, or the site went back from it. */
function hasLeft({ wentBack, activatedTime, runningDigest, digest }: Report): boolean {
  if (runningDigest === digest) return false;
  return wentBack !== undefined || activatedTime === undefined;
}

/** The site has said how this assignment ends: for better or worse, it does not work on it any more. */
export function isSettled(row: DeliveryRow): boolean {
  const state = evidenceOf(row)?.state;
  return state === 'Running' || state === 'Degraded' || state === 'Failed' || state === 'Refused';
}

/** When the reported state began: never before the assignment nor after the report came, whatever the site's clock. */
export function beganAt({ sinceTime, receivedAt }: Report, { assignedAt }: DeliveryRow): number {
  if (isComparable(sinceTime) && isComparable(receivedAt) && isComparable(assignedAt)) {
    const since = sinceTime > assignedAt ? sinceTime : assignedAt;
    return Date.parse(since < receivedAt ? since : receivedAt);
  }
  const received = Date.parse(receivedAt);
  const since = Date.parse(sinceTime);
  if (Number.isNaN(since)) return received;
  return Math.min(Math.max(since, Date.parse(assignedAt)), received);
}

/** By the hub's clock: since when the site has been on its way without a word of what it waits for. */
export function unansweredSince(report: Report): number {
  return Date.parse(report.unansweredSince ?? report.receivedAt);
}

const comparableForm = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/** Of a form in which texts compare as instants do. Agents and the hub write it so: parsing thousands takes time. */
export function isComparable(time: string): boolean {
  return comparableForm.test(time);
}
