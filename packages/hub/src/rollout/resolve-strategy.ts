import { type ItemTerms, parseDuration, type RolloutStrategy, type Wave } from '@selvedge/api';
import type { RolloutInput } from './rollout-input.ts';

/** Canary first, unless the strategy says otherwise. */
export const defaultWaves: readonly Wave[] = [
  { name: 'canary', sites: 1 },
  { name: 'rest', percent: 100 },
];
const defaultDeadline = '10m';
const defaultPrepareDeadline = '1h';

/** A strategy with every default filled in, and numbers instead of texts. */
export interface ResolvedStrategy {
  readonly waves: readonly ResolvedWave[];
  /** Present: a wave activates when so many percent of its sites in touch have prepared. */
  readonly thresholdPercent?: number;
  readonly prepareSeconds: number;
  readonly deadlineSeconds: number;
  readonly activation: Pick<ItemTerms, 'activate' | 'activateAt'>;
  readonly revertsOnBreach: boolean;
  /** How many of all sites may fail. */
  readonly budget: (total: number) => number;
}

export interface ResolvedWave {
  readonly name: string;
  readonly soakSeconds: number;
  readonly isLast: boolean;
  readonly isManual: boolean;
  /** Which sites it draws: a number of them, counted from the first wave on, or exactly those that are named or selected. */
  readonly draws: WaveDraw;
  /** @param size sites that the wave was meant to have. */
  readonly minSample: (size: number) => number;
  /** `Infinity`: all at the same time. */
  readonly maxConcurrent: (size: number) => number;
  /** How many of the wave's own may fail; `Infinity`: only the budget of the whole counts. */
  readonly budget: (size: number) => number;
}
export type WaveDraw =
  | { readonly kind: 'UpTo'; readonly reach: (total: number) => number }
  | {
      readonly kind: 'Exactly';
      readonly names?: ReadonlySet<string>;
      readonly selector?: Wave['siteSelector'];
    };

export function resolveStrategy(strategy: RolloutStrategy): ResolvedStrategy {
  const waves = strategy.waves ?? defaultWaves;
  const { prepare, activate } = strategy;
  return {
    waves: waves.map((wave, index) => resolveWave(wave, index === waves.length - 1)),
    ...(prepare === undefined ? {} : { thresholdPercent: Number.parseInt(prepare.threshold ?? '100%', 10) }),
    prepareSeconds: seconds(prepare?.deadline, defaultPrepareDeadline),
    deadlineSeconds: seconds(strategy.deadline, defaultDeadline),
    activation: {
      activate: activate?.when ?? 'Window',
      ...(activate?.at === undefined ? {} : { activateAt: activate.at }),
    },
    revertsOnBreach: strategy.onBreach !== 'Pause',
    budget: (total) => partOf(strategy.budget?.failed ?? 0, total, Math.floor),
  };
}

function resolveWave(wave: Wave, isLast: boolean): ResolvedWave {
  const { name, soak, minSample, maxConcurrent, budget, approval } = wave;
  return {
    name,
    soakSeconds: seconds(soak, '0s'),
    isLast,
    isManual: approval === 'Manual',
    draws: isLast ? { kind: 'UpTo', reach: (total) => total } : resolveDraw(wave),
    minSample: (size) => Math.max(1, Math.min(size, partOf(minSample ?? 1, size, Math.ceil))),
    maxConcurrent: (size) =>
      maxConcurrent === undefined
        ? Number.POSITIVE_INFINITY
        : Math.max(1, partOf(maxConcurrent, size, Math.ceil)),
    budget: (size) =>
      budget === undefined ? Number.POSITIVE_INFINITY : partOf(budget.failed ?? 0, size, Math.floor),
  };
}

function resolveDraw({ sites, percent, siteNames, siteSelector }: Wave): WaveDraw {
  if (siteNames !== undefined) return { kind: 'Exactly', names: new Set(siteNames) };
  if (siteSelector !== undefined) return { kind: 'Exactly', selector: siteSelector };
  return {
    kind: 'UpTo',
    reach: (total) => Math.min(total, sites ?? Math.ceil((total * (percent ?? 100)) / 100)),
  };
}

function partOf(part: number | string, whole: number, round: (value: number) => number): number {
  return typeof part === 'number' ? part : round((whole * Number.parseInt(part, 10)) / 100);
}

function seconds(duration: string | undefined, standard: string): number {
  return parseDuration(duration ?? standard) ?? parseDuration(standard) ?? 0;
}

/** The terms on which this rollout gives its release to a site. */
export function termsOf(
  { number }: RolloutInput,
  { prepareSeconds, activation }: ResolvedStrategy,
  activate: 'Hold' | 'AsPlanned',
): ItemTerms {
  return { ...(activate === 'Hold' ? { activate } : activation), attempt: number, prepareSeconds };
}
