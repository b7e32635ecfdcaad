import { after, before, type TestContext } from 'node:test';
import { createLogger, systemClock } from '@selvedge/api/node';
import {
  requireTool,
  startTestPostgres,
  type TestPostgres,
  type TestPostgresDatabase,
  type TestPostgresOptions,
} from '@selvedge/testkit';
import { openPostgresStore, type PostgresStoreOptions, type Store } from '../index.ts';

export const needsPostgres = requireTool('postgres', 'initdb', 'psql');

/** One server for the tests of a file. */
export class PostgresForTests {
  #server: TestPostgres | undefined;
  readonly #emptied: TestPostgresDatabase[] = [];

  constructor(options: TestPostgresOptions = {}) {
    before(async () => {
      if (needsPostgres.skip === false) this.#server = await startTestPostgres(options);
    });
    after(() => this.#server?.remove());
  }

  get server(): TestPostgres {
    if (this.#server === undefined) throw new Error('PostgreSQL is not running');
    return this.#server;
  }

  /** A database that goes away after the test. */
  async database(t: TestContext): Promise<TestPostgresDatabase> {
    const database = await this.server.createDatabase();
    t.after(() => database.drop());
    return database;
  }

  /** A database without anything in it, which may have had a store before: made much faster than a new one. */
  async emptyDatabase(): Promise<TestPostgresDatabase> {
    return this.#emptied.pop() ?? this.server.createDatabase();
  }

  /** Gives a database of `emptyDatabase` back; nobody uses it any more. */
  async giveBack(database: TestPostgresDatabase): Promise<void> {
    await database.sql(emptyEverything);
    this.#emptied.push(database);
  }
}

const emptyEverything = `
  SET search_path = selvedge;
  TRUNCATE setting, commit_log, writer, object_log, object_head, site_state, site_key, delivery, heartbeat,
    rollout_member, blob;
  INSERT INTO setting VALUES ('compacted', '1'), ('deliveries_purged', '1');
  INSERT INTO commit_log VALUES (1, 1, 0, 0);
  UPDATE leader SET hub = '', is_released = true`;

export function openTestPostgresStore(
  url: string,
  options: Partial<PostgresStoreOptions> = {},
): Promise<Store> {
  return openPostgresStore({
    url,
    clock: systemClock,
    logger: createLogger({ level: 'silent' }),
    ...options,
  });
}

/** As `openTestPostgresStore`; closed after the test, however that ends. */
export async function openPostgresStoreForTest(
  t: TestContext,
  url: string,
  options: Partial<PostgresStoreOptions> = {},
): Promise<Store> {
  const store = await openTestPostgresStore(url, options);
  t.after(() => store.close());
  return store;
}
