import type { ItemTerms } from '@selvedge/api';
import type { DeliveryRow } from '@selvedge/store';
import { answerGraceSeconds, deadlineOf } from './deadlines.ts';
import { isSettled, uptakeOf } from './evidence.ts';
import { termsOf } from './resolve-strategy.ts';
import { hold, leave } from './orders.ts';
import { isAtItsFallback } from './rest.ts';
import type { PlannedAssignment, SiteFacts } from './rollout-input.ts';
import type { RolloutView } from './rollout-view.ts';
import { isAdopted } from './site-verdict.ts';
import type { SiteView } from './site-view.ts';
import { canAnswer } from './wave-plan.ts';

/**
 * The release of the rollout for the sites of a wave that has begun: to prepare, or to activate. What a site has activated,
 * or failed with, is left to it.
 * @param isActive its sites may activate
 */
export function giveRelease(view: RolloutView, index: number, isActive: boolean): PlannedAssignment[] {
  const planned: PlannedAssignment[] = [];
  const limit = isActive ? concurrencyOf(view, index) : Number.POSITIVE_INFINITY;
  const isLimited = limit !== Number.POSITIVE_INFINITY;
  const missing = isLimited ? view.board.members(index).filter((site) => isMissing(view, site)) : [];
  planned.push(...missing.flatMap((site) => recall(site) ?? []));
  const wave = view.board.waves[index]?.name ?? '';
  const terms = termsOf(view.input, view.strategy, isActive ? 'AsPlanned' : 'Hold');
  let slots = isLimited ? limit - placesTaken(view, index) : limit;
  for (const site of view.board.members(index)) {
    const assignment = giveToSite(view, site, { wave, terms });
    if (assignment === undefined) continue;
    if (isActive && site.row?.terms !== assignment.terms) {
      // A limited wave gives the release only to sites that can answer: silent or held ones would all begin together later.
      if (slots < 1 || (isLimited && !canAnswer(site))) continue;
      slots -= 1;
    }
    planned.push(assignment);
  }
  return planned;
}

/** How many sites of the wave may activate at the same time. At an instant, all do. */
function concurrencyOf({ board, strategy }: RolloutView, index: number): number {
  if (strategy.activation.activate === 'At') return Number.POSITIVE_INFINITY;
  return board.waves[index]?.maxConcurrent(board.members(index).length) ?? Number.POSITIVE_INFINITY;
}

function placesTaken(view: RolloutView, index: number): number {
  return view.board.members(index).filter((site) => {
    const { ownRow, verdict, isInTouch } = site;
    if (ownRow === undefined || ownRow.terms.activate === 'Hold') return false;
    if (isInTouch) return verdict.verdict === 'pending' || verdict.verdict === 'prepared';
    return !isSettled(ownRow) && !isMissing(view, site);
  }).length;
}

/** It fell silent while it may be activating, and for so long that its place is given on. */
function isMissing(view: RolloutView, { ownRow, isInTouch }: SiteView): boolean {
  if (isInTouch || ownRow === undefined || ownRow.terms.activate === 'Hold' || isSettled(ownRow))
    return false;
  const deadline = Date.parse(ownRow.assignedAt) + (ownRow.deadlineSeconds + answerGraceSeconds) * 1000;
  view.wakeAt(deadline);
  return view.input.now >= deadline;
}

function giveToSite(
  view: RolloutView,
  site: SiteView,
  { wave, terms }: { wave: string; terms: ItemTerms },
): PlannedAssignment | undefined {
  const { input, strategy, releases } = view;
  const { row, ownRow, verdict } = site;
  if ((verdict.verdict === 'blocked' && ownRow === undefined) || !mayBeGiven(view, site)) return undefined;
  const { release, digest } = input.release;
  const assignment = { site: site.name, release, digest, wave, deadlineSeconds: strategy.deadlineSeconds };
  if (ownRow === undefined || (isWaitingToActivate(site) && !isSameActivation(ownRow.terms, terms))) {
    const fallback = releases.fallbackBehind(row, digest);
    return { ...assignment, terms: fallback === undefined ? terms : { ...terms, fallback } };
  }
  // Only what it is called changes.
  const isNamedSo = ownRow.rollout === input.rollout && ownRow.wave === wave;
  return isNamedSo ? undefined : { ...assignment, terms: ownRow.terms };
}

/** Sites that follow no order now are given none; nor are those that are still on their way back from another release. */
function mayBeGiven(view: RolloutView, { facts, row, ownRow }: SiteView): boolean {
  if (facts.held !== undefined && !isFollowing(facts.held.reason)) return false;
  if (row === undefined || ownRow !== undefined) return true;
  return !isAdopted(row, view.input) && !isGoingBack(view, facts, row);
}

/** A hold binds activation only: a held site can prepare. Every other reason says that the site takes no orders of this hub. */
export function isFollowing(reason: string): boolean {
  return reason === 'SiteHold' || reason === 'HubHold';
}

/** Until it has said that it is back, it may be running what it was told to leave. A site that stays mute is not waited for. */
function isGoingBack(view: RolloutView, site: SiteFacts, row: DeliveryRow): boolean {
  if (!isAtItsFallback(row) || isSettled(row)) return false;
  const deadline = deadlineOf(site, row);
  if (deadline === undefined) return true;
  return !view.hasSpokenSince(site, deadline.time);
}

function isSameActivation(a: ItemTerms, b: ItemTerms): boolean {
  return a.activate === b.activate && a.activateAt === b.activateAt;
}

/**
 * While nothing goes on: what was given and is not activated is held back, so that nobody activates it meanwhile. Sites
 * that failed keep their assignment, and with it what they said.
 */
export function recall(site: SiteView): PlannedAssignment | undefined {
  const { ownRow } = site;
  if (ownRow === undefined || ownRow.terms.activate === 'Hold') return undefined;
  return isWaitingToActivate(site) ? hold(ownRow) : undefined;
}

/**
 * Taken out of the queue for good: what ran before is wanted again. A site in touch that may be activating it just now is held
 * until it has said whether it did.
 */
export function abandon(view: RolloutView, site: SiteView): PlannedAssignment | undefined {
  const { ownRow } = site;
  if (ownRow === undefined || !isWaitingToActivate(site)) return undefined;
  return site.isInTouch && uptakeOf(ownRow) === 'unheard' ? recall(site) : leave(view, ownRow);
}

/** The site was given the release, has not activated it as far as it is known, and has not failed with it. */
function isWaitingToActivate({ ownRow, verdict }: SiteView): boolean {
  if (ownRow === undefined || verdict.verdict === 'failed' || verdict.verdict === 'blocked') return false;
  const uptake = uptakeOf(ownRow);
  return uptake === 'unheard' || uptake === 'queued';
}
