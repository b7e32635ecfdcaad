import { isDeepStrictEqual } from 'node:util';
import type { ItemReport, ItemTerms, RolloutStatus, RolloutStrategy } from '@selvedge/api';
import { type DeliveryRow, keptReport } from '@selvedge/store';
import { planRollout } from '../plan-rollout.ts';
import type {
  PlannedAssignment,
  ReleaseFacts,
  RolloutInput,
  RolloutPlan,
  SiteFacts,
} from '../rollout-input.ts';
import { type Outcome, SimulatedAgent } from './simulated-agent.ts';

export class SimulatedSite extends SimulatedAgent {
  connectedSince: number | undefined;
  lastSeen: number | undefined;
  isOverdue = false;
  held: SiteFacts['held'];
  labels: Record<string, string> = {};
  readonly variables = new Set<string>();
  readonly nodeGroups = new Set<string>();
}

interface SimulatedRelease {
  condemnedBy?: string;
  condemned?: NonNullable<ReleaseFacts['condemned']>;
  isApproved: boolean;
  number: number;
}

export const applicationUid = 'uid-app';
export const digestOf = (release: string) => `sha256:${release}`;
export const startTime = Date.parse('2026-01-01T00:00:00Z');

/**
 * For tests of the engine: a hub's rows, releases and rollouts, and a fleet of agents, as plain data. Plans are carried
 * out as the controller does, as far as the test likes; reports are delivered whenever it likes, in any order, as often as
 * it likes.
 */
export class SimulatedFleet {
  now = startTime;
  readonly sites = new Map<string, SimulatedSite>();
  readonly rows = new Map<string, DeliveryRow>();
  readonly releases = new Map<string, SimulatedRelease>();
  members = new Map<string, string>();
  status: RolloutStatus | undefined;
  strategy: RolloutStrategy;
  isPaused = false;
  stop: 'Abort' | 'Revert' | undefined;
  approvedWaves = new Set<string>();
  waivedWaves = new Set<string>();
  release = 'a';
  releaseVariables: string[] = [];
  releaseNodeGroups: string[] = [];
  rollout = 0;
  created = startTime;
  #epoch = 0;

  constructor(strategy: RolloutStrategy, sites: readonly string[]) {
    this.strategy = strategy;
    for (const site of sites) this.addSite(site);
    this.startRelease('a');
  }

  get rolloutName(): string {
    return `app-${this.rollout}`;
  }

  get siteNames(): string[] {
    return [...this.sites.keys()];
  }

  addSite(name: string, isConnected = true): SimulatedSite {
    const site = new SimulatedSite(applicationUid);
    if (isConnected) site.connectedSince = site.lastSeen = this.now;
    this.sites.set(name, site);
    return site;
  }

  site(name: string): SimulatedSite {
    const site = this.sites.get(name);
    if (!site) throw new Error(`no site ${name}`);
    return site;
  }

  row(name: string): DeliveryRow {
    const row = this.rows.get(name);
    if (!row) throw new Error(`no row of ${name}`);
    return row;
  }

  /** The Application changed: a newer rollout takes over. */
  startRelease(release: string, strategy = this.strategy): void {
    this.release = release;
    this.strategy = strategy;
    this.rollout += 1;
    this.created = this.now;
    this.status = undefined;
    this.stop = undefined;
    this.members = new Map();
    this.approvedWaves = new Set();
    this.waivedWaves = new Set();
    const known = this.releases.get(release);
    if (known) known.number = this.rollout;
    else this.releases.set(release, { isApproved: false, number: this.rollout });
  }

  isCondemned(digest: string | undefined): boolean {
    return [...this.releases].some(([name, r]) => digestOf(name) === digest && r.condemnedBy !== undefined);
  }

  get input(): RolloutInput {
    const [own, ...others] = [
      this.release,
      ...[...this.releases.keys()].filter((r) => r !== this.release),
    ].map((name) => this.#factsOf(name));
    if (own === undefined) throw new Error('no release');
    return {
      rollout: this.rolloutName,
      number: this.rollout,
      created: this.created,
      applicationUid,
      release: { ...own, variables: this.releaseVariables, nodeGroups: this.releaseNodeGroups },
      others,
      strategy: this.strategy,
      control: {
        isPaused: this.isPaused,
        approvedWaves: this.approvedWaves,
        waivedWaves: this.waivedWaves,
        ...(this.stop === undefined ? {} : { stop: this.stop }),
      },
      seed: 'seed',
      sites: [...this.sites].map(([name, site]) => this.#siteFacts(name, site)),
      members: this.members,
      rows: this.rows,
      status: this.status,
      now: this.now,
    };
  }

  /** Plans and carries out, as far as `crashAfter` of the four steps. */
  step(crashAfter = 4): RolloutPlan {
    const plan = planRollout(this.input);
    this.carryOut(plan, crashAfter);
    return plan;
  }

  carryOut(plan: RolloutPlan, crashAfter = 4): void {
    const release = this.releases.get(this.release);
    if (crashAfter >= 1 && release && plan.verdict?.kind === 'Condemned') {
      release.condemnedBy = this.rolloutName;
      const { reason, message } = plan.verdict;
      release.condemned = { reason, message, time: iso(this.now) };
      release.isApproved = false;
    }
    if (crashAfter >= 1 && release && plan.verdict?.kind === 'Approved') release.isApproved = true;
    if (crashAfter >= 2) this.status = plan.status;
    if (crashAfter >= 3) for (const { site, wave } of plan.join) this.members.set(site, wave);
    if (crashAfter >= 4) for (const assignment of plan.assign) this.assign(assignment);
  }

  /** A person lifts the condemnation; the controller starts a new rollout then. */
  lift(release: string): void {
    const known = this.releases.get(release);
    delete known?.condemnedBy;
    delete known?.condemned;
  }

  disconnect(name: string): void {
    const site = this.site(name);
    site.connectedSince = undefined;
  }

  connect(name: string): void {
    const site = this.site(name);
    site.connectedSince ??= this.now;
    site.lastSeen = this.now;
    site.isOverdue = false;
  }

  /** How a release fares, at one site or at all that there are. */
  setOutcome(release: string, outcome: Outcome, name?: string): void {
    for (const site of name === undefined ? this.sites.values() : [this.site(name)]) {
      site.outcomes.set(digestOf(release), outcome);
    }
  }

  /** Time passes; agents work, in touch or not. Those in touch are heard of, whatever becomes of their reports. */
  wait(seconds: number): void {
    this.waitDeaf(seconds);
    for (const site of this.sites.values()) {
      if (site.connectedSince !== undefined) site.lastSeen = this.now;
    }
  }

  /** The same, while the hub hears nobody and knows nothing of that: it is down, or suspended. */
  waitDeaf(seconds: number): void {
    this.now += seconds * 1000;
    for (const site of this.sites.values()) site.work(this.now);
  }

  /** The agent fetches what is wanted of it, if it is in touch. */
  fetch(name: string): void {
    const row = this.rows.get(name);
    const site = this.site(name);
    if (row && site.connectedSince !== undefined) site.take(row, this.now);
  }

  /** As the store does: the newest report by `seq` stays. */
  deliver(name: string, report: ItemReport): void {
    const row = this.rows.get(name);
    if (!row || (row.report && row.report.seq >= report.seq)) return;
    this.rows.set(name, { ...row, report: keptReport(report, row.report, iso(this.now)) });
  }

  /** One exchange with a site in touch: it fetches, works, and tells. */
  exchange(name: string): void {
    const site = this.site(name);
    if (site.connectedSince === undefined) return;
    site.lastSeen = this.now;
    this.fetch(name);
    site.work(this.now);
    const report = site.report(this.now);
    if (report) this.deliver(name, report);
  }

  /** Plans, and lets every site in touch answer, until nothing moves; no time passes. */
  settle(rounds = 60): RolloutPlan {
    let plan = this.step();
    for (let round = 0; round < rounds; round++) {
      for (const name of this.siteNames) this.exchange(name);
      const before = this.status;
      plan = this.step();
      if (plan.assign.length + plan.join.length === 0 && isDeepStrictEqual(before, plan.status)) return plan;
    }
    throw new Error(`does not come to rest: ${JSON.stringify(plan.assign.slice(0, 3))}`);
  }

  /** Sites whose row names the release. */
  assigned(release = this.release): string[] {
    return [...this.rows.values()].filter((r) => r.digest === digestOf(release)).map((r) => r.site);
  }

  running(release = this.release): string[] {
    return this.siteNames.filter((name) => this.site(name).active === digestOf(release));
  }

  assign({ site, release, digest, wave, terms, deadlineSeconds }: PlannedAssignment): void {
    const present = this.rows.get(site);
    if (present?.digest === digest && isSameTerms(present.terms, terms)) {
      this.rows.set(site, { ...present, rollout: this.rolloutName, wave });
      return;
    }
    this.#epoch += 1;
    this.rows.set(site, {
      site,
      namespace: 'shop',
      application: 'app',
      applicationUid,
      phase: 'Wanted',
      release,
      digest,
      epoch: this.#epoch,
      assignedAt: iso(this.now),
      deadlineSeconds,
      terms,
      removal: 'Delete',
      rollout: this.rolloutName,
      wave,
      ...(present?.report ? { report: present.report } : {}),
      revision: this.#epoch,
      createRevision: 1,
      deleted: false,
    });
  }

  #factsOf(name: string): ReleaseFacts {
    const known: SimulatedRelease = this.releases.get(name) ?? { isApproved: false, number: 0 };
    const { condemnedBy, condemned, isApproved, number } = known;
    return {
      release: name,
      digest: digestOf(name),
      isCondemned: condemnedBy !== undefined,
      ...(condemnedBy === undefined ? {} : { condemnedBy }),
      ...(condemned === undefined ? {} : { condemned }),
      isApproved,
      number,
    };
  }

  #siteFacts(name: string, site: SimulatedSite): SiteFacts {
    const { lastSeen } = site;
    return {
      name,
      labels: site.labels,
      ...(site.connectedSince === undefined ? {} : { connectedSince: site.connectedSince }),
      ...(lastSeen === undefined ? {} : { lastSeen }),
      isOverdue: site.isOverdue,
      variables: site.variables,
      nodeGroups: site.nodeGroups,
      ...(site.held === undefined ? {} : { held: site.held }),
    };
  }
}

function isSameTerms(a: ItemTerms, b: ItemTerms): boolean {
  return isDeepStrictEqual({ ...a, fallback: undefined }, { ...b, fallback: undefined });
}

function iso(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
