import { counted } from '../rollout/counted.ts';

/** So many may go within an hour without a person: the larger of a number and a part of all. */
export interface RemovalLimits {
  readonly sites: number;
  /** Of those that there are, or were an hour ago; rounded down. */
  readonly percent: number;
}

export const defaultRemovalLimits: RemovalLimits = { sites: 3, percent: 10 };

/** Within this time small removals add up. */
export const removalPeriodMilliseconds = 3_600_000;

export type RemovalHoldReason = 'TooMany' | 'SelectorEmpty' | 'SourceFailed';

/** What is to be removed, and all that the guard goes by. */
export interface RemovalCase {
  /** As in `till at 5 of 20 sites`: what leaves, for messages. */
  readonly what: string;
  /** How many are to go now. */
  readonly targets: number;
  /** How many there are, targets included. */
  readonly population: number;
  /** How many went within the last hour. */
  readonly recent: number;
  /** How many of those are among the population again. Default: none. */
  readonly returned?: number;
  readonly limits: RemovalLimits;
  /** The targets follow from a list that may well be wrong: however few they are, a person has to look. */
  readonly doubt?: Exclude<RemovalHoldReason, 'TooMany'>;
  /** Of exactly these targets. */
  readonly digest: string;
  /** What a person consented to; anything else than `digest` is consent to something else. */
  readonly approvedDigest?: string;
}

export type RemovalVerdict =
  | { readonly kind: 'Go'; readonly isApproved: boolean }
  | { readonly kind: 'Held'; readonly reason: RemovalHoldReason; readonly message: string };

/** How many may go within an hour. */
export function removalAllowance({ sites, percent }: RemovalLimits, population: number): number {
  return Math.max(sites, Math.floor((population * percent) / 100));
}

/** Whether a removal may be carried out now. Pure; the whole of it or nothing. */
export function judgeRemoval(removal: RemovalCase): RemovalVerdict {
  const { targets, recent, doubt, digest, approvedDigest } = removal;
  if (targets === 0) return { kind: 'Go', isApproved: false };
  // What could not be read cannot have been approved.
  if (doubt === 'SourceFailed') return held(removal, doubt);
  if (approvedDigest === digest) return { kind: 'Go', isApproved: true };
  if (doubt !== undefined) return held(removal, doubt);
  const isWithin = targets + recent <= allowanceOf(removal);
  return isWithin ? { kind: 'Go', isApproved: false } : held(removal, 'TooMany');
}

/** Of all that there were an hour ago. */
function allowanceOf({ limits, population, recent, returned = 0 }: RemovalCase): number {
  return removalAllowance(limits, population + recent - returned);
}

function held(removal: RemovalCase, reason: RemovalHoldReason): RemovalVerdict {
  const { approvedDigest } = removal;
  const isStale = approvedDigest !== undefined && reason !== 'SourceFailed';
  const stale = isStale ? ' The approval that is there is for another set: look at this one.' : '';
  return { kind: 'Held', reason, message: `${whyHeld(removal, reason)}${stale}` };
}

function whyHeld(removal: RemovalCase, reason: RemovalHoldReason): string {
  const { what, recent } = removal;
  switch (reason) {
    case 'SourceFailed':
      return `${what}, but the Sites could not be read: nothing is removed before they are.`;
    case 'SelectorEmpty':
      return `${what}, because its placement selects no site at all: nothing is removed before a person approves.`;
    case 'TooMany': {
      const allowed = allowanceOf(removal);
      const before = recent === 0 ? '' : `, and ${recent} went already`;
      return `${what}: the guard lets ${counted(allowed, 'site')} go within an hour${before}. Nothing is removed before a person approves.`;
    }
  }
}
