import { isDeepStrictEqual } from 'node:util';
import type { Clock, Logger, MirrorOrder, MirrorReport, SiteInventory } from '@selvedge/api';
import { mirrorOrderDigest } from '@selvedge/api/node';
import type { MirrorReader } from '../../../mirror/mirror-reader.ts';
import type { KubeApi } from '../api/kube-api.ts';
import { ClusterMirror } from './cluster-mirror.ts';

export interface MirrorReaderOptions {
  readonly api: KubeApi;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The agent's own: its key and its state are there, so nothing of it is ever mirrored. */
  readonly agentNamespace: string;
  /** Namespaces that may be mirrored; absent: every one that the agent may read, but for the agent's own. */
  readonly allowedNamespaces?: readonly string[];
  readonly inventory: {
    current(): SiteInventory | undefined;
    onChange(listener: () => void): void;
  };
}

/** A `MirrorReader` that has to be run. */
export interface RunningMirrorReader extends MirrorReader {
  /** Until the signal fires; never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

/** Each is a connection to the API. */
export const mostMirrorWatches = 600;

/** Reads a cluster for other sites. Costs nothing while nothing is ordered. */
export function createMirrorReader(options: MirrorReaderOptions): RunningMirrorReader {
  return new ClusterMirrors(options);
}

type Followed = { readonly mirror: ClusterMirror; readonly stop: AbortController };

class ClusterMirrors implements RunningMirrorReader {
  readonly #options: MirrorReaderOptions;
  readonly #listeners: (() => void)[] = [];
  readonly #followed = new Map<string, Followed>();
  readonly #running = new Set<Promise<void>>();
  /** What is said of orders that are not carried out. */
  #refused = new Map<string, MirrorReport>();
  #orders: readonly MirrorOrder[] = [];
  #signal: AbortSignal | undefined;

  constructor(options: MirrorReaderOptions) {
    this.#options = options;
    options.inventory.onChange(() => {
      for (const { mirror } of this.#followed.values()) mirror.lookAgain();
    });
  }

  setOrders(orders: readonly MirrorOrder[]): void {
    this.#orders = orders;
    if (this.#signal?.aborted === false) this.#follow(this.#signal);
  }

  reports(): readonly MirrorReport[] {
    return this.#orders.flatMap(
      ({ uid }) => this.#followed.get(uid)?.mirror.report() ?? this.#refused.get(uid) ?? [],
    );
  }

  content(uid: string, digest: string): Uint8Array | undefined {
    return this.#followed.get(uid)?.mirror.content(digest);
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    this.#follow(signal);
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve(), { once: true });
    });
    await Promise.all(this.#running);
  }

  #follow(signal: AbortSignal): void {
    const before = this.reports();
    const accepted = this.#judge();
    for (const [uid, { mirror, stop }] of this.#followed) {
      if (isDeepStrictEqual(accepted.get(uid), mirror.order)) continue;
      stop.abort();
      this.#followed.delete(uid);
    }
    for (const [uid, order] of accepted) if (!this.#followed.has(uid)) this.#start(order, signal);
    if (!isDeepStrictEqual(before, this.reports())) this.#tell();
  }

  /** Orders that are carried out; the others get their report. */
  #judge(): Map<string, MirrorOrder> {
    const accepted = new Map<string, MirrorOrder>();
    const refused = new Map<string, MirrorReport>();
    let watches = 0;
    for (const order of this.#orders) {
      const wanted = order.namespaces.length * order.kinds.length + order.secrets.length;
      const fault = this.#faultOf(order) ?? tooMany(watches + wanted);
      if (fault === undefined) {
        accepted.set(order.uid, order);
        watches += wanted;
        continue;
      }
      const known = this.#refused.get(order.uid);
      const observedTime = this.#options.clock.now().toISOString();
      const said = { digest: '', objects: 0, message: fault };
      const report = { uid: order.uid, order: mirrorOrderDigest(order), ...said, observedTime };
      const isSaid = isDeepStrictEqual({ ...report, observedTime: known?.observedTime }, known);
      refused.set(order.uid, isSaid && known !== undefined ? known : report);
    }
    this.#refused = refused;
    return accepted;
  }

  /** The site's own word, whatever the hub orders. */
  #faultOf({ namespaces, kinds }: MirrorOrder): string | undefined {
    const { agentNamespace, allowedNamespaces } = this.#options;
    if (namespaces.includes(agentNamespace)) {
      return `namespace ${agentNamespace} is the agent's own: nothing of it is mirrored`;
    }
    if (kinds.some(({ kind }) => kind === 'Secret')) {
      return 'Secrets are mirrored by name only: name them in the secrets of the mirror';
    }
    const forbidden = namespaces.filter((name) => allowedNamespaces?.includes(name) === false);
    if (forbidden.length === 0) return undefined;
    const allowed = allowedNamespaces?.join(', ') || 'none';
    return `this site does not let namespace ${forbidden.join(', ')} be mirrored (--mirror-namespaces of its agent: ${allowed})`;
  }

  #start(order: MirrorOrder, signal: AbortSignal): void {
    const { api, clock, logger, inventory } = this.#options;
    const stop = new AbortController();
    const mirror = new ClusterMirror({
      api,
      clock,
      logger,
      order,
      defaultStorageClasses: () => {
        const read = inventory.current();
        if (read === undefined) return undefined;
        return new Set(
          read.storageClasses.filter(({ isDefault }) => isDefault === true).map(({ name }) => name),
        );
      },
      onChange: () => this.#tell(),
    });
    this.#followed.set(order.uid, { mirror, stop });
    const running = mirror
      .run(AbortSignal.any([signal, stop.signal]))
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

function tooMany(watches: number): string | undefined {
  if (watches <= mostMirrorWatches) return undefined;
  return `the mirrors of this site would need ${watches} watches (kinds x namespaces), it has at most ${mostMirrorWatches}: name fewer kinds or namespaces`;
}
