import type { RolloutMember } from '@selvedge/store';
import type { ResolvedWave } from './resolve-strategy.ts';
import type { RolloutInput } from './rollout-input.ts';
import type { SiteView } from './site-view.ts';
import { canAnswer, intendedSize, orderCandidates, sitesToDraw, type WaveCounts } from './wave-plan.ts';

/** Which site is in which wave, and which are in none yet. Drawing moves sites from the candidates to a wave. */
export class WaveBoard {
  readonly waves: readonly ResolvedWave[];
  /** Sites drawn since the board was made. */
  readonly join: RolloutMember[] = [];
  readonly #input: RolloutInput;
  readonly #members: SiteView[][];
  #candidates: SiteView[] = [];
  /** Putting many sites in order takes time: done when first needed. */
  #isOrdered = false;

  constructor(input: RolloutInput, waves: readonly ResolvedWave[], sites: readonly SiteView[]) {
    this.#input = input;
    this.waves = waves;
    this.#members = waves.map(() => []);
    const indexOf = new Map(waves.map((wave, index) => [wave.name, index]));
    for (const site of sites) {
      const wave = input.members.get(site.name);
      if (wave === undefined) this.#candidates.push(site);
      else this.members(indexOf.get(wave) ?? waves.length - 1).push(site);
    }
  }

  /** Sites of the wave that are selected still. */
  members(index: number): SiteView[] {
    return this.#members[index] ?? [];
  }

  /** In no wave yet; in no order. */
  get undrawn(): readonly SiteView[] {
    return this.#candidates;
  }

  /** In no wave yet, next one first. */
  get candidates(): readonly SiteView[] {
    if (!this.#isOrdered) this.#candidates = orderCandidates(this.#candidates, this.#input.seed);
    this.#isOrdered = true;
    return this.#candidates;
  }

  /** Sites that are selected. */
  get total(): number {
    return this.#input.sites.length;
  }

  counts(index: number): WaveCounts {
    let reached = 0;
    for (let before = 0; before <= index; before++) reached += this.members(before).length;
    return { total: this.total, reached, own: this.members(index).length };
  }

  intendedSize(index: number): number {
    const wave = this.waves[index];
    return wave === undefined ? 0 : intendedSize(wave, this.counts(index));
  }

  /** The wave takes what it is due. */
  draw(index: number): void {
    const wave = this.waves[index];
    if (wave === undefined || this.#candidates.length === 0) return;
    const counts = this.counts(index);
    const isFull =
      wave.draws.kind === 'UpTo' && counts.own > 0 && wave.draws.reach(counts.total) <= counts.reached;
    if (!isFull) this.#take(index, sitesToDraw(wave, this.candidates, counts));
  }

  /** Sites that can stand in for silent ones: in touch, and the release can go there. Waves that name their sites take no others. */
  standIns(index: number, isEligible: (site: SiteView) => boolean): SiteView[] {
    const wave = this.waves[index];
    if (wave === undefined || wave.isLast || wave.draws.kind === 'Exactly') return [];
    return this.candidates.filter((site) => canAnswer(site) && isEligible(site));
  }

  drawStandIns(index: number, sites: readonly SiteView[]): void {
    this.#take(index, sites);
  }

  #take(index: number, sites: readonly SiteView[]): void {
    const wave = this.waves[index];
    if (wave === undefined || sites.length === 0) return;
    const areNext = this.#candidates[0] === sites[0] && this.#candidates[sites.length - 1] === sites.at(-1);
    const taken = new Set(areNext ? [] : sites.map(({ name }) => name));
    this.#candidates = areNext
      ? this.#candidates.slice(sites.length)
      : this.#candidates.filter(({ name }) => !taken.has(name));
    for (const site of sites) {
      this.members(index).push(site);
      this.join.push({ site: site.name, wave: wave.name });
    }
  }
}
