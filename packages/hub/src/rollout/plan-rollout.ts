import type { WaveStatus } from '@selvedge/api';
import type { RolloutMember } from '@selvedge/store';
import type { RolloutInput, RolloutPlan, SiteFacts, SiteFailure } from './rollout-input.ts';
import { rolloutStatus } from './rollout-status.ts';
import { isAssigned, judgeSite, missingVariables, type SiteVerdict } from './site-verdict.ts';
import {
  allowedFailures,
  orderCandidates,
  type ResolvedWave,
  resolveDeadlineSeconds,
  resolveWaves,
  sitesToDraw,
} from './wave-plan.ts';

/**
 * The next step of a rollout. Pure: reads nothing but its input, and may be called at any moment, as often as one likes.
 *
 * Waves are drawn when they begin, so a site that comes later, or is away now, is not lost: it is drawn by a later wave,
 * or joins the last. A wave passes when everybody in it who is in touch runs this release and has done so for the
 * soak, and at least one of them proved it. When all of a wave are away, a site in touch stands in for them. When there
 * is none, a release that was proved by an earlier wave goes on, and one that nobody has tried waits for the first
 * site to come back: it goes out to one site, not to all.
 */
export function planRollout(input: RolloutInput): RolloutPlan {
  return new Planner(input).plan();
}

class Planner {
  readonly #input: RolloutInput;
  readonly #waves: ResolvedWave[];
  readonly #deadlineSeconds: number;
  readonly #sites: ReadonlyMap<string, SiteFacts>;
  readonly #verdicts = new Map<string, SiteVerdict>();
  /** Wave index → its sites among those selected now. */
  readonly #members: SiteFacts[][];
  readonly #join: RolloutMember[] = [];
  readonly #wakeTimes: number[] = [];
  readonly #previous: ReadonlyMap<string, WaveStatus>;
  /** Selected sites in no wave yet. */
  readonly #unordered: SiteFacts[] = [];
  /** The same, next one first; put in order when first needed. */
  #candidates: SiteFacts[] | undefined;

  constructor(input: RolloutInput) {
    this.#input = input;
    this.#waves = resolveWaves(input.strategy);
    this.#deadlineSeconds = resolveDeadlineSeconds(input.strategy);
    this.#sites = new Map(input.sites.map((site) => [site.name, site]));
    this.#previous = new Map((input.status?.waves ?? []).map((wave) => [wave.name, wave]));
    this.#members = this.#waves.map(() => []);
    const indexOf = new Map(this.#waves.map((wave, index) => [wave.name, index]));
    for (const site of this.#sites.values()) {
      const wave = input.members.get(site.name);
      if (wave === undefined) this.#unordered.push(site);
      else this.#wave(indexOf.get(wave) ?? this.#waves.length - 1).push(site);
    }
  }

  plan(): RolloutPlan {
    const isCompleted = this.#input.status?.phase === 'Completed';
    const firstOpen = isCompleted ? this.#waves.length : this.#firstOpenWave();
    let passed = firstOpen;
    if (isCompleted && !this.#input.isPaused) this.#draw(this.#waves.length - 1);
    while (passed < this.#waves.length) {
      if (!this.#isHeld()) this.#draw(passed);
      if (!this.#hasPassed(passed)) break;
      passed += 1;
    }
    const failures = this.#failures();
    const mayAssign = isCompleted ? !this.#input.isPaused : !this.#isHeld();
    const status = rolloutStatus({
      input: this.#input,
      waves: this.#waves,
      members: this.#members,
      passed,
      verdictOf: (site) => this.#verdictOf(site),
      failures,
      allowedFailures: this.#allowedFailures,
      isExceeded: this.#isExceeded(),
      candidates: this.#candidates ?? this.#unordered,
    });
    const wake = this.#wakeTimes.filter((time) => time > this.#input.now);
    return {
      status,
      join: this.#join,
      assign: mayAssign ? this.#assignments() : [],
      failures,
      ...(wake.length > 0 ? { wakeInSeconds: Math.ceil((Math.min(...wake) - this.#input.now) / 1000) } : {}),
    };
  }

  #wave(index: number): SiteFacts[] {
    return this.#members[index] ?? [];
  }

  /** Passed never goes back. */
  #firstOpenWave(): number {
    const index = this.#waves.findIndex((wave) => this.#previous.get(wave.name)?.phase !== 'Passed');
    return index < 0 ? this.#waves.length : index;
  }

  #verdictOf(site: SiteFacts): SiteVerdict {
    let verdict = this.#verdicts.get(site.name);
    if (verdict === undefined) {
      verdict = judgeSite(site, this.#input, this.#deadlineSeconds);
      this.#verdicts.set(site.name, verdict);
      if (verdict.verdict === 'pending' && verdict.deadline !== undefined)
        this.#wakeTimes.push(verdict.deadline);
    }
    return verdict;
  }

  get #allowedFailures(): number {
    return allowedFailures(this.#input.strategy, this.#sites.size);
  }

  #failures(): SiteFailure[] {
    return this.#members.flat().flatMap((site) => {
      const verdict = this.#verdictOf(site);
      return verdict.verdict === 'failed'
        ? [{ site: site.name, reason: verdict.reason, message: verdict.message }]
        : [];
    });
  }

  #isExceeded(): boolean {
    return this.#failures().length > this.#allowedFailures;
  }

  #isHeld(): boolean {
    return this.#input.isPaused || this.#isExceeded();
  }

  #draw(index: number): void {
    const wave = this.#waves[index];
    if (wave === undefined) return;
    const own = this.#wave(index);
    const reached = this.#members.slice(0, index + 1).reduce((sum, sites) => sum + sites.length, 0);
    const counts = { total: this.#sites.size, reached, own: own.length, left: this.#ordered().length };
    this.#take(index, sitesToDraw(wave, counts));
    const next = this.#ordered()[0];
    if (!wave.isLast && this.#isMute(index) && next?.connectedSince !== undefined) this.#take(index, 1);
  }

  #take(index: number, count: number): void {
    const wave = this.#waves[index];
    if (wave === undefined || count <= 0) return;
    for (const site of this.#ordered().splice(0, count)) {
      this.#wave(index).push(site);
      this.#join.push({ site: site.name, wave: wave.name });
    }
  }

  #ordered(): SiteFacts[] {
    this.#candidates ??= orderCandidates(this.#unordered, this.#input.seed);
    return this.#candidates;
  }

  /** Nobody in the wave has proved the release, and nobody is about to. */
  #isMute(index: number): boolean {
    const own = this.#wave(index);
    return own.length > 0 && own.every((site) => this.#answer(site, index) === 'none');
  }

  /** What a site has to say to its wave's passing. */
  #answer(site: SiteFacts, index: number): 'proof' | 'soon' | 'none' {
    const verdict = this.#verdictOf(site);
    if (verdict.verdict === 'pending') return 'soon';
    if (verdict.verdict !== 'succeeded') return 'none';
    const soaked = verdict.since + (this.#waves[index]?.soakSeconds ?? 0) * 1000;
    const lastKnown = site.connectedSince === undefined ? (site.lastSeen ?? 0) : this.#input.now;
    if (lastKnown >= soaked) return 'proof';
    // It went silent before its soak was over: what it said stands, but proves nothing about the rest of the soak.
    if (site.connectedSince === undefined) return 'none';
    this.#wakeTimes.push(soaked);
    return 'soon';
  }

  #hasPassed(index: number): boolean {
    const own = this.#wave(index);
    if (this.#isExceeded() || this.#sites.size === 0) return false;
    // Nobody is left for this wave, or it has to wait until the rollout goes on.
    if (own.length === 0) return this.#ordered().length === 0;
    const answers = own.map((site) => this.#answer(site, index));
    if (answers.includes('soon')) return false;
    if (answers.includes('proof')) return true;
    // All are away. An earlier wave has tried the release, and nobody in touch is left to try it in their place.
    const isTried = this.#members.slice(0, index).flat().length > 0;
    return isTried && this.#ordered()[0]?.connectedSince === undefined;
  }

  /** Every site whose wave has begun, unless it already has this release from this rollout. */
  #assignments(): RolloutMember[] {
    return this.#members.flatMap((sites, index) => {
      const wave = this.#waves[index]?.name ?? '';
      return sites
        .filter((site) => {
          const row = this.#input.rows.get(site.name);
          if (!isAssigned(row, this.#input)) return missingVariables(site, this.#input).length === 0;
          return row.rollout !== this.#input.rollout || row.wave !== wave;
        })
        .map((site) => ({ site: site.name, wave }));
    });
  }
}
