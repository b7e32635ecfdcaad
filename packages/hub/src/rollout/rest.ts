import type { DeliveryRow } from '@selvedge/store';
import { answerGraceSeconds } from './deadlines.ts';
import { evidenceOf, isSettled, uptakeOf } from './evidence.ts';
import { goTo, leave } from './orders.ts';
import type { PlannedAssignment } from './rollout-input.ts';
import type { RolloutView } from './rollout-view.ts';
import { isAdopted } from './site-verdict.ts';
import type { SiteView } from './site-view.ts';

/**
 * What the sites are to be at that the rollout does not give its release to now. Those that run a condemned release go back
 * no more at once than a wave may activate.
 */
export function rest(view: RolloutView, sites: readonly SiteView[]): PlannedAssignment[] {
  let places: number | undefined;
  return sites.flatMap((site) => {
    const assignment = restOf(view, site);
    if (assignment === undefined) return [];
    if (!stopsWhatRuns(view, site, assignment)) return [assignment];
    places ??= placesToGoBack(view);
    places -= 1;
    return places < 0 ? [] : [assignment];
  });
}

/** It answers, has activated the condemned release, and is to go back from it. */
function stopsWhatRuns({ releases }: RolloutView, site: SiteView, { digest }: PlannedAssignment): boolean {
  const { row, isInTouch, facts } = site;
  if (row === undefined || row.digest === digest || !releases.isCondemned(row.digest)) return false;
  return isInTouch && facts.held === undefined && uptakeOf(row) === 'taken';
}

/** The smallest number of sites that any wave may activate at once, less those that are on their way back. */
function placesToGoBack(view: RolloutView): number {
  const { board, sites } = view;
  const limits = board.waves.map((wave, index) =>
    wave.maxConcurrent(board.members(index).length || sites.length),
  );
  const limit = Math.min(...limits);
  if (limit === Number.POSITIVE_INFINITY) return limit;
  const underWay = sites.filter((site) => site.isInTouch && isUnderWayBack(view, site));
  return limit - underWay.length;
}

/** Sent back, and waited for until it has said that it is. Who takes too long, or is held, frees the place. */
export function isUnderWayBack(view: RolloutView, { facts, row }: SiteView): boolean {
  if (row === undefined || !isAtItsFallback(row) || isSettled(row) || facts.held !== undefined) return false;
  const begin = Math.max(Date.parse(row.assignedAt), facts.connectedSince ?? 0);
  // What it goes back to is there already: no time for preparing is due.
  const deadline = begin + (row.deadlineSeconds + answerGraceSeconds) * 1000;
  return !view.hasSpokenSince(facts, deadline);
}

/**
 * Whoever runs a release well, or is on the way to one, is left alone; but
 * - a condemned release is left for what ran before;
 * - what merely waits in a queue, from an older rollout, is taken out of it;
 * - a site without a release, or with one older than the newest approved, catches up to that. Of a content that no Release
 *   has, nobody knows the age: what runs stays until a wave draws the site.
 */
function restOf(view: RolloutView, site: SiteView): PlannedAssignment | undefined {
  const { input, releases } = view;
  const { row } = site;
  if (row === undefined) return catchUp(view, site);
  if (isAdopted(row, input)) return undefined;
  if (releases.isCondemned(row.digest)) return leave(view, row);
  if (site.ownRow !== undefined) return undefined;
  const number = releases.numberOf(row.digest);
  if (number === undefined) return uptakeOf(row) === 'queued' ? leave(view, row) : undefined;
  const isOlder = releases.base !== undefined && number < releases.base.number;
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
