import { after, before, describe } from 'node:test';
import { createLogger, systemClock } from '@selvedge/api/node';
import { openPostgresStore } from '@selvedge/store';
import { requireTool, startTestPostgres, type TestPostgres } from '@selvedge/testkit';
import { startTestServer } from '../testing/test-server.ts';
import { watchConsistency } from '../testing/watch-consistency.ts';

describe('the watch cache over PostgreSQL', requireTool('postgres', 'initdb', 'psql'), () => {
  let postgres: TestPostgres | undefined;
  before(async () => {
    postgres = await startTestPostgres();
  });
  after(() => postgres?.remove());

  watchConsistency('PostgreSQL', {
    runs: 2,
    start: async () => {
      if (!postgres) throw new Error('PostgreSQL is not running');
      const { url } = await postgres.createDatabase();
      const logger = createLogger({ level: 'silent' });
      const openStore = () =>
        openPostgresStore({ url, clock: systemClock, logger, progressIntervalMilliseconds: 50 });
      return startTestServer({ openStore });
    },
  });
});
