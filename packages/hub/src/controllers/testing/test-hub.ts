import { createHmac } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import {
  type Application,
  applications,
  type DeliveryState,
  type ItemReport,
  type KubeObject,
  namespaces,
  type ObjectClient,
  type Release,
  releases,
  type ResourceRef,
  type Rollout,
  rollouts,
  type Site,
  StatusError,
  sites,
  type WatchEvent,
} from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import {
  createApiServer,
  generateSigningKeyPem,
  parseSigningKeys,
  serviceAccountDefinition,
  tokenRequestAction,
} from '@selvedge/apiserver';
import { type DeliveryRow, type FleetStore, type ObjectStore, openSqliteStore } from '@selvedge/store';
import { FakeClock } from '@selvedge/testkit';
import type { ImageResolver } from '../../images/image-resolver.ts';
import { hubResourceDefinitions, sensitiveResources } from '../../resources/index.ts';
import { liftRelease } from '../../resources/lift-release.ts';
import { type EcrAccess, startControllers } from '../index.ts';
import type { SourceAccess } from '../../sources/source-readers.ts';

const connectedWithinSeconds = 65;
const user = { name: 'system:selvedge:controllers', groups: ['system:masters'] };

/** What a simulated agent does with a release. */
export type Behaviour = (
  row: DeliveryRow,
) => { state: DeliveryState } & Partial<Pick<ItemReport, 'reason' | 'message' | 'waiting'>>;
const runs: Behaviour = () => ({ state: 'Running' });

interface Agent {
  behaviour: Behaviour;
  isInTouch: boolean;
  seq: number;
  /** Digest of what runs, by UID of the Application. */
  readonly runs: Map<string, string>;
  /** Releases in the order in which they came to run. */
  readonly activations: string[];
}

/**
 * The hub without its wire: real store, real API server, real controllers, on a clock of the test's own. Agents are
 * simulated where the gateway would hand over what they say: at the fleet store.
 */
export class TestHub implements AsyncDisposable {
  readonly clock: FakeClock;
  readonly client: ObjectClient;
  readonly fleet: FleetStore;
  /** Below the API server: what is written here is judged by nobody. */
  readonly objects: ObjectStore;
  /** For the controllers that are started next. */
  imageResolver: ImageResolver | undefined;
  /** For the controllers that are started next. */
  ecr: EcrAccess = { endpoints: [], insecureEndpoints: [] };
  /** The same: absent, no source is read. */
  sources: SourceAccess | undefined;
  readonly #agents = new Map<string, Agent>();
  readonly #close: () => Promise<void>;
  #controllers: { stop: AbortController; stopped: Promise<void> } | undefined;

  private constructor(parts: {
    clock: FakeClock;
    client: ObjectClient;
    fleet: FleetStore;
    objects: ObjectStore;
    close: () => Promise<void>;
  }) {
    this.clock = parts.clock;
    this.client = parts.client;
    this.fleet = parts.fleet;
    this.objects = parts.objects;
    this.#close = parts.close;
  }

  static async start(): Promise<TestHub> {
    const clock = new FakeClock();
    const logger = createLogger({ level: 'error' });
    const directory = await mkdtemp(join(tmpdir(), 'selvedge-controllers-'));
    const store = await openSqliteStore({
      path: join(directory, 'store.db'),
      keys: { active: new Uint8Array(32), others: [] },
      sensitiveResources,
      clock,
      logger,
    });
    const definitions = hubResourceDefinitions({
      fleet: store.fleet,
      objects: store.objects,
      clock,
      connectedWithinSeconds,
      issueEnrollmentToken: (token) => Promise.resolve(token),
      client: () => api.client(user),
    });
    const keys = parseSigningKeys(generateSigningKeyPem());
    const token = tokenRequestAction({ store: store.objects, keys: () => keys, issuers: () => [], clock });
    const api = await createApiServer({
      definitions: [...definitions, serviceAccountDefinition(token)],
      store: store.objects,
      clock,
      logger,
    });
    const hub = new TestHub({
      clock,
      client: api.client(user),
      fleet: store.fleet,
      objects: store.objects,
      close: async () => {
        await api.close();
        await store.close();
        await rm(directory, { recursive: true, force: true });
      },
    });
    await hub.client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
    hub.startControllers();
    return hub;
  }

  /**
   * @param fails asked twice at every write of the controllers (`assign`, `updateStatus rollouts`): `true` makes it fail, before or
   * after it was done.
   */
  startControllers(fails: (write: string) => boolean = () => false): void {
    const stop = new AbortController();
    const { client, fleet, clock } = this;
    const { stopped } = startControllers({
      client: unreliable(client, ['create', 'update', 'updateStatus', 'delete', 'mergePatch'], fails),
      fleet: unreliable(
        fleet,
        ['assign', 'remove', 'addRolloutMembers', 'removeRolloutMembers', 'putBlob'],
        fails,
      ),
      clock,
      logger: createLogger({ level: 'error' }),
      connectedWithinSeconds,
      sealedVersion: (id, value) =>
        createHmac('sha256', 'test').update(`${id}\n${value}`).digest('base64url'),
      ecr: this.ecr,
      ...(this.imageResolver ? { imageResolver: this.imageResolver } : {}),
      ...(this.sources ? { sources: this.sources } : {}),
      signal: stop.signal,
    });
    this.#controllers = { stop, stopped };
  }

  /** The controllers that are started next hear of changes of this kind only once the returned is called. */
  holdBack({ plural }: ResourceRef): () => void {
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    const watch = this.client.watch.bind(this.client);
    this.client.watch = async function* <T extends KubeObject>(
      ...[ref, options]: Parameters<ObjectClient['watch']>
    ): AsyncIterable<WatchEvent<T>> {
      // Who stops them waits for their watches.
      options?.signal?.addEventListener('abort', () => release());
      for await (const event of watch<T>(ref, options)) {
        if (ref.plural === plural) await released;
        yield event;
      }
    };
    return release;
  }

  async stopControllers(): Promise<void> {
    this.#controllers?.stop.abort();
    await this.#controllers?.stopped;
    this.#controllers = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopControllers();
    await this.#close();
  }

  /** A Site, and an agent in touch. */
  async addSite(
    name: string,
    options: { labels?: Record<string, string>; spec?: Site['spec'] } = {},
  ): Promise<void> {
    await this.client.create<Site>(sites, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Site',
      metadata: { name, labels: { tier: 'store', ...options.labels } },
      ...(options.spec ? { spec: options.spec } : {}),
    });
    this.#agents.set(name, { behaviour: runs, seq: 0, isInTouch: true, runs: new Map(), activations: [] });
  }

  /** Sites with agents that the hub knows to be in touch. */
  async addSites(...names: string[]): Promise<void> {
    for (const name of names) await this.addSite(name);
    await this.eventually(async () => {
      for (const name of names) {
        const site = await this.client.get<Site>(sites, { name });
        if (!isConnected(site)) throw new Error(`${name} is not connected yet`);
      }
    });
  }

  agent(name: string): Agent {
    const agent = this.#agents.get(name);
    if (!agent) throw new Error(`no agent at ${name}`);
    return agent;
  }

  /** Cuts the link, and waits until the hub has noticed. */
  async cutOff(name: string): Promise<void> {
    this.agent(name).isInTouch = false;
    await this.eventually(
      async () => {
        if (isConnected(await this.client.get<Site>(sites, { name })))
          throw new Error(`${name} is still connected`);
      },
      { step: 10_000 },
    );
  }

  async apply(
    spec: Partial<Application['spec']> & { text?: string } = {},
    name = 'till',
  ): Promise<Application> {
    const { text = 'one', ...rest } = spec;
    const wanted: Application['spec'] = {
      source: {
        inline: {
          manifests: [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'page' }, data: { text } }],
        },
      },
      placement: { siteSelector: { matchLabels: { tier: 'store' } } },
      ...rest,
    };
    const present = await this.client.find<Application>(applications, { namespace: 'shop', name });
    if (present)
      return this.client
        .update<Application>(applications, { ...present, spec: wanted })
        .catch((error: unknown) => {
          // A controller wrote its status in between.
          if (error instanceof StatusError && error.reason === 'Conflict') return this.apply(spec, name);
          throw error;
        });
    return this.client.create<Application>(applications, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Application',
      metadata: { name, namespace: 'shop' },
      spec: wanted,
    });
  }

  application(name = 'till'): Promise<Application> {
    return this.client.get<Application>(applications, { namespace: 'shop', name });
  }

  release(name: string): Promise<Release> {
    return this.client.get<Release>(releases, { namespace: 'shop', name });
  }

  /** As the action `releases/lift` does. */
  async lift(name: string, reason?: string): Promise<void> {
    const options = { client: () => this.client, clock: this.clock };
    const body = reason === undefined ? {} : { reason };
    await liftRelease(options, await this.release(name), {
      user: { ...user, name: 'kim' },
      dryRun: false,
      body,
    });
  }

  rollout(name: string): Promise<Rollout> {
    return this.client.get<Rollout>(rollouts, { namespace: 'shop', name });
  }

  async rows(): Promise<DeliveryRow[]> {
    return (await this.fleet.listDeliveries({ namespace: 'shop' })).rows;
  }

  /** Rows by site, the wanted one first. */
  async row(site: string): Promise<DeliveryRow | undefined> {
    const rows = (await this.rows()).filter((row) => row.site === site);
    return rows.find((row) => row.phase === 'Wanted') ?? rows[0];
  }

  /** Lets time go by until the check passes; agents sync meanwhile. */
  async eventually<T>(check: () => Promise<T>, { step = 100 }: { step?: number } = {}): Promise<T> {
    const deadline = performance.now() + 120_000;
    for (;;) {
      try {
        return await check();
      } catch (error) {
        if (performance.now() > deadline) throw error;
      }
      await this.pass(step);
    }
  }

  /** Time goes by, agents sync. */
  async pass(milliseconds: number): Promise<void> {
    for (const [name, agent] of this.#agents) {
      if (agent.isInTouch) await this.#sync(name, agent);
    }
    await this.clock.advance(milliseconds);
    await setTimeout(2);
  }

  async #sync(site: string, agent: Agent): Promise<void> {
    const now = this.clock.now().toISOString();
    const { rows, epoch } = await this.fleet.siteState(site);
    this.fleet.touch({ site, lastSeenAt: now, agentEpoch: epoch, agentStateDigest: '' });
    for (const row of rows) {
      const answer = row.phase === 'Wanted' ? answerTo(row, agent, now) : { state: 'Removed' as const };
      const said = row.report;
      if (said?.epoch === row.epoch && said.state === answer.state) continue;
      agent.seq += 1;
      const report = {
        id: `Application/${row.namespace}/${row.application}`,
        uid: row.applicationUid,
        epoch: row.epoch,
        release: row.release,
        digest: row.digest,
        ...answer,
        sinceTime: now,
        observedTime: now,
        seq: agent.seq,
      };
      await this.fleet.saveReports(site, [report], now);
    }
  }
}

/** As an agent obeys: it prepares at once, activates when the terms let it, and stays with what ran when that fails. */
function answerTo(
  row: DeliveryRow,
  agent: Agent,
  now: string,
): Partial<ItemReport> & Pick<ItemReport, 'state'> {
  const { applicationUid: uid, digest, terms } = row;
  const ran = agent.runs.get(uid);
  const runningDigest = ran === undefined ? {} : { runningDigest: ran };
  if (ran !== digest && terms.activate === 'Hold') {
    return { state: 'Prepared', waiting: { reason: 'Hub' }, ...runningDigest };
  }
  if (ran !== digest && terms.activateAt !== undefined && now < terms.activateAt) {
    return { state: 'Prepared', waiting: { reason: 'Instant', until: terms.activateAt }, ...runningDigest };
  }
  const answer = agent.behaviour(row);
  if (answer.state === 'Running') {
    agent.runs.set(uid, digest);
    if (ran !== digest) agent.activations.push(row.release);
    return { ...answer, activatedTime: now, runningDigest: digest };
  }
  if (answer.state === 'Failed' && ran !== undefined && ran !== digest) {
    return { ...answer, activatedTime: now, wentBack: 'Unhealthy', runningDigest: ran };
  }
  return { ...answer, ...runningDigest };
}

/** The same object, of which some methods fail now and then: as if the hub had been killed there and started again. */
function unreliable<T extends object>(
  target: T,
  methods: readonly string[],
  fails: (write: string) => boolean,
): T {
  return new Proxy(target, {
    get: (_, property) => {
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== 'function') return value;
      const method = String(property);
      if (!methods.includes(method)) return value.bind(target) as unknown;
      return async (...args: unknown[]): Promise<unknown> => {
        const [ref] = args;
        const isOfObject = typeof ref === 'object' && ref !== null && 'plural' in ref;
        const write = isOfObject ? `${method} ${String(ref.plural)}` : method;
        if (fails(write)) throw new StatusError('ServiceUnavailable', 'failed before it was done');
        const result: unknown = await value.apply(target, args);
        if (fails(write)) throw new StatusError('ServiceUnavailable', 'failed after it was done');
        return result;
      };
    },
  });
}

function isConnected(site: KubeObject): boolean {
  const { status } = site as Site;
  return status?.conditions?.some((c) => c.type === 'Connected' && c.status === 'True') ?? false;
}
