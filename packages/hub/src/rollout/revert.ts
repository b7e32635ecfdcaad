import type { DeliveryRow } from '@selvedge/store';
import { isSettled, uptakeOf } from './evidence.ts';
import { leave } from './orders.ts';
import { isAtItsFallback, isUnderWayBack } from './rest.ts';
import type { PlannedAssignment } from './rollout-input.ts';
import type { RolloutView } from './rollout-view.ts';
import type { SiteView } from './site-view.ts';

/** How far the way back is. */
export interface RevertState {
  readonly assign: readonly PlannedAssignment[];
  /** Index of the latest wave whose sites are not back yet; `waves.length` for sites in none; -1: all are back. */
  readonly wave: number;
  /** In touch, and on their way back or still to be sent. */
  readonly waiting: readonly string[];
  /** Silent sites that are told to go back when they return. */
  readonly away: number;
  /** Sites that have the release and nothing else to go back to: what runs there runs on. */
  readonly stuck: number;
}

/**
 * Takes the release away again. Sites that have not activated it drop it at once, silent ones are told for when they
 * return. The others go back in reverse order, a wave when those after it are back, within its `maxConcurrent`.
 */
export function revert(view: RolloutView): RevertState {
  const { board } = view;
  const assign: PlannedAssignment[] = [];
  const groups = [...board.waves.map((_, index) => board.members(index)), [...board.undrawn]];
  let open = -1;
  let waiting: string[] = [];
  let away = 0;
  let stuck = 0;
  for (let index = groups.length - 1; index >= 0; index--) {
    const sites = groups[index] ?? [];
    const limit = board.waves[index]?.maxConcurrent(sites.length) ?? Number.POSITIVE_INFINITY;
    const group = sortOut(view, sites);
    assign.push(...group.atOnce);
    away += group.away;
    stuck += group.stuck;
    if (open >= 0) continue;
    assign.push(...group.inTurn.slice(0, Math.max(0, limit - group.underWay.length)));
    waiting = [...group.underWay, ...group.told, ...group.inTurn.map(({ site }) => site)];
    if (waiting.length > 0) open = index;
  }
  return { assign, wave: open, waiting, away, stuck };
}

interface Group {
  readonly atOnce: PlannedAssignment[];
  readonly inTurn: PlannedAssignment[];
  readonly underWay: string[];
  /** Those of `atOnce` that are in touch: under way from now on. */
  readonly told: string[];
  away: number;
  stuck: number;
}

function sortOut(view: RolloutView, sites: readonly SiteView[]): Group {
  const group: Group = { atOnce: [], inTurn: [], underWay: [], told: [], away: 0, stuck: 0 };
  for (const site of sites) {
    const { row, isInTouch, facts } = site;
    if (row === undefined) continue;
    if (row.digest !== view.input.release.digest) {
      if (!isOnWayBack(view, row)) continue;
      if (!isInTouch) group.away += 1;
      else if (isUnderWayBack(view, site)) group.underWay.push(site.name);
      continue;
    }
    const assignment = leave(view, row);
    if ((assignment ?? row).digest === row.digest && uptakeOf(row) === 'taken') group.stuck += 1;
    if (assignment === undefined) continue;
    if (!isInTouch) group.away += 1;
    const canAnswer = isInTouch && facts.held === undefined && assignment.digest !== row.digest;
    if (canAnswer && uptakeOf(row) === 'taken') {
      group.inTurn.push(assignment);
    } else {
      group.atOnce.push(assignment);
      if (canAnswer) group.told.push(site.name);
    }
  }
  return group;
}

/** Sent back by this rollout, and not back yet. */
function isOnWayBack(view: RolloutView, row: DeliveryRow): boolean {
  return row.rollout === view.input.rollout && isAtItsFallback(row) && !isSettled(row);
}
