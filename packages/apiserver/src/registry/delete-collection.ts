import { isConflict, isNotFound, type KubeObject, type ObjectList } from '@selvedge/api';
import { deleteObject, type DeleteRequest } from './delete.ts';
import { findObject } from './get.ts';
import { type ListQuery, listObjects } from './list.ts';
import { refuseVirtual } from './refuse-virtual.ts';
import type { Registry } from './registry.ts';
import type { Resource } from './resource-catalog.ts';

export interface DeleteCollectionRequest extends Omit<DeleteRequest, 'target'> {
  readonly query: ListQuery;
  /** Asked when the list is there, before anything is deleted; `false`: nothing is. */
  readonly goOn?: () => Promise<boolean>;
}

/** Deletions that are under way at once: they share transactions of the store. */
const atOnce = 50;

/** Deletes what the query selects; answers with the list as it was. */
export async function deleteCollection(
  registry: Registry,
  resource: Resource,
  { query, goOn, ...request }: DeleteCollectionRequest,
): Promise<ObjectList> {
  refuseVirtual(resource, 'deletecollection');
  const list = await listObjects(registry, resource, query);
  if (goOn && !(await goOn())) return list;
  const deleteOne = async ({ metadata }: KubeObject): Promise<void> => {
    const { name, namespace, uid } = metadata;
    const target = { name, ...(namespace ? { namespace } : {}) };
    const asked = request.preconditions;
    // By uid: an object that was made again under this name since was not selected.
    const preconditions = { ...asked, uid: asked?.uid ?? uid };
    try {
      await deleteObject(registry, resource, { ...request, target, preconditions });
    } catch (error) {
      if (isNotFound(error)) return;
      const isAnother =
        isConflict(error) && (await findObject(registry, resource, target))?.metadata.uid !== uid;
      if (!isAnother || asked?.uid) throw error;
    }
  };
  for (let start = 0; start < list.items.length; start += atOnce) {
    await Promise.all(list.items.slice(start, start + atOnce).map(deleteOne));
  }
  return list;
}
