import { type KubeObject, notFound, type ObjectName } from '@selvedge/api';
import type { ResourceCache } from '../watch-cache/resource-cache.ts';
import { keyOf, wireText } from './object-codec.ts';
import { getFreshness, tooLargeRevision } from './read-options.ts';
import type { Registry } from './registry.ts';
import type { Resource } from './resource-catalog.ts';
import { objectOfText } from './wire-text.ts';

export async function getObject(
  registry: Registry,
  resource: Resource,
  target: ObjectName & { readonly resourceVersion?: string | undefined },
): Promise<KubeObject> {
  const freshness = getFreshness(target.resourceVersion);
  if (freshness.kind === 'notOlderThan' && !resource.source) {
    await reachRevision(registry, registry.cache.of(resource), freshness.revision);
  }
  const object = await findObject(registry, resource, target);
  if (!object) throw notFound(resource.ref, target.name);
  return object;
}

/** Always the newest state, straight from the store: finding one object there costs no more than asking how new the cache is. */
export async function findObject(
  registry: Registry,
  resource: Resource,
  { namespace, name }: ObjectName,
): Promise<KubeObject | undefined> {
  if (resource.source) return resource.source.find(namespace ?? '', name);
  const stored = await registry.store.find(keyOf(resource, namespace, name));
  if (!stored) return undefined;
  const object = objectOfText(wireText(resource, stored));
  const [decorated] = await resource.decorate([object]);
  return decorated;
}

const futureWaitMs = 3_000;

/** The client knows of this revision, so it must be there soon. Throws `Timeout` when it is not. */
export async function reachRevision(
  registry: Registry,
  cache: ResourceCache,
  revision: number,
): Promise<void> {
  const current = await registry.store.currentRevision();
  if (revision <= current) return;
  cache.start();
  if (await cache.reach(revision, futureWaitMs)) return;
  throw tooLargeRevision(revision, await registry.store.currentRevision());
}
