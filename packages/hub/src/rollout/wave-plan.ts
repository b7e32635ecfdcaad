import { parseDuration, type RolloutStrategy, type Wave } from '@selvedge/api';
import type { SiteFacts } from './rollout-input.ts';

/** Canary first, unless the strategy says otherwise. */
export const defaultWaves: readonly Wave[] = [
  { name: 'canary', sites: 1 },
  { name: 'rest', percent: 100 },
];
export const defaultDeadline = '10m';

export interface ResolvedWave {
  readonly name: string;
  readonly soakSeconds: number;
  /** How many sites of `total` are reached when this wave is done. */
  readonly reach: (total: number) => number;
  readonly isLast: boolean;
}

export function resolveWaves(strategy: RolloutStrategy): ResolvedWave[] {
  const waves = strategy.waves ?? defaultWaves;
  return waves.map(({ name, soak, sites, percent }, index) => ({
    name,
    soakSeconds: parseDuration(soak ?? '0s') ?? 0,
    isLast: index === waves.length - 1,
    reach: (total) => {
      if (index === waves.length - 1) return total;
      return Math.min(total, sites ?? Math.ceil((total * (percent ?? 100)) / 100));
    },
  }));
}

export function resolveDeadlineSeconds(strategy: RolloutStrategy): number {
  return parseDuration(strategy.deadline ?? defaultDeadline) ?? 600;
}

/** How many of `total` sites may fail before the rollout pauses. */
export function allowedFailures(strategy: RolloutStrategy, total: number): number {
  const failed = strategy.budget?.failed ?? 0;
  return typeof failed === 'number' ? failed : Math.floor((total * Number.parseInt(failed, 10)) / 100);
}

/**
 * Sites in the order in which waves take them: those in touch first, so that a wave does not begin with nobody to
 * answer; then by a hash of seed and name, so that the order has nothing to do with names and is the same every time.
 */
export function orderCandidates(sites: readonly SiteFacts[], seed: string): SiteFacts[] {
  const keyed = sites.map((site) => ({
    site,
    isAway: site.connectedSince === undefined ? 1 : 0,
    hash: hash32(`${seed}/${site.name}`),
  }));
  keyed.sort((a, b) => a.isAway - b.isAway || a.hash - b.hash || (a.site.name < b.site.name ? -1 : 1));
  return keyed.map(({ site }) => site);
}

/** How many more sites a wave takes: up to its reach, and at least one while there are any. */
export function sitesToDraw(
  wave: ResolvedWave,
  counts: { total: number; reached: number; own: number; left: number },
): number {
  const wanted = Math.max(wave.reach(counts.total) - counts.reached, counts.own === 0 ? 1 : 0);
  return Math.min(wanted, counts.left);
}

/** Which wave each site would be in if all waves began now: a forecast, and the rule by which waves are drawn. */
export function planWaves(
  sites: readonly SiteFacts[],
  strategy: RolloutStrategy,
  seed: string,
): { name: string; sites: string[] }[] {
  const ordered = orderCandidates(sites, seed);
  let reached = 0;
  return resolveWaves(strategy).map((wave) => {
    const left = ordered.length - reached;
    const count = sitesToDraw(wave, { total: ordered.length, reached, own: 0, left });
    const drawn = ordered.slice(reached, reached + count).map((site) => site.name);
    reached += count;
    return { name: wave.name, sites: drawn };
  });
}

/** FNV-1a with a final mix (Murmur3's), so that names which differ in their last character only are spread well. */
function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
