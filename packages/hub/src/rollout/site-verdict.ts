import type { ItemReport } from '@selvedge/api';
import type { DeliveryRow } from '@selvedge/store';
import type { RolloutInput, SiteFacts } from './rollout-input.ts';

/**
 * What is known of one site and one release.
 * - succeeded: the site itself says that this release runs, since `since`.
 * - failed: the site says that it does not, or is in touch and has not answered by its deadline.
 * - pending: in touch, and may still answer; `deadline` is when it will have failed.
 * - away: silent, so nothing follows from its silence.
 */
export type SiteVerdict =
  | { readonly verdict: 'succeeded'; readonly since: number }
  | { readonly verdict: 'failed'; readonly reason: string; readonly message: string }
  | { readonly verdict: 'pending'; readonly deadline?: number }
  | { readonly verdict: 'away' };

/** The agent keeps the same deadline and knows why; the hub judges by itself only when the agent stays mute. */
export const answerGraceSeconds = 30;

/** Whether the row is an assignment of this release (and not of one before, nor of an application of the same name). */
export function isAssigned(row: DeliveryRow | undefined, input: RolloutInput): row is DeliveryRow {
  return (
    row !== undefined &&
    row.phase === 'Wanted' &&
    row.applicationUid === input.applicationUid &&
    row.digest === input.release.digest
  );
}

/**
 * The newest report, if it speaks of this very assignment. The epoch proves the order: the agent learns it from the
 * assignment, so no report from before can carry it, whatever its clock says.
 */
export function evidence(row: DeliveryRow): DeliveryRow['report'] {
  const report = row.report;
  const isOfThisAssignment =
    report !== undefined &&
    report.uid === row.applicationUid &&
    report.digest === row.digest &&
    report.epoch === row.epoch;
  return isOfThisAssignment ? report : undefined;
}

export function missingVariables(site: SiteFacts, input: RolloutInput): string[] {
  return input.release.variables.filter((name) => !site.variables.has(name));
}

export function judgeSite(site: SiteFacts, input: RolloutInput, deadlineSeconds: number): SiteVerdict {
  const row = input.rows.get(site.name);
  if (!isAssigned(row, input)) {
    const missing = missingVariables(site, input);
    if (missing.length > 0) return variableUndefined(missing);
    return site.connectedSince === undefined ? { verdict: 'away' } : { verdict: 'pending' };
  }
  const report = evidence(row);
  switch (report?.state) {
    case 'Running':
      return { verdict: 'succeeded', since: beganAt(report, row) };
    case 'Failed':
    case 'Refused':
      return {
        verdict: 'failed',
        reason: report.reason ?? report.state,
        message: report.message ?? 'the site gave no reason',
      };
    case 'Degraded':
      return judgeWaiting(site, { ...input, begin: beganAt(report, row), deadlineSeconds, report });
    default:
      return judgeWaiting(site, { ...input, begin: instant(row.assignedAt), deadlineSeconds, report });
  }
}

/** Time counts against a site only while it is in touch. */
function judgeWaiting(
  site: SiteFacts,
  wait: { begin: number; deadlineSeconds: number; now: number; report: ItemReport | undefined },
): SiteVerdict {
  if (site.connectedSince === undefined) return { verdict: 'away' };
  const begin = Math.max(wait.begin, site.connectedSince);
  const deadline = begin + (wait.deadlineSeconds + answerGraceSeconds) * 1000;
  if (wait.now < deadline) return { verdict: 'pending', deadline };
  const { report } = wait;
  const last = report ? `; it last said ${report.state}${report.message ? `: ${report.message}` : ''}` : '';
  return {
    verdict: 'failed',
    reason: report?.state === 'Degraded' ? (report.reason ?? 'Degraded') : 'DeadlineExceeded',
    message: `not healthy after ${wait.deadlineSeconds}s in touch with the hub${last}`,
  };
}

function variableUndefined(missing: readonly string[]): SiteVerdict {
  return {
    verdict: 'failed',
    reason: 'VariableUndefined',
    message: `the Site's spec.variables do not define ${missing.join(', ')}`,
  };
}

/** When the reported state began: never before the assignment nor after the report came, whatever the site's clock. */
function beganAt(report: NonNullable<DeliveryRow['report']>, row: DeliveryRow): number {
  const received = instant(report.receivedAt);
  const since = Date.parse(report.sinceTime);
  if (Number.isNaN(since)) return received;
  return Math.min(Math.max(since, instant(row.assignedAt)), received);
}

function instant(text: string): number {
  return Date.parse(text);
}
