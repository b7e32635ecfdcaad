import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { createLogger, systemClock } from '@selvedge/api/node';
import { openSqliteStore, type SqliteStoreOptions, type Store } from '../index.ts';

/** A folder that goes away after the test. */
export function folderForTest(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'selvedge-store-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export function openTestStore(path: string, options: Partial<SqliteStoreOptions> = {}): Promise<Store> {
  return openSqliteStore({ path, clock: systemClock, logger: createLogger({ level: 'silent' }), ...options });
}

/** As `openTestStore`; closed after the test, however that ends. */
export async function openStoreForTest(
  t: TestContext,
  path: string,
  options: Partial<SqliteStoreOptions> = {},
): Promise<Store> {
  const store = await openTestStore(path, options);
  t.after(() => store.close());
  return store;
}
