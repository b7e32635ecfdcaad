import { matchesLabelSelector } from '@selvedge/api';
import type { ResolvedWave } from './resolve-strategy.ts';
import type { SiteView } from './site-view.ts';

/**
 * Sites in the order in which waves take them: those that can answer first, so that a wave does not begin with nobody to;
 * then by a hash of seed and name, so that the order has nothing to do with names and is the same every time.
 */
export function orderCandidates(sites: readonly SiteView[], seed: string): SiteView[] {
  const keyed = sites.map((site) => ({
    site,
    rank: canAnswer(site) ? 0 : 1,
    hash: hash32(`${seed}/${site.name}`),
  }));
  keyed.sort((a, b) => a.rank - b.rank || a.hash - b.hash || (a.site.name < b.site.name ? -1 : 1));
  return keyed.map(({ site }) => site);
}

export function canAnswer(site: SiteView): boolean {
  return site.isInTouch && site.facts.held === undefined;
}

export interface WaveCounts {
  /** All sites that are selected. */
  readonly total: number;
  /** Of those, in this wave and the waves before. */
  readonly reached: number;
  /** In this wave. */
  readonly own: number;
}

/**
 * Which of the candidates a wave takes: those that it names or selects; or as many as it reaches further, at least one
 * while there are any.
 * @param candidates ordered
 */
export function sitesToDraw(
  wave: ResolvedWave,
  candidates: readonly SiteView[],
  { total, reached, own }: WaveCounts,
): SiteView[] {
  const { draws } = wave;
  if (draws.kind === 'UpTo') {
    return candidates.slice(0, Math.max(draws.reach(total) - reached, own === 0 ? 1 : 0));
  }
  return candidates.filter(({ name, facts }) =>
    draws.names !== undefined
      ? draws.names.has(name)
      : draws.selector !== undefined && matchesLabelSelector(facts.labels, draws.selector),
  );
}

/** How many sites the wave was meant to have: those that stand in for others do not make it larger. */
export function intendedSize({ draws }: ResolvedWave, { total, reached, own }: WaveCounts): number {
  if (draws.kind === 'Exactly') return own;
  return Math.min(own, Math.max(1, draws.reach(total) - (reached - own)));
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
