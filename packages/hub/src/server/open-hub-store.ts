import { X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock, Logger } from '@selvedge/api';
import { type KeyRing, openPostgresStore, openSqliteStore, type Store } from '@selvedge/store';
import type { HubIdentity } from '../identity/hub-identity.ts';
import { sensitiveResources } from '../resources/index.ts';
import { HubOptionError } from './hub-option-error.ts';
import type { StoreOptions } from './store-options.ts';

interface OpenOptions {
  readonly dataDirectory: string;
  readonly store: StoreOptions;
  readonly clock: Clock;
  readonly logger: Logger;
}

type Identity = Pick<HubIdentity, 'hubId' | 'caCertificate' | 'storeKeys'>;

/** The store that the options name: PostgreSQL, or `store.db` in the data directory. */
export async function openHubStore(options: OpenOptions & { readonly identity: Identity }): Promise<Store> {
  const { dataDirectory, identity, store } = options;
  const path = join(dataDirectory, 'store.db');
  if (store.url !== undefined && existsSync(path)) {
    throw new HubOptionError(
      `--store names a PostgreSQL database, but ${path} holds the data of this hub: move it there first (selvedge hub backup, then selvedge hub restore with --store into a new data directory)`,
    );
  }
  const { hubId, caCertificate } = identity;
  const caFingerprint = new X509Certificate(caCertificate).fingerprint256;
  return open({ ...options, keys: identity.storeKeys }, { hubId, caFingerprint });
}

/** As `openHubStore`, before there is a hub: for a restore. */
export function openStoreWithKeys(options: OpenOptions & { readonly keys: KeyRing }): Promise<Store> {
  return open(options);
}

function open(
  { dataDirectory, store, keys, clock, logger }: OpenOptions & { readonly keys: KeyRing },
  identity?: { hubId: string; caFingerprint: string },
): Promise<Store> {
  const common = { keys, sensitiveResources, clock, logger };
  if (store.url === undefined) return openSqliteStore({ path: join(dataDirectory, 'store.db'), ...common });
  return openPostgresStore({
    url: store.url,
    ...(store.passwordFile === undefined ? {} : { passwordFile: store.passwordFile }),
    ...(identity === undefined ? {} : { identity }),
    ...common,
  });
}
