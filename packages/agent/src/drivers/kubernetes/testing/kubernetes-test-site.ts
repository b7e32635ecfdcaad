import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type ApplyRules,
  canonicalJson,
  defaultItemTerms,
  type DeliveryState,
  isNotFound,
  type KubeObject,
  namespaces,
  type NodeGroup,
  releaseContent,
  type RemovalMode,
  type ResourceRef,
  type ScopedLogin,
} from '@selvedge/api';
import { createLogger, sha256Digest, systemClock } from '@selvedge/api/node';
import { type HttpClient, resourcePath } from '@selvedge/kube';
import type { ClusterUnderTest } from '@selvedge/testkit';
import type { Driver, DriverItem, DriverReport } from '../../driver.ts';
import { type NamedSecrets, TestSecrets } from '../../testing/test-secrets.ts';
import { createKubernetesDriver, type KubernetesDriverOptions } from '../kubernetes-driver.ts';

export interface ReleaseUnderTest {
  readonly name?: string;
  readonly release: string;
  readonly manifests: readonly object[];
  readonly apply?: ApplyRules;
  /** `placement.nodeGroups` of the application. */
  readonly nodeGroups?: readonly string[];
  readonly variables?: Readonly<Record<string, string | number | boolean>>;
  readonly secrets?: NamedSecrets;
  readonly logins?: readonly ScopedLogin[];
  readonly deadlineSeconds?: number;
  /** Default: true. */
  readonly mayActivate?: boolean;
}

export interface TestSiteOptions extends Partial<KubernetesDriverOptions> {
  /** Of the site. */
  readonly siteNodeGroups?: readonly NodeGroup[];
  /** The namespace of the applications is not there at the beginning. */
  readonly withoutNamespace?: boolean;
}

/**
 * A Kubernetes driver with its state, driven as the agent drives it. Each has namespaces of its own for the agent and for its
 * applications, so many can be in one cluster one after the other.
 */
export class KubernetesTestSite {
  readonly cluster: ClusterUnderTest;
  readonly client: HttpClient;
  /** Of the applications. */
  readonly namespace: string;
  readonly agentNamespace: string;
  readonly reports: DriverReport[] = [];
  readonly #options: TestSiteOptions;
  readonly #contents = new Map<string, readonly KubeObject[]>();
  readonly #items = new Map<string, DriverItem>();
  readonly #secrets = new TestSecrets();
  readonly #siteUid = randomUUID();
  #stateDir: string;
  #driver: Driver | undefined;
  #abort = new AbortController();
  #epoch = 0;

  private constructor(cluster: ClusterUnderTest, stateDir: string, options: TestSiteOptions) {
    this.cluster = cluster;
    this.client = cluster.client();
    this.#stateDir = stateDir;
    this.#options = options;
    const id = randomUUID().slice(0, 8);
    this.namespace = `shop-${id}`;
    this.agentNamespace = `selvedge-${id}`;
  }

  /** With the namespaces that it needs; the driver is not started yet. */
  static async open(cluster: ClusterUnderTest, options: TestSiteOptions = {}): Promise<KubernetesTestSite> {
    const site = new KubernetesTestSite(cluster, await mkdtemp(join(tmpdir(), 'svg-kube-site-')), options);
    const missing = options.withoutNamespace === true ? site.namespace : undefined;
    for (const name of [site.namespace, site.agentNamespace].filter((one) => one !== missing)) {
      await site.client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
    }
    return site;
  }

  /** A new driver on the same state, as after a start of the agent. */
  async start(change: Pick<TestSiteOptions, 'access' | 'guard'> = {}): Promise<Driver> {
    this.#abort = new AbortController();
    const { siteNodeGroups: _groups, withoutNamespace: _isBare, ...options } = this.#options;
    const driver = createKubernetesDriver({
      namespace: this.agentNamespace,
      site: { name: 'shop', uid: this.#siteUid },
      clock: systemClock,
      logger: createLogger({ level: (process.env['LOG_LEVEL'] as 'silent') ?? 'silent' }),
      findManifests: async (digest) => this.#contents.get(digest),
      findSecrets: (_item, versions) => this.#secrets.find(versions),
      access: this.cluster.access,
      ...options,
      ...change,
      stateDir: this.#stateDir,
    });
    driver.onReport((report) => this.reports.push(report));
    driver.setNodeGroups(this.#options.siteNodeGroups ?? []);
    driver.setDesired([...this.#items.values()]);
    await driver.start(this.#abort.signal);
    this.#driver = driver;
    return driver;
  }

  /** Assigns a release, as a sync does. @returns the epoch of the assignment. */
  assign(assignment: ReleaseUnderTest): number {
    const { name = 'web', release, manifests, variables = {}, deadlineSeconds = 600 } = assignment;
    const { apply, nodeGroups, secrets = {}, logins = [], mayActivate = true } = assignment;
    const named = Object.keys(secrets).map((secret) => ({ name: secret }));
    const rules = {
      ...(apply ? { apply } : {}),
      ...(nodeGroups ? { nodeGroups } : {}),
      ...(named.length > 0 ? { secrets: named } : {}),
    };
    const secretVersions = this.#secrets.keep(secrets);
    const content = releaseContent(structuredClone(manifests) as unknown as KubeObject[], rules, name);
    const digest = sha256Digest(canonicalJson(content));
    this.#contents.set(digest, content);
    this.#epoch += 1;
    const item = {
      id: `Application/${this.namespace}/${name}`,
      uid: `uid-of-${name}`,
      epoch: this.#epoch,
      release,
      digest,
      deadlineSeconds,
      terms: defaultItemTerms,
    };
    this.#items.set(name, {
      item,
      mayFetch: true,
      mayActivate,
      siteName: 'shop',
      variables,
      labels: {},
      nodeGroups: this.#options.siteNodeGroups ?? [],
      secrets: this.#secrets.find(secretVersions) ?? new Map(),
      secretVersions,
      logins,
      manifests: async () => content,
    });
    this.#driver?.setDesired([...this.#items.values()]);
    return this.#epoch;
  }

  permit(change: Partial<Pick<DriverItem, 'mayFetch' | 'mayActivate'>>, name = 'web'): void {
    const item = this.#items.get(name);
    if (item) this.#items.set(name, { ...item, ...change });
    this.#driver?.setDesired([...this.#items.values()]);
  }

  remove(name = 'web', mode: RemovalMode = 'Delete'): void {
    this.#items.delete(name);
    this.#epoch += 1;
    this.#driver?.setDesired([...this.#items.values()]);
    this.#driver?.remove({
      id: `Application/${this.namespace}/${name}`,
      uid: `uid-of-${name}`,
      epoch: this.#epoch,
      mode,
    });
  }

  get driver(): Driver {
    if (!this.#driver) throw new Error('the driver is not started');
    return this.#driver;
  }

  lastReport(name = 'web'): DriverReport | undefined {
    return this.reports.findLast((report) => report.uid === `uid-of-${name}`);
  }

  /** Waits until the newest report has the state (and speaks of the release). */
  async until(
    state: DeliveryState,
    expected: { name?: string; release?: string; epoch?: number; reason?: string; patienceMs?: number } = {},
  ): Promise<DriverReport> {
    const { name = 'web', release, epoch, reason, patienceMs = 120_000 } = expected;
    return eventually(
      async () => this.lastReport(name),
      (report) =>
        report?.state === state &&
        (release === undefined || report.release === release) &&
        (epoch === undefined || report.epoch === epoch) &&
        (reason === undefined || report.reason === reason),
      { what: `${state} ${release ?? ''} ${reason ?? ''}`, patienceMs },
    ) as Promise<DriverReport>;
  }

  /** An object in the namespace of the applications. */
  find<T extends KubeObject = LooseObject>(resource: ResourceRef, name: string): Promise<T | undefined> {
    return this.client.find<T>(resource, { namespace: this.namespace, name });
  }

  /** Names of all objects of a kind in the namespace of the applications. */
  async names(resource: ResourceRef, labelSelector?: string): Promise<string[]> {
    const { items } = await this.client.list(resource, {
      namespace: this.namespace,
      ...(labelSelector === undefined ? {} : { labelSelector }),
    });
    return items.map(({ metadata }) => metadata.name).sort();
  }

  /** As somebody with kubectl does it. */
  async patch(resource: ResourceRef, name: string, patch: object): Promise<void> {
    const target = { namespace: this.namespace, name };
    await this.client.mergePatch(resource, target, patch, { fieldManager: 'kubectl-edit' });
  }

  async scale(resource: ResourceRef, name: string, replicas: number): Promise<void> {
    await this.client.request({
      method: 'PATCH',
      path: resourcePath(resource, { namespace: this.namespace, name, subresource: 'scale' }),
      query: { fieldManager: 'kube-controller-manager' },
      body: { spec: { replicas } },
      contentType: 'application/merge-patch+json',
    });
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#driver?.stop();
    this.#driver = undefined;
  }

  /** What an agent that lost its disk begins with. */
  async loseState(): Promise<void> {
    await rm(this.#stateDir, { recursive: true, force: true });
    this.#stateDir = await mkdtemp(join(tmpdir(), 'svg-kube-site-'));
  }

  /** Leaves nothing in the cluster that would work on; its namespaces go in the background. */
  async close(): Promise<void> {
    await this.stop();
    await rm(this.#stateDir, { recursive: true, force: true });
    for (const name of [this.namespace, this.agentNamespace]) {
      await this.client.delete(namespaces, { name }).catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
    }
  }
}

/** An object whose fields a test looks into. */
export interface LooseObject extends KubeObject {
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly data?: Readonly<Record<string, string>>;
  readonly status?: Readonly<Record<string, unknown>>;
}

/** Polls until the answer is as wanted; fails after a time that only a fault reaches. */
export async function eventually<T>(
  ask: () => Promise<T>,
  isRight: (value: T) => boolean,
  wait: string | { readonly what: string; readonly patienceMs: number } = 'it',
): Promise<T> {
  const { what, patienceMs } = typeof wait === 'string' ? { what: wait, patienceMs: 120_000 } : wait;
  const deadline = systemClock.now().getTime() + patienceMs;
  for (;;) {
    const value = await ask();
    if (isRight(value)) return value;
    if (systemClock.now().getTime() > deadline) {
      throw new Error(`${what} did not happen in time; last: ${JSON.stringify(value)}`);
    }
    await systemClock.sleep(100);
  }
}
