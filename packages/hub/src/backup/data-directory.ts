import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock, Logger } from '@selvedge/api';
import { dumpSqliteFile, type SqliteFile, type StoreVerdict, verifySqliteFile } from '@selvedge/store';
import { type HubIdentity, openHubIdentity } from '../identity/hub-identity.ts';
import { DataDirectoryError } from '../identity/private-file.ts';
import { openHubStore } from '../server/open-hub-store.ts';
import type { StoreOptions } from '../server/store-options.ts';
import { packBackup } from './backup-contents.ts';

/** The data directory of a hub, stopped or running, that is only read. */
export interface DataDirectoryOptions {
  readonly dataDirectory: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A packed backup of the hub whose data directory this is. */
export async function packDataDirectory(options: DataDirectoryOptions): Promise<AsyncIterable<Uint8Array>> {
  const { identity, file } = await openForReading(options);
  return packBackup({
    header: { hubId: identity.hubId, createdAt: options.clock.now().toISOString(), engine: 'sqlite' },
    keysDirectory: join(options.dataDirectory, 'keys'),
    records: dumpSqliteFile(file),
  });
}

/** Checks the store of the hub whose data directory this is; `store` names it when it is not in there. */
export async function verifyDataDirectory(
  options: DataDirectoryOptions & { readonly store?: StoreOptions },
): Promise<StoreVerdict> {
  if (options.store?.url !== undefined) return verifyDatabase({ ...options, store: options.store });
  const { file } = await openForReading(options);
  return verifySqliteFile(file);
}

async function verifyDatabase(
  options: DataDirectoryOptions & { readonly store: StoreOptions },
): Promise<StoreVerdict> {
  requireKeys(options.dataDirectory);
  const identity = await openHubIdentity(options);
  const store = await openHubStore({ ...options, identity });
  try {
    return await store.verify(new AbortController().signal);
  } finally {
    await store.close();
  }
}

function requireKeys(dataDirectory: string): void {
  requireThere(join(dataDirectory, 'keys'));
}

function requireThere(path: string): void {
  if (existsSync(path)) return;
  throw new DataDirectoryError(`${path} is missing: --data must name the data directory of a hub`);
}

async function openForReading(
  options: DataDirectoryOptions,
): Promise<{ identity: HubIdentity; file: SqliteFile }> {
  const path = join(options.dataDirectory, 'store.db');
  requireKeys(options.dataDirectory);
  requireThere(path);
  const identity = await openHubIdentity(options);
  return { identity, file: { path, keys: identity.storeKeys } };
}
