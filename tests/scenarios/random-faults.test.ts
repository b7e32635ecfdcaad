import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Outcome } from '@selvedge/agent/testing';
import {
  type Application,
  applications,
  canonicalJson,
  type Delivery,
  deliveries,
  parseDuration,
  type Release,
  releaseName,
  releases,
  type Rollout,
  type RolloutStrategy,
  rollouts,
  sites,
} from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import { FleetLab, hours, minutes } from './fleet-lab.ts';
import { SeededRandom } from './seeded-random.ts';

/**
 * Random histories of edits, pauses, stops, holds, cut links and killed processes, over real agents and a real hub. Each application is
 * a schedule of its own; those of one lab share its faults. `SELVEDGE_FAULT_SCHEDULES` runs more of them than CI does,
 * `SELVEDGE_FAULT_SEED` a certain one.
 */
const schedules = Number(process.env['SELVEDGE_FAULT_SCHEDULES'] ?? 12);
const firstSeed = Number(process.env['SELVEDGE_FAULT_SEED'] ?? 1);
const perLab = 12;
const stepsPerLab = 25;
const siteNames = ['shop-0', 'shop-1', 'shop-2', 'shop-3', 'shop-4'];

for (let lab = 0; lab < Math.ceil(schedules / perLab); lab++) {
  const seed = firstSeed + lab;
  test(`random faults, seed ${seed}`, async () => {
    await using history = await History.begin(seed);
    for (let step = 0; step < stepsPerLab; step++) {
      await history.step();
      await history.checkInvariants();
    }
    await history.comeToRest();
    await history.checkInvariants();
    await history.checkRest();
  });
}

const strategies: readonly RolloutStrategy[] = [
  {},
  { waves: [{ name: 'all', percent: 100, soak: '10m' }] },
  {
    waves: [
      { name: 'canary', sites: 1, soak: '10m' },
      { name: 'half', percent: 60, soak: '5m', maxConcurrent: 1 },
      { name: 'rest', percent: 100 },
    ],
  },
  { waves: [{ name: 'all', percent: 100 }], prepare: { threshold: '100%' }, budget: { failed: '20%' } },
  { onBreach: 'Pause', budget: { failed: 1 } },
];

/** Good: healthy everywhere, in time. Ill: somewhere, or later. Bad: nowhere healthy. */
const outcomes: readonly { readonly kind: 'good' | 'ill' | 'bad'; readonly outcome?: Outcome }[] = [
  { kind: 'good' },
  { kind: 'good' },
  { kind: 'good' },
  { kind: 'good', outcome: { health: 'after:300' } },
  { kind: 'good', outcome: { prepare: 'slow:1200' } },
  { kind: 'bad', outcome: { health: 'crash' } },
  { kind: 'bad', outcome: { health: 'never' } },
  { kind: 'ill', outcome: { health: 'fails-after:900' } },
  { kind: 'ill', outcome: { health: 'crash', sites: ['shop-1'] } },
  { kind: 'ill', outcome: { prepare: 'fail', sites: ['shop-2'] } },
];

/** One edit, and what its release does where. */
interface Edit {
  readonly version: string;
  readonly kind: 'good' | 'ill' | 'bad';
  readonly outcome: Outcome;
}

class History implements AsyncDisposable {
  readonly #lab: FleetLab;
  readonly #random: SeededRandom;
  readonly #log: string[] = [];
  /** Application → name of the Release that was asked for last. */
  readonly #wanted = new Map<string, string>();
  /** By name of the Release. */
  readonly #edited = new Map<string, Edit>();
  readonly #isDown = new Set<string>();
  readonly #isCut = new Set<string>();
  readonly #isHeld = new Set<string>();
  /** Site → when it was last known not to be in touch and free to follow. */
  readonly #troubledAt = new Map<string, number>();

  private constructor(lab: FleetLab, random: SeededRandom) {
    this.#lab = lab;
    this.#random = random;
  }

  /** Every application runs everywhere. */
  static async begin(seed: number): Promise<History> {
    const lab = await FleetLab.start();
    const history = new History(lab, new SeededRandom(seed));
    await lab.addSites(siteNames);
    for (let n = 0; n < perLab; n++) await history.#edit(`app-${n}`, { kind: 'good' }, {});
    // New sites count as in touch only a moment after their first word: a canary may need another to stand in.
    history.#noteTroubled(...siteNames);
    for (let n = 0; n < perLab; n++) await lab.rolloutReaches(`app-${n}-1`, 'Completed');
    return history;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lab[Symbol.asyncDispose]();
  }

  async step(): Promise<void> {
    const random = this.#random;
    for (const app of this.#wanted.keys()) {
      if (random.chance(0.25)) {
        await this.#edit(app, random.pick(outcomes), random.pick(strategies));
      } else if (random.chance(0.08)) {
        await this.#setPaused(app, random.chance(0.5));
      } else if (random.chance(0.05)) {
        await this.#stopNewest(app, random.pick(['Abort', 'Revert'] as const));
      }
    }
    await this.#fault();
    const wait = random.pick([0, minutes(2), minutes(15), hours(1)]);
    this.#note(`wait ${wait / 60_000} min`);
    await this.#lab.pass(wait);
    this.#noteTroubled();
  }

  /** What has to hold at any instant, whatever has happened. */
  async checkInvariants(): Promise<void> {
    // What the sites did is looked at first: the hub always knows what it has ordered.
    const tried = new Map([...this.#edited.keys()].map((release) => [release, this.#triedOf(release)]));
    for (const app of this.#wanted.keys()) for (const site of siteNames) this.#checkSite(app, site);
    const delivered = (await this.#lab.client.list<Delivery>(deliveries)).items;
    for (const { metadata, spec, status } of delivered) {
      if (status.state !== 'Running') continue;
      this.#assert(
        this.#triedOf(spec.release ?? '').has(spec.site),
        `${metadata.name} is said to run ${spec.release}, and never did`,
      );
    }
    for (const rollout of (await this.#lab.client.list<Rollout>(rollouts)).items) {
      this.#checkFailures(rollout);
      this.#checkWaves(rollout, tried.get(rollout.spec.release) ?? new Map());
      this.#checkFirstWave(rollout, delivered);
    }
  }

  #checkSite(app: string, site: string): void {
    const { driver } = this.#lab.site(site).agent;
    this.#assert(
      driver.gaps(app) === 0 && this.#lab.versionAt(site, app) !== undefined && driver.removals.length === 0,
      `${site} is without ${app}, was it, or ran two of it`,
    );
    const given = driver.desired.filter(({ item, mayActivate }) => mayActivate && isOf(item, app));
    this.#assert(given.length <= 1, `${site} is to run two releases of ${app}`);
  }

  #checkFailures({ metadata, spec, status }: Rollout): void {
    for (const { site, reason, message } of status?.failures ?? []) {
      this.#assert(
        this.#canFail(spec.release, site),
        `${metadata.name} counts ${site} as failed (${reason}: ${message}), where it is good`,
      );
    }
  }

  /** No wave before its turn: by what the sites did, not by what the hub says of it. */
  #checkWaves({ metadata, spec, status }: Rollout, tried: ReadonlyMap<string, number>): void {
    const waves = status?.waves ?? [];
    const [first] = waves;
    if (first === undefined) return;
    const begun = waves.filter(({ phase }) => phase !== 'Waiting' && phase !== 'AwaitingApproval');
    const drawn = begun.reduce((sum, { sites }) => sum + sites, 0);
    if (status?.phase !== 'Completed' && first.passTime === undefined) {
      this.#assert(tried.size <= drawn, `${metadata.name}: ${tried.size} sites took it, ${drawn} were to`);
    }
    if (this.#edited.get(spec.release)?.kind === 'bad') {
      this.#assert(
        tried.size <= first.sites,
        `${metadata.name} is bad and was tried by ${[...tried.keys()].join(', ')}, beyond its first wave of ${first.sites}`,
      );
    }
    const soakMs = (parseDuration(spec.strategy.waves?.[0]?.soak ?? '0s') ?? 0) * 1000;
    const times = [...tried.values()].sort((a, b) => a - b);
    const [earliest = 0, next] = [times[0], times[first.sites]];
    this.#assert(
      next === undefined || next >= earliest + soakMs,
      `${metadata.name}: the second wave did not wait for the soak of the first`,
    );
  }

  /** It has the sites that it is to have; others only for those that could not answer, or that failed within the budget. */
  #checkFirstWave({ metadata, spec, status }: Rollout, delivered: readonly Delivery[]): void {
    const [first] = status?.waves ?? [];
    const members = delivered.filter(
      ({ spec: { rollout, wave } }) => rollout === metadata.name && wave === first?.name,
    );
    // Others: it has not given them anything yet, or a newer rollout has taken them over.
    if (members.length !== first?.sites) return;
    const created = Date.parse(metadata.creationTimestamp ?? '');
    const unable = members.filter(
      ({ spec: { site } }) =>
        (this.#troubledAt.get(site) ?? 0) >= created || this.#canFail(spec.release, site),
    );
    const size = firstWaveSize(spec.strategy);
    this.#assert(
      members.length <= size + unable.length,
      `${metadata.name}: its first wave has ${members.length} sites instead of ${size}`,
    );
  }

  /** Everybody is back, nobody holds anything, and time passes until all is where it has to end, and on: it stays so. */
  async comeToRest(): Promise<void> {
    this.#note('come to rest');
    this.#lab.restore(...siteNames);
    this.#isCut.clear();
    this.#isHeld.clear();
    for (const site of this.#isDown) this.#lab.startAgent(site);
    this.#isDown.clear();
    for (const site of siteNames)
      await this.#lab.client.mergePatch(sites, { name: site }, { spec: { hold: null } });
    for (const app of this.#wanted.keys()) await this.#setPaused(app, false);
    // Whatever has become of these, a person takes it back everywhere.
    for (const app of ['app-0', 'app-1', 'app-2']) await this.#stopNewest(app, 'Revert');
    for (let hour = 0; hour < 8; hour++) {
      await this.#lab.pass(hours(1));
      const trouble = await this.checkRest().catch((error: unknown) => error);
      if (trouble === undefined) break;
    }
    await this.#lab.pass(hours(1));
  }

  /** Each application is where its newest rollout says, everywhere, and that is where such a release has to end. */
  async checkRest(): Promise<void> {
    const found = (await this.#lab.client.list<Rollout>(rollouts)).items;
    const known = (await this.#lab.client.list<Release>(releases)).items;
    for (const [app, release] of this.#wanted) {
      const newest = found
        .filter(({ spec }) => spec.application === app)
        .toSorted((a, b) => numberOf(b) - numberOf(a))[0];
      this.#assert(newest?.spec.release === release, `${app}: nothing brings ${release}`);
      if (newest !== undefined) this.#checkEnd(app, newest);
      this.#checkCondemned(
        app,
        known.filter(({ spec }) => spec.application === app),
        newest,
      );
    }
  }

  #checkEnd(app: string, { metadata, spec, status }: Rollout): void {
    const edit = this.#edited.get(spec.release);
    const versions = this.#lab.versions(app);
    const { phase, message } = status ?? {};
    const context = `${metadata.name} of ${JSON.stringify(edit)}: ${phase}: ${message} ${JSON.stringify(versions)}`;
    const isStopped = spec.stop !== undefined;
    const ends = {
      good: ['Completed'],
      ill: ['Completed', spec.strategy.onBreach === 'Pause' ? 'Paused' : 'Reverted'],
      bad: [spec.strategy.onBreach === 'Pause' ? 'Paused' : 'Reverted'],
    }[edit?.kind ?? 'ill'];
    if (isStopped) ends.push(spec.stop === 'Abort' ? 'Aborted' : 'Reverted');
    this.#assert(ends.includes(phase ?? ''), `it ends wrongly: ${context}`);
    if (phase !== 'Completed') return;
    for (const site of siteNames) {
      const failed = status?.failures?.some((failure) => failure.site === site) ?? false;
      this.#assert(versions[site] === edit?.version || failed, `${site} is not there: ${context}`);
    }
  }

  /**
   * What is condemned is active nowhere, unless a site has nothing else: no release that is approved or ran there, is not
   * condemned, and has not failed there. A site where the newest release fails chooses by itself what it goes back to, and
   * knows only what proved itself there.
   */
  #checkCondemned(app: string, known: readonly Release[], newest: Rollout | undefined): void {
    for (const site of siteNames) {
      if (newest?.status?.failures?.some((failure) => failure.site === site)) continue;
      const { driver } = this.#lab.site(site).agent;
      const ran = driver.releases(app);
      const active = ran.at(-1) ?? '';
      if (!known.some(({ metadata, status }) => metadata.name === active && status?.condemned)) continue;
      const better = known.filter(
        ({ metadata: { name }, status }) =>
          status?.condemned === undefined &&
          (status?.approvedTime !== undefined || ran.includes(name)) &&
          !driver.failures(app).includes(name),
      );
      const names = better.map(({ metadata }) => metadata.name).join(', ');
      this.#assert(
        better.length === 0,
        `${site} still runs ${active}, which is condemned, and could run ${names}; it ran ${ran.join(', ')}`,
      );
    }
  }

  /** Site → when it activated the release first. */
  #triedOf(release: string): ReadonlyMap<string, number> {
    const tried = new Map<string, number>();
    for (const site of siteNames) {
      const { activations } = this.#lab.site(site).agent.driver.machine;
      const first = activations.find((activation) => activation.release === release);
      if (first !== undefined) tried.set(site, first.time.getTime());
    }
    return tried;
  }

  #canFail(release: string, site: string): boolean {
    const edit = this.#edited.get(release);
    if (edit === undefined || edit.kind === 'good') return false;
    return edit.outcome.sites?.includes(site) ?? true;
  }

  async #edit(
    app: string,
    { kind, outcome = {} }: (typeof outcomes)[number],
    rollout: RolloutStrategy,
  ): Promise<void> {
    const version = String(this.#edited.size + 1);
    this.#note(`edit ${app} to ${version} ${JSON.stringify({ outcome, rollout })}`);
    const { spec } = await this.#lab.apply(app, { version, outcome: { ...outcome }, rollout });
    const bytes = new TextEncoder().encode(canonicalJson(spec.source.inline?.manifests ?? []));
    const release = releaseName(app, sha256Digest(bytes));
    this.#edited.set(release, { version, kind, outcome });
    this.#wanted.set(app, release);
  }

  async #setPaused(app: string, paused: boolean): Promise<void> {
    this.#note(`${paused ? 'pause' : 'resume'} ${app}`);
    await this.#lab.client.mergePatch<Application>(
      applications,
      { namespace: 'shop', name: app },
      { spec: { paused } },
    );
  }

  async #stopNewest(app: string, stop: 'Abort' | 'Revert'): Promise<void> {
    const { status } = await this.#lab.client.get<Application>(applications, {
      namespace: 'shop',
      name: app,
    });
    if (status?.rollout === undefined) return;
    this.#note(`${stop} ${status.rollout}`);
    await this.#lab.patchRollout(status.rollout, { spec: { stop } }).catch((error: unknown) => {
      this.#note(`refused: ${(error as Error).message}`);
    });
  }

  async #fault(): Promise<void> {
    const random = this.#random;
    const site = random.pick(siteNames);
    const kind = random.pick([
      'none',
      'cut',
      'cut',
      'restore',
      'restore',
      'restart',
      'down',
      'up',
      'hub',
      'hold',
      'go',
    ] as const);
    this.#note(`${kind} ${site}`);
    if (kind !== 'none' && kind !== 'hub') this.#noteTroubled(site);
    if (kind === 'cut') {
      this.#lab.cut(site);
      this.#isCut.add(site);
    }
    if (kind === 'restore') {
      this.#lab.restore(site);
      this.#isCut.delete(site);
    }
    if (kind === 'hold' || kind === 'go') {
      const hold = kind === 'hold' ? { reason: 'inventory' } : null;
      await this.#lab.client.mergePatch(sites, { name: site }, { spec: { hold } });
      if (kind === 'hold') this.#isHeld.add(site);
      else this.#isHeld.delete(site);
    }
    if (kind === 'restart' && !this.#isDown.has(site)) {
      await this.#lab.stopAgent(site);
      this.#lab.startAgent(site);
    }
    if (kind === 'down' && !this.#isDown.has(site)) {
      await this.#lab.stopAgent(site);
      this.#isDown.add(site);
    }
    if (kind === 'up' && this.#isDown.delete(site)) this.#lab.startAgent(site);
    if (kind === 'hub' && random.chance(0.5)) {
      await this.#lab.stopHub();
      await this.#lab.startHub();
    }
  }

  #noteTroubled(...others: readonly string[]): void {
    const now = this.#lab.clock.now().getTime();
    for (const site of [...this.#isDown, ...this.#isCut, ...this.#isHeld, ...others]) {
      this.#troubledAt.set(site, now);
    }
  }

  #note(what: string): void {
    this.#log.push(what);
  }

  #assert(holds: boolean, message: string): void {
    if (!holds) assert.fail(`${message}\n  after:\n  ${this.#log.join('\n  ')}`);
  }
}

function isOf(item: { readonly id: string }, app: string): boolean {
  return item.id.endsWith(`/${app}`);
}

/** As the strategy wants it. */
function firstWaveSize({ waves = [{ name: 'canary', sites: 1 }] }: RolloutStrategy): number {
  const [first] = waves;
  return first?.sites ?? Math.ceil((siteNames.length * (first?.percent ?? 100)) / 100);
}

function numberOf({ metadata }: Rollout): number {
  return Number(metadata.name.slice(metadata.name.lastIndexOf('-') + 1));
}
