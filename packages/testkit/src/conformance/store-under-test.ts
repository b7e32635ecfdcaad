import type { TestContext } from 'node:test';
import type { KeyRing, Store } from '@selvedge/store';

/** Of the database under test: two resources, of which the second is sealed when the store has keys. */
export const plainResource = 'plain.example';
export const sensitiveResource = 'things.example';

export interface OpenOptions {
  /** In place of the keys that the database is opened with otherwise. */
  readonly keys?: KeyRing;
}

/** One database, empty at first, that can be opened again after it was closed. Its store uses the machine's clock. */
export interface TestDatabase {
  open(options?: OpenOptions): Promise<Store>;
  /** Removes the database; it is closed by then. */
  remove(): Promise<void>;
}

export type CreateTestDatabase = () => Promise<TestDatabase>;

/** An empty database for one test; afterwards it is closed, however the test ended, and removed. */
export async function databaseForTest(
  t: TestContext,
  createDatabase: CreateTestDatabase,
): Promise<Pick<TestDatabase, 'open'>> {
  const database = await createDatabase();
  const opened: Store[] = [];
  t.after(async () => {
    for (const store of opened) await store.close();
    await database.remove();
  });
  return {
    open: async (options) => {
      const store = await database.open(options);
      opened.push(store);
      return store;
    },
  };
}

export async function openForTest(t: TestContext, createDatabase: CreateTestDatabase): Promise<Store> {
  const database = await databaseForTest(t, createDatabase);
  return database.open();
}
