import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@selvedge/api/node';
import { FakeClock } from '@selvedge/testkit';
import { openSqliteStore } from '../index.ts';
import { migrations } from '../sqlite/migrations/index.ts';
import { dumpSql } from './dump-sql.ts';
import { fillStore, fixtureKey, fixtureResources, fixtureSensitiveResources } from './fill-store.ts';
import { observeStore } from './observe-store.ts';

// Run once for each released schema, before the next migration is written: makes fixtures/schema-N.sql, a database as
// this version writes it, and fixtures/schema-N.json, what this version reads in it. Both are committed.
const folder = mkdtempSync(join(tmpdir(), 'selvedge-fixture-'));
const path = join(folder, 'store.db');
const open = () =>
  openSqliteStore({
    path,
    keys: { active: fixtureKey, others: [] },
    sensitiveResources: fixtureSensitiveResources,
    clock: new FakeClock(),
    logger: createLogger({ level: 'silent' }),
  });
const filling = await open();
await fillStore(filling);
await filling.close();
const reading = await open();
const names = { resources: fixtureResources, rolloutUids: ['rollout-uid'], fromRevision: 5 };
const seen = await observeStore(reading, names);
await reading.close();
const target = join(import.meta.dirname, 'fixtures', `schema-${migrations.length}`);
writeFileSync(`${target}.sql`, dumpSql(path));
writeFileSync(`${target}.json`, `${JSON.stringify(seen, undefined, 2)}\n`);
rmSync(folder, { recursive: true });
