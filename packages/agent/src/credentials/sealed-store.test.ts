import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { SealedEnvelope, SecretValue } from '@selvedge/api';
import { SealingKeys } from '../identity/sealing-keys.ts';
import { AgentDatabase } from '../state/agent-database.ts';
import { listLogger } from '../testing/test-agent.ts';
import { SealedStore } from './sealed-store.ts';
import { SealingHub } from './testing/sealing-hub.ts';

const id = 'Secret/shop/keys';
const one = { id, version: 'v1' };
const two = { id, version: 'v2' };
const three = { id, version: 'v3' };
const value = (pin: string): SecretValue => ({ type: 'Opaque', data: { pin } });
const now = new Date('2026-05-01T10:00:00Z');

interface Place {
  readonly hub: SealingHub;
  readonly keysDir: string;
  readonly database: AgentDatabase;
  open(agentKeyFile?: string): Promise<{ store: SealedStore; keys: SealingKeys }>;
}

async function makePlace(t: TestContext): Promise<Place> {
  const directory = await mkdtemp(join(tmpdir(), 'svg-sealed-'));
  const keysDir = join(directory, 'keys');
  await mkdir(keysDir);
  const database = AgentDatabase.open(directory);
  t.after(async () => {
    database.close();
    await rm(directory, { recursive: true, force: true });
  });
  const hub = new SealingHub();
  return {
    hub,
    keysDir,
    database,
    open: async (agentKeyFile = 'agent.key') => {
      const keys = await SealingKeys.open(keysDir, agentKeyFile);
      const opening = { owner: hub.owner, formerSiteUids: [], keys };
      return { keys, store: await SealedStore.load({ database, logger: listLogger([]), ...opening }) };
    },
  };
}

test('a value is kept as it came, and found again after a restart', async (t) => {
  const place = await makePlace(t);
  const { store, keys } = await place.open();
  const sealingKey = keys.present.publicKey;
  await store.keep(one, await place.hub.seal(one, value('NDcxMQ=='), { sealingKey }), now);
  const again = await place.open();
  assert.equal(again.keys.present.publicKey, sealingKey);
  assert.deepEqual(again.store.find(one), { version: 'v1', value: value('NDcxMQ=='), fetchedAt: now });
  const rows = JSON.stringify(place.database.all('SELECT * FROM sealed'));
  assert.ok(!rows.includes('NDcxMQ=='));
});

const wrong: readonly [string, Partial<SealedEnvelope>][] = [
  ['another hub', { hubId: 'hub-2' }],
  ['another site', { site: 'shop-2' }],
  ['a former life of the site', { siteUid: 'uid-0' }],
  ['another id', { id: 'Secret/shop/other' }],
  ['an older version', { version: 'v0' }],
  ['another key', { key: 'SHA256:none' }],
  ['a ciphertext of something else', { ciphertext: Buffer.from('nothing of this').toString('base64url') }],
];

for (const [what, changes] of wrong) {
  test(`what was made for ${what} is refused, and changes nothing`, async (t) => {
    const place = await makePlace(t);
    const { store, keys } = await place.open();
    const sealingKey = keys.present.publicKey;
    const signed = await place.hub.seal(one, value('YQ=='), { sealingKey, changes });
    await assert.rejects(store.keep(one, signed, now), { name: 'SealedValueRefused' });
    assert.equal(store.find(one), undefined);
    assert.deepEqual(place.database.all('SELECT * FROM sealed'), []);
  });
}

test('an envelope that is right but whose signed fields were exchanged for those of another does not open', async (t) => {
  const place = await makePlace(t);
  const { store, keys } = await place.open();
  // The hub signed it so; the box inside was made for version v1.
  const sealingKey = keys.present.publicKey;
  const signed = await place.hub.seal(one, value('YQ=='), { sealingKey, changes: { version: 'v2' } });
  await assert.rejects(store.keep(two, signed, now), /cannot be opened/);
});

test('what another fleet key signed is refused', async (t) => {
  const place = await makePlace(t);
  const { store, keys } = await place.open();
  const signed = await new SealingHub().seal(one, value('YQ=='), { sealingKey: keys.present.publicKey });
  await assert.rejects(store.keep(one, signed, now), /fleet key/);
});

test('a damaged row is left out at the start, and the rest is there', async (t) => {
  const place = await makePlace(t);
  const { store, keys } = await place.open();
  const sealingKey = keys.present.publicKey;
  await store.keep(one, await place.hub.seal(one, value('YQ=='), { sealingKey }), now);
  await store.keep(two, await place.hub.seal(two, value('Yg=='), { sealingKey }), now);
  place.database.run("UPDATE sealed SET signed = 'x' || signed WHERE version = 'v1'");
  const again = await place.open();
  assert.equal(again.store.find(one), undefined);
  assert.deepEqual(again.store.newest(id)?.value, value('Yg=='));
});

test('of a value that is needed the two newest stay, and every version that something holds', async (t) => {
  const place = await makePlace(t);
  const { store, keys } = await place.open();
  const sealingKey = keys.present.publicKey;
  for (const name of [one, two, three])
    await store.keep(name, await place.hub.seal(name, value('YQ=='), { sealingKey }), now);
  store.retain([one, three]);
  assert.ok(store.find(one) && store.find(two) && store.find(three));
  store.retain([three]);
  assert.equal(store.find(one), undefined);
  assert.ok(store.find(two));
  store.retain([]);
  assert.equal(store.newest(id), undefined);
  assert.equal((await place.open()).store.newest(id), undefined);
});

test('the next enrolment has another key; what is sealed to the one before still opens', async (t) => {
  const place = await makePlace(t);
  const { store, keys } = await place.open();
  await store.keep(
    one,
    await place.hub.seal(one, value('YQ=='), { sealingKey: keys.present.publicKey }),
    now,
  );
  const next = await place.open('agent-2.key');
  assert.notEqual(next.keys.present.publicKey, keys.present.publicKey);
  assert.deepEqual(next.store.find(one)?.value, value('YQ=='));
});

test('an agent that lost its key has another, and what is here does not open any more', async (t) => {
  const place = await makePlace(t);
  const { store, keys } = await place.open();
  await store.keep(
    one,
    await place.hub.seal(one, value('YQ=='), { sealingKey: keys.present.publicKey }),
    now,
  );
  await rm(join(place.keysDir, 'sealing.key'));
  const next = await place.open();
  assert.notEqual(next.keys.present.publicKey, keys.present.publicKey);
  assert.equal(next.store.find(one), undefined);
});

test('a version that is listed again is the newest, also after a restart', async (t) => {
  const place = await makePlace(t);
  const { store, keys } = await place.open();
  const sealingKey = keys.present.publicKey;
  for (const name of [one, two]) {
    await store.keep(name, await place.hub.seal(name, value('NDcxMQ=='), { sealingKey }), now);
  }
  assert.equal(store.newest(id)?.version, 'v2');
  store.renew([one]);
  assert.equal(store.newest(id)?.version, 'v1');
  store.renew([three]);
  assert.equal(store.newest(id)?.version, 'v1', 'what has not arrived is not it');
  assert.equal((await place.open()).store.newest(id)?.version, 'v1');
});
