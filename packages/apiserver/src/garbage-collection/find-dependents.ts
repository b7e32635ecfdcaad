import { setImmediate } from 'node:timers/promises';
import type { KubeObject } from '@selvedge/api';
import type { StoredObject } from '@selvedge/store';
import { decode } from '../registry/object-codec.ts';
import { nextPageSize } from '../registry/page-size.ts';
import type { Registry } from '../registry/registry.ts';
import type { Resource } from '../registry/resource-catalog.ts';
import type { OwnerKinds } from './owner.ts';

/** Each page costs the store a count of what is left, so not too small; and it is read in one go, so not too large. */
const pageLimits = { objects: 2_000, characters: 16 * 1024 * 1024 };

/** Every object of a resource as it is stored now, in pages; other work goes on between them. */
export async function* everyStored(
  registry: Registry,
  resource: Resource,
  namespace?: string,
): AsyncGenerator<StoredObject[], number> {
  let after: { namespace: string; name: string } | undefined;
  let atRevision: number | undefined;
  let limit = nextPageSize(pageLimits);
  for (;;) {
    const page = await registry.store.list({
      resource: resource.name,
      limit,
      ...(namespace === undefined ? {} : { namespace }),
      ...(after ? { after } : {}),
      ...(atRevision === undefined ? {} : { atRevision }),
    });
    yield page.objects;
    atRevision = page.revision;
    after = page.objects.at(-1)?.key;
    if (page.remaining === 0 || !after) return atRevision;
    limit = nextPageSize(pageLimits, page.objects);
    await setImmediate();
  }
}

export interface FoundDependent {
  readonly resource: Resource;
  readonly object: KubeObject;
}

/** Whatever names the owner, read from the store itself: what memory has not heard of yet is there too. */
export async function* findDependents(
  registry: Registry,
  kinds: OwnerKinds,
  owner: { resource: Resource; object: KubeObject },
): AsyncGenerator<FoundDependent> {
  const { namespace, uid = '' } = owner.object.metadata;
  for (const resource of kinds.all) {
    if (owner.resource.ref.namespaced && !resource.ref.namespaced) continue;
    const scope = owner.resource.ref.namespaced ? namespace : undefined;
    for await (const page of everyStored(registry, resource, scope)) {
      for (const stored of page) {
        if (!stored.body.includes(uid)) continue;
        const object = decode(stored);
        if (object.metadata.ownerReferences?.some((reference) => reference.uid === uid))
          yield { resource, object };
      }
    }
  }
}
