import { fittingWait } from '@selvedge/api';
import type { DeliveryRow } from '@selvedge/store';
import { type Deadline, deadlineOf, hasSpokenSince } from './deadlines.ts';
import { evidenceOf, isOwn } from './evidence.ts';
import type { RolloutInput, SiteFacts } from './rollout-input.ts';
import { siteLack } from './site-lack.ts';

/**
 * What is known of one site and the release of the rollout.
 * - succeeded: the site itself says that it runs.
 * - failed: the site says that it does not, or is in touch and has not answered by its deadline.
 * - pending, prepared: in touch, and may still answer; `deadline` is when it will have failed.
 * - held: in touch, but a person, or the Site, holds changes back there, or it follows another state.
 * - away, overdue: silent, so nothing follows from its silence.
 * - blocked: it cannot take the release, for a reason of its own: a variable, Secret or node group is missing, its labels select overrides
 *   that nobody made ready for it, its disk is too small, its link too slow.
 *   That counts for pausing, and is no evidence against the release.
 */
export type SiteVerdict =
  | { readonly verdict: 'succeeded' }
  | { readonly verdict: 'failed'; readonly reason: string; readonly message: string }
  | { readonly verdict: 'pending' | 'prepared'; readonly deadline?: Deadline; readonly waitsFor?: string }
  | { readonly verdict: 'held'; readonly reason: string; readonly message: string }
  | { readonly verdict: 'away' | 'overdue' }
  | { readonly verdict: 'blocked'; readonly reason: string; readonly message: string };

/** @param row by which the application is wanted there now */
export function judgeSite(site: SiteFacts, row: DeliveryRow | undefined, input: RolloutInput): SiteVerdict {
  if (!isOwn(row, input)) return judgeUnassigned(site, row, input);
  const report = evidenceOf(row);
  switch (report?.state) {
    case 'Running':
      return { verdict: 'succeeded' };
    case 'Failed':
    case 'Refused':
      return {
        verdict: isOwnLack(report) ? 'blocked' : 'failed',
        reason: report.reason ?? report.wentBack ?? report.state,
        message: report.message ?? 'the site gave no reason',
      };
    default:
      return judgeUnanswered(site, row);
  }
}

type Report = NonNullable<DeliveryRow['report']>;

/** What the site itself lacks for a release that it never tried. */
const lacksBeforeTrial: ReadonlySet<string | undefined> = new Set([
  'InsufficientSpace',
  'PrepareDeadlineExceeded',
]);
/** What its labels, variables, Secrets and node groups lack, whenever they came to: another site with the same release has them. */
const siteLacks: ReadonlySet<string | undefined> = new Set([
  'VariableUndefined',
  'SecretMissing',
  'NotRendered',
  'OverrideInvalid',
  'NoNodeGroup',
]);

function isOwnLack({ state, reason, activatedTime }: Report): boolean {
  if (siteLacks.has(reason)) return true;
  return state === 'Failed' && activatedTime === undefined && lacksBeforeTrial.has(reason);
}

function judgeUnassigned(site: SiteFacts, row: DeliveryRow | undefined, input: RolloutInput): SiteVerdict {
  const lack = siteLack(site, input.release);
  if (lack !== undefined) return { verdict: 'blocked', ...lack };
  if (site.connectedSince === undefined) return silent(site);
  if (site.held !== undefined) return { verdict: 'held', ...site.held };
  if (row !== undefined && isAdopted(row, input)) {
    return {
      verdict: 'held',
      reason: 'Adopted',
      message: 'what it runs was adopted from the site and is no Release here: the next release replaces it',
    };
  }
  return { verdict: 'pending' };
}

function judgeUnanswered(site: SiteFacts, row: DeliveryRow): SiteVerdict {
  if (site.connectedSince === undefined) return silent(site);
  if (site.held !== undefined) return { verdict: 'held', ...site.held };
  const report = evidenceOf(row);
  const waiting = report && fittingWait(report);
  if (waiting?.reason === 'SiteHold' || waiting?.reason === 'HubHold') {
    return { verdict: 'held', reason: waiting.reason, message: waiting.message ?? heldBy[waiting.reason] };
  }
  const deadline = deadlineOf(site, row);
  if (deadline !== undefined && hasSpokenSince(site, deadline.time)) {
    const last = report ? `; it last said ${report.state}${report.message ? `: ${report.message}` : ''}` : '';
    // It took the release in and did not get far enough: as when it says so itself.
    const isSlow = report !== undefined && deadline.toDo === 'prepare';
    const isLacking = report !== undefined && isOwnLack(report);
    const reason = isSlow ? 'PrepareDeadlineExceeded' : 'DeadlineExceeded';
    return {
      verdict: isSlow || isLacking ? 'blocked' : 'failed',
      reason: report?.state === 'Degraded' || isLacking ? (report.reason ?? 'Degraded') : reason,
      message: `did not ${deadline.toDo} within ${deadline.seconds}s in touch with the hub${last}`,
    };
  }
  return {
    verdict: report?.state === 'Prepared' ? 'prepared' : 'pending',
    ...(deadline === undefined ? {} : { deadline }),
    ...(waiting === undefined ? {} : { waitsFor: waiting.reason }),
  };
}

const heldBy = {
  SiteHold: 'a person at the site holds it',
  HubHold: 'spec.hold of the Site holds it',
} as const;

function silent(site: SiteFacts): SiteVerdict {
  return { verdict: site.isOverdue ? 'overdue' : 'away' };
}

/** Taken over from the site after this rollout began, and of a content that no Release here has: nothing to compare it with. */
export function isAdopted(row: DeliveryRow, { created, release, others }: RolloutInput): boolean {
  if (row.rollout !== '' || Date.parse(row.assignedAt) <= created) return false;
  return row.digest !== release.digest && others.every((other) => other.digest !== row.digest);
}
