import { type BudgetState, checkBudgets, type Excess } from './budgets.ts';
import { drawStandIns, hasPassed, isApproved, mayActivate } from './gates.ts';
import { abandon, giveRelease, recall } from './give-release.ts';
import type { PlannedState } from './planned-state.ts';
import { rest } from './rest.ts';
import { revert } from './revert.ts';
import type { PlannedAssignment, RolloutInput, RolloutPlan } from './rollout-input.ts';
import { rolloutStatus } from './rollout-status.ts';
import { RolloutView } from './rollout-view.ts';
import type { SiteView } from './site-view.ts';
import { breachMessage } from './status-texts.ts';

/**
 * The next step of a rollout. Pure: reads nothing but its input, and may be called at any moment, as often as one likes.
 *
 * A rollout goes forward, wave by wave (`goForward`), until it ends in one of two other ways: its release is condemned by
 * what happened here and goes back (`goBack`), or was condemned elsewhere and is not offered (`stayAway`).
 */
export function planRollout(input: RolloutInput): RolloutPlan {
  const { release, status, control } = input;
  const isBreached =
    status?.breach !== undefined || control.stop === 'Revert' || release.condemnedBy === input.rollout;
  const view = new RolloutView(input, isBreached);
  if (isBreached) return goBack(view, undefined);
  if (release.isCondemned) return stayAway(view);
  const breach = findBreach(view);
  if (breach !== undefined) return goBack(new RolloutView(input, true, view.sites), breach);
  return goForward(view);
}

/**
 * Waves are drawn when they begin, so a site that comes later, or is away now, is not lost: it is drawn by a later wave, or
 * joins the last. A wave passes when everybody in it who is in touch runs this release and has done so for the soak.
 */
function goForward(view: RolloutView): RolloutPlan {
  const { input, board } = view;
  const isStopped = input.control.isPaused || input.control.stop !== undefined;
  const last = board.waves.length - 1;
  let passed = firstOpenWave(view);
  if (passed > last && !isStopped) board.draw(last);
  let budgets = checkBudgets(view);
  while (passed <= last && isApproved(view, passed)) {
    if (!isStopped && budgets.stop === undefined) {
      board.draw(passed);
      drawStandIns(view, passed);
      budgets = checkBudgets(view);
    }
    if (budgets.stop !== undefined || !hasPassed(view, passed)) break;
    passed += 1;
  }
  const isCompleted = passed > last;
  const goesOn = !isStopped && (isCompleted || budgets.stop === undefined);
  const isActive = (index: number) => index < passed || mayActivate(view, index);
  const given = goesOn
    ? board.waves.flatMap((_, index) => (index <= passed ? giveRelease(view, index, isActive(index)) : []))
    : [];
  const isGiven = new Set(given.map(({ site }) => site));
  const others = view.sites.filter(({ name }) => !isGiven.has(name));
  const stopped = others.flatMap((site) => {
    if (goesOn || site.ownRow === undefined) return [];
    return present(input.control.stop === 'Abort' ? abandon(view, site) : recall(site));
  });
  const other = [
    ...stopped,
    ...rest(
      view,
      others.filter(({ ownRow }) => ownRow === undefined),
    ),
  ];
  const phase =
    input.control.stop === 'Abort'
      ? 'Aborted'
      : isCompleted
        ? 'Completed'
        : goesOn
          ? 'Progressing'
          : 'Paused';
  const state: PlannedState = {
    view,
    phase,
    passed,
    budgets,
    isActive: (index) => goesOn && isActive(index),
  };
  const isNewlyApproved = isCompleted && phase === 'Completed' && !input.release.isApproved;
  return {
    ...planOf(state, [...given, ...other]),
    ...(isNewlyApproved ? { verdict: { kind: 'Approved' as const } } : {}),
  };
}

/** By failures while it is going out. What a person stopped where it is stays so, and what is completed is approved. */
function findBreach(view: RolloutView): Excess | undefined {
  const isGoingOut = firstOpenWave(view) < view.board.waves.length && view.input.control.stop === undefined;
  return isGoingOut && view.strategy.revertsOnBreach ? checkBudgets(view).breach : undefined;
}

/** Passed never goes back. */
function firstOpenWave(view: RolloutView): number {
  const index = view.board.waves.findIndex((wave) => view.before(wave.name)?.phase !== 'Passed');
  return index < 0 ? view.board.waves.length : index;
}

/** The release is condemned by this rollout: it leaves every site and every queue. */
function goBack(view: RolloutView, excess: Excess | undefined): RolloutPlan {
  const { input } = view;
  const found = revert(view);
  // Who returns later goes back then; the rollout is over all the same.
  const way = input.status?.phase === 'Reverted' ? { ...found, wave: -1 } : found;
  const isInRevert = ({ row }: SiteView) => row?.digest === input.release.digest;
  const other = rest(
    view,
    view.sites.filter((site) => !isInRevert(site)),
  );
  const budgets = checkBudgets(view);
  const breach = input.status?.breach ?? breachOf(view, excess ?? budgets.breach);
  const isDone = way.wave < 0;
  const state: PlannedState = {
    view,
    phase: isDone ? 'Reverted' : 'Reverting',
    passed: firstOpenWave(view),
    budgets,
    isActive: () => false,
    breach,
    revert: way,
  };
  const isNew = input.status?.breach === undefined && !input.release.isCondemned;
  const { reason, message } = breach;
  return {
    ...planOf(state, [...way.assign, ...other]),
    ...(isNew ? { verdict: { kind: 'Condemned' as const, reason, message } } : {}),
  };
}

function breachOf(view: RolloutView, excess: Excess | undefined): NonNullable<PlannedState['breach']> {
  const { condemned, condemnedBy } = view.input.release;
  // The release was condemned, and the hub fell before it had written the same into the status.
  if (condemned !== undefined && condemnedBy === view.input.rollout) {
    const { time, reason, message } = condemned;
    return { time, wave: excess?.wave ?? '', reason, message };
  }
  const isByPerson = view.input.control.stop === 'Revert' && excess === undefined;
  return {
    time: new Date(view.input.now).toISOString(),
    wave: excess?.wave ?? '',
    reason: isByPerson ? 'RevertedByPerson' : 'BudgetExceeded',
    message: breachMessage(excess),
  };
}

/** The release was condemned before, or by another rollout: nobody is offered it, and who has it leaves it. */
function stayAway(view: RolloutView): RolloutPlan {
  const assign = rest(view, view.sites);
  const state: PlannedState = {
    view,
    phase: 'Blocked',
    passed: firstOpenWave(view),
    budgets: checkBudgets(view),
    isActive: () => false,
  };
  return planOf(state, assign);
}

function planOf(state: PlannedState, assign: readonly PlannedAssignment[]): RolloutPlan {
  const { view, budgets } = state;
  const { wakeInSeconds } = view;
  const deaf = new Set(
    view.input.sites.filter(({ held }) => held?.reason === 'HubBehind').map((s) => s.name),
  );
  return {
    status: rolloutStatus(state),
    join: view.board.join,
    // A hub that lost its memory gives no orders before a person said whose word counts.
    assign: deaf.size === 0 ? assign : assign.filter(({ site }) => !deaf.has(site)),
    failures: allFailures(budgets),
    ...(wakeInSeconds === undefined ? {} : { wakeInSeconds }),
  };
}

function allFailures({ failures, blocked }: BudgetState): RolloutPlan['failures'] {
  return [...failures, ...blocked];
}

function present<Value>(value: Value | undefined): Value[] {
  return value === undefined ? [] : [value];
}
