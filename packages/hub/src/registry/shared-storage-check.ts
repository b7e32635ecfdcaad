import { randomUUID } from 'node:crypto';
import {
  type ConfigMap,
  configMaps,
  isAlreadyExists,
  type Namespace,
  namespaces,
  type ObjectClient,
} from '@selvedge/api';
import { DistributionError } from './distribution-error.ts';
import type { BlobStorage } from './storage/blob-storage.ts';

/** Where hubs keep what they know of their registry. */
export const registryNamespace = 'kube-system';
const namespace = registryNamespace;
const name = { namespace, name: 'selvedge-registry-storage' };
const markerKey = 'storage-id';

/**
 * Hubs on one database must have one storage: what is pushed to one would be missing at the others. The storage has an id in it, the database says which
 * one counts; whoever comes first writes it. Throws DistributionError.
 */
export async function checkSharedStorage(storage: BlobStorage, client: ObjectClient): Promise<void> {
  const found = (await storage.read(markerKey))?.toString('utf8').trim();
  const wanted = await findWanted(client);
  if (wanted !== undefined) {
    if (found === wanted) return;
    throw new DistributionError(
      'UNAVAILABLE',
      `${storage.name} is not where the other hubs on this database keep the content of their registry: give all hubs the same --registry-storage. If it was moved on purpose, delete the ConfigMap ${namespace}/${name.name}`,
    );
  }
  const id = found ?? randomUUID();
  if (found === undefined) await storage.put(markerKey, Buffer.from(id));
  await ensureNamespace(client);
  const object: ConfigMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { ...name }, data: { id } };
  try {
    await client.create(configMaps, object);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    // Another hub was first: is it the same storage?
    await checkSharedStorage(storage, client);
  }
}

async function findWanted(client: ObjectClient): Promise<string | undefined> {
  return (await client.find<ConfigMap>(configMaps, name))?.data?.['id'];
}

export async function ensureNamespace(client: Pick<ObjectClient, 'find' | 'create'>): Promise<void> {
  if (await client.find(namespaces, { name: namespace })) return;
  const object: Namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } };
  try {
    await client.create(namespaces, object);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
}
