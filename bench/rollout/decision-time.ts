import type { RolloutStrategy } from '@selvedge/api';
import { planRollout } from '@selvedge/hub';
import { type Figure, figure, median } from '../figure.ts';
import { PlannedFleet } from './planned-fleet.ts';

const warmUps = 15;
const samples = 60;
const markMilliseconds = 50;
const minute = 60_000;

const strategy: RolloutStrategy = {
  waves: [
    { name: 'canary', sites: 10, soak: '10m' },
    { name: 'early', percent: 10, soak: '30m', maxConcurrent: '50%' },
    { name: 'rest', percent: 100, soak: '1h', budget: { failed: '3%' } },
  ],
  budget: { failed: '2%' },
  deadline: '10m',
};

/** Moments of a rollout to a whole fleet in which the engine has much to look at. */
const moments: readonly { readonly name: string; readonly prepare: (fleet: PlannedFleet) => void }[] = [
  { name: 'the first wave is drawn', prepare: () => undefined },
  {
    name: 'the last wave is drawn',
    prepare: (fleet) => {
      reachLastWave(fleet);
    },
  },
  {
    name: 'the last wave, half of it reported',
    prepare: (fleet) => {
      reachLastWave(fleet);
      fleet.settle();
      fleet.pass(minute);
      fleet.answer({ state: 'Activating' });
      fleet.answer({ state: 'Running' }, 2);
      requirePlace(fleet.wavePhase('rest') === 'Progressing', fleet);
    },
  },
  {
    name: 'all sites healthy and soaking',
    prepare: (fleet) => {
      reachLastWave(fleet);
      fleet.settle();
      fleet.answer({ state: 'Running' });
      fleet.settle();
      fleet.pass(5 * minute);
      requirePlace(fleet.wavePhase('rest') === 'Soaking', fleet);
    },
  },
  {
    name: 'a breach is found',
    prepare: (fleet) => {
      breach(fleet);
    },
  },
  {
    name: 'the fleet goes back, half of it reported',
    prepare: (fleet) => {
      breach(fleet);
      fleet.settle();
      requirePlace(fleet.phase === 'Reverting', fleet);
      fleet.pass(minute);
      fleet.answerGoingBack(2);
    },
  },
];

/**
 * How long one decision of the pure engine takes for a fleet of this size, per moment: the median, and the 95th percentile of
 * the thread's processor time, in which other work on the machine does not count.
 */
export function measureDecisions(sites: number, tell: (line: string) => void): Figure[] {
  return moments.flatMap(({ name, prepare }) => {
    tell(`deciding for ${sites} sites: ${name}`);
    const fleet = new PlannedFleet(strategy, { sites, awayEvery: 10 });
    prepare(fleet);
    const times: number[] = [];
    const processorTimes: number[] = [];
    for (let round = 0; round < warmUps + samples; round++) {
      const input = fleet.input();
      const processor = process.threadCpuUsage();
      const began = performance.now();
      planRollout(input);
      const time = performance.now() - began;
      const { user, system } = process.threadCpuUsage(processor);
      if (round < warmUps) continue;
      times.push(time);
      processorTimes.push((user + system) / 1000);
    }
    tell(`${Math.round(median(times))} ms`);
    const options = { unit: 'ms' as const, mark: { atMost: markMilliseconds } };
    const what = (statistic: string) => `decision, ${sites} sites, ${name}: ${statistic}`;
    return [
      figure(what('median'), median(times), options),
      figure(what('95 %, processor time'), percentile(processorTimes, 0.95), options),
    ];
  });
}

function reachLastWave(fleet: PlannedFleet): void {
  for (const soak of [11 * minute, 31 * minute]) {
    fleet.settle();
    for (let round = 0; round < 3; round++) {
      // maxConcurrent lets the others follow when those before them have answered.
      fleet.answer({ state: 'Running' });
      fleet.settle();
    }
    fleet.pass(soak);
  }
}

/** More sites of the last wave fail than may. */
function breach(fleet: PlannedFleet): void {
  reachLastWave(fleet);
  fleet.settle();
  fleet.pass(minute);
  fleet.answer({ state: 'Running' });
  fleet.answer(
    {
      state: 'Failed',
      reason: 'CrashLoop',
      message: 'container till has ended 5 times',
      wentBack: 'Unhealthy',
    },
    10,
  );
}

function requirePlace(isTrue: boolean, fleet: PlannedFleet): void {
  if (!isTrue) throw new Error(`the fleet is not where the bench wants it: the rollout is ${fleet.phase}`);
}

function percentile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * part) - 1)] ?? Number.NaN;
}
