import { createHash, randomBytes } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import {
  canonicalJson,
  type Clock,
  isNotFound,
  type KubeObject,
  type Logger,
  type ResourceRef,
} from '@selvedge/api';
import type { HttpClient, Informer } from '@selvedge/kube';
import { resourcePath } from '@selvedge/kube';
import type { NodeContainers } from './node-containers.ts';
import type { Node, Pod, Workload } from './workload-objects.ts';
import { isOwnedBy } from './workload-objects.ts';

/** What every simulated controller works with. */
export interface Simulation {
  readonly client: HttpClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Real ones only: it has `pods/binding` and dependents of deleted objects stay. */
  readonly isReal: boolean;
  readonly pods: Informer<Pod>;
  readonly nodes: Informer<Node>;
  readonly replicaSets: Informer<Workload>;
  readonly containers: NodeContainers;
}

/** What the API has now, not what was last heard of. */
export async function listOwned<T extends KubeObject>(
  { client }: Simulation,
  resource: ResourceRef,
  owner: KubeObject,
): Promise<T[]> {
  const { namespace = '' } = owner.metadata;
  const { items } = await client.list<T>(resource, { namespace });
  return items.filter((object) => isOwnedBy(object, owner));
}

/** An object as it was read. */
type KnownObject = readonly [ResourceRef, KubeObject];

/** Writes the fields of status that are not so yet; undefined takes one away. */
export async function patchStatus(
  { client }: Simulation,
  [resource, object]: KnownObject,
  status: Readonly<Record<string, unknown>>,
): Promise<void> {
  const before = (object['status'] ?? {}) as Record<string, unknown>;
  const changed = Object.entries(status).filter(([name, value]) => !isDeepStrictEqual(before[name], value));
  if (changed.length === 0) return;
  const patch = { status: Object.fromEntries(changed.map(([name, value]) => [name, value ?? null])) };
  await unlessGone(client.mergePatch(resource, nameOf(object), patch, { subresource: 'status' }));
}

export async function deleteObject(
  { client }: Simulation,
  [resource, object]: KnownObject,
  options: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  await unlessGone(
    client.request({
      method: 'DELETE',
      path: resourcePath(resource, nameOf(object)),
      body: {
        kind: 'DeleteOptions',
        apiVersion: 'v1',
        preconditions: { uid: object.metadata.uid },
        ...options,
      },
    }),
  );
}

async function unlessGone(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

export function nameOf({ metadata: { name, namespace } }: KubeObject): { name: string; namespace?: string } {
  return namespace === undefined ? { name } : { name, namespace };
}

/** Counts are left out when they are zero, as Go's `omitempty` does. */
export function counts(values: Readonly<Record<string, number>>): Record<string, number | undefined> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, value === 0 ? undefined : value]),
  );
}

/** Like `pod-template-hash`: the same template has the same one. */
export function templateHash(template: unknown): string {
  return createHash('sha256').update(canonicalJson(template)).digest('hex').slice(0, 10);
}

export function randomSuffix(): string {
  return randomBytes(4).toString('hex').slice(0, 5);
}

/** Of `total`; percentages are rounded as `GetScaledValueFromIntOrPercent` does. */
export function scaled(value: number | string, total: number, round: 'up' | 'down'): number {
  if (typeof value === 'number') return value;
  const exact = (Number.parseInt(value, 10) * total) / 100;
  return round === 'up' ? Math.ceil(exact) : Math.floor(exact);
}
