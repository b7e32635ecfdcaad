import type { Problem } from '../item-state.ts';
import { shownRef } from './apply/apply-problem.ts';
import type { ItemObservation, ObservedObject } from './observe/observer.ts';

/**
 * What keeps a release from being healthy, the worst first: what lasts, then what failed, then what is not done yet. `activatedTime`: of
 * the release; pods that crashed before it, and still have to be started again with what it mends, say nothing lasting of it.
 */
export function findProblem(
  { objects }: ItemObservation,
  namespace: string,
  activatedTime: string | undefined,
): Problem | undefined {
  const unwell = objects
    .filter(({ exists, health }) => !exists || health.status !== 'Current')
    .map((object) => ({ object, isLasting: isLasting(object, activatedTime) }));
  const found =
    unwell.find(({ object, isLasting: lasts }) => lasts && object.problem?.isLasting === true) ??
    unwell.find(({ isLasting: lasts }) => lasts) ??
    unwell.find(({ object }) => object.problem !== undefined) ??
    unwell[0];
  return found && { ...problemOfObject(found.object, namespace), isLasting: found.isLasting };
}

function isLasting({ health, problem }: ObservedObject, activatedTime: string | undefined): boolean {
  const isProblem = problem?.isLasting === true && isOfRelease(problem.podSince, activatedTime);
  return isProblem || (health.status === 'Failed' && isOfRelease(health.since, activatedTime));
}

/** Kubernetes' times are whole seconds. */
function isOfRelease(since: string | undefined, activatedTime: string | undefined): boolean {
  if (since === undefined || activatedTime === undefined) return true;
  return Date.parse(since) >= Math.floor(Date.parse(activatedTime) / 1000) * 1000;
}

function problemOfObject(
  { ref, exists, health, problem }: ObservedObject,
  namespace: string,
): Omit<Problem, 'isLasting'> {
  const shown = shownRef(ref, namespace);
  if (problem !== undefined) {
    const { reason, message, logs } = problem;
    return { reason, message: `${shown}: ${message}`, ...(logs === undefined ? {} : { logs }) };
  }
  if (!exists) return { reason: 'ObjectMissing', message: `${shown} is not there` };
  const reason = health.reason ?? (health.status === 'Failed' ? 'ObjectFailed' : 'NotReadyYet');
  const why = health.message ?? defaultMessages[health.status];
  return { reason, message: `${shown}: ${why}` };
}

const defaultMessages = {
  Current: 'is as it should be',
  InProgress: 'is not ready yet',
  Failed: 'has failed',
  Terminating: 'is being deleted',
} as const;

export const notObserved: Problem = {
  reason: 'NotObserved',
  message: 'not all of its objects could be looked at yet',
  isLasting: false,
};

export const formerNotRemoved: Problem = {
  reason: 'FormerNotRemoved',
  message: 'an application of the same name is still being removed here',
  isLasting: false,
};
