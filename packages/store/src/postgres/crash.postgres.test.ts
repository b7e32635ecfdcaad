import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { crashKeys, crashRounds, sensitiveResource } from '@selvedge/testkit';
import { bundleProgram } from '../testing/bundle-program.ts';
import { needsPostgres, openTestPostgresStore, PostgresForTests } from '../testing/postgres-databases.ts';

/** In CI some; more with `SELVEDGE_CRASH_ROUNDS=1000 node --test packages/store/src/postgres/crash.postgres.test.ts`. */
const rounds = Number(process.env['SELVEDGE_CRASH_ROUNDS'] ?? 10);

describe('a hub on PostgreSQL', needsPostgres, () => {
  const postgres = new PostgresForTests({ isDurable: true });

  test(`that is killed at any instant, ${rounds} times over, has everything that it acknowledged`, async (t) => {
    const { url } = await postgres.database(t);
    const folder = mkdtempSync(join(tmpdir(), 'selvedge-pg-crash-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const file = await bundleProgram('postgres-crash-writer.ts', folder);
    const sensitiveResources = new Set([sensitiveResource]);
    const acknowledged = await crashRounds({
      rounds,
      writer: { file, args: [url] },
      longestMilliseconds: 2000,
      open: () => openTestPostgresStore(url, { keys: crashKeys(1), sensitiveResources }),
    });
    t.diagnostic(`${rounds} kills, ${acknowledged} writes acknowledged`);
    assert.ok(acknowledged > rounds, `only ${acknowledged} writes were acknowledged`);
  });
});
