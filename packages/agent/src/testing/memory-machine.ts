import type { DesiredItem, KubeObject, RemovalMode } from '@selvedge/api';
import type { DriverItem } from '../drivers/driver.ts';
import type { Outcome } from './release-outcome.ts';

export interface RunningRelease {
  readonly item: DesiredItem;
  readonly manifests: KubeObject[];
  readonly variables: DriverItem['variables'];
}

interface ActiveRelease extends RunningRelease {
  readonly activatedAt: number;
  isProven: boolean;
  healthySince?: number;
}

export interface RecordedActivation {
  readonly id: string;
  readonly uid: string;
  readonly release: string;
  readonly digest: string;
  /** `data.version` of the first manifest. */
  readonly version: string;
  readonly time: Date;
}

/** One item on the machine. */
export interface PlacedItem {
  /** Digest of what is fetched and checked, but may not be active. */
  prepared?: string;
  preparing: { readonly digest: string; readonly since: number } | undefined;
  active?: ActiveRelease;
}

type ItemName = Pick<DesiredItem, 'id' | 'uid'>;

/** What is on the disk and in the memory of a machine that has no runtime: it outlives drivers and agents. */
export class MemoryMachine {
  /** By digest of a release; before what its manifests say. */
  readonly outcomes = new Map<string, Outcome>();
  /** Names of images that are here. */
  readonly images = new Set<string>();
  /** By id and uid: what serves now. A release that was activated and is not healthy leaves the one before in place. */
  readonly running = new Map<string, RunningRelease>();
  /** By id and uid: what ran when it was let go. */
  readonly orphaned = new Map<string, RunningRelease>();
  /** By id and uid: items whose volumes were deleted. */
  readonly volumesDeleted = new Set<string>();
  /** Every activation, in order. */
  readonly activations: RecordedActivation[] = [];
  readonly #items = new Map<string, PlacedItem>();

  place(item: ItemName): PlacedItem {
    const placed = this.#items.get(keyOf(item)) ?? { preparing: undefined };
    this.#items.set(keyOf(item), placed);
    return placed;
  }

  activate({ item, variables }: DriverItem, manifests: readonly KubeObject[], time: Date): void {
    const isServing = this.servingDigest(item) === item.digest;
    this.place(item).active = {
      item,
      manifests: [...manifests],
      variables,
      activatedAt: time.getTime(),
      isProven: isServing,
      ...(isServing ? { healthySince: time.getTime() } : {}),
    };
    const { id, uid, release, digest } = item;
    this.activations.push({ id, uid, release, digest, version: versionOf(manifests), time });
  }

  /** The same release with another epoch or other values. */
  renew({ item, variables }: DriverItem, manifests: readonly KubeObject[]): void {
    const placed = this.place(item);
    if (placed.active) placed.active = { ...placed.active, item, manifests: [...manifests], variables };
  }

  /** The active release serves, and nothing else. */
  serve(name: ItemName): void {
    const { active } = this.place(name);
    if (!active) return;
    const { item, manifests, variables } = active;
    this.running.set(keyOf(name), { item, manifests, variables });
  }

  servingDigest(item: ItemName): string | undefined {
    return this.running.get(keyOf(item))?.item.digest;
  }

  remove(item: ItemName, mode: RemovalMode): void {
    const key = keyOf(item);
    const running = this.running.get(key);
    if (mode === 'Orphan' && running) this.orphaned.set(key, running);
    if (mode === 'DeleteVolumes') this.volumesDeleted.add(key);
    this.running.delete(key);
    this.#items.delete(key);
  }
}

export function versionOf(manifests: readonly KubeObject[]): string {
  const data = manifests[0]?.['data'] as { version?: string } | undefined;
  return data?.version ?? '';
}

function keyOf({ id, uid }: ItemName): string {
  return `${id} ${uid}`;
}
