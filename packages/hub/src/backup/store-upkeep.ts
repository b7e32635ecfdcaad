import { join } from 'node:path';
import type { Clock, Logger } from '@selvedge/api';
import type { Endpoint } from '@selvedge/apiserver';
import type { Store } from '@selvedge/store';
import { backupEndpoints } from './endpoints.ts';
import { StoreKeyRotation } from './rotate-store-key.ts';

/** Backups and key rotation of a running hub; goes on with a rotation that a crash interrupted. */
export function startStoreUpkeep(options: {
  readonly store: Store;
  readonly hubId: string;
  readonly dataDirectory: string;
  readonly clock: Clock;
  readonly logger: Logger;
}): { readonly endpoints: readonly Endpoint[]; close(): Promise<void> } {
  const { store, hubId, dataDirectory, clock, logger } = options;
  const stop = new AbortController();
  const { signal } = stop;
  const rotation = new StoreKeyRotation({ dataDirectory, store, logger, signal });
  const resumed = rotation.resume().catch((error: unknown) => {
    if (!signal.aborted) logger.error('store key rotation not finished', { error, component: 'store-key' });
  });
  const keysDirectory = join(dataDirectory, 'keys');
  return {
    endpoints: backupEndpoints({ store, hubId, keysDirectory, rotation, clock, logger, signal }),
    close: () => {
      stop.abort();
      return resumed;
    },
  };
}
