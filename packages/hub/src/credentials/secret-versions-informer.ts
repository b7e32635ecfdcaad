import {
  type Clock,
  type KubeObject,
  type Logger,
  type ObjectClient,
  type Secret,
  secrets,
} from '@selvedge/api';
import type { Informer } from '@selvedge/kube';
import { createProjectingInformer } from '../informers/projecting-informer.ts';
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
  return createProjectingInformer<Secret, SecretVersionObject>(
    { client, resource: secrets, clock, logger },
    (secret) => {
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
    },
  );
}
