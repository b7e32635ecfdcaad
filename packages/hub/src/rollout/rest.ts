import type { DeliveryRow } from '@selvedge/store';
import { evidenceOf, isSettled, uptakeOf } from './evidence.ts';
import { goTo, leave } from './orders.ts';
import type { PlannedAssignment } from './rollout-input.ts';
import type { RolloutView } from './rollout-view.ts';
import { isAdopted } from './site-verdict.ts';
import type { SiteView } from './site-view.ts';

/**
 * What a site is to be at that the rollout does not give its release to now. Whoever runs a release well, or is on the way
 * to one, is left alone; but
 * - a condemned release is left for what ran before;
 * - what merely waits in a queue, from an older rollout, is taken out of it;
 * - a site without a release, or with one older than the newest approved, catches up to that.
 */
export function rest(view: RolloutView, site: SiteView): PlannedAssignment | undefined {
  const { input, releases } = view;
  const { row } = site;
  if (row === undefined) return catchUp(view, site);
  if (isAdopted(row, input)) return undefined;
  if (releases.isCondemned(row.digest)) return leave(view, row);
  if (site.ownRow !== undefined) return undefined;
  const isOlder = releases.base !== undefined && releases.numberOf(row.digest) < releases.base.number;
  if (isOlder && (isSettled(row) || isQueued(site, row))) return catchUp(view, site);
  const isApproved = row.digest === releases.base?.digest;
  return !isOlder && !isApproved && isQueued(site, row) ? leave(view, row) : undefined;
}

/** It was sent back to what proved itself there. */
export function isAtItsFallback({ digest, terms }: DeliveryRow): boolean {
  return terms.fallback?.digest === digest && terms.activate !== 'Hold';
}

/** Nothing of the assignment has happened at the site that a person would see, and nothing is about to. */
function isQueued({ isInTouch }: SiteView, row: DeliveryRow): boolean {
  if (isAtItsFallback(row)) return false;
  const uptake = uptakeOf(row);
  if (uptake === 'queued') return true;
  if (uptake !== 'unheard') return false;
  return !isInTouch || row.terms.activate === 'Hold' || row.terms.activate === 'At';
}

function catchUp(view: RolloutView, { name, facts, row }: SiteView): PlannedAssignment | undefined {
  const { input, releases } = view;
  const { base } = releases;
  if (base === undefined || input.control.isPaused || facts.held !== undefined) return undefined;
  const fallback = releases.fallbackBehind(row, base.digest);
  return goTo(view, { site: name, to: base, activate: 'Window', fallback });
}

/** The site said that it runs again what it was sent back to. */
export function isBack(row: DeliveryRow): boolean {
  return isAtItsFallback(row) && evidenceOf(row)?.state === 'Running';
}
