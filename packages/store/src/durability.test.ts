import assert from 'node:assert/strict';
import { once } from 'node:events';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '@selvedge/api/node';
import type { ObjectKey, SqliteStore } from './index.ts';
import { startProgram } from './testing/child-program.ts';
import { folderForTest, openStoreForTest } from './testing/open-test-store.ts';

type Fact =
  | { type: 'open' }
  | { type: 'object'; key: ObjectKey; body?: string; revision: number }
  | { type: 'deleting'; key: ObjectKey }
  | { type: 'site'; site: string; digest: string }
  | { type: 'blob'; digest: string };

const rounds = 5;

test('a hub killed at any instant has everything that it acknowledged', async (t) => {
  const path = join(folderForTest(t), 'store.db');
  const facts: Fact[] = [];
  for (let round = 0; round < rounds; round++) {
    facts.push(...(await writeAndKill(t, path, `run${round}`)));
    const store = await openStoreForTest(t, path, {
      key: new Uint8Array(32).fill(1),
      sensitiveResources: new Set(['secrets']),
    });
    await checkAll(store, facts);
    await store.close();
  }
  assert.ok(facts.length > rounds * 10, `only ${facts.length} writes were tried`);
});

async function writeAndKill(t: TestContext, path: string, run: string): Promise<Fact[]> {
  const writer = startProgram('crash-writer.ts', [path, run]);
  t.after(() => writer.kill());
  const facts: Fact[] = [];
  const ended = once(writer.lines, 'close');
  writer.lines.on('line', (line) => {
    if (line.endsWith('}')) facts.push(JSON.parse(line) as Fact);
  });
  await once(writer.lines, 'line');
  await systemClock.sleep(100 + Math.random() * 500);
  await writer.kill();
  await ended;
  return facts;
}

/** Of each thing the last acknowledged state is there, or a later one that was not acknowledged in time. */
async function checkAll({ objects, fleet }: SqliteStore, facts: readonly Fact[]): Promise<void> {
  const lastOfObject = new Map<string, Fact & { type: 'object' }>();
  const deletionAsked = new Set<string>();
  const lastOfSite = new Map<string, string>();
  for (const fact of facts) {
    if (fact.type === 'object') lastOfObject.set(JSON.stringify(fact.key), fact);
    if (fact.type === 'deleting') deletionAsked.add(JSON.stringify(fact.key));
    if (fact.type === 'site') lastOfSite.set(fact.site, fact.digest);
    if (fact.type === 'blob') assert.ok(await fleet.findBlob(fact.digest), `blob ${fact.digest} is lost`);
  }
  for (const { key, body, revision } of lastOfObject.values()) {
    assert.ok(revision <= (await objects.currentRevision()));
    const found = await objects.find(key);
    if (found?.revision === revision) assert.equal(found.body, body);
    else if (found !== undefined) assert.ok(found.revision > revision, `${key.name} went back`);
    else if (body !== undefined) assert.ok(deletionAsked.has(JSON.stringify(key)), `${key.name} is lost`);
  }
  for (const [site, digest] of lastOfSite) {
    const [row] = (await fleet.siteState(site)).rows;
    const number = (text: string | undefined) => Number(text?.split(':')[1]);
    assert.ok(number(row?.digest) >= number(digest), `${site} went back`);
  }
}
