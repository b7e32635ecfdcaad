import { isExpired, isNotFound, isStatusError, type KubeObject } from '@selvedge/api';
import { groupOf } from '../release/apply-phase.ts';
import { type ObjectRef, refKey } from '../release/planned-object.ts';
import type { Cluster } from './cluster.ts';

/** From this many objects of one kind and namespace on they are listed instead of read one by one. */
const listedFrom = 5;
/** A list that is this much longer than what is looked for is broken off; the rest is read one by one. */
const longestSurplus = 400;

/** An object as it was read. */
export interface LiveObject {
  readonly object: KubeObject;
  /** By a list that may be older than what was done since. */
  readonly isListed: boolean;
}

/**
 * Metadata of objects of one release as they are in the cluster. Each object is taken from a list at most once: who asks again wants to
 * know anew.
 */
export class LiveMetadata {
  readonly #cluster: Cluster;
  readonly #signal: AbortSignal;
  readonly #groups = new Map<string, Group>();

  constructor(cluster: Cluster, refs: readonly ObjectRef[], signal: AbortSignal) {
    this.#cluster = cluster;
    this.#signal = signal;
    for (const ref of refs) {
      const key = groupKey(ref);
      const group = this.#groups.get(key) ?? { wanted: new Set(), asked: new Set() };
      group.wanted.add(refKey(ref));
      this.#groups.set(key, group);
    }
  }

  /** Undefined: it is not there. */
  async find(ref: ObjectRef): Promise<LiveObject | undefined> {
    const key = refKey(ref);
    const group = this.#groups.get(groupKey(ref));
    const isListed = group !== undefined && group.wanted.size >= listedFrom && group.wanted.has(key);
    if (isListed && !group.asked.has(key)) {
      group.asked.add(key);
      group.listed ??= this.#list(ref, group.wanted);
      const { objects, isWhole } = await group.listed;
      const object = objects.get(key);
      objects.delete(key);
      if (object !== undefined) return { object, isListed: true };
      if (isWhole) return undefined;
    }
    const object = await this.#cluster.find(ref, { metadata: true, signal: this.#signal });
    return object && { object, isListed: false };
  }

  async #list(ref: ObjectRef, wanted: ReadonlySet<string>): Promise<Listed> {
    const objects = new Map<string, KubeObject>();
    const unknown = { objects, isWhole: false };
    const resource = await this.#cluster.api.findResource(ref.apiVersion, ref.kind);
    if (resource === undefined) return unknown;
    const at = ref.namespace === undefined ? {} : { namespace: ref.namespace };
    let surplus = 0;
    try {
      for await (const object of this.#cluster.list(resource, { ...at, signal: this.#signal })) {
        const key = refKey({ ...ref, name: object.metadata.name });
        if (wanted.has(key)) objects.set(key, object);
        else surplus += 1;
        if (surplus > Math.max(longestSurplus, wanted.size)) return unknown;
      }
      return { objects, isWhole: true };
    } catch (error) {
      // May be read one by one all the same; also when a page of the list came too late.
      const isOfList = isStatusError(error, 'Forbidden') || isStatusError(error, 'MethodNotAllowed');
      if (isOfList || isExpired(error) || isNotFound(error)) return unknown;
      throw error;
    }
  }
}

interface Group {
  readonly wanted: Set<string>;
  readonly asked: Set<string>;
  listed?: Promise<Listed>;
}

interface Listed {
  readonly objects: Map<string, KubeObject>;
  /** What is not among them was not there. */
  readonly isWhole: boolean;
}

function groupKey({ apiVersion, kind, namespace }: ObjectRef): string {
  return `${groupOf(apiVersion)}/${kind}/${namespace ?? ''}`;
}
