import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger, systemClock } from '@selvedge/api/node';
import {
  fleetStoreConformance,
  objectStoreConformance,
  sensitiveResource,
  storeConformance,
  type TestDatabase,
} from '@selvedge/testkit';
import { openSqliteStore } from '../open-sqlite-store.ts';

async function createDatabase(key?: Uint8Array): Promise<TestDatabase> {
  const folder = await mkdtemp(join(tmpdir(), 'selvedge-store-'));
  return {
    open: (options) =>
      openSqliteStore({
        path: join(folder, 'store.db'),
        clock: systemClock,
        logger: createLogger({ level: 'silent' }),
        ...(key ? { keys: { active: key, others: [] } } : {}),
        ...options,
        sensitiveResources: new Set([sensitiveResource]),
      }),
    remove: () => rm(folder, { recursive: true }),
  };
}

const encrypted = () => createDatabase(new Uint8Array(32).fill(7));

objectStoreConformance('SQLite', () => createDatabase());
objectStoreConformance('encrypted SQLite', encrypted);
fleetStoreConformance('SQLite', () => createDatabase());
fleetStoreConformance('encrypted SQLite', encrypted);
storeConformance('encrypted SQLite', encrypted);
