import type { Site } from '@selvedge/api';
import { counted } from '../rollout/counted.ts';
import { removalAllowance, type RemovalLimits } from './judge-removal.ts';
import { removalFinalizer } from './removal-finalizer.ts';

export interface SiteRemovals {
  /** Every Site that there is. */
  readonly sites: readonly Site[];
  /** UIDs of Sites that were let go within the last hour; some may still be there, when the hub ended in between. No consent. */
  readonly recent: ReadonlySet<string>;
  readonly limits: RemovalLimits;
}

export interface SiteRemovalVerdict {
  /** Sites that may leave the fleet now. */
  readonly go: readonly Site[];
  readonly held: readonly Site[];
  /** Why those are held, for people. */
  readonly message: string;
}

/** A Site under deletion that has not been let go yet. */
export function isLeaving({ metadata }: Site): boolean {
  return (
    metadata.deletionTimestamp !== undefined && (metadata.finalizers?.includes(removalFinalizer) ?? false)
  );
}

/**
 * All Sites under deletion are judged as one: together with those of the last hour they are within the limits, or each of them
 * waits for its own approval. Pure.
 */
export function judgeSiteRemovals({ sites, recent, limits }: SiteRemovals): SiteRemovalVerdict {
  const leaving = sites.filter(isLeaving);
  const approved = leaving.filter(isApproved);
  const rest = leaving.filter((site) => !isApproved(site));
  const gone = recent.size - leaving.filter(({ metadata }) => recent.has(metadata.uid ?? '')).length;
  const population = sites.length + gone;
  const allowed = removalAllowance(limits, population);
  const spent = gone + approved.length;
  if (rest.length + spent <= allowed) return { go: leaving, held: [], message: '' };
  const before = spent === 0 ? '' : `, and ${spent} went already`;
  return {
    go: approved,
    held: rest,
    message: `${rest.length} of ${counted(population, 'site')} were deleted: the guard lets ${counted(allowed, 'site')} go within an hour${before}. Each stays before a person approves.`,
  };
}

/** By the digest that was shown: of the set that it was held with, whatever became of the others meanwhile. */
function isApproved({ spec, status }: Site): boolean {
  const digest = status?.heldRemoval?.digest;
  return digest !== undefined && spec?.removal?.approved?.digest === digest;
}
