import {
  type Clock,
  type KubeObject,
  type Logger,
  type ObjectClient,
  type ObjectList,
  type Secret,
  secrets,
  type WatchEvent,
} from '@selvedge/api';
import { createInformer, type Informer } from '@selvedge/kube';
import { secretVersion, type SealedVersion } from './sealed-versions.ts';

/** A Secret without its values. */
export interface SecretVersionObject extends KubeObject {
  /** `SealedName.version`. */
  readonly version: string;
}

/** Every Secret, each read once when it changes; only its version stays in memory. */
export function createSecretVersionsInformer(options: {
  client: ObjectClient;
  clock: Clock;
  logger: Logger;
  sealedVersion: SealedVersion;
}): Informer<SecretVersionObject> {
  const { client, sealedVersion, clock, logger } = options;
  const toVersion = (secret: Secret): SecretVersionObject => {
    const { name, namespace = '', uid, resourceVersion } = secret.metadata;
    return {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: {
        name,
        namespace,
        ...(uid === undefined ? {} : { uid }),
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
      },
      version: secretVersion(secret, sealedVersion),
    };
  };
  // What the informer is given to keep is what it asked for: Secrets, projected.
  const projecting: Pick<ObjectClient, 'list' | 'watch'> = {
    list: async <T extends KubeObject>(
      ...asked: Parameters<ObjectClient['list']>
    ): Promise<ObjectList<T>> => {
      const list = await client.list<Secret>(...asked);
      return { ...list, items: list.items.map(toVersion) as KubeObject[] as T[] };
    },
    watch: <T extends KubeObject>(
      ...asked: Parameters<ObjectClient['watch']>
    ): AsyncIterable<WatchEvent<T>> =>
      versionEvents(client.watch<Secret>(...asked), toVersion) as AsyncIterable<WatchEvent<T>>,
  };
  return createInformer<SecretVersionObject>({ client: projecting, resource: secrets, clock, logger });
}

async function* versionEvents(
  events: AsyncIterable<WatchEvent<Secret>>,
  toVersion: (secret: Secret) => SecretVersionObject,
): AsyncIterable<WatchEvent> {
  for await (const event of events) {
    yield event.type === 'BOOKMARK' ? event : { type: event.type, object: toVersion(event.object) };
  }
}
