import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { makeLogins } from './testing/logins-under-test.ts';

const team = { id: 'RegistryCredential/shop/team', version: 'v1' };
const all = { id: 'RegistryCredential/shop/all', version: 'v1' };
const hourMs = 3_600_000;
const signal = new AbortController().signal;

async function openLogins(t: TestContext) {
  const parts = await makeLogins(t);
  parts.listed = [all, team];
  const expiring = (password: string) => ({
    logins: [{ registry: 'r.example', username: 'AWS', password }],
    expiresAt: new Date(parts.clock.now().getTime() + 12 * hourMs).toISOString(),
  });
  const find = (isRefused = false) => parts.find([], isRefused);
  return { ...parts, expiring, find };
}

test('the login that says most about the repository counts, of the namespace alone', async (t) => {
  const { logins, keep } = await openLogins(t);
  await keep(all, { logins: [{ registry: 'r.example', username: 'all', password: 'one' }] });
  await keep(team, { logins: [{ registry: 'r.example/team', username: 'team', password: 'two' }] });
  const find = (namespace: string, repository: string) => logins.find({ namespace, repository, signal });
  assert.equal((await find('shop', 'r.example/team/app'))?.username, 'team');
  assert.equal((await find('shop', 'r.example/teams'))?.username, 'all');
  assert.equal(await find('shop', 'other.example/app'), undefined);
  assert.equal(await find('back', 'r.example/app'), undefined);
});

test('a token past two thirds of its life, or refused, is asked for anew; one that is young is not', async (t) => {
  const { clock, logins, keep, expiring, find } = await openLogins(t);
  await keep(all, expiring('first'));
  let asked = 0;
  logins.onRefresh(async (name) => {
    asked += 1;
    await keep(name, expiring(`fresh ${asked}`));
  });
  await clock.advance(7 * hourMs);
  assert.equal(await find(), 'first');
  await clock.advance(2 * hourMs);
  assert.equal(await find(), 'fresh 1');
  assert.equal(await find(), 'fresh 1');
  assert.equal(await find(true), 'fresh 2');
  assert.equal(asked, 2);
});

test('while the hub is away, the token that is here is given, and nobody waits for long', async (t) => {
  const { clock, logins, keep, expiring, find } = await openLogins(t);
  await keep(all, expiring('first'));
  await clock.advance(9 * hourMs);
  logins.onRefresh(() => Promise.reject(new Error('the hub is away')));
  assert.equal(await find(), 'first');
  logins.onRefresh(() => new Promise(() => undefined));
  const found = find();
  await clock.advance(15_000);
  assert.equal(await found, 'first');
});
