import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  isComplete,
  isServing,
  type PodView,
  planWorkload,
  type WorkloadGoal,
  type WorkloadStep,
} from './plan.ts';

const replicas = fc.integer({ min: 0, max: 6 });
const rolling = fc
  .record({ maxSurge: fc.integer({ min: 0, max: 3 }), maxUnavailable: fc.integer({ min: 0, max: 3 }) })
  .filter(({ maxSurge, maxUnavailable }) => maxSurge + maxUnavailable > 0)
  .map((limits) => ({ type: 'RollingUpdate' as const, ...limits }));
const goals: fc.Arbitrary<WorkloadGoal> = fc
  .record({ replicas, strategy: fc.oneof(rolling, fc.constant({ type: 'Recreate' as const })) })
  .map((goal) => ({ hash: 'new', ...goal }));

const pods: fc.Arbitrary<PodView[]> = fc
  .uniqueArray(
    fc.record({
      hash: fc.constantFrom('new', 'old', 'older'),
      index: fc.integer({ min: 0, max: 6 }),
      isAvailable: fc.boolean(),
      isLeaving: fc.boolean(),
    }),
    { selector: ({ hash, index }) => `${hash}-${index}`, maxLength: 10 },
  )
  .map((list) => list.map((pod) => ({ ...pod, name: `${pod.hash}-${pod.index}` })));

/** What the world looks like after a step was begun: a new pod is not available yet, a removed one is on its way out. */
function begin(world: readonly PodView[], step: WorkloadStep): PodView[] {
  if (step.type === 'RemovePod') {
    return world.map((pod) =>
      pod.name === step.name ? { ...pod, isLeaving: true, isAvailable: false } : pod,
    );
  }
  const pod = {
    name: `new-${step.index}`,
    hash: 'new',
    index: step.index,
    isAvailable: false,
    isLeaving: false,
  };
  return [...world, pod];
}

/** Time passes: what leaves is gone, what starts becomes available (the old as well: nothing is broken). */
function settle(world: readonly PodView[]): PodView[] {
  return world.filter((pod) => !pod.isLeaving).map((pod) => ({ ...pod, isAvailable: true }));
}

const staying = (world: readonly PodView[]) => world.filter((pod) => !pod.isLeaving);
const available = (world: readonly PodView[]) => staying(world).filter((pod) => pod.isAvailable).length;

describe('the plan of a workload', () => {
  test('never takes availability below replicas - maxUnavailable', () => {
    fc.assert(
      fc.property(goals, pods, (goal, world) => {
        if (goal.strategy.type === 'Recreate') return;
        const floor = Math.min(available(world), goal.replicas - goal.strategy.maxUnavailable);
        let now: readonly PodView[] = world;
        for (const step of planWorkload(goal, world)) {
          now = begin(now, step);
          assert.ok(available(now) >= floor);
        }
      }),
    );
  });

  test('never has more than replicas + maxSurge pods, unless there were more before', () => {
    fc.assert(
      fc.property(goals, pods, (goal, world) => {
        if (goal.strategy.type === 'Recreate') return;
        const ceiling = Math.max(staying(world).length, goal.replicas + goal.strategy.maxSurge);
        const after = planWorkload(goal, world).reduce<PodView[]>(begin, [...world]);
        assert.ok(staying(after).length <= ceiling);
      }),
    );
  });

  test('touches only pods that it was shown, and makes none twice', () => {
    fc.assert(
      fc.property(goals, pods, (goal, world) => {
        const names = new Set(world.map((pod) => pod.name));
        const steps = planWorkload(goal, world);
        for (const step of steps) {
          if (step.type === 'RemovePod') assert.ok(names.has(step.name));
          else assert.ok(!names.has(`new-${step.index}`) && step.index < goal.replicas);
        }
        assert.equal(new Set(steps.map((step) => JSON.stringify(step))).size, steps.length);
      }),
    );
  });

  test('arrives, also when it is cut off after any of its steps, any number of times', () => {
    const cuts = fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 12 });
    fc.assert(
      fc.property(goals, pods, cuts, (goal, start, prefixes) => {
        let world: PodView[] = start;
        for (const prefix of prefixes) {
          const done = planWorkload(goal, world).slice(0, prefix);
          // Cut off: what was begun may or may not have become true.
          world = done.reduce<PodView[]>(begin, world).filter((pod) => !pod.isLeaving);
        }
        for (let round = 0; round < 40 && !isComplete(goal, world); round++) {
          world = settle(planWorkload(goal, world).reduce<PodView[]>(begin, world));
        }
        assert.ok(isComplete(goal, world), JSON.stringify({ goal, world }));
        assert.deepEqual(planWorkload(goal, world), []);
      }),
    );
  });

  test('with Recreate, old and new pods never live at the same time', () => {
    fc.assert(
      fc.property(replicas, fc.integer({ min: 1, max: 4 }), (wanted, old) => {
        const goal: WorkloadGoal = { hash: 'new', replicas: wanted, strategy: { type: 'Recreate' } };
        const world = Array.from({ length: old }, (_, index) => view('old', index));
        assert.ok(planWorkload(goal, world).every((step) => step.type === 'RemovePod'));
        const leaving = world.map((pod) => ({ ...pod, isLeaving: true }));
        assert.deepEqual(planWorkload(goal, leaving), []);
      }),
    );
  });

  test('a release that never becomes available keeps the old pods that availability asks for', () => {
    const goal: WorkloadGoal = {
      hash: 'new',
      replicas: 3,
      strategy: { type: 'RollingUpdate', maxSurge: 1, maxUnavailable: 0 },
    };
    const world = [view('old', 0), view('old', 1), view('old', 2), { ...view('new', 0), isAvailable: false }];
    assert.deepEqual(planWorkload(goal, world), []);
    assert.equal(isServing(goal, world), false);
  });
});

function view(hash: string, index: number): PodView {
  return { name: `${hash}-${index}`, hash, index, isAvailable: true, isLeaving: false };
}
