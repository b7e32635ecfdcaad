import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, KubeObject, Logger, NodeGroup, SiteInventory } from '@selvedge/api';
import type { KubeAccess } from '@selvedge/kube';
import type { Depot } from '../../depot/depot.ts';
import type { LinkDoor } from '../../link/link-door.ts';
import { LookPause, settleMs } from '../look-pause.ts';
import type { Driver, DriverItem, DriverReport, RemovalOrder } from '../driver.ts';
import { type FindSecrets, noSecrets } from '../find-secrets.ts';
import type { Problem } from '../item-state.ts';
import { RecordFiles } from '../record-files.ts';
import { TaskRunner } from '../task-runner.ts';
import { createKubeApi } from './api/http-kube-api.ts';
import { WatchedKubeApi } from './api/watched-kube-api.ts';
import { Cluster } from './apply/cluster.ts';
import { createInventoryReader, type InventoryReader } from './inventory/inventory-reader.ts';
import { ItemKeeper } from './item-keeper.ts';
import type { WriteGuard } from './lease/lease-guard.ts';
import { createMirrorReader, type RunningMirrorReader } from './mirror/create-mirror-reader.ts';
import { createObserver } from './observe/create-observer.ts';
import type { Observer, TrackedItem } from './observe/observer.ts';
import { type ObjectRef, refKey } from './release/planned-object.ts';
import { Removals } from './removals.ts';
import type { SiteCluster } from './site-cluster.ts';
import type { ItemRecord } from './state/item-record.ts';

const nodesLookMs = 500;
const longestNodesWaitMs = 30_000;

export interface KubernetesDriverOptions {
  readonly access: KubeAccess;
  /** Folder of this driver alone. */
  readonly stateDir: string;
  /** The agent's own namespace, where the ApplySets' parents are. Default: `selvedge-system`. */
  readonly namespace?: string;
  readonly site: { readonly name: string; readonly uid: string };
  readonly clock: Clock;
  readonly logger: Logger;
  /** Local content of a release that is not wanted any more but may still be in force. */
  readonly findManifests?: (digest: string) => Promise<readonly KubeObject[] | undefined>;
  /** Values of an item's Secrets by name and version. Default: there are none. */
  readonly findSecrets?: FindSecrets;
  /** Says whether this agent may write; absent: always. Started and stopped by its owner. */
  readonly guard?: WriteGuard;
  /** Images of a release are brought there before it takes over; absent: the nodes fetch them themselves. */
  readonly depot?: Depot | undefined;
  /** Namespaces that other sites may mirror; absent: every one but the agent's own. */
  readonly mirrorNamespaces?: readonly string[];
}

/** Runs a site's applications on Kubernetes. */
export function createKubernetesDriver(options: KubernetesDriverOptions): Driver {
  return new KubernetesDriver(options);
}

/** Without any event the site is looked at this often; that asks the API for nothing but one object. */
const resyncMs = 600_000;
/** While the API does not answer. */
const probeMs = 5_000;
/** An API server may be restarted without anybody being told. */
const awayGraceMs = 20_000;

class KubernetesDriver implements Driver {
  readonly kind = 'Application';
  readonly mirror: RunningMirrorReader;
  readonly #options: KubernetesDriverOptions;
  readonly #api: WatchedKubeApi;
  readonly #observer: Observer;
  readonly #inventory: InventoryReader;
  readonly #site: SiteCluster;
  readonly #removals: Removals;
  readonly #tasks: TaskRunner;
  readonly #keepers = new Map<string, ItemKeeper>();
  /** Of items that are being removed. */
  readonly #leaving = new Map<string, ItemRecord>();
  readonly #stop = new AbortController();
  /** Fires when this agent may not write any more. */
  #writing = new AbortController();
  readonly #listeners: ((report: DriverReport) => void)[] = [];
  readonly #reported = new Map<string, string>();
  #desired: readonly DriverItem[] = [];
  #tracked: readonly TrackedItem[] = [];
  #isLoaded = false;
  #wasAway = false;
  /** Since when this agent may not write (ms). */
  #barredSince: number | undefined;
  readonly #pause: LookPause;
  #loop: Promise<void> | undefined;

  constructor(options: KubernetesDriverOptions) {
    this.#pause = new LookPause(options.clock, this.#stop.signal);
    const { access, clock, logger, site, stateDir, namespace = 'selvedge-system', guard } = options;
    this.#options = options;
    this.#api = new WatchedKubeApi(createKubeApi({ access, clock, logger }), clock, () =>
      this.#pause.wakeUp(),
    );
    const api = this.#api;
    this.#tasks = new TaskRunner({ clock, logger, onEnd: () => this.#pause.wakeUp() });
    this.#observer = createObserver({ api, clock, logger });
    this.#inventory = createInventoryReader({ api, clock, logger });
    const { mirrorNamespaces: allowedNamespaces } = options;
    this.mirror = createMirrorReader({
      api,
      clock,
      logger,
      agentNamespace: namespace,
      ...(allowedNamespaces === undefined ? {} : { allowedNamespaces }),
      inventory: this.#inventory,
    });
    this.#site = {
      cluster: new Cluster(
        api,
        () => guard?.mayAct() ?? true,
        () => this.#writing.signal,
      ),
      findHolder: (record, refs) => this.#findHolder(record, refs),
      observer: this.#observer,
      records: new RecordFiles<ItemRecord>(join(stateDir, 'items')),
      tasks: this.#tasks,
      site,
      namespace,
      clock,
      logger,
      signal: this.#stop.signal,
      findManifests: async (digest) => await this.#findManifests(digest),
      findSecrets: options.findSecrets ?? noSecrets,
      depot: options.depot,
      architectures: async (signal) => await this.#architectures(signal),
      wakeUp: () => this.#pause.wakeUp(),
    };
    this.#removals = new Removals(this.#site, {
      recordOf: (uid) => this.#leaving.get(uid),
      othersOf: ({ id, uid }) =>
        [...this.#keepers.values()]
          .map(({ record }) => record)
          .filter((one) => one.id === id && one.uid !== uid),
    });
    this.#observer.onChange(() => this.#pause.wakeUp());
    guard?.onChange(() => {
      if (!guard.mayAct()) this.#writing.abort();
      else if (this.#writing.signal.aborted) this.#writing = new AbortController();
      this.#pause.wakeUp();
    });
  }

  async start(signal: AbortSignal): Promise<void> {
    if (this.#loop) return;
    if (signal.aborted) this.#stop.abort();
    signal.addEventListener('abort', () => this.#stop.abort(), { once: true });
    this.#loop = this.#run();
  }

  setDesired(items: readonly DriverItem[]): void {
    this.#desired = [...items];
    this.#pause.wakeUp();
  }

  setNodeGroups(groups: readonly NodeGroup[]): void {
    this.#inventory.setNodeGroups(groups);
  }

  remove(order: RemovalOrder): void {
    this.#removals.add(order);
    this.#pause.wakeUp();
  }

  onReport(listener: (report: DriverReport) => void): void {
    this.#listeners.push(listener);
  }

  lastLook(): Date | undefined {
    const { guard, clock } = this.#options;
    if (!this.#isLoaded || !this.#api.hasAnswered || this.#api.awaySince !== undefined) return undefined;
    if (guard !== undefined && !guard.mayAct()) return undefined;
    return this.#tracked.length === 0 ? clock.now() : this.#observer.lastLook();
  }

  inventory(): SiteInventory | undefined {
    return this.#inventory.current();
  }

  onInventory(listener: () => void): void {
    this.#inventory.onChange(listener);
  }

  async openDoor(): Promise<LinkDoor> {
    const { createKubernetesDoor } = await import('./door/kubernetes-door.ts');
    const { access, logger } = this.#options;
    return createKubernetesDoor({ access, logger });
  }

  async describe(): Promise<{ runtime: string }> {
    const { gitVersion } = await this.#api.version();
    return { runtime: `kubernetes ${gitVersion}` };
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.#pause.wakeUp();
    await this.#loop;
    await this.#tasks.close();
    await this.#persist();
    this.#api.close();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    const watching = Promise.all([
      this.#observer.run(signal),
      this.#inventory.run(signal),
      this.mirror.run(signal),
    ]);
    while (!signal.aborted) {
      this.#pause.beginLook();
      let wait = probeMs;
      try {
        wait = await this.#reconcile();
      } catch (error) {
        if (signal.aborted) break;
        this.#options.logger.warn('site cannot be reconciled', { error });
      }
      await this.#pause.wait(wait);
    }
    await watching;
  }

  /** One look at everything and the steps that follow from it. @returns how long to wait without an event. */
  async #reconcile(): Promise<number> {
    const { clock } = this.#options;
    if (!this.#isLoaded) await this.#load();
    if (this.#api.awaySince !== undefined || !this.#api.hasAnswered) await this.#probe();
    this.#tasks.beginLook();
    const now = clock.now().getTime();
    this.#adoptDesired(now);
    const problem = this.#siteProblem(now);
    const isAway = this.#api.awaySince !== undefined;
    const keepers = [...this.#keepers.values()];
    // While the API did not answer nothing could become healthy.
    if (this.#wasAway && !isAway) for (const keeper of keepers) keeper.restartDeadline(now);
    this.#wasAway = isAway;
    if (this.#mayAct) {
      for (const keeper of keepers) {
        keeper.act(now, { isBlocked: this.#removals.isRemovingId(keeper.record.id) });
      }
      this.#removals.act();
      this.#track(keepers);
    }
    // Within the grace what was said holds.
    if (this.#mayAct || problem !== undefined) this.#sendReports(problem);
    await this.#persist();
    const jitter = 1 + Math.random() * 0.2;
    if (!this.#mayAct) return Math.round(probeMs * jitter);
    const wakeAt = Math.min(this.#tasks.nextRetry(now), ...keepers.map((keeper) => keeper.wakeAt));
    return Math.max(settleMs, Math.min(resyncMs * jitter, wakeAt - clock.now().getTime() + 10));
  }

  async #load(): Promise<void> {
    await mkdir(this.#options.stateDir, { recursive: true, mode: 0o700 });
    for (const record of await this.#site.records.loadAll()) {
      this.#keepers.set(record.uid, new ItemKeeper(record, this.#site, { isNew: false }));
    }
    this.#isLoaded = true;
  }

  /** Any answer will do. */
  async #probe(): Promise<void> {
    const path = `/api/v1/namespaces/${encodeURIComponent(this.#site.namespace)}`;
    await this.#api.json({ method: 'GET', path, signal: this.#stop.signal }).catch(() => undefined);
  }

  #siteProblem(now: number): Problem | undefined {
    const { guard } = this.#options;
    const { awaySince } = this.#api;
    if (awaySince !== undefined && now - awaySince >= awayGraceMs) {
      return { reason: 'ClusterUnavailable', message: this.#api.lastError, isLasting: false };
    }
    if (guard === undefined || guard.mayAct()) {
      this.#barredSince = undefined;
      return undefined;
    }
    this.#barredSince ??= now;
    const other = guard.findOther();
    if (other !== undefined) {
      const since = other.since === undefined ? '' : `, since ${other.since}`;
      const message = `another agent keeps this site: ${other.identity}${since}; stop one of the two`;
      return { reason: 'AnotherAgent', message, isLasting: false };
    }
    if (now - this.#barredSince < awayGraceMs) return undefined;
    const message = `this agent cannot get the Lease in namespace ${this.#site.namespace} that lets it write; its log says why`;
    return { reason: 'LeaseNotHeld', message, isLasting: false };
  }

  get #mayAct(): boolean {
    return this.#api.awaySince === undefined && (this.#options.guard?.mayAct() ?? true);
  }

  #adoptDesired(now: number): void {
    for (const desired of this.#desired) {
      const { id, uid, epoch } = desired.item;
      this.#removals.cancel(uid, epoch);
      if (this.#removals.has(uid)) continue;
      let keeper = this.#keepers.get(uid);
      if (!keeper) {
        const known = this.#leaving.get(uid);
        const record = known ?? { id, uid, hasSucceeded: false, members: [] };
        // What was to be removed may be gone in part: all of it is applied again.
        if (known) delete known.appliedKey;
        this.#leaving.delete(uid);
        keeper = new ItemKeeper(record, this.#site, { isNew: known === undefined });
        this.#keepers.set(uid, keeper);
      }
      keeper.want(desired, now);
    }
    for (const [uid, keeper] of this.#keepers) {
      if (!this.#removals.has(uid)) continue;
      keeper.close();
      this.#keepers.delete(uid);
      this.#leaving.set(uid, keeper.record);
    }
  }

  #track(keepers: readonly ItemKeeper[]): void {
    const items = keepers.flatMap((keeper) => keeper.tracked() ?? []);
    const isSame =
      items.length === this.#tracked.length &&
      items.every((item, index) => {
        const before = this.#tracked[index];
        return before?.uid === item.uid && before.objects === item.objects && before.rules === item.rules;
      });
    if (isSame) return;
    this.#tracked = items;
    this.#observer.track(items);
  }

  #sendReports(problem: Problem | undefined): void {
    for (const keeper of this.#keepers.values()) {
      const report = keeper.report(problem);
      if (report) this.#send(report);
    }
    for (const report of this.#removals.reports(problem)) this.#send(report);
  }

  #send(report: Omit<DriverReport, 'observedTime'>): void {
    const now = this.#options.clock.now();
    const text = JSON.stringify(report);
    if (this.#reported.get(report.uid) === text) return;
    this.#reported.set(report.uid, text);
    for (const listener of this.#listeners) listener({ ...report, observedTime: now.toISOString() });
  }

  /** What is prepared right after the start is for all nodes, too. */
  async #architectures(signal: AbortSignal): Promise<string[]> {
    const { clock } = this.#options;
    for (let waitedMs = 0; waitedMs < longestNodesWaitMs && !signal.aborted; waitedMs += nodesLookMs) {
      if (this.#inventory.current() !== undefined) break;
      await clock.sleep(nodesLookMs, signal);
    }
    const nodes = this.#inventory.current()?.nodes ?? [];
    return [...new Set(nodes.flatMap((node) => node.architecture ?? []))].sort();
  }

  async #findManifests(digest: string): Promise<readonly KubeObject[] | undefined> {
    const wanted = this.#desired.find(({ item }) => item.digest === digest);
    return wanted ? await wanted.manifests() : await this.#options.findManifests?.(digest);
  }

  /** All applications have one field manager, so the API itself does not keep them apart. */
  #findHolder(
    { id, uid }: ItemRecord,
    refs: readonly ObjectRef[],
  ): { id: string; ref: ObjectRef } | undefined {
    const wanted = new Set(refs.map(refKey));
    for (const { record } of this.#keepers.values()) {
      if (record.uid === uid || record.id === id) continue;
      const ref = record.members.find((member) => wanted.has(refKey(member)));
      if (ref !== undefined) return { id: record.id, ref };
    }
    return undefined;
  }

  /** A full disk must not keep the site from being looked after; what was not written is written next time. */
  async #persist(): Promise<void> {
    if (!this.#isLoaded) return;
    try {
      for (const keeper of this.#keepers.values()) await this.#site.records.save(keeper.record);
    } catch (error) {
      this.#options.logger.warn('state of the driver cannot be written', { error });
    }
  }
}
