import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeObject } from '@selvedge/api';
import type { Depot } from './depot.ts';
import { DepotNeeds, type ItemNeeds } from './depot-needs.ts';
import { createLogger } from '@selvedge/api/node';

const pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'till' },
  spec: { containers: [{ name: 'till', image: 'r.example/till:${site.variables.v}' }] },
} as unknown as KubeObject;
const holder = 'Application/shop/till u';
const till = (v: string) => `r.example/till:${v}`;

function makeNeeds(
  needed: ReadonlyMap<string, readonly string[]> = new Map(),
  kept: Map<string, readonly string[]> = new Map(needed),
) {
  const depot: Pick<Depot, 'needed' | 'setNeeded'> = {
    needed: async () => needed,
    setNeeded: async (name, images) => {
      kept.set(name, images);
    },
  };
  const needs = new DepotNeeds({
    depot: depot as Depot,
    siteName: 'shop-1',
    findContent: () => [pod],
    hasContent: () => true,
    monotonicMs: () => 0,
    logger: createLogger({ level: 'silent' }),
  });
  return async (variables: ItemNeeds['variables'], more: Partial<ItemNeeds> = {}) => {
    const releases = [{ release: 'till-1', digest: 'sha256:1' }];
    const item = { id: 'Application/shop/till', uid: 'u', releases, isSettled: true, labels: {} };
    needs.note([{ ...item, variables, ...more }]);
    await needs.settled();
    return kept.get(holder);
  };
}

test('images by values of before are needed until what runs has those of now', async () => {
  const note = makeNeeds();
  assert.deepEqual(await note({ v: '1' }), [till('1')]);
  assert.deepEqual(await note({ v: '2' }, { isSettled: false }), [till('1'), till('2')]);
  assert.deepEqual(await note({ v: '3' }, { isSettled: false }), [till('1'), till('2'), till('3')]);
  assert.deepEqual(await note({ v: '3' }), [till('3')]);
});

test('after a start what was needed stays so until that is known', async () => {
  const note = makeNeeds(new Map([[holder, [till('1')]]]));
  assert.deepEqual(await note({ v: '2' }, { isSettled: false }), [till('1'), till('2')]);
  assert.deepEqual(await note({ v: '2' }), [till('2')]);
});

test('a value that is taken away takes no image from what runs', async () => {
  const note = makeNeeds();
  assert.deepEqual(await note({ v: '1' }), [till('1')]);
  assert.deepEqual(await note({}), [till('1')]);
});

test('a release to come that the site refuses needs nothing', async () => {
  const note = makeNeeds();
  const next = { release: 'till-2', digest: 'sha256:2' };
  assert.deepEqual(await note({ v: '1' }), [till('1')]);
  assert.deepEqual(await note({}, { releases: [], next }), []);
});

test('what the rack needs is its own matter', async () => {
  const gone = 'Application/shop/gone v';
  const kept = new Map([
    ['rack', ['r.example/debian@sha256:1']],
    [gone, [till('1')]],
  ]);
  await makeNeeds(kept, kept)({ v: '1' });
  assert.deepEqual(kept.get('rack'), ['r.example/debian@sha256:1']);
  assert.deepEqual(kept.get(gone), []);
});
