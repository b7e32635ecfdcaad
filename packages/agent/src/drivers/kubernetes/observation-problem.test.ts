import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findProblem } from './observation-problem.ts';
import type { ObservedObject } from './observe/observer.ts';

const ref = { apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'shop', name: 'web' };
const crash = { reason: 'CrashLoopBackOff', message: 'container main ended', isLasting: true };
const observation = (object: Partial<ObservedObject>) => ({
  objects: [{ ref, exists: true, drift: [], health: { status: 'InProgress' as const }, ...object }],
  pods: { wanted: 1, ready: 0 },
});
const isLasting = (object: Partial<ObservedObject>, activatedTime?: string) =>
  findProblem(observation(object), 'shop', activatedTime)?.isLasting;

test('a crash loop of a pod that is older than the release is told, and is no proof against it', () => {
  const problem = { ...crash, podSince: '2026-11-22T07:00:00Z' };
  assert.equal(isLasting({ problem }, '2026-11-22T07:10:00.500Z'), false);
  assert.equal(
    findProblem(observation({ problem }), 'shop', '2026-11-22T07:10:00.500Z')?.reason,
    'CrashLoopBackOff',
  );
  assert.equal(
    isLasting({ problem: { ...problem, podSince: '2026-11-22T07:10:00Z' } }, '2026-11-22T07:10:00.500Z'),
    true,
  );
  assert.equal(isLasting({ problem }), true);
});

test('a rollout that took too long before the release was activated is no proof against it', () => {
  const health = {
    status: 'Failed' as const,
    reason: 'ProgressDeadlineExceeded',
    since: '2026-11-22T07:00:00Z',
  };
  assert.equal(isLasting({ health }, '2026-11-22T07:10:00Z'), false);
  assert.equal(isLasting({ health }, '2026-11-22T06:59:00Z'), true);
});

test('what lasts is named before what may pass', () => {
  const former = {
    ...observation({}).objects[0],
    problem: { ...crash, reason: 'Former', podSince: '2026-11-22T07:00:00Z' },
  };
  const own = { ...former, problem: { ...crash, reason: 'Own', podSince: '2026-11-22T07:11:00Z' } };
  const seen = { objects: [former, own] as ObservedObject[], pods: { wanted: 2, ready: 0 } };
  const found = findProblem(seen, 'shop', '2026-11-22T07:10:00Z');
  assert.deepEqual([found?.reason, found?.isLasting], ['Own', true]);
});
