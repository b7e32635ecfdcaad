import { isNotFound, type ObjectClient, type ObjectName, type ResourceRef } from '@selvedge/api';

/** Deletes an object that may be gone already. */
export async function deleteIfPresent(
  client: ObjectClient,
  resource: ResourceRef,
  { name, namespace }: ObjectName,
): Promise<void> {
  try {
    await client.delete(resource, namespace === undefined ? { name } : { namespace, name });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}
