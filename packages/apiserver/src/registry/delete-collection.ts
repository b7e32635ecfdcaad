import { isNotFound, type ObjectList } from '@selvedge/api';
import { deleteObject } from './delete.ts';
import { type ListQuery, listObjects } from './list.ts';
import { refuseVirtual } from './refuse-virtual.ts';
import type { Registry } from './registry.ts';
import type { Resource } from './resource-catalog.ts';

/** Deletes what the query selects, one after the other; answers with the list as it was. */
export async function deleteCollection(
  registry: Registry,
  resource: Resource,
  { query, dryRun }: { query: ListQuery; dryRun: boolean },
): Promise<ObjectList> {
  refuseVirtual(resource, 'deletecollection');
  const list = await listObjects(registry, resource, query);
  for (const { metadata } of list.items) {
    const { name, namespace } = metadata;
    // By uid: an object that was made again under this name since was not selected.
    const preconditions = { uid: metadata.uid };
    try {
      await deleteObject(registry, resource, {
        target: { name, ...(namespace ? { namespace } : {}) },
        preconditions,
        dryRun,
      });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
  return list;
}
