import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Rollout, RolloutPhase, WaveStatus } from '@selvedge/api';
import { plainPaint } from '../program/terminal.ts';
import {
  ago,
  canarySoaking,
  now,
  passedCanary,
  restInProgress,
  restWaiting,
  sampleCounts,
  sampleRollout,
} from '../testing/sample-fleet.ts';
import { historyEntry } from './history-command.ts';
import { renderRollout } from './render-rollout.ts';
import { rolloutReport } from './rollout-report.ts';
import { watchLines } from './watch-lines.ts';
import { gatesOf } from './wave-gates.ts';

const report = (rollout: Rollout) => rolloutReport(rollout, now);
const render = (rollout: Rollout) => renderRollout(report(rollout), plainPaint);
const withStrategy = (strategy: Rollout['spec']['strategy'], wave: WaveStatus): Rollout => {
  const rollout = sampleRollout({ waves: [wave] });
  return { ...rollout, spec: { ...rollout.spec, strategy } };
};
const texts = (rollout: Rollout, wave: WaveStatus) =>
  gatesOf(rollout, wave, now).map(({ gate, isMet, text }) => `${gate}${isMet ? '+' : '-'} ${text}`);

describe('gates of a wave', () => {
  test('prepare: a threshold of those in touch, without the silent and the held', () => {
    const wave: WaveStatus = {
      ...restInProgress,
      phase: 'Preparing',
      sites: 20,
      pending: 5,
      prepared: 10,
      held: 2,
      away: 3,
    };
    const rollout = withStrategy({ prepare: { threshold: '95%' } }, wave);
    assert.deepEqual(
      texts(rollout, wave)[0],
      'Prepare- 95% of the 15 in touch have it prepared: 10 have, 5 more needed',
    );
    const waived = { ...rollout, spec: { ...rollout.spec, waivedWaves: ['rest'] } };
    assert.deepEqual(texts(waived, wave)[0], 'Prepare+ the prepare threshold was waived by a person');
  });

  test('minSample in percent, a soak that has not begun, and a budget that is partly spent', () => {
    const wave: WaveStatus = { ...restInProgress, sites: 10, succeeded: 4, pending: 5, failed: 1 };
    const waves = [{ name: 'rest', percent: 100, minSample: '80%', soak: '30m', budget: { failed: 2 } }];
    assert.deepEqual(texts(withStrategy({ waves, budget: { failed: '10%' } }, wave), wave), [
      'Healthy- 4 of 10 run it, 5 still to answer, 1 failed',
      'MinSample- at least 8 must prove it to the end of the soak: 4 more needed',
      'Soak- soaks for 30m once all of it is healthy',
      'Budget+ 1 failed in all, of 1 that may; 1 in this wave, of 2',
    ]);
  });

  test('a soak under way, one that is over, and one that was waived', () => {
    assert.ok(texts(sampleRollout(), canarySoaking).includes('Soak- it soaks for another 6m'));
    const over = { ...canarySoaking, healthySince: ago(601) };
    assert.ok(texts(sampleRollout(), over).includes('Soak+ the soak is over'));
    const waived = sampleRollout();
    waived.spec.waivedWaves = ['canary'];
    assert.ok(texts(waived, canarySoaking).includes('Soak+ the soak was waived by a person'));
  });

  test('an approval comes before all else, and a wave that has passed waits for nothing', () => {
    const wave: WaveStatus = { ...restWaiting, phase: 'AwaitingApproval' };
    assert.deepEqual(texts(sampleRollout(), wave), [
      'Approval- a person lets it begin: selvedge rollout promote till-3',
    ]);
    assert.deepEqual(texts(sampleRollout(), passedCanary), []);
  });
});

describe('a rollout for people', () => {
  test('under way: waves with bars, what it waits for, how to read more', () => {
    const rollout = sampleRollout({
      sites: sampleCounts({ wanted: 11, running: 5, progressing: 3, prepared: 1, failed: 1, away: 1 }),
      waves: [
        passedCanary,
        { ...restInProgress, sites: 10, succeeded: 4, prepared: 1, pending: 3, failed: 1, away: 1 },
      ],
      failures: [{ site: 'shop-7', reason: 'CrashLoop', message: 'exit 1' }],
      activation: { firstTime: ago(90), lastTime: ago(89.6), sites: 5 },
    });
    assert.equal(
      render(rollout),
      `till-3 (till-aaaaaaaaaa) is Progressing, begun 5m ago: wave rest waits for shop-1
11 sites: 5 running, 3 progressing, 1 prepared, 1 failed, 1 away

WAVE     PHASE         SITES   PROGRESS                 COUNTS                                                 SINCE
canary   Passed            1   [####################]   1 succeeded                                            100s
rest     Progressing      10   [########==xx........]   4 succeeded, 1 prepared, 3 pending, 1 failed, 1 away   100s

Before the next wave (+ met, - not yet):
  - rest: 1 prepared site waits to switch: for a window, a hold, or their turn
  - rest: 4 of 10 run it, 4 still to answer, 1 failed, 1 away or held, not waited for
  - rest: 1 failed in all, of 0 that may
5 sites switched within 0.4s of each other

Failures:
  x shop-7: CrashLoop: exit 1

Next: It goes on by itself.
  selvedge why shop-7 till -n shop`,
    );
  });

  test('one failure among thousands is seen in the bar', () => {
    const wave: WaveStatus = { ...restInProgress, sites: 5_000, succeeded: 100, pending: 4_899, failed: 1 };
    assert.match(render(sampleRollout({ waves: [wave] })), /\[x\.{19}\]/);
  });

  test('a breach: why, how many are back, and how the release is allowed again', () => {
    const rollout = sampleRollout({
      phase: 'Reverting',
      waves: [{ ...restInProgress, phase: 'Reverting', sites: 4, pending: 0, reverted: 3, failed: 1 }],
      breach: { time: ago(30), wave: 'rest', reason: 'BudgetExceeded', message: '2 sites failed, 1 may' },
    });
    assert.match(render(rollout), /\[<{15}\.{5}\]/);
    assert.match(render(rollout), /BudgetExceeded in wave rest, 30s ago: 2 sites failed, 1 may/);
    assert.deepEqual(report(sampleRollout({ phase: 'Reverted' })).commands, [
      'selvedge rollout lift till-aaaaaaaaaa -n shop',
    ]);
  });

  for (const [phase, isOver, isTrouble] of [
    ['Progressing', false, false],
    ['Reverting', false, true],
    ['Completed', true, false],
    ['Reverted', true, true],
    ['Aborted', true, true],
    ['Blocked', true, true],
    ['Superseded', true, false],
  ] as [RolloutPhase, boolean, boolean][]) {
    test(`${phase} ${isOver ? 'ends' : 'does not end'} a watch, and is ${isTrouble ? '' : 'no '}trouble`, () => {
      const { isOver: over, isTrouble: trouble } = report(sampleRollout({ phase }));
      assert.deepEqual([over, trouble], [isOver, isTrouble]);
    });
  }

  test('paused by failures ends a watch; paused by a person does not', () => {
    const failures = [{ site: 'shop-7', reason: 'CrashLoop', message: 'exit 1' }];
    assert.equal(report(sampleRollout({ phase: 'Paused', failures })).isOver, true);
    const byPerson = sampleRollout({ phase: 'Paused', failures });
    byPerson.spec.paused = true;
    assert.deepEqual([report(byPerson).isOver, report(byPerson).isTrouble], [false, false]);
  });

  test('a watch without terminal tells each thing once, when it is new', () => {
    const lines = watchLines();
    const first = lines(report(sampleRollout()));
    assert.match(
      first.join('\n'),
      /till-3 is Progressing[^]*wave canary \(Passed\)[^]*wave rest \(Progressing\): 2 pending/,
    );
    assert.deepEqual(lines(report(sampleRollout())), []);
    const rest = { ...restInProgress, pending: 1, succeeded: 1 };
    const next = lines(report(sampleRollout({ waves: [passedCanary, rest] })));
    assert.deepEqual(next, [`${now.toISOString()} wave rest (Progressing): 1 succeeded, 1 pending`]);
  });

  test('history: by which waves, how far, and why it ended', () => {
    const breach = { time: ago(30), wave: 'canary', reason: 'BudgetExceeded', message: '1 site failed' };
    const entry = historyEntry(sampleRollout({ phase: 'Reverted', breach, completionTime: ago(10) }));
    assert.equal(entry.waves, 'canary 1 (Passed), rest 2 (Progressing)');
    assert.equal(entry.reason, 'BudgetExceeded: 1 site failed');
    assert.equal(entry.endTime, ago(10));
  });
});
