import { type KubeObject, notFound, type ObjectName } from '@selvedge/api';
import { decode, keyOf } from './object-codec.ts';
import type { Registry } from './registry.ts';
import type { Resource } from './resource-catalog.ts';

export async function getObject(
  registry: Registry,
  resource: Resource,
  name: ObjectName,
): Promise<KubeObject> {
  const object = await findObject(registry, resource, name);
  if (!object) throw notFound(resource.ref, name.name);
  return object;
}

export async function findObject(
  registry: Registry,
  resource: Resource,
  { namespace, name }: ObjectName,
): Promise<KubeObject | undefined> {
  if (resource.source) return resource.source.find(namespace ?? '', name);
  const stored = await registry.store.find(keyOf(resource, namespace, name));
  if (!stored) return undefined;
  const [object] = await resource.decorate([decode(stored)]);
  return object;
}
