import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DistributionError } from '../distribution-error.ts';
import type { Caller } from './registry-access.ts';
import { registryLimits, RegistryPlaces } from './registry-places.ts';

const user = (name: string): Caller => ({ kind: 'user', user: { name, groups: [] } });
const site = (name: string): Caller => ({ kind: 'site', site: name });

/** Takes places until there is none; how many. */
function takeAll(places: RegistryPlaces, caller: Caller, isRead: boolean): (() => void)[] {
  const taken: (() => void)[] = [];
  for (let left = 1000; left > 0; left -= 1) {
    try {
      taken.push(places.take(caller, { isRead }));
    } catch (error) {
      assert.ok(error instanceof DistributionError);
      assert.equal(error.code, 'TOOMANYREQUESTS');
      return taken;
    }
  }
  return assert.fail('there is no end of places');
}

test('whoever takes what one user, and many users, can get leaves places to readers and to sites', () => {
  const places = new RegistryPlaces();
  assert.equal(takeAll(places, user('eve'), false).length, registryLimits.userWrites);
  assert.equal(takeAll(places, user('eve'), true).length, registryLimits.user - registryLimits.userWrites);
  for (let index = 0; index < 20; index += 1) takeAll(places, user(`helper-${index}`), false);
  assert.throws(() => places.take(user('ann'), { isRead: false }), /too much to do/);
  places.take(user('ann'), { isRead: true });
  for (let index = 0; index < 20; index += 1) takeAll(places, user(`reader-${index}`), true);
  assert.throws(() => places.take(user('bob'), { isRead: true }), /too much to do/);
  assert.equal(takeAll(places, site('berlin'), true).length, registryLimits.all - registryLimits.users);
});

test('a place that is given back is there for the next', () => {
  const places = new RegistryPlaces();
  const [first, ...others] = takeAll(places, user('eve'), false);
  first?.();
  assert.equal(takeAll(places, user('eve'), false).length, 1);
  for (const giveBack of others) giveBack();
  assert.equal(takeAll(places, user('eve'), false).length, others.length);
});

test('one site does not take the places of the others', () => {
  const places = new RegistryPlaces();
  assert.equal(takeAll(places, site('berlin'), true).length, registryLimits.site);
  places.take(site('munich'), { isRead: true });
});
