import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Rollout, RolloutStrategy, WaveStatus } from '@selvedge/api';
import { resolveStrategy } from '../rollout/resolve-strategy.ts';
import { type ForecastWave, typicalTimes, waveTimes, type WaveSite } from './wave-times.ts';

const now = new Date('2026-03-01T12:00:00Z');
const site = (name: string, changes: Partial<WaveSite> = {}): WaveSite => ({
  name,
  isAway: false,
  isHeld: false,
  policy: { timeZone: 'UTC' },
  ...changes,
});
const waves = (...lists: WaveSite[][]): ForecastWave[] =>
  lists.map((sites, index) => ({ name: `w${index}`, sites }));
const plan = (
  strategy: RolloutStrategy,
  forecast: ForecastWave[],
  typical: ReturnType<typeof typicalTimes> = { rollouts: 0 },
) => waveTimes(forecast, resolveStrategy(strategy), { now, typical });
const times = (planned: ReturnType<typeof plan>) =>
  planned.map((wave) => [wave.expectedStartTime?.slice(11, 16), wave.expectedEndTime?.slice(11, 16)]);
const passed = (name: string, seconds: { prepare?: number; healthy: number }): WaveStatus => {
  const at = (s: number) => new Date(now.getTime() + s * 1000).toISOString();
  const none = { prepared: 0, pending: 0, held: 0, failed: 0, away: 0, reverted: 0 };
  const activated = seconds.prepare ?? 0;
  return {
    name,
    phase: 'Passed',
    sites: 1,
    succeeded: 1,
    ...none,
    startTime: at(0),
    activateTime: at(activated),
    healthySince: at(activated + seconds.healthy),
    passTime: at(9_999),
  };
};
const earlier = (strategy: RolloutStrategy, ...list: WaveStatus[]): Rollout => ({
  apiVersion: 'selvedge.dev/v1alpha1',
  kind: 'Rollout',
  metadata: { name: 'till-1', namespace: 'shop' },
  spec: { application: 'till', release: 'till-a', digest: 'sha256:a', strategy },
  status: { phase: 'Completed', waves: list },
});

describe('when waves begin and end', () => {
  const two: RolloutStrategy = {
    waves: [
      { name: 'w0', sites: 1, soak: '10m' },
      { name: 'w1', percent: 100 },
    ],
    deadline: '5m',
  };

  test('without history: the whole deadline, then the soak, one wave after the other', () => {
    const planned = plan(two, waves([site('a')], [site('b'), site('c')]));
    assert.deepEqual(times(planned), [
      ['12:00', '12:15'],
      ['12:15', '12:20'],
    ]);
    assert.deepEqual(planned[0]?.basis, [
      'getting healthy: the whole deadline of 5m, as no earlier rollout tells',
      'soaks for 10m',
    ]);
  });

  test('with history: the middle of what waves took, but no more than the deadline', () => {
    const prepared: RolloutStrategy = { ...two, prepare: {} };
    const history = [
      earlier(
        prepared,
        passed('w0', { prepare: 120, healthy: 30 }),
        passed('w1', { prepare: 180, healthy: 60 }),
      ),
      earlier(two, passed('w0', { healthy: 3_000 })),
    ];
    const typical = typicalTimes(history);
    assert.deepEqual(typical, { rollouts: 2, prepareSeconds: 180, healthySeconds: 60 });
    const planned = plan(prepared, waves([site('a')], [site('b')]), typical);
    assert.deepEqual(times(planned), [
      ['12:00', '12:14'],
      ['12:14', '12:18'],
    ]);
    assert.match(planned[1]?.basis.join() ?? '', /preparing: 3m, as in 2 earlier rollouts/);
    const slow = typicalTimes([earlier(two, passed('w0', { healthy: 3_000 }))]);
    assert.deepEqual(times(plan(two, waves([site('a')], [site('b')]), slow))[1], ['12:15', '12:20']);
  });

  test('a wave that waits for a person, and all after it, have no times', () => {
    const strategy: RolloutStrategy = {
      waves: [
        { name: 'w0', sites: 1 },
        { name: 'w1', percent: 50, approval: 'Manual' },
        { name: 'w2', percent: 100 },
      ],
    };
    const planned = plan(strategy, waves([site('a')], [site('b')], [site('c')]));
    assert.deepEqual(times(planned).slice(1), [
      [undefined, undefined],
      [undefined, undefined],
    ]);
    assert.match(planned[1]?.basis[0] ?? '', /selvedge rollout promote/);
  });

  test('an activate window of the last site, a blackout, and a download window before them', () => {
    const late = {
      timeZone: 'Europe/Berlin',
      activateWindows: [{ schedule: '0 3 * * *', durationSeconds: 7200 }],
    };
    const planned = plan(two, waves([site('a'), site('night', { policy: late })], []));
    // 3:00 in Berlin is 2:00 UTC of the next day.
    assert.deepEqual(times(planned)[0], ['12:00', '02:15']);
    assert.match(planned[0]?.basis.join() ?? '', /at 2026-03-02T02:00:00Z \(night\)/);
    const blackout = { timeZone: 'UTC', blackouts: [{ from: '2026-03-01', to: '2026-03-01' }] };
    assert.equal(
      plan(two, waves([site('a', { policy: blackout })], []))[0]?.expectedEndTime,
      '2026-03-02T00:15:00.000Z',
    );
    const download = {
      timeZone: 'UTC',
      downloadWindows: [{ schedule: '0 20 * * *', durationSeconds: 3600 }],
    };
    assert.deepEqual(times(plan(two, waves([site('a', { policy: download })], [])))[0], ['12:00', '20:15']);
    const nowStrategy = { ...two, activate: { when: 'Now' as const } };
    assert.deepEqual(times(plan(nowStrategy, waves([site('a', { policy: late })], [])))[0], [
      '12:00',
      '12:15',
    ]);
  });

  test('an instant, and one that is past', () => {
    const at = { ...two, activate: { when: 'At' as const, at: '2026-03-01T18:00:00Z' } };
    assert.deepEqual(times(plan(at, waves([site('a')], [site('b')]))), [
      ['12:00', '18:15'],
      ['18:15', '18:20'],
    ]);
    const past = { ...two, activate: { when: 'At' as const, at: '2026-03-01T08:00:00Z' } };
    assert.match(plan(past, waves([site('a')], []))[0]?.basis.join() ?? '', /which is past/);
  });

  test('silent and held sites are not waited for; a first wave of nobody else waits for the first that comes', () => {
    const away = site('gone', { isAway: true });
    const held = site('held', { isHeld: true });
    const planned = plan(two, waves([site('a'), away, held], [away]));
    assert.deepEqual([planned[0]?.away, planned[0]?.held, planned[0]?.count], [1, 1, 3]);
    assert.match(planned[0]?.basis[0] ?? '', /2 sites away or held/);
    assert.equal(planned[1]?.expectedEndTime, planned[1]?.expectedStartTime);
    const none = plan(two, waves([away], [site('b')]));
    assert.deepEqual(times(none), [
      ['12:00', undefined],
      [undefined, undefined],
    ]);
  });

  test('a few at a time take their rounds', () => {
    const strategy: RolloutStrategy = {
      waves: [{ name: 'w0', percent: 100, maxConcurrent: 2 }],
      deadline: '5m',
    };
    const planned = plan(strategy, waves([site('a'), site('b'), site('c'), site('d'), site('e')]));
    assert.deepEqual(times(planned), [['12:00', '12:15']]);
    assert.match(planned[0]?.basis.join() ?? '', /2 at a time: 3 rounds/);
  });
});
