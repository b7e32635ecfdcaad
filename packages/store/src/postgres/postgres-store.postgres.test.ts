import { describe } from 'node:test';
import {
  fleetStoreConformance,
  objectStoreConformance,
  sensitiveResource,
  storeConformance,
  type TestDatabase,
} from '@selvedge/testkit';
import { needsPostgres, openTestPostgresStore, PostgresForTests } from '../testing/postgres-databases.ts';

describe('a store on PostgreSQL', needsPostgres, () => {
  const postgres = new PostgresForTests();
  const keys = { active: new Uint8Array(32).fill(7), others: [] };

  async function createDatabase(): Promise<TestDatabase> {
    const database = await postgres.emptyDatabase();
    return {
      open: (options) =>
        openTestPostgresStore(database.url, {
          keys: options?.keys ?? keys,
          sensitiveResources: new Set([sensitiveResource]),
        }),
      remove: () => postgres.giveBack(database),
    };
  }

  objectStoreConformance('PostgreSQL', createDatabase);
  fleetStoreConformance('PostgreSQL', createDatabase);
  storeConformance('PostgreSQL', createDatabase);
});
