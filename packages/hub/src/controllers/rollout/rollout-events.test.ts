import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { RolloutStatus, WaveStatus } from '@selvedge/api';
import { rolloutConditions } from './rollout-conditions.ts';
import { rolloutEvents } from './rollout-events.ts';

const names = { name: 'till-2', release: 'till-abc' };
const begin = '2026-01-01T00:00:00.000Z';
const later = '2026-01-01T03:00:00.000Z';
const wave = (phase: WaveStatus['phase'], rest: Partial<WaveStatus> = {}): WaveStatus => ({
  name: 'canary',
  phase,
  sites: 2,
  succeeded: 0,
  prepared: 0,
  pending: 0,
  held: 0,
  failed: 0,
  away: 0,
  reverted: 0,
  ...rest,
});
const reasons = (before: RolloutStatus | undefined, after: RolloutStatus): string[] =>
  rolloutEvents(names, before, after).map(({ reason }) => reason);

describe('the events of a rollout', () => {
  test('tell each step once, also those that one look finds together', () => {
    const preparing: RolloutStatus = {
      phase: 'Progressing',
      waves: [wave('Preparing', { startTime: begin })],
    };
    assert.deepEqual(reasons(undefined, preparing), ['RolloutStarted', 'WaveBegun']);
    assert.deepEqual(reasons(preparing, preparing), []);
    const passed: RolloutStatus = {
      phase: 'Completed',
      waves: [wave('Passed', { startTime: begin, activateTime: later, succeeded: 2 })],
    };
    assert.deepEqual(reasons(preparing, passed), [
      'WavePrepared',
      'WaveActivated',
      'WavePassed',
      'RolloutCompleted',
    ]);
    const atOnce = [wave('Progressing', { startTime: begin, activateTime: begin })];
    assert.deepEqual(reasons({ phase: 'Progressing' }, { phase: 'Progressing', waves: atOnce }), [
      'WaveBegun',
    ]);
  });

  test('tell a breach, and that a person stopped and went on', () => {
    const breach = { time: begin, wave: 'canary', reason: 'BudgetExceeded', message: '1 site failed' };
    const events = rolloutEvents(names, { phase: 'Progressing' }, { phase: 'Reverting', breach });
    assert.deepEqual(
      events.map(({ type, reason }) => `${type} ${reason}`),
      ['Warning BudgetExceeded', 'Warning ReleaseCondemned', 'Warning RolloutReverting'],
    );
    assert.deepEqual(reasons({ phase: 'Reverting', breach }, { phase: 'Reverted', breach }), [
      'RolloutReverted',
    ]);
    assert.deepEqual(reasons({ phase: 'Progressing' }, { phase: 'Aborted' }), ['RolloutAborted']);
    assert.deepEqual(reasons({ phase: 'Aborted' }, { phase: 'Progressing' }), ['RolloutResumed']);
    assert.deepEqual(reasons({ phase: 'Progressing' }, { phase: 'Superseded' }), ['RolloutSuperseded']);
  });

  test('name a failing site once for each reason', () => {
    const failing = (...list: string[]): RolloutStatus => ({
      phase: 'Progressing',
      failures: list.map((reason) => ({ site: 'shop-1', reason, message: 'it broke' })),
    });
    assert.deepEqual(reasons({ phase: 'Progressing' }, failing('CrashLoop')), ['DeliveryFailed']);
    assert.deepEqual(reasons(failing('CrashLoop'), failing('CrashLoop')), []);
    assert.deepEqual(reasons(failing('CrashLoop'), failing('ImagePull')), ['DeliveryFailed']);
  });
});

test('the conditions of a rollout change their time only with their status', () => {
  const first = rolloutConditions({ phase: 'Progressing' }, undefined, begin);
  assert.deepEqual(
    first.map(({ type, status }) => `${type} ${status}`),
    ['Progressing True', 'Completed False', 'Reverted False', 'AwaitingApproval False'],
  );
  assert.deepEqual(rolloutConditions({ phase: 'Progressing' }, first, later), first);
  const waiting = rolloutConditions(
    { phase: 'Progressing', waves: [wave('AwaitingApproval')] },
    first,
    later,
  );
  assert.deepEqual(
    waiting.filter(({ lastTransitionTime }) => lastTransitionTime === later).map(({ type }) => type),
    ['AwaitingApproval'],
  );
  const breach = { time: later, wave: '', reason: 'RevertedByPerson', message: 'a person took it back' };
  const reverting = rolloutConditions({ phase: 'Reverting', breach }, first, later);
  const reverted = rolloutConditions({ phase: 'Reverted', breach }, reverting, later);
  const of = (list: typeof first, type: string) => list.find((c) => c.type === type);
  assert.deepEqual(
    [
      of(reverting, 'Progressing')?.reason,
      of(reverting, 'Reverted')?.status,
      of(reverted, 'Reverted')?.status,
    ],
    ['RevertedByPerson', 'False', 'True'],
  );
});
