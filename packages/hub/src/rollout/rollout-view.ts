import type { WaveStatus } from '@selvedge/api';
import { KnownReleases } from './known-releases.ts';
import { type ResolvedStrategy, resolveStrategy } from './resolve-strategy.ts';
import { hasSpokenSince } from './deadlines.ts';
import type { RolloutInput, SiteFacts } from './rollout-input.ts';
import { SiteView } from './site-view.ts';
import { WaveBoard } from './wave-board.ts';

/** A quiet site is heard of once per long-poll. */
const lookAgainSeconds = 10;

/** What one plan is made from: the input, what follows from it, and when to look again. */
export class RolloutView {
  readonly input: RolloutInput;
  readonly strategy: ResolvedStrategy;
  readonly releases: KnownReleases;
  readonly sites: readonly SiteView[];
  readonly board: WaveBoard;
  readonly #waves: ReadonlyMap<string, WaveStatus>;
  #wakeTime = Number.POSITIVE_INFINITY;

  /**
   * @param isCondemned the release of the rollout counts as condemned, whatever is stored already
   * @param sites as another view of the same input saw them
   */
  constructor(input: RolloutInput, isCondemned: boolean, sites?: readonly SiteView[]) {
    this.input = input;
    this.strategy = resolveStrategy(input.strategy);
    this.releases = new KnownReleases(input, isCondemned);
    this.sites = sites ?? input.sites.map((site) => new SiteView(site, input));
    this.board = new WaveBoard(input, this.strategy.waves, this.sites);
    this.#waves = new Map((input.status?.waves ?? []).map((wave) => [wave.name, wave]));
    for (const { verdict, facts } of this.sites) {
      if ('deadline' in verdict && verdict.deadline !== undefined)
        this.hasSpokenSince(facts, verdict.deadline.time);
    }
  }

  /** Status of a wave as the plan before left it. */
  before(wave: string | undefined): WaveStatus | undefined {
    return wave === undefined ? undefined : this.#waves.get(wave);
  }

  /** As the function of that name; when it has not and is in touch, there is a look again. */
  hasSpokenSince(site: SiteFacts, time: number): boolean {
    const hasSpoken = hasSpokenSince(site, time);
    const { now } = this.input;
    if (!hasSpoken && site.connectedSince !== undefined) {
      this.wakeAt(time > now ? time : now + lookAgainSeconds * 1000);
    }
    return hasSpoken;
  }

  wakeAt(time: number): void {
    if (time > this.input.now && time < this.#wakeTime) this.#wakeTime = time;
  }

  get wakeInSeconds(): number | undefined {
    if (this.#wakeTime === Number.POSITIVE_INFINITY) return undefined;
    return Math.ceil((this.#wakeTime - this.input.now) / 1000);
  }
}
