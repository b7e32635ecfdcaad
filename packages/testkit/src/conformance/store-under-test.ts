import type { TestContext } from 'node:test';
import type { FleetStore, ObjectStore } from '@selvedge/store';

export interface OpenStore {
  readonly objects: ObjectStore;
  readonly fleet: FleetStore;
  /** May be called again. */
  readonly close: () => Promise<void>;
}

/** One database, empty at first, that can be opened again after it was closed. */
export interface TestDatabase {
  open(): Promise<OpenStore>;
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
  const opened: OpenStore[] = [];
  t.after(async () => {
    for (const store of opened) await store.close();
    await database.remove();
  });
  return {
    open: async () => {
      const store = await database.open();
      opened.push(store);
      return store;
    },
  };
}

export async function openForTest(t: TestContext, createDatabase: CreateTestDatabase): Promise<OpenStore> {
  const database = await databaseForTest(t, createDatabase);
  return database.open();
}
