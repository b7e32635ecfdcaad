import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ItemFacts, itemState } from './item-state.ts';

const facts: ItemFacts = {
  hasContent: true,
  refusal: undefined,
  isPrepared: true,
  isActive: true,
  isHealthy: false,
  hasSucceeded: false,
  before: undefined,
  isOverdue: false,
  deadlineSeconds: 600,
  problem: undefined,
  contentProblem: undefined,
  runtimeProblem: undefined,
};
const crash = { reason: 'CrashLoop', message: 'ended', isLasting: false };
const stateOf = (change: Partial<ItemFacts>) => itemState({ ...facts, ...change });

describe('the state that is reported', () => {
  test('follows the life of a release', () => {
    assert.equal(stateOf({ hasContent: false }).state, 'Pending');
    assert.equal(stateOf({ isActive: false, isPrepared: false }).state, 'Preparing');
    assert.equal(stateOf({ isActive: false }).state, 'Prepared');
    assert.equal(stateOf({}).state, 'Activating');
    assert.equal(stateOf({ isHealthy: true }).state, 'Running');
    assert.equal(stateOf({ hasSucceeded: true }).state, 'Degraded');
  });

  test('a release fails by what will not go away, or when its time is up, and stays so until it runs', () => {
    assert.deepEqual(stateOf({ problem: crash }), {
      state: 'Activating',
      reason: 'CrashLoop',
      message: 'ended',
    });
    assert.equal(stateOf({ problem: { ...crash, isLasting: true } }).state, 'Failed');
    assert.deepEqual(stateOf({ isOverdue: true }), {
      state: 'Failed',
      reason: 'DeadlineExceeded',
      message: 'not healthy within 600 seconds',
    });
    const before = { state: 'Failed' as const, reason: 'CrashLoop', message: 'ended', logs: ['x'] };
    assert.deepEqual(stateOf({ before }), before);
    assert.equal(stateOf({ before, isOverdue: true, isHealthy: true }).state, 'Running');
    // A port that became free lets the release go on.
    assert.equal(stateOf({ before: { state: 'Failed', reason: 'PortInUse' } }).state, 'Activating');
  });

  test('a release that ran is never failed, only degraded', () => {
    const state = stateOf({ hasSucceeded: true, isOverdue: true, problem: { ...crash, isLasting: true } });
    assert.equal(state.state, 'Degraded');
  });

  test('a runtime that does not answer is told as what it is', () => {
    const runtimeProblem = { reason: 'RuntimeUnavailable', message: 'gone', isLasting: false };
    assert.equal(stateOf({ runtimeProblem, hasSucceeded: true, isHealthy: true }).state, 'Degraded');
    assert.equal(stateOf({ runtimeProblem, isActive: false }).state, 'Preparing');
  });
});
