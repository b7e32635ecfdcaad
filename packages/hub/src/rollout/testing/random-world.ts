import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import type { ItemReport, RolloutStrategy } from '@selvedge/api';
import { evidenceOf } from '../evidence.ts';
import { planRollout } from '../plan-rollout.ts';
import { resolveStrategy } from '../resolve-strategy.ts';
import type { RolloutPlan } from '../rollout-input.ts';
import { checkPlan } from './invariants.ts';
import type { Outcome } from './simulated-agent.ts';
import { digestOf, SimulatedFleet } from './simulated-fleet.ts';

/** What may happen, with how often it does. */
const weights = {
  step: 14,
  wait: 6,
  waitDeaf: 2,
  exchangeAll: 6,
  exchange: 8,
  fetch: 4,
  tell: 5,
  deliver: 6,
  disconnect: 2,
  connect: 3,
  overdue: 1,
  window: 1,
  hold: 1,
  siteHeld: 1,
  rollBack: 1,
  loseDisk: 1,
  outcome: 2,
  outcomeAll: 1,
  release: 1,
  pause: 1,
  stop: 1,
  approve: 2,
  waive: 1,
  lift: 1,
  add: 1,
  drop: 1,
  edit: 1,
} as const;
export type EventKind = keyof typeof weights;
/** Each kind as often as it weighs: to pick from. */
export const eventKinds: readonly EventKind[] = Object.entries(weights).flatMap(([kind, weight]) =>
  Array.from({ length: weight }, () => kind as EventKind),
);

/** Numbers mean what the kind makes of them; any will do. */
export interface WorldEvent {
  readonly do: EventKind;
  readonly site: number;
  readonly n: number;
}

export const strategies: readonly RolloutStrategy[] = [
  {},
  { waves: [{ name: 'all', percent: 100, maxConcurrent: 2 }], budget: { failed: 1 } },
  {
    waves: [
      { name: 'canary', sites: 1, soak: '5m' },
      { name: 'early', percent: 40, soak: '1m', minSample: 2 },
      { name: 'rest', percent: 100, soak: '2m' },
    ],
    budget: { failed: '20%' },
  },
  {
    waves: [
      { name: 'named', siteNames: ['site-1', 'site-3'], soak: '2m' },
      { name: 'rest', percent: 100, approval: 'Manual', maxConcurrent: '50%', soak: '1m' },
    ],
    prepare: { threshold: '60%', deadline: '20m' },
    onBreach: 'Pause',
  },
  {
    waves: [
      { name: 'north', siteSelector: { matchLabels: { region: 'north' } } },
      { name: 'half', percent: 50, maxConcurrent: 1, budget: { failed: 1 } },
      { name: 'rest', percent: 100 },
    ],
    prepare: {},
    budget: { failed: 2 },
    deadline: '3m',
  },
  {
    waves: [
      { name: 'half', percent: 50 },
      { name: 'rest', percent: 100 },
    ],
    prepare: { threshold: '80%' },
    activate: { when: 'At', at: '2026-01-01T01:00:00Z' },
  },
  { waves: [{ name: 'all', percent: 100, soak: '5m' }], activate: { when: 'Now' }, onBreach: 'Pause' },
];

const outcomes: readonly Outcome[] = [
  { prepare: 'passes', run: 'healthy' },
  { prepare: 'passes', run: 'healthy' },
  { prepare: 'passes', run: 'crashes' },
  { prepare: 'passes', run: 'never' },
  { prepare: 'fails', run: 'healthy' },
  { prepare: 'never', run: 'healthy' },
  { prepare: 'refused', run: 'healthy' },
];
const releases = ['a', 'b', 'c', 'd'];

/** A fleet to which anything happens, and every report that was ever made: to be delivered late, twice, in the wrong order, or never. */
export class RandomWorld {
  readonly fleet: SimulatedFleet;
  readonly #mail: { readonly site: string; readonly report: ItemReport }[] = [];
  /** `<site>/<epoch>`: the site said of this assignment that it runs well. */
  readonly saidRunning = new Set<string>();

  constructor(strategy: number, count: number) {
    const sites = Array.from({ length: count }, (_, index) => `site-${index}`);
    this.fleet = new SimulatedFleet(pick(strategies, strategy), sites);
    for (const [index, name] of sites.entries()) {
      if (index % 3 === 0) this.fleet.site(name).labels['region'] = 'north';
    }
  }

  apply(event: WorldEvent): void {
    const { fleet } = this;
    const { n } = event;
    switch (event.do) {
      case 'step':
        this.step(n % 3 === 0 ? n % 5 : 4);
        break;
      case 'wait':
        fleet.wait(n % 7 === 0 ? n * 10 : n % 400);
        break;
      case 'waitDeaf':
        fleet.waitDeaf(n % 5 === 0 ? n * 10 : n);
        break;
      case 'exchangeAll':
        for (const name of fleet.siteNames) this.#exchange(name);
        break;
      case 'release':
        fleet.startRelease(pick(releases, n), pick(strategies, Math.floor(n / releases.length)));
        break;
      case 'pause':
        fleet.isPaused = n % 3 === 0;
        break;
      case 'stop':
        if (fleet.stop !== 'Revert') fleet.stop = n % 9 === 0 ? 'Revert' : n % 3 === 0 ? 'Abort' : undefined;
        break;
      case 'approve':
        for (const wave of fleet.strategy.waves ?? []) fleet.approvedWaves.add(wave.name);
        break;
      case 'waive':
        fleet.waivedWaves.add(fleet.strategy.waves?.[n % 3]?.name ?? '');
        break;
      case 'lift':
        fleet.lift(pick(releases, n));
        break;
      case 'edit':
        fleet.strategy = {
          ...fleet.strategy,
          deadline: n % 2 === 0 ? '30m' : '5m',
          budget: { failed: n % 4 },
        };
        break;
      case 'outcomeAll':
        fleet.setOutcome(pick(releases, n), pick(outcomes, Math.floor(n / releases.length)));
        break;
      case 'add':
        if (!fleet.sites.has(`site-${100 + (n % 4)}`)) fleet.addSite(`site-${100 + (n % 4)}`, n % 2 === 0);
        break;
      default:
        this.#applyToSite(event);
    }
  }

  #applyToSite({ do: kind, site: index, n }: WorldEvent): void {
    const { fleet } = this;
    const name = fleet.siteNames[index % Math.max(1, fleet.sites.size)];
    if (name === undefined) return;
    const site = fleet.site(name);
    switch (kind) {
      case 'exchange':
        this.#exchange(name);
        break;
      case 'fetch':
        fleet.fetch(name);
        break;
      case 'tell':
        this.#write(name);
        break;
      case 'deliver': {
        const letters = this.#mail.filter((letter) => letter.site === name);
        const letter = letters.at(-1 - (n % 5));
        if (letter && site.connectedSince !== undefined) fleet.deliver(name, letter.report);
        break;
      }
      case 'disconnect':
        fleet.disconnect(name);
        break;
      case 'connect':
        fleet.connect(name);
        break;
      case 'overdue':
        site.isOverdue = site.connectedSince === undefined;
        break;
      case 'window':
        site.windowOpen = n % 2 === 0;
        break;
      case 'hold':
        site.holdsItself = n % 3 === 0;
        break;
      case 'siteHeld':
        if (n % 2 === 0) site.held = undefined;
        else site.held = { reason: pick(['HubHold', 'HubBehind', 'StateRefused'], n), message: 'held' };
        break;
      case 'rollBack':
        site.rollBack(fleet.now);
        break;
      case 'loseDisk':
        site.loseDisk(fleet.now);
        break;
      case 'outcome':
        fleet.setOutcome(pick(releases, n), pick(outcomes, Math.floor(n / releases.length)), name);
        break;
      case 'drop':
        fleet.sites.delete(name);
        fleet.rows.delete(name);
        break;
      default:
    }
  }

  /** Plans, checks the plan against the truth, and carries it out as far as `crashAfter`. */
  step(crashAfter = 4): RolloutPlan {
    const { fleet } = this;
    const before = structuredClone(fleet.status);
    const plan = planRollout(fleet.input);
    checkPlan(this, plan, before);
    fleet.carryOut(plan, crashAfter);
    if (crashAfter >= 4) {
      const again = planRollout(fleet.input);
      assert.deepEqual(
        [again.join, again.assign],
        [[], []],
        'a plan that was carried out leaves nothing to do',
      );
    }
    return plan;
  }

  /** Links are back, holds are gone, people have decided; nothing else happens any more. Until nothing moves. */
  comeToRest(): void {
    const { fleet } = this;
    fleet.isPaused = false;
    if (fleet.stop === 'Abort') fleet.stop = undefined;
    for (const wave of fleet.strategy.waves ?? []) fleet.approvedWaves.add(wave.name);
    for (const name of fleet.siteNames) {
      const site = fleet.site(name);
      fleet.connect(name);
      site.windowOpen = true;
      site.holdsItself = false;
      site.held = undefined;
    }
    let still = 0;
    for (let round = 0; round < 200; round++) {
      const before = fleet.status;
      const plan = this.step();
      this.#letEmptyWaveGo();
      for (const name of fleet.siteNames) this.#exchange(name);
      // At last longer than any deadline of the strategies.
      fleet.wait(still > 2 ? 900 : 120);
      const isStill = plan.assign.length + plan.join.length === 0 && isDeepStrictEqual(before, plan.status);
      still = isStill ? still + 1 : 0;
      if (still > 8) return;
    }
    assert.fail(`does not come to rest: ${fleet.status?.phase}: ${fleet.status?.message}`);
  }

  /** A person sees that the wave which is next selects nobody, and goes on without. */
  #letEmptyWaveGo(): void {
    const { status, waivedWaves } = this.fleet;
    const open = status?.waves?.find((wave) => wave.phase !== 'Passed');
    if (open?.sites === 0) waivedWaves.add(open.name);
  }

  /** What holds when everything has come to rest. */
  checkRest(): void {
    const { fleet } = this;
    const { status } = fleet;
    const open = status?.waves?.find((wave) => wave.phase !== 'Passed');
    // A release that fails wherever it is tried, within the budget, is proved by nobody: it goes no further.
    const isProvedByNobody =
      open !== undefined && open.failed + open.succeeded === open.sites && open.failed > 0;
    assert.ok(
      status?.phase !== 'Progressing' || fleet.sites.size === 0 || isProvedByNobody,
      `in the end a rollout is decided: ${status?.message}`,
    );
    assert.notEqual(status?.phase, 'Reverting');
    for (const name of fleet.siteNames) {
      const { active } = fleet.site(name);
      const row = fleet.rows.get(name);
      if (row !== undefined && fleet.isCondemned(row.digest)) {
        assert.equal(row.terms.activate, 'Hold', `${name} waits for a condemned release`);
      }
      const { fallback } = row?.terms ?? {};
      const others = [...fleet.releases].filter(([, r]) => r.isApproved && r.condemnedBy === undefined);
      const hasNothingElse =
        (fallback === undefined || fleet.isCondemned(fallback.digest)) && others.length === 0;
      // Told to run another one, which fails there.
      const state = row === undefined ? undefined : evidenceOf(row)?.state;
      const hasFailed = !fleet.isCondemned(row?.digest) && (state === 'Failed' || state === 'Refused');
      assert.ok(
        !fleet.isCondemned(active) || hasNothingElse || hasFailed,
        `${name} runs a condemned release`,
      );
      if (status?.phase === 'Completed' && row?.digest === digestOf(fleet.release)) {
        const failed = evidenceOf(row)?.state !== 'Running';
        assert.ok(failed || active === row.digest, `${name} says that it runs what it does not`);
      }
    }
  }

  soakSeconds(wave: string): number {
    return resolveStrategy(this.fleet.strategy).waves.find((w) => w.name === wave)?.soakSeconds ?? 0;
  }

  #exchange(name: string): void {
    const { fleet } = this;
    if (fleet.site(name).connectedSince === undefined) return;
    fleet.fetch(name);
    fleet.site(name).work(fleet.now);
    const report = this.#write(name);
    if (report) fleet.deliver(name, report);
  }

  #write(name: string): ItemReport | undefined {
    const report = this.fleet.site(name).report(this.fleet.now);
    if (report === undefined) return undefined;
    if (report.state === 'Running') this.saidRunning.add(`${name}/${report.epoch}`);
    this.#mail.push({ site: name, report });
    return report;
  }
}

function pick<T>(from: readonly T[], n: number): T {
  const value = from[n % from.length];
  if (value === undefined) throw new Error('nothing to pick from');
  return value;
}
