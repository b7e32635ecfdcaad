import { cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Application,
  type ApplicationSpec,
  applications,
  type Delivery,
  deliveries,
  type KubeObject,
  namespaces,
  type Rollout,
  type RolloutStrategy,
  rollouts,
  type Site,
  type SiteSpec,
  sites,
} from '@selvedge/api';
import { createLogger, systemClock } from '@selvedge/api/node';
import { startTestAgent, type TestAgent } from '@selvedge/agent/testing';
import { type Hub, type HubOptions, startHub } from '@selvedge/hub';
import { createHttpClient, type HttpClient, loadKubeconfig } from '@selvedge/kube';
import { SkippingClock, startTcpLink, type TcpLink } from '@selvedge/testkit';
import { tokenThrough } from './site-token.ts';

export const minutes = (count: number): number => count * 60_000;
export const hours = (count: number): number => count * 3_600_000;

const namespace = 'shop';
/** The longest that a hub may be told to let an agent wait: whoever is silent for longer than that is away. */
const syncWaitMinutes = 10;
/** An agent in touch is silent for at most its own wait and one step. */
const agentWaitMinutes = 5;
const stepMs = minutes(4);
const quietMs = 20;
/** The longest for which agent and hub gather what they say or do together. */
const shortWaitMs = 500;
/** In a row; what looks again and again is no reason to wait for ever. */
const mostShortWaits = 8;
/** Of the time, in which hub and agents may do something and still count as idle. */
const idleShare = 0.3;

/** One site: a real agent in this process, its own way to the hub, a driver that runs nothing. */
export interface LabSite {
  readonly name: string;
  readonly link: TcpLink;
  readonly stateDir: string;
  agent: TestAgent;
}

/**
 * A real hub and real agents in one process, over true sockets, on a clock whose long waits are skipped. Everything goes
 * through the API as a person's doing would.
 */
export class FleetLab implements AsyncDisposable {
  readonly clock: SkippingClock;
  readonly #hubOptions: Partial<HubOptions>;
  readonly #folder: string;
  readonly #sites = new Map<string, LabSite>();
  /** Links that are cut, agents that are stopped: nobody waits for these. */
  readonly #silent = new Set<string>();
  readonly #stopped = new Set<string>();
  #hub: Hub | undefined;
  #client: HttpClient | undefined;
  #port = 0;

  private constructor(folder: string, clock: SkippingClock, hubOptions: Partial<HubOptions>) {
    this.#hubOptions = hubOptions;
    this.#folder = folder;
    this.clock = clock;
  }

  /** @param start what the time is; default: now. */
  static async start(options: { start?: string; hub?: Partial<HubOptions> } = {}): Promise<FleetLab> {
    const folder = await mkdtemp(join(tmpdir(), 'svg-scenario-'));
    const lab = new FleetLab(folder, new SkippingClock(options.start), options.hub ?? {});
    await lab.startHub();
    await lab.client.create(namespaces, {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: namespace },
    });
    return lab;
  }

  get client(): HttpClient {
    if (this.#client === undefined) throw new Error('the hub does not run');
    return this.#client;
  }

  /** Where forges and others who are no Kubernetes clients reach the hub. */
  get hubUrl(): string {
    return `https://127.0.0.1:${this.#port}`;
  }

  site(name: string): LabSite {
    const site = this.#sites.get(name);
    if (site === undefined) throw new Error(`there is no site ${name}`);
    return site;
  }

  /** Sites with agents, in touch. Site i of `names` gets label `number: i`. */
  async addSites(
    names: readonly string[],
    options: { labels?: Record<string, string>; spec?: SiteSpec } = {},
  ): Promise<void> {
    const base = this.#sites.size;
    await Promise.all(
      names.map((name, index) => {
        const labels = { tier: 'store', number: String(base + index), ...options.labels };
        return this.#addSite({ name, labels, ...(options.spec ? { spec: options.spec } : {}) });
      }),
    );
    await this.until('the hub hears from every site', async () => {
      const { items } = await this.client.list<Site>(sites);
      return items.filter((site) => site.status?.connectivity === 'Connected').length === this.#sites.size;
    });
  }

  /** Applies an Application that consists of one ConfigMap; what the sites make of it is up to `outcome`. */
  async apply(
    name: string,
    app: {
      version: string;
      outcome?: Record<string, unknown>;
      rollout?: RolloutStrategy;
      spec?: Partial<ApplicationSpec>;
    },
  ): Promise<Application> {
    const manifest: KubeObject = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: {
        name,
        ...(app.outcome === undefined
          ? {}
          : { annotations: { 'selvedge.test/outcome': JSON.stringify(app.outcome) } }),
      },
      data: { version: app.version },
    } as KubeObject;
    return this.client.apply<Application>(
      applications,
      {
        apiVersion: 'selvedge.dev/v1alpha1',
        kind: 'Application',
        metadata: { name, namespace },
        spec: {
          source: { inline: { manifests: [manifest] } },
          placement: { siteSelector: { matchLabels: { tier: 'store' } } },
          ...(app.rollout === undefined ? {} : { rollout: app.rollout }),
          ...app.spec,
        },
      },
      { fieldManager: 'lab', force: true },
    );
  }

  findRollout(name: string): Promise<Rollout | undefined> {
    return this.client.find<Rollout>(rollouts, { namespace, name });
  }

  async patchRollout(name: string, patch: unknown): Promise<void> {
    await this.client.mergePatch(rollouts, { namespace, name }, patch);
  }

  findDelivery(application: string, site: string): Promise<Delivery | undefined> {
    return this.client.find<Delivery>(deliveries, { namespace, name: `${application}.${site}` });
  }

  /** What truly runs at a site: the `version` of the application's ConfigMap, by the driver itself. */
  versionAt(site: string, application: string): string | undefined {
    for (const { item, manifests } of this.site(site).agent.driver.running.values()) {
      if (item.id !== `Application/${namespace}/${application}`) continue;
      return (manifests as readonly { data?: { version?: string } }[])[0]?.data?.version;
    }
    return undefined;
  }

  /** Site → version. */
  versions(application: string): Record<string, string | undefined> {
    return Object.fromEntries(
      [...this.#sites.keys()].sort().map((site) => [site, this.versionAt(site, application)]),
    );
  }

  cut(...names: readonly string[]): void {
    for (const name of names) {
      this.site(name).link.cut();
      this.#silent.add(name);
    }
  }

  restore(...names: readonly string[]): void {
    for (const name of names) {
      this.site(name).link.restore();
      this.#silent.delete(name);
    }
  }

  /** Time passes, in steps that no agent in touch takes for silence of the hub, nor the hub for theirs. */
  async pass(milliseconds: number): Promise<void> {
    for (let left = milliseconds; left > 0; left -= stepMs) await this.#step(Math.min(stepMs, left));
  }

  /**
   * A request that is on its way while time is skipped would be taken for one that was held back, and a report that waits
   * for others to go with it for one that came late: short waits are over before long ones are skipped.
   */
  async #step(milliseconds: number): Promise<void> {
    await this.#quiet();
    for (let round = 0; round < mostShortWaits; round++) {
      const wait = this.clock.msUntilNextWake();
      if (wait > shortWaitMs) break;
      this.clock.skip(Math.max(0, wait));
      await this.#quiet();
    }
    this.clock.skip(milliseconds);
    await this.#quiet();
  }

  /** Until everybody who can has spoken to the hub lately, and nothing has passed for a moment. */
  async #quiet(): Promise<void> {
    const end = performance.now() + 60_000;
    let restless: string | undefined;
    do {
      const before = performance.eventLoopUtilization();
      await systemClock.sleep(quietMs);
      const { utilization } = performance.eventLoopUtilization(before);
      restless = utilization > idleShare ? 'the process works on' : await this.#findRestless();
      if (restless === undefined) return;
    } while (performance.now() < end);
    throw new Error(`${restless}; its agent said last: ${this.#lastWords(restless.split(' ')[0] ?? '')}`);
  }

  async #findRestless(): Promise<string | undefined> {
    const heartbeats = await this.#hub?.fleet.heartbeats();
    const since = this.clock.now().getTime() - minutes(agentWaitMinutes) - 5000;
    for (const { name, link } of this.#sites.values()) {
      if (this.#silent.has(name) || this.#stopped.has(name)) continue;
      if (link.idleMs < quietMs) return `${name} goes on talking`;
      const seen = heartbeats?.get(name)?.lastSeenAt;
      if (seen !== undefined && Date.parse(seen) < since) return `${name} was last heard of at ${seen}`;
    }
    return undefined;
  }

  #lastWords(name: string): string {
    const lines = this.#sites.get(name)?.agent.log.slice(-3) ?? [];
    return lines.map((line) => JSON.stringify(line)).join('\n');
  }

  async passUntil(time: string): Promise<void> {
    await this.pass(Math.max(0, Date.parse(time) - this.clock.now().getTime()));
  }

  /** Waits until it holds, while time flows as it does. */
  async until(what: string, holds: () => Promise<boolean>, seconds = 60): Promise<void> {
    const end = performance.now() + seconds * 1000;
    while (!(await holds())) {
      if (performance.now() > end) throw new Error(`waited ${seconds} s in vain until ${what}`);
      await systemClock.sleep(30);
    }
  }

  /** Waits until it holds; time is skipped meanwhile, at most so much. */
  async untilWithin(milliseconds: number, what: string, holds: () => Promise<boolean>): Promise<void> {
    const end = this.clock.now().getTime() + milliseconds;
    while (!(await holds())) {
      if (this.clock.now().getTime() > end)
        throw new Error(`within ${milliseconds / 60_000} min it was not so that ${what}`);
      await this.#step(stepMs);
    }
  }

  async rolloutReaches(name: string, phase: string): Promise<Rollout> {
    await this.untilWithin(hours(12), `rollout ${name} is ${phase}`, async () => {
      const rollout = await this.findRollout(name);
      return rollout?.status?.phase === phase;
    }).catch(async (error: unknown) => {
      const rollout = await this.findRollout(name);
      throw new Error(`${(error as Error).message}; it is ${JSON.stringify(rollout?.status, null, 1)}`);
    });
    return (await this.findRollout(name)) as Rollout;
  }

  async startHub(): Promise<void> {
    this.#hub = await startHub({
      data: join(this.#folder, 'hub'),
      listen: `127.0.0.1:${this.#port}`,
      syncWait: `${syncWaitMinutes}m`,
      clock: this.clock,
      logger: createLogger({ level: 'error' }),
      ...this.#hubOptions,
    });
    this.#port = this.#hub.port;
    this.#client = createHttpClient({ kubeconfig: await loadKubeconfig(this.#hub.kubeconfigPath) });
  }

  async stopHub(): Promise<void> {
    await this.#client?.close();
    await this.#hub?.close();
    this.#client = undefined;
    this.#hub = undefined;
  }

  /** A copy of the stopped hub's data directory, as a backup of the machine would be. */
  async saveHub(name: string): Promise<void> {
    await cp(join(this.#folder, 'hub'), join(this.#folder, name), { recursive: true });
  }

  async putBackHub(name: string): Promise<void> {
    await rm(join(this.#folder, 'hub'), { recursive: true, force: true });
    await cp(join(this.#folder, name), join(this.#folder, 'hub'), { recursive: true });
  }

  /** Only the keys are left of the stopped hub. */
  async loseHubStore(): Promise<void> {
    const data = join(this.#folder, 'hub');
    for (const file of await readdir(data)) {
      if (file !== 'keys') await rm(join(data, file), { recursive: true });
    }
  }

  /** The agent's process ends; what its driver runs goes on. */
  async stopAgent(name: string): Promise<void> {
    await this.site(name).agent.stop();
    this.#stopped.add(name);
  }

  startAgent(name: string): void {
    const site = this.site(name);
    site.agent = this.#runAgent(site.stateDir, { driver: site.agent.driver });
    this.#stopped.delete(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { link } of this.#sites.values()) link.restore();
    await Promise.all([...this.#sites.values()].map(({ agent }) => agent.stop().catch(() => undefined)));
    await this.stopHub();
    await Promise.all([...this.#sites.values()].map(({ link }) => link.close()));
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #addSite({ name, labels, spec }: { name: string; labels: Record<string, string>; spec?: SiteSpec }) {
    await this.client.create<Site>(sites, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Site',
      metadata: { name, labels },
      ...(spec === undefined ? {} : { spec }),
    });
    const link = await startTcpLink({ target: { host: '127.0.0.1', port: this.#port } });
    const stateDir = join(this.#folder, 'agents', name);
    const token = await tokenThrough(this.client, name, link.port);
    this.#sites.set(name, { name, link, stateDir, agent: this.#runAgent(stateDir, { token }) });
  }

  #runAgent(stateDir: string, options: { token?: string; driver?: TestAgent['driver'] }): TestAgent {
    return startTestAgent({
      stateDir,
      clock: this.clock,
      monotonicMs: this.clock.monotonicMs,
      longestWaitSeconds: agentWaitMinutes * 60,
      ...options,
    });
  }
}
