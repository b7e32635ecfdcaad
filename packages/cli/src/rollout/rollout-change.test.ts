import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Rollout, RolloutPhase } from '@selvedge/api';
import { CommandError } from '../program/exit-code.ts';
import { canarySoaking, now, passedCanary, restWaiting, sampleRollout } from '../testing/sample-fleet.ts';
import { type ChangeKind, planChange } from './rollout-change.ts';

const inPhase = (phase: RolloutPhase): Rollout => sampleRollout({ phase, message: 'as it is' });
const withSpec = (phase: RolloutPhase, spec: Partial<Rollout['spec']>): Rollout => {
  const rollout = inPhase(phase);
  return { ...rollout, spec: { ...rollout.spec, ...spec } };
};
const plan = (kind: ChangeKind, rollout: Rollout) => planChange(kind, rollout, { now, newest: 'till-3' });
const refusal = (kind: ChangeKind, rollout: Rollout): CommandError => {
  try {
    plan(kind, rollout);
  } catch (error) {
    assert.ok(error instanceof CommandError);
    return error;
  }
  return assert.fail(`${kind} was not refused`);
};
const awaiting = sampleRollout({ waves: [passedCanary, { ...restWaiting, phase: 'AwaitingApproval' }] });

describe('what a person may do with a rollout', () => {
  for (const [kind, rollout, patch] of [
    ['pause', inPhase('Progressing'), { paused: true }],
    ['resume', withSpec('Paused', { paused: true }), { paused: false }],
    ['resume', withSpec('Aborted', { stop: 'Abort' }), { stop: null }],
    ['resume', withSpec('Aborted', { stop: 'Abort', paused: true }), { paused: false, stop: null }],
    ['abort', inPhase('Progressing'), { stop: 'Abort' }],
    ['abort', inPhase('Paused'), { stop: 'Abort' }],
    ['revert', inPhase('Progressing'), { stop: 'Revert' }],
    ['revert', inPhase('Completed'), { stop: 'Revert' }],
    ['revert', withSpec('Aborted', { stop: 'Abort' }), { stop: 'Revert' }],
    ['promote', awaiting, { approvedWaves: ['rest'] }],
    ['skipGates', sampleRollout({ waves: [canarySoaking, restWaiting] }), { waivedWaves: ['canary'] }],
  ] as const) {
    test(`${kind} of one that is ${rollout.status?.phase} writes ${JSON.stringify(patch)}, and says what happens`, () => {
      const change = plan(kind, rollout);
      assert.deepEqual(change.patch, patch);
      assert.ok(change.done.length > 0 && change.next.length > 0);
    });
  }

  test('one that is not the newest any more is history, also when it was completed', () => {
    const change = () => planChange('revert', inPhase('Completed'), { now, newest: 'till-4' });
    assert.throws(change, /till-3 is history/);
  });

  test('approvals of earlier waves stay', () => {
    const rollout = { ...awaiting, spec: { ...awaiting.spec, approvedWaves: ['canary'] } };
    assert.deepEqual(plan('promote', rollout).patch, { approvedWaves: ['canary', 'rest'] });
  });

  for (const [kind, rollout] of [
    ['pause', withSpec('Paused', { paused: true })],
    ['resume', inPhase('Progressing')],
    ['abort', withSpec('Aborted', { stop: 'Abort' })],
    ['revert', withSpec('Reverting', { stop: 'Revert' })],
    ['revert', inPhase('Reverted')],
    ['skipGates', withSpec('Progressing', { waivedWaves: ['rest'] })],
  ] as const) {
    test(`${kind} of what is so already (${rollout.status?.phase}) writes nothing`, () => {
      assert.equal(plan(kind, rollout).patch, undefined);
    });
  }

  for (const [kind, rollout, message, hint] of [
    ['pause', inPhase('Superseded'), /newer rollout of till/, /rollout status till -n shop/],
    ['pause', inPhase('Reverted'), /was reverted/, /rollout lift/],
    ['resume', inPhase('Paused'), /not held by its spec\.paused/, /"failed":N/],
    ['resume', inPhase('Blocked'), /condemned before/, /rollout lift/],
    ['abort', inPhase('Completed'), /every wave has passed/, /rollout revert till-3 -n shop/],
    ['abort', inPhase('Reverting'), /is being reverted/, /rollout watch/],
    [
      'promote',
      sampleRollout({ waves: [canarySoaking, restWaiting] }),
      /no wave .* soaks for another 6m/,
      /--skip-gates/,
    ],
    ['promote', withSpec('Paused', { paused: true }), /is Paused/, /rollout resume/],
    [
      'promote',
      sampleRollout({ phase: 'Completed', waves: [passedCanary] }),
      /every wave of till-3 has passed/,
      undefined,
    ],
    ['skipGates', awaiting, /waits for approval/, /rollout promote till-3 -n shop$/],
    ['skipGates', inPhase('Reverted'), /no wave to promote/, /rollout lift/],
  ] as const) {
    test(`${kind} of one that is ${rollout.status?.phase} is refused: ${String(message)}`, () => {
      const error = refusal(kind, rollout);
      assert.match(error.message, message);
      if (hint === undefined) assert.equal(error.hint, undefined);
      else assert.match(error.hint ?? '', hint);
    });
  }

  test('a rollout that the hub has not looked at yet', () => {
    const { status: _, ...fresh } = sampleRollout();
    assert.deepEqual(plan('pause', fresh).patch, { paused: true });
    assert.match(refusal('promote', fresh).message, /has not begun yet/);
  });
});
