import type { DeliveryState, ItemReport, RolloutStatus, RolloutStrategy } from '@selvedge/api';
import type { DeliveryRow } from '@selvedge/store';
import { planRollout } from '../plan-rollout.ts';
import type { RolloutInput, RolloutPlan, SiteFacts } from '../rollout-input.ts';

interface SimulatedSite {
  connectedSince: number | undefined;
  lastSeen: number | undefined;
  variables: Set<string>;
  /** What the agent holds, and how it fares with it. */
  held: { epoch: number; digest: string; state: DeliveryState; since: number } | undefined;
  seq: number;
}

export const applicationUid = 'uid-app';
export const digestOf = (release: string) => `sha256:${release}`;

/**
 * For tests of the engine: a hub's rows and a fleet of agents as plain data, executing plans as the controller does.
 * Reports are made by agents and delivered whenever the test likes, in any order, as often as it likes.
 */
export class SimulatedFleet {
  now = Date.parse('2026-01-01T00:00:00Z');
  readonly sites = new Map<string, SimulatedSite>();
  readonly rows = new Map<string, DeliveryRow>();
  members = new Map<string, string>();
  status: RolloutStatus | undefined;
  strategy: RolloutStrategy;
  isPaused = false;
  release = 'a';
  releaseVariables: string[] = [];
  rollout = 1;
  #epoch = 0;

  constructor(strategy: RolloutStrategy, sites: readonly string[]) {
    this.strategy = strategy;
    for (const site of sites) this.addSite(site);
  }

  addSite(name: string, isConnected = true): void {
    this.sites.set(name, {
      connectedSince: isConnected ? this.now : undefined,
      lastSeen: isConnected ? this.now : undefined,
      variables: new Set(),
      held: undefined,
      seq: 0,
    });
  }

  site(name: string): SimulatedSite {
    const site = this.sites.get(name);
    if (!site) throw new Error(`no site ${name}`);
    return site;
  }

  get siteNames(): string[] {
    return [...this.sites.keys()];
  }

  get input(): RolloutInput {
    const facts = [...this.sites].map(
      ([name, s]): SiteFacts => ({
        name,
        ...(s.connectedSince === undefined ? {} : { connectedSince: s.connectedSince }),
        ...(s.lastSeen === undefined
          ? {}
          : { lastSeen: s.connectedSince === undefined ? s.lastSeen : this.now }),
        variables: s.variables,
      }),
    );
    return {
      rollout: `app-${this.rollout}`,
      applicationUid,
      release: {
        name: this.release,
        digest: digestOf(this.release),
        variables: this.releaseVariables,
      },
      strategy: this.strategy,
      isPaused: this.isPaused,
      seed: 'seed',
      sites: facts,
      members: this.members,
      rows: this.rows,
      status: this.status,
      now: this.now,
    };
  }

  /** Plans and carries out, as far as `crashAfter` steps when it is given. */
  step(crashAfter = 3): RolloutPlan {
    const plan = planRollout(this.input);
    if (crashAfter >= 1) this.status = plan.status;
    if (crashAfter >= 2) for (const { site, wave } of plan.join) this.members.set(site, wave);
    if (crashAfter >= 3) for (const { site, wave } of plan.assign) this.#assign(site, wave);
    return plan;
  }

  startRelease(release: string): void {
    this.release = release;
    this.rollout += 1;
    this.status = undefined;
    this.members = new Map();
  }

  disconnect(name: string): void {
    const site = this.site(name);
    if (site.connectedSince !== undefined) site.lastSeen = this.now;
    site.connectedSince = undefined;
  }

  connect(name: string): void {
    this.site(name).connectedSince ??= this.now;
    this.site(name).lastSeen = this.now;
  }

  /** The agent fetches its desired state. */
  sync(name: string): void {
    const row = this.rows.get(name);
    const site = this.site(name);
    if (!row || site.connectedSince === undefined || site.held?.epoch === row.epoch) return;
    site.held = { epoch: row.epoch, digest: row.digest, state: 'Pending', since: this.now };
  }

  /** The agent gets on with what it holds, and says so; the report is not delivered yet. */
  makeReport(name: string, state: DeliveryState): ItemReport | undefined {
    const site = this.site(name);
    if (!site.held) return undefined;
    if (site.held.state !== state) site.held = { ...site.held, state, since: this.now };
    site.seq += 1;
    return {
      id: 'Application/shop/app',
      uid: applicationUid,
      epoch: site.held.epoch,
      release: '',
      digest: site.held.digest,
      state,
      sinceTime: new Date(site.held.since).toISOString(),
      observedTime: new Date(this.now).toISOString(),
      seq: site.seq,
    };
  }

  /** As the store does: the newest report by `seq` stays. */
  deliver(name: string, report: ItemReport): void {
    const row = this.rows.get(name);
    if (!row || (row.report && row.report.seq >= report.seq)) return;
    this.rows.set(name, { ...row, report: { ...report, receivedAt: new Date(this.now).toISOString() } });
  }

  /** Syncs and reports at once. */
  answer(name: string, state: DeliveryState = 'Running'): void {
    this.sync(name);
    const report = this.makeReport(name, state);
    if (report && this.site(name).connectedSince !== undefined) this.deliver(name, report);
  }

  assigned(release = this.release): string[] {
    return [...this.rows.values()].filter((r) => r.digest === digestOf(release)).map((r) => r.site);
  }

  #assign(site: string, wave: string): void {
    const present = this.rows.get(site);
    const rollout = `app-${this.rollout}`;
    if (present?.digest === digestOf(this.release) && present.phase === 'Wanted') {
      this.rows.set(site, { ...present, rollout, wave });
      return;
    }
    this.#epoch += 1;
    this.rows.set(site, {
      site,
      namespace: 'shop',
      application: 'app',
      applicationUid,
      phase: 'Wanted',
      release: this.release,
      digest: digestOf(this.release),
      epoch: this.#epoch,
      assignedAt: new Date(this.now).toISOString(),
      deadlineSeconds: 600,
      rollout,
      wave,
      ...(present?.report ? { report: present.report } : {}),
      revision: this.#epoch,
      createRevision: 1,
      deleted: false,
    });
  }
}
