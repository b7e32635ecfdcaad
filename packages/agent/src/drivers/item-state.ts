import type { DeliveryState } from '@selvedge/api';

/** Something that keeps an item from being healthy. */
export interface Problem {
  readonly reason: string;
  readonly message: string;
  readonly logs?: readonly string[];
  /** It will hardly go away by waiting. */
  readonly isLasting: boolean;
}

/** The site cannot honour a release as it is; nothing was touched. */
export interface Refusal {
  readonly reason: string;
  readonly message: string;
}

/** What is known of an item at one instant. */
export interface ItemFacts {
  /** The manifests are on this machine. */
  readonly hasContent: boolean;
  readonly refusal: Refusal | undefined;
  /** The wanted release's preparation passed; it waits until it may be activated. */
  readonly isPrepared: boolean;
  /** The wanted release is in force: pods are brought to it. */
  readonly isActive: boolean;
  /** The release runs as it is wanted. */
  readonly isHealthy: boolean;
  /** Was healthy since it became active. */
  readonly hasSucceeded: boolean;
  /** What was reported last for this very assignment, since the release became active. */
  readonly before: ItemState | undefined;
  readonly isOverdue: boolean;
  readonly deadlineSeconds: number;
  readonly problem: Problem | undefined;
  /** Why the manifests are not here. */
  readonly contentProblem: Problem | undefined;
  /** The runtime did not answer lately. */
  readonly runtimeProblem: Problem | undefined;
}

export interface ItemState {
  readonly state: DeliveryState;
  readonly reason?: string;
  readonly message?: string;
  readonly logs?: readonly string[];
}

/** The state to report. Pure. */
export function itemState(facts: ItemFacts): ItemState {
  if (facts.runtimeProblem) {
    return {
      state: facts.hasSucceeded && facts.isActive ? 'Degraded' : 'Preparing',
      ...shown(facts.runtimeProblem),
    };
  }
  if (facts.refusal) return { state: 'Refused', ...facts.refusal };
  if (!facts.hasContent) return { state: 'Pending', ...shown(facts.contentProblem) };
  if (facts.isActive && facts.isHealthy) return { state: 'Running' };
  if (facts.isActive && facts.hasSucceeded) {
    return {
      state: 'Degraded',
      ...(shown(facts.problem) ?? { reason: 'PodsNotReady', message: 'not all pods are ready' }),
    };
  }
  if (!facts.isActive && facts.isPrepared) return { state: 'Prepared' };
  const { before } = facts;
  const wasFailed = before?.state === 'Failed' && stickyReasons.includes(before.reason);
  // Between two of its ends a crashing container looks well; a deadline that has passed is past also after a restart.
  if (wasFailed && !facts.problem) return { state: 'Failed', ...saidBefore(before) };
  const isFailed = wasFailed || facts.isOverdue || facts.problem?.isLasting === true;
  if (!isFailed) return { state: facts.isActive ? 'Activating' : 'Preparing', ...shown(facts.problem) };
  const overdue = {
    reason: 'DeadlineExceeded',
    message: `not healthy within ${facts.deadlineSeconds} seconds`,
  };
  return { state: 'Failed', ...(shown(facts.problem) ?? overdue) };
}

const stickyReasons: readonly (string | undefined)[] = [
  'DeadlineExceeded',
  'CrashLoop',
  'CrashLoopBackOff',
  'InitFailed',
  'ProbeFailed',
  'ContainerFailed',
];

function saidBefore({ reason, message, logs }: ItemState): Omit<ItemState, 'state'> {
  return {
    ...(reason === undefined ? {} : { reason }),
    ...(message === undefined ? {} : { message }),
    ...(logs === undefined ? {} : { logs }),
  };
}

function shown(problem: Problem | undefined): Omit<ItemState, 'state'> | undefined {
  if (!problem) return undefined;
  const { reason, message, logs } = problem;
  return { reason, message, ...(logs && logs.length > 0 ? { logs } : {}) };
}
