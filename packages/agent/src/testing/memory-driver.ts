import { type Clock, type KubeObject, type NodeGroup, type SiteInventory, StatusError } from '@selvedge/api';
import { systemClock } from '@selvedge/api/node';
import type { Driver, DriverItem, DriverReport, RemovalOrder } from '../drivers/driver.ts';
import type { LinkDoor } from '../link/link-door.ts';
import type { MirrorReader } from '../mirror/mirror-reader.ts';
import { MemoryMachine, type PlacedItem, type RecordedActivation, versionOf } from './memory-machine.ts';
import { millisecondsOf, type Outcome, outcomeAt, outcomeOf } from './release-outcome.ts';

type Said = Pick<DriverReport, 'id' | 'uid' | 'epoch' | 'release' | 'digest' | 'state'> &
  Partial<DriverReport>;

/** What the item's next report says, and when something changes by itself (ms). */
interface Step {
  readonly said: Partial<DriverReport> & Pick<DriverReport, 'state'>;
  readonly wakeAt?: number;
}

/**
 * A driver without a runtime: what becomes of a release is what its manifests (or `machine.outcomes`) say, see
 * release-outcome.ts; without a word of theirs it is prepared and runs at once. At the border, so a fake is right here.
 * All waiting is done by the clock. What the machine has (images, what runs) is in `machine`: give the same one to the
 * next driver to have it outlive an agent.
 */
export class MemoryDriver implements Driver {
  readonly kind = 'Application';
  readonly machine: MemoryMachine;
  /** Absent: there is no cluster to read. */
  readonly mirror?: MirrorReader;
  readonly removals: RemovalOrder[] = [];
  desired: readonly DriverItem[] = [];
  isStarted = false;
  isStopped = false;
  /** Takes orders and items, does nothing about them. */
  isIdle: boolean;
  /** Whatever manifests and `outcomes` say: all is well. */
  ignoreScripts = false;
  readonly #clock: Clock;
  readonly #said = new Map<string, string>();
  readonly #since = new Map<string, { state: string; sinceTime: string }>();
  readonly #removed = new Set<string>();
  readonly #failed: { readonly id: string; readonly release: string }[] = [];
  /** By id and uid. */
  #ran: ReadonlySet<string> = new Set();
  readonly #gaps: string[] = [];
  #turn: Promise<void> = Promise.resolve();
  #timer = new AbortController();
  #listener: (report: DriverReport) => void = () => {};

  constructor(
    options: { clock?: Clock; isIdle?: boolean; machine?: MemoryMachine; mirror?: MirrorReader } = {},
  ) {
    this.#clock = options.clock ?? systemClock;
    this.isIdle = options.isIdle ?? false;
    this.machine = options.machine ?? new MemoryMachine();
    if (options.mirror !== undefined) this.mirror = options.mirror;
  }

  /** By id and uid: what serves now. */
  get running(): MemoryMachine['running'] {
    return this.machine.running;
  }

  /** Names of the Releases of an Application that were activated, in order. */
  releases(application: string): string[] {
    return this.#activationsOf(application).map(({ release }) => release);
  }

  /** The same as `data.version` of their first manifest. */
  activations(application: string): string[] {
    return this.#activationsOf(application).map(({ version }) => version);
  }

  /** Names of its Releases that this driver has reported as Failed or Refused. */
  failures(application: string): string[] {
    return this.#failed.filter(({ id }) => isOf(id, application)).map(({ release }) => release);
  }

  /** Versions of what was let go and runs on. */
  orphans(application: string): string[] {
    return [...this.machine.orphaned.values()]
      .filter(({ item }) => isOf(item.id, application))
      .map(({ manifests }) => versionOf(manifests));
  }

  /** How often it lost what it ran without an order, or ran twice at a time. */
  gaps(application: string): number {
    return this.#gaps.filter((id) => isOf(id, application)).length;
  }

  /** Also after `stop`, as the next agent does. */
  async start(signal?: AbortSignal): Promise<void> {
    this.isStarted = true;
    this.isStopped = false;
    this.#said.clear();
    this.#removed.clear();
    signal?.addEventListener('abort', () => this.#timer.abort(), { once: true });
    this.look();
  }

  setDesired(items: readonly DriverItem[]): void {
    this.desired = items;
    this.look();
  }

  remove(order: RemovalOrder): void {
    this.removals.push(order);
    this.look();
  }

  onReport(listener: (report: DriverReport) => void): void {
    this.#listener = listener;
  }

  lastLook(): Date | undefined {
    return this.isStarted && !this.isIdle ? this.#clock.now() : undefined;
  }

  nodeGroups: readonly NodeGroup[] = [];

  setNodeGroups(groups: readonly NodeGroup[]): void {
    this.nodeGroups = groups;
  }

  /** What `inventory()` says; `setInventory` tells. */
  #inventory: SiteInventory | undefined;
  #onInventory: () => void = () => {};
  /** Where the service link leads; absent: nowhere. */
  door: LinkDoor | undefined;

  inventory(): SiteInventory | undefined {
    return this.#inventory;
  }

  setInventory(inventory: SiteInventory): void {
    this.#inventory = inventory;
    this.#onInventory();
  }

  onInventory(listener: () => void): void {
    this.#onInventory = listener;
  }

  async openDoor(): Promise<LinkDoor> {
    if (this.door === undefined) throw new StatusError('ServiceUnavailable', 'this site has no runtime');
    return this.door;
  }

  async describe(): Promise<{ runtime: string }> {
    return { runtime: 'memory 1.0' };
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    this.#timer.abort();
    await this.#turn;
  }

  /** Says so in the driver's name, whatever is true. */
  report(report: Said): void {
    const now = this.#clock.now().toISOString();
    this.#listener({ sinceTime: now, observedTime: now, ...report });
  }

  /** Looks at the machine: needed after a test changed something about it. */
  look(): void {
    if (!this.isStarted || this.isStopped || this.isIdle) return;
    this.#turn = this.#turn.then(() => this.#act());
  }

  async #act(): Promise<void> {
    if (this.isStopped || this.isIdle) return;
    let wakeAt = Number.POSITIVE_INFINITY;
    for (const order of this.removals) this.#carryOut(order);
    for (const item of this.desired) {
      if (this.removals.some(({ uid, epoch }) => uid === item.item.uid && epoch >= item.item.epoch)) continue;
      const { said, wakeAt: next } = await this.#actOn(item);
      wakeAt = Math.min(wakeAt, next ?? Number.POSITIVE_INFINITY);
      this.#say(item, said);
    }
    this.#noteGaps();
    this.#timer.abort();
    this.#timer = new AbortController();
    if (wakeAt !== Number.POSITIVE_INFINITY) void this.#lookAt(wakeAt, this.#timer.signal);
  }

  async #lookAt(time: number, signal: AbortSignal): Promise<void> {
    await this.#clock.sleep(Math.max(0, time - this.#clock.now().getTime()), signal);
    if (!signal.aborted) this.look();
  }

  async #actOn(item: DriverItem): Promise<Step> {
    let manifests: readonly KubeObject[];
    try {
      manifests = await item.manifests();
    } catch (error) {
      return { said: { state: 'Pending', reason: 'ContentMissing', message: (error as Error).message } };
    }
    const outcome = this.#outcomeOf(item, manifests);
    const placed = this.machine.place(item.item);
    if (placed.active?.item.digest !== item.item.digest) {
      const step = this.#prepare(item, { placed, outcome });
      if (step) return step;
      this.machine.activate(item, manifests, this.#clock.now());
    }
    this.machine.renew(item, manifests);
    return this.#run(item, { placed, outcome });
  }

  #outcomeOf({ item, siteName }: DriverItem, manifests: readonly KubeObject[]): Outcome {
    if (this.ignoreScripts) return {};
    return outcomeAt(this.machine.outcomes.get(item.digest) ?? outcomeOf(manifests), siteName);
  }

  /** Undefined: it is activated now. */
  #prepare(
    { item, mayFetch, mayActivate }: DriverItem,
    { placed, outcome }: { placed: PlacedItem; outcome: Outcome },
  ): Step | undefined {
    const now = this.#clock.now().getTime();
    const images = outcome.images ?? [];
    const missing = images.filter(({ name }) => !this.machine.images.has(name));
    const done = images.length - missing.length;
    const progress = { done, total: images.length };
    if (outcome.prepare === 'refuse') return { said: { state: 'Refused', ...why(outcome, 'Unsupported') } };
    if (outcome.prepare === 'fail')
      return { said: { state: 'Failed', ...why(outcome, 'ImagePullFailed'), progress } };
    const isFetched = placed.prepared === item.digest;
    if (!isFetched || missing.length > 0) {
      if (missing.length > 0 && !mayFetch) {
        placed.preparing = undefined;
        return { said: { state: 'Preparing', progress } };
      }
      if (placed.preparing?.digest !== item.digest) placed.preparing = { digest: item.digest, since: now };
      const endsAt = placed.preparing.since + (millisecondsOf(outcome.prepare, 'slow') ?? 0);
      if (outcome.prepare === 'never') return { said: { state: 'Preparing', progress } };
      if (now < endsAt) return { said: { state: 'Preparing', progress }, wakeAt: endsAt };
      for (const { name } of images) this.machine.images.add(name);
      placed.prepared = item.digest;
      placed.preparing = undefined;
    }
    if (mayActivate) return undefined;
    const all = { done: images.length, total: images.length };
    return { said: { state: 'Prepared', progress: all, images: [...images] } };
  }

  #run({ item }: DriverItem, { placed, outcome }: { placed: PlacedItem; outcome: Outcome }): Step {
    const { active } = placed;
    if (!active) throw new Error(`${item.id} is not active`);
    const now = this.#clock.now().getTime();
    const facts = {
      activatedTime: new Date(active.activatedAt).toISOString(),
      ...(outcome.images ? { images: [...outcome.images] } : {}),
    };
    const { health } = outcome;
    const activating = (until: number): Step => ({ said: { state: 'Activating', ...facts }, wakeAt: until });
    if (!active.isProven) {
      const deadlineAt = active.activatedAt + item.deadlineSeconds * 1000;
      const crashAt =
        active.activatedAt +
        (health === 'crash' ? 0 : (millisecondsOf(health, 'crash-after') ?? Number.POSITIVE_INFINITY));
      const healthyAt =
        active.activatedAt +
        (health === 'never' ? Number.POSITIVE_INFINITY : (millisecondsOf(health, 'after') ?? 0));
      if (crashAt <= now) return { said: { state: 'Failed', ...why(outcome, 'CrashLoop'), ...facts } };
      if (crashAt !== Number.POSITIVE_INFINITY) return activating(crashAt);
      if (healthyAt > now) {
        if (deadlineAt > now) return activating(Math.min(healthyAt, deadlineAt));
        const said = { state: 'Failed' as const, ...why(outcome, 'DeadlineExceeded'), ...facts };
        return { said, wakeAt: healthyAt };
      }
      active.isProven = true;
      active.healthySince = now;
      this.machine.serve(item);
    }
    const badAt =
      (active.healthySince ?? now) + (millisecondsOf(health, 'fails-after') ?? Number.POSITIVE_INFINITY);
    if (badAt <= now) return { said: { state: 'Degraded', ...why(outcome, 'CrashLoop'), ...facts } };
    this.machine.serve(item);
    return { said: { state: 'Running', ...facts }, wakeAt: badAt };
  }

  #say({ item }: DriverItem, said: Step['said']): void {
    const { id, uid, epoch, release, digest } = item;
    const runningDigest = this.machine.servingDigest(item);
    const report = {
      id,
      uid,
      epoch,
      release,
      digest,
      ...said,
      ...(runningDigest === undefined ? {} : { runningDigest }),
    };
    const text = JSON.stringify(report);
    if (this.#said.get(uid) === text) return;
    this.#said.set(uid, text);
    if (said.state === 'Failed' || said.state === 'Refused') this.#failed.push({ id, release });
    const state = `${epoch} ${digest} ${said.state}`;
    if (this.#since.get(uid)?.state !== state) {
      this.#since.set(uid, { state, sinceTime: this.#clock.now().toISOString() });
    }
    this.report({ ...report, sinceTime: this.#since.get(uid)?.sinceTime ?? '' });
  }

  #noteGaps(): void {
    const running = new Set(this.running.keys());
    const ordered = new Set(this.removals.map(({ id, uid }) => `${id} ${uid}`));
    for (const key of this.#ran) if (!running.has(key) && !ordered.has(key)) this.#gaps.push(idOf(key));
    const ids = [...running].map(idOf);
    for (const id of new Set(ids)) if (ids.filter((one) => one === id).length > 1) this.#gaps.push(id);
    this.#ran = running;
  }

  #activationsOf(application: string): RecordedActivation[] {
    return this.machine.activations.filter(({ id }) => isOf(id, application));
  }

  #carryOut({ id, uid, epoch, mode }: RemovalOrder): void {
    if (this.#removed.has(`${uid} ${epoch}`)) return;
    if (this.desired.some(({ item }) => item.uid === uid && item.epoch > epoch)) return;
    this.#removed.add(`${uid} ${epoch}`);
    this.machine.remove({ id, uid }, mode);
    this.#said.delete(uid);
    this.report({ id, uid, epoch, release: '', digest: '', state: 'Removed' });
  }
}

function why(outcome: Outcome, reason: string): Pick<DriverReport, 'reason' | 'message' | 'logs'> {
  return {
    reason: outcome.reason ?? reason,
    ...(outcome.message === undefined ? {} : { message: outcome.message }),
    ...(outcome.logs === undefined ? {} : { logs: [...outcome.logs] }),
  };
}

/** `Application/shop/till` is of the application `till`. */
function isOf(id: string, application: string): boolean {
  return id.split('/')[2] === application;
}

function idOf(key: string): string {
  return key.split(' ')[0] ?? '';
}
