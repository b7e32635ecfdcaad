import { isDeepStrictEqual } from 'node:util';
import type { Clock, InventoryNode, KubeObject, Logger, NodeGroup, SiteInventory } from '@selvedge/api';
import type { KubeApi } from '../api/kube-api.ts';
import { KindWatch, type WatchState } from '../observe/kind-watch.ts';
import { composeInventory } from './compose-inventory.ts';
import { guessDistribution } from './distribution.ts';
import { readNode } from './read-node.ts';

export interface InventoryReader {
  /** As last read; undefined before that. What may not be read is named in `cluster.unreadable`. */
  current(): SiteInventory | undefined;
  /** Called when `current()` has changed. */
  onChange(listener: () => void): void;
  setNodeGroups(groups: readonly NodeGroup[]): void;
  /** Until the signal fires; never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

/** The version of a cluster changes with an upgrade, which nobody tells of. */
const versionMs = 600_000;
const versionRetryMs = 15_000;
/** Several changes at once, as when a site starts, are told as one. */
const gatherMs = 1000;

/** Reads what a cluster is made of, from one watch of its nodes and one of its storage classes. */
export function createInventoryReader(options: {
  api: KubeApi;
  clock: Clock;
  logger: Logger;
}): InventoryReader {
  return new ClusterInventory(options);
}

/** What of a node is kept: the rest of it is large. */
interface KnownNode {
  readonly slim: KubeObject;
  readonly inventory: InventoryNode;
}

class ClusterInventory implements InventoryReader {
  readonly #options: { api: KubeApi; clock: Clock; logger: Logger };
  readonly #listeners: (() => void)[] = [];
  readonly #nodes = new KnownObjects<KnownNode>();
  readonly #storageClasses = new KnownObjects<KubeObject>();
  #groups: readonly NodeGroup[] = [];
  #version: string | undefined;
  #current: SiteInventory | undefined;
  #changed = Promise.withResolvers<void>();

  constructor(options: { api: KubeApi; clock: Clock; logger: Logger }) {
    this.#options = options;
  }

  current(): SiteInventory | undefined {
    return this.#current;
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  setNodeGroups(groups: readonly NodeGroup[]): void {
    if (isDeepStrictEqual(groups, this.#groups)) return;
    this.#groups = groups;
    for (const [name, { slim }] of this.#nodes.all) {
      this.#nodes.all.set(name, { slim, inventory: readNode(slim, groups) });
    }
    this.#change();
  }

  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.#change(), { once: true });
    const nodes = this.#watch(this.#nodes, {
      apiVersion: 'v1',
      kind: 'Node',
      read: (node) => this.#readNode(node),
    });
    const classes = this.#watch(this.#storageClasses, {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'StorageClass',
      read: ({ apiVersion, kind, metadata: { name, annotations }, provisioner }) => ({
        apiVersion,
        kind,
        metadata: { name, ...(annotations ? { annotations } : {}) },
        provisioner,
      }),
    });
    await Promise.all([
      nodes.run(signal),
      classes.run(signal),
      this.#readVersion(signal),
      this.#compose(signal),
    ]);
  }

  #watch<T>(
    known: KnownObjects<T>,
    { apiVersion, kind, read }: { apiVersion: string; kind: string; read: (object: KubeObject) => T },
  ): KindWatch {
    return new KindWatch({
      ...this.#options,
      apiVersion,
      kind,
      whole: true,
      onObject: (object) => {
        if (known.put(object.metadata.name, read(object))) this.#change();
      },
      onDeleted: ({ name }) => {
        if (known.remove(name)) this.#change();
      },
      onListing: () => known.beginList(),
      onListed: () => {
        known.endList();
        this.#change();
      },
      onState: (state) => {
        known.state = state;
        if (state === 'Forbidden' || state === 'Gone') known.clear();
        this.#change();
      },
    });
  }

  /** Without what heartbeats change: so a node that is as before is equal to what is known. */
  #readNode(node: KubeObject): KnownNode {
    const { apiVersion, kind, metadata } = node;
    const { nodeInfo, capacity, allocatable, conditions } = (node['status'] ?? {}) as Record<string, unknown>;
    const { unschedulable, providerID } = (node['spec'] ?? {}) as Record<string, unknown>;
    const inventory = readNode(node, this.#groups);
    const slim: KubeObject = {
      apiVersion,
      kind,
      metadata: { name: metadata.name, labels: metadata.labels ?? {} },
      spec: { unschedulable, providerID },
      status: { nodeInfo, capacity, allocatable, conditions: withoutTimes(conditions) },
    };
    return { slim, inventory };
  }

  async #readVersion(signal: AbortSignal): Promise<void> {
    const { api, clock, logger } = this.#options;
    while (!signal.aborted) {
      let pause = versionMs;
      try {
        const { gitVersion } = await api.version();
        if (gitVersion !== this.#version) {
          this.#version = gitVersion;
          this.#change();
        }
      } catch (error) {
        pause = versionRetryMs;
        logger.debug('the version of the cluster cannot be read', {
          error: error instanceof Error ? error.message : String(error),
        });
      }
      await clock.sleep(pause * (0.8 + Math.random() * 0.4), signal);
    }
  }

  #change(): void {
    this.#changed.resolve();
  }

  async #compose(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#changed.promise;
      await this.#options.clock.sleep(gatherMs, signal);
      this.#changed = Promise.withResolvers<void>();
      if (signal.aborted) return;
      const next = this.#compute();
      if (next === undefined || isDeepStrictEqual(next, this.#current)) continue;
      this.#current = next;
      for (const listener of this.#listeners) listener();
    }
  }

  /** Undefined: not all of it was read yet. */
  #compute(): SiteInventory | undefined {
    if (this.#version === undefined || !this.#nodes.isKnown || !this.#storageClasses.isKnown)
      return undefined;
    const nodes = [...this.#nodes.all.values()];
    return composeInventory({
      version: this.#version,
      distribution: guessDistribution(
        this.#version,
        nodes.map(({ slim }) => slim),
      ),
      nodes: nodes.map(({ inventory }) => inventory),
      storageClasses: [...this.#storageClasses.all.values()],
      nodeGroups: this.#groups,
      unreadable: [
        ...(this.#nodes.state === 'Forbidden' ? (['nodes'] as const) : []),
        ...(this.#storageClasses.state === 'Forbidden' ? (['storageClasses'] as const) : []),
      ],
    });
  }
}

/** Objects of one kind by name. During a list those that it names are gathered, so that what is not in it goes. */
class KnownObjects<T> {
  state: WatchState = 'Starting';
  /** Listed once, or known not to be there to read. */
  isKnown = false;
  readonly all = new Map<string, T>();
  #named = new Set<string>();

  /** Whether it is new or other than before. */
  put(name: string, object: T): boolean {
    this.#named.add(name);
    if (isDeepStrictEqual(this.all.get(name), object)) return false;
    this.all.set(name, object);
    return true;
  }

  remove(name: string): boolean {
    this.#named.delete(name);
    return this.all.delete(name);
  }

  /** Everything that is there was named since the list began, or before. */
  endList(): void {
    for (const name of this.all.keys()) if (!this.#named.has(name)) this.all.delete(name);
    this.isKnown = true;
  }

  beginList(): void {
    this.#named = new Set();
  }

  clear(): void {
    this.all.clear();
    this.isKnown = true;
  }
}

function withoutTimes(conditions: unknown): unknown {
  if (!Array.isArray(conditions)) return [];
  return conditions.map(({ type, status, reason, message }: Record<string, unknown>) => ({
    type,
    status,
    reason,
    message,
  }));
}
