import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, type KubeObject, type Logger, type SiteInventory, StatusError } from '@selvedge/api';
import type { SiteLogins } from '../../credentials/site-logins.ts';
import type { Depot } from '../../depot/depot.ts';
import type { LinkDoor } from '../../link/link-door.ts';
import { LookPause, settleMs } from '../look-pause.ts';
import type { Driver, DriverItem, DriverReport, RemovalOrder } from '../driver.ts';
import { type FindSecrets, noSecrets } from '../find-secrets.ts';
import type { Problem } from '../item-state.ts';
import { OrphanList } from '../orphan-list.ts';
import { RecordFiles } from '../record-files.ts';
import { TaskRunner } from '../task-runner.ts';
import { ImageSpace } from './image-space.ts';
import { ImageStore } from './images.ts';
import { ItemKeeper } from './item-keeper.ts';
import type { ItemRecord } from './item-record.ts';
import { isDiskFull, isUnreachable, LibpodClient } from './libpod-client.ts';
import { type ObservedPod, observePods } from './observe.ts';
import { PodmanNames, type SiteIdentity } from './ownership.ts';
import { PodExecutor } from './pod-executor.ts';
import { chooseVolatileDir, PodFiles } from './pod-files.ts';
import { PodNetworkAccess } from './pod-network-access.ts';
import { addressOf, ensureNetwork, type PodmanHost, readPodmanHost } from './podman-host.ts';
import { ExecProbes } from './probes/exec-probe.ts';
import { PodmanInventory } from './podman-inventory.ts';
import { Prober } from './probes/prober.ts';
import { ReadyFile } from './probes/ready-file.ts';
import { Removals } from './removals.ts';
import { RestartBackoff } from './restart-backoff.ts';
import { EndpointSync } from './services/endpoint-sync.ts';
import { ServicePods } from './services/service-pods.ts';
import type { SiteRuntime, SiteView } from './site-runtime.ts';
import { watchEvents } from './watch-events.ts';

export interface PodmanDriverOptions {
  readonly socketPath: string;
  /** Folder of this driver alone. */
  readonly stateDir: string;
  /** Folder for Secrets, below a tmpfs. Default: one of the machine's usual places. */
  readonly volatileDir?: string;
  readonly site: SiteIdentity;
  /** Addresses of the site's pods: `10.214.0.0/16`. */
  readonly podCidr: string;
  /** Address of the machine on which Services are published. */
  readonly hostIp: string;
  /** Registries without TLS, or with a certificate that nobody knows: `host:port`. */
  readonly insecureRegistries: readonly string[];
  /** Where images come from; absent: Podman itself fetches from the registries. */
  readonly depot?: Depot | undefined;
  /** Room that fetching images leaves on their disk, bytes. Default: 5 % of it, at most 1 GiB. */
  readonly imageReserveBytes?: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Local content of a release that is not wanted any more but may still have pods. */
  readonly findManifests?: (digest: string) => Promise<readonly KubeObject[] | undefined>;
  /** Values of an item's Secrets by name and version. Default: there are none. */
  readonly findSecrets?: FindSecrets;
  /** For images whose pods name no pull secret. */
  readonly logins?: SiteLogins;
}

/** Runs a site's applications on Podman. */
export function createPodmanDriver(options: PodmanDriverOptions): Driver {
  return new PodmanDriver(options);
}

/** Without any event the site is looked at this often. */
const resyncMs = 60_000;
const retryMs = 5_000;
/** Between taking a pod out of traffic and SIGTERM: what is on its way still arrives. */
const drainMs = 1_500;
/** Podman may be restarted without anybody being told. */
const unreachableGraceMs = 20_000;

class PodmanDriver implements Driver {
  readonly kind = 'Application';
  readonly #options: PodmanDriverOptions;
  readonly #client: LibpodClient;
  readonly #names: PodmanNames;
  readonly #records: RecordFiles<ItemRecord>;
  readonly #orphans: OrphanList;
  readonly #removals: Removals;
  readonly #tasks: TaskRunner;
  readonly #keepers = new Map<string, ItemKeeper>();
  /** Pods out of traffic. A name stays until the site was looked at again after the pod's removal. */
  readonly #leaving = new Set<string>();
  readonly #left = new Set<string>();
  readonly #addresses = new Map<string, string>();
  readonly #inventory: PodmanInventory;
  readonly #ready: ReadyFile;
  readonly #stop = new AbortController();
  readonly #listeners: ((report: DriverReport) => void)[] = [];
  readonly #reported = new Map<string, string>();
  #desired: readonly DriverItem[] = [];
  #host: PodmanHost | undefined;
  #runtime: SiteRuntime | undefined;
  #endpoints: EndpointSync | undefined;
  #endpointTurn: Promise<void> = Promise.resolve();
  #lastView: SiteView | undefined;
  #unreachableSince: number | undefined;
  #lastLook: Date | undefined;
  readonly #pause: LookPause;
  #imageChanges = 0;
  #loop: Promise<void> | undefined;

  constructor(options: PodmanDriverOptions) {
    this.#pause = new LookPause(options.clock, this.#stop.signal);
    this.#options = options;
    this.#client = new LibpodClient(options.socketPath);
    this.#inventory = new PodmanInventory(this.#client);
    this.#ready = new ReadyFile(join(options.stateDir, 'ready.json'));
    this.#names = new PodmanNames(options.site);
    this.#records = new RecordFiles(join(options.stateDir, 'items'));
    this.#orphans = new OrphanList(join(options.stateDir, 'orphans.json'));
    this.#removals = new Removals(this.#records, this.#orphans, options.clock);
    this.#tasks = new TaskRunner({
      clock: options.clock,
      logger: options.logger,
      onEnd: () => this.#pause.wakeUp(),
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

  setNodeGroups(groups: DriverItem['nodeGroups']): void {
    if (this.#inventory.setNodeGroups(groups)) this.#pause.wakeUp();
  }

  remove(order: RemovalOrder): void {
    this.#removals.add(order);
    this.#pause.wakeUp();
  }

  onReport(listener: (report: DriverReport) => void): void {
    this.#listeners.push(listener);
  }

  lastLook(): Date | undefined {
    return this.#lastLook;
  }

  inventory(): SiteInventory | undefined {
    return this.#inventory.current();
  }

  onInventory(listener: () => void): void {
    this.#inventory.onChange(listener);
  }

  async openDoor(): Promise<LinkDoor> {
    const runtime = this.#runtime;
    if (!runtime) throw new StatusError('ServiceUnavailable', 'Podman does not answer at this site');
    const { openPodmanDoor } = await import('./door/open-podman-door.ts');
    return openPodmanDoor(runtime, {
      host: await readPodmanHost(this.#client),
      hostIP: this.#options.hostIp,
      findKeeper: (uid) => this.#keepers.get(uid),
      findAddress: (infraId) => this.#lastView?.addresses.get(infraId),
    });
  }

  async describe(): Promise<{ runtime: string }> {
    const { version, isRootless } = this.#host ?? (await readPodmanHost(this.#client));
    return { runtime: `podman ${version} ${isRootless ? 'rootless' : 'rootful'}` };
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.#pause.wakeUp();
    await this.#loop;
    await this.#tasks.close();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    const watching = this.#watchEvents();
    while (!signal.aborted) {
      this.#pause.beginLook();
      let wait = retryMs;
      try {
        wait = await this.#reconcile();
        this.#unreachableSince = undefined;
        this.#lastLook = this.#lastView && new Date(this.#lastView.now);
      } catch (error) {
        if (signal.aborted) break;
        await this.#onFailure(error);
      }
      await this.#pause.wait(wait);
    }
    this.#runtime?.prober.stop();
    await watching;
  }

  async #onFailure(error: unknown): Promise<void> {
    const now = this.#options.clock.now().getTime();
    this.#unreachableSince ??= now;
    this.#lastLook = undefined;
    this.#options.logger.warn('site cannot be reconciled', { error });
    if (isUnreachable(error) && now - this.#unreachableSince < unreachableGraceMs) return;
    const message = error instanceof Error ? error.message : String(error);
    const problem = {
      reason: isDiskFull(error) ? 'DiskFull' : 'RuntimeUnavailable',
      message,
      isLasting: false,
    };
    this.#sendReports(problem);
    if (!this.#runtime) await this.#reportWithoutRuntime(problem);
  }

  /** Podman has not answered since the agent started. */
  async #reportWithoutRuntime({ reason, message }: Problem): Promise<void> {
    const records = await this.#records.loadAll().catch(() => []);
    for (const desired of this.#desired) {
      const { id, uid, epoch, release, digest } = desired.item;
      const record = records.find((r) => r.uid === uid);
      const wasRunning = record?.hasSucceeded === true && record.active?.item.digest === digest;
      const state = wasRunning ? 'Degraded' : 'Preparing';
      const sinceTime = new Date(this.#unreachableSince ?? 0).toISOString();
      const activatedTime = wasRunning ? record.activatedTime : undefined;
      this.#send({
        id,
        uid,
        epoch,
        release,
        digest,
        state,
        reason,
        message,
        sinceTime,
        ...(activatedTime === undefined ? {} : { activatedTime }),
      });
    }
  }

  /** One look at the site and the steps that follow from it. @returns how long to wait without an event. */
  async #reconcile(): Promise<number> {
    const { clock } = this.#options;
    const runtime = (this.#runtime ??= await this.#prepareRuntime());
    await this.#adoptDesired(runtime);
    await this.#inventory.refresh(clock.now().getTime());
    const view = await this.#observe();
    this.#lastView = view;
    const keepers = [...this.#keepers.values()];
    // While Podman did not answer nothing could become healthy.
    if (this.#unreachableSince !== undefined) for (const keeper of keepers) keeper.restartDeadline(view.now);
    for (const keeper of keepers) await keeper.load(view);
    runtime.prober.watch(keepers.flatMap((keeper) => keeper.probeTargets(view)));
    for (const keeper of keepers) await keeper.act(view);
    await this.#syncEndpoints(view);
    for (const report of await this.#removals.act(view, runtime)) this.#send(report);
    this.#sendReports(undefined);
    await this.#persist(runtime);
    const now = clock.now().getTime();
    const wakeAt = Math.min(this.#tasks.nextRetry(now), ...keepers.map((keeper) => keeper.wakeAt));
    const jitter = 1 + Math.random() * 0.2;
    return Math.max(settleMs, Math.min(resyncMs * jitter, wakeAt - now + 10));
  }

  /** A full disk must not keep pods from being looked after; what was not written is written next time. */
  async #persist(runtime: SiteRuntime): Promise<void> {
    try {
      for (const keeper of this.#keepers.values()) await this.#records.save(keeper.record);
      await this.#ready.save(runtime.prober.readyContainers());
    } catch (error) {
      this.#options.logger.warn('state of the driver cannot be written', { error });
    }
  }

  async #prepareRuntime(): Promise<SiteRuntime> {
    const { site, stateDir, clock, logger, hostIp, podCidr, insecureRegistries } = this.#options;
    const client = this.#client;
    const names = this.#names;
    const host = await readPodmanHost(client);
    this.#host = host;
    const gateway = await ensureNetwork(client, { names, site, podCidr });
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    await this.#orphans.load();
    const volatileDir = this.#options.volatileDir ?? (await chooseVolatileDir(names.network));
    const files = new PodFiles(stateDir, volatileDir);
    const pods = await observePods(client, site.uid);
    await files.keepOnly(new Set(pods.map((pod) => pod.name)));
    const network = new PodNetworkAccess(host.isRootless);
    this.#endpoints = new EndpointSync(network, logger);
    const prober = new Prober({
      access: { exec: new ExecProbes(client), network },
      clock,
      onChange: () => this.#pause.wakeUp(),
    });
    prober.remember(await this.#ready.read());
    const { depot, logins, imageReserveBytes: reserveBytes } = this.#options;
    const space = new ImageSpace({ folders: host.imageFolders, reserveBytes, clock });
    const shownHostIp = hostIp === '0.0.0.0' ? gateway : hostIp;
    const runtime: SiteRuntime = {
      client,
      names,
      site,
      prober,
      clock,
      logger,
      capabilities: host,
      tasks: this.#tasks,
      signal: this.#stop.signal,
      backoff: new RestartBackoff(),
      images: new ImageStore(client, { insecureRegistries, space, depot, logins, logger }),
      wakeUp: () => this.#pause.wakeUp(),
      executor: new PodExecutor({ client, names, site, files, hostIp: shownHostIp }),
      services: new ServicePods({
        client,
        names,
        site,
        hostIp,
        isOrphaned: (uid) => this.#orphans.find(uid) !== undefined,
      }),
      findManifests: async (digest) => await this.#findManifests(digest),
      findSecrets: this.#options.findSecrets ?? noSecrets,
      retirePod: async (pod) => await this.#retirePod(pod),
      isLeaving: (name) => this.#leaving.has(name),
      imageChanges: () => this.#imageChanges,
    };
    for (const record of await this.#records.loadAll()) {
      this.#keepers.set(record.uid, new ItemKeeper(record, runtime));
    }
    return runtime;
  }

  async #adoptDesired(runtime: SiteRuntime): Promise<void> {
    const now = this.#options.clock.now().getTime();
    for (const desired of this.#desired) {
      const { id, uid, epoch } = desired.item;
      this.#removals.cancel(uid, epoch);
      if (this.#removals.has(uid)) continue;
      if ((this.#orphans.find(uid)?.epoch ?? epoch) < epoch) await this.#orphans.remove(uid);
      let keeper = this.#keepers.get(uid);
      if (!keeper) {
        keeper = new ItemKeeper({ id, uid, earlier: [], hasSucceeded: false }, runtime);
        this.#keepers.set(uid, keeper);
      }
      keeper.want(desired, now);
    }
    for (const [uid, keeper] of this.#keepers) {
      if (!this.#removals.has(uid)) continue;
      keeper.close();
      this.#keepers.delete(uid);
    }
  }

  async #observe(): Promise<SiteView> {
    this.#tasks.beginLook();
    for (const name of this.#left) this.#leaving.delete(name);
    this.#left.clear();
    const pods = await observePods(this.#client, this.#options.site.uid);
    const addresses = new Map<string, string>();
    const known = new Set<string>();
    for (const { infra } of pods) {
      if (infra?.state !== 'running') continue;
      const key = `${infra.id} ${infra.pid}`;
      known.add(key);
      const address =
        this.#addresses.get(key) ?? (await addressOf(this.#client, infra.id, this.#names.network));
      if (address === undefined) continue;
      this.#addresses.set(key, address);
      addresses.set(infra.id, address);
    }
    for (const key of this.#addresses.keys()) if (!known.has(key)) this.#addresses.delete(key);
    return { now: this.#options.clock.now().getTime(), pods, addresses };
  }

  /** Lets each Service lead to the pods that are ready and stay. One at a time: a later call must have the last word. */
  #syncEndpoints(view: SiteView): Promise<void> {
    const turn = this.#endpointTurn.then(() => this.#setEndpoints(view));
    this.#endpointTurn = turn;
    return turn;
  }

  async #setEndpoints(view: SiteView): Promise<void> {
    const areSet = await this.#endpoints?.applyAll([...this.#keepers.values()], view, this.#leaving);
    if (areSet === false) this.#pause.wakeUp();
  }

  async #retirePod(pod: ObservedPod): Promise<void> {
    this.#leaving.add(pod.name);
    // Its successor need not wait until it is gone.
    this.#pause.wakeUp();
    try {
      if (this.#lastView) await this.#syncEndpoints(this.#lastView);
      if (pod.infra?.state === 'running') await this.#options.clock.sleep(drainMs, this.#stop.signal);
      if (this.#stop.signal.aborted) return;
      await this.#runtime?.executor.removePod(pod);
    } finally {
      this.#left.add(pod.name);
    }
  }

  async #findManifests(digest: string): Promise<readonly KubeObject[] | undefined> {
    const wanted = this.#desired.find(({ item }) => item.digest === digest);
    return wanted ? await wanted.manifests() : await this.#options.findManifests?.(digest);
  }

  #sendReports(runtimeProblem: Problem | undefined): void {
    for (const keeper of this.#keepers.values()) {
      const report = keeper.report(runtimeProblem);
      if (report) this.#send(report);
    }
  }

  #send(report: Omit<DriverReport, 'observedTime'>): void {
    const now = this.#options.clock.now();
    const text = JSON.stringify(report);
    if (this.#reported.get(report.uid) === text) return;
    this.#reported.set(report.uid, text);
    for (const listener of this.#listeners) listener({ ...report, observedTime: now.toISOString() });
  }

  async #watchEvents(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await watchEvents(this.#client, signal, (of) => {
          if (of === 'image') this.#imageChanges += 1;
          this.#pause.wakeUp();
        });
      } catch (error) {
        if (!signal.aborted) this.#options.logger.debug('event stream broke off', { error });
      }
      await this.#options.clock.sleep(retryMs, signal);
      this.#pause.wakeUp();
    }
  }
}
