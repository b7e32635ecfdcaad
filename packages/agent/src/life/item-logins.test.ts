import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { SealedName } from '@selvedge/api';
import { makeLogins } from '../credentials/testing/logins-under-test.ts';
import { ItemLogins, loginTrouble } from './item-logins.ts';
import { emptyMemory, type ItemMemory } from './item-memory.ts';

const item = 'Application/shop/till';
const all = { id: 'RegistryCredential/shop/all', version: 'v1' };
const away = { id: 'RegistryCredential/back/away', version: 'v1' };
const inContact = { isInContact: true };
const value = (password: string) => ({ logins: [{ registry: 'r.example', username: 'all', password }] });

function active(digest: string, more: Partial<ItemMemory> = {}): ItemMemory {
  const release = { release: 'till-1', digest, epoch: 1, attempt: 0, deadlineSeconds: 600, isProven: true };
  return { ...emptyMemory, active: release, ...more };
}

async function makeItemLogins(t: TestContext) {
  const parts = await makeLogins(t);
  const logins = new ItemLogins({
    logins: parts.logins,
    monotonicMs: () => parts.clock.now().getTime(),
  });
  const list = (...names: SealedName[]) => {
    parts.listed = names;
  };
  return { ...parts, list, logins };
}

test('a listed login of the namespace that has not arrived is waited for, two minutes of the hub in touch', async (t) => {
  const { logins, list, clock } = await makeItemLogins(t);
  list(all, away);
  assert.deepEqual(logins.awaited(item, { isInContact: false }), []);
  assert.deepEqual(logins.awaited(item, inContact), [all.id]);
  assert.equal(logins.leftMs([all.id]), 120_000);
  await clock.advance(119_000);
  assert.deepEqual(logins.awaited(item, inContact), [all.id]);
  assert.equal(logins.leftMs([all.id]), 1_000);
  assert.equal(logins.leftMs([]), Number.POSITIVE_INFINITY);
  await clock.advance(1_000);
  assert.deepEqual(logins.awaited(item, inContact), []);
  const why = { sinceTime: '2026-01-01T00:00:00Z', troubleOf: () => undefined };
  assert.match(loginTrouble([all.id], why)?.message ?? '', /^RegistryCredential all has not arrived/);
  assert.equal(loginTrouble([], why), undefined);
});

test('what has arrived is not waited for, also when another version of it is listed', async (t) => {
  const { logins, list, keep } = await makeItemLogins(t);
  await keep(all, value('one'));
  list({ ...all, version: 'v2' });
  assert.deepEqual(logins.awaited(item, inContact), []);
});

test('the active release keeps the logins that it was given, until another takes its place', async (t) => {
  const { logins, list, keep, store, find } = await makeItemLogins(t);
  await keep(all, value('one'));
  list(all);
  const given = logins.withGiven(item, active('sha256:1'), emptyMemory);
  assert.deepEqual(given.logins, [all.id]);
  list();
  const kept = logins.withGiven(item, given, given);
  assert.deepEqual(kept.logins, [all.id]);
  assert.deepEqual(logins.needed(kept), [all]);
  store.retain(logins.needed(kept));
  assert.deepEqual(
    logins.of(item, kept).map(({ password }) => password),
    ['one'],
  );
  assert.equal(await find(kept.logins), 'one', 'images are pulled with it as well');
  const next = logins.withGiven(item, { ...kept, ...active('sha256:2') }, kept);
  assert.equal(next.logins, undefined);
  assert.deepEqual(logins.of(item, next), []);
});

test('a login that is listed goes before one that is kept', async (t) => {
  const { logins, list, keep, find } = await makeItemLogins(t);
  await keep(all, value('former'));
  const team = { id: 'RegistryCredential/shop/team', version: 'v1' };
  await keep(team, value('now'));
  list(team);
  const memory = active('sha256:1', { logins: [all.id] });
  assert.deepEqual(
    logins.of(item, memory).map(({ password }) => password),
    ['now'],
  );
  assert.equal(await find(memory.logins), 'now');
});
