import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultItemTerms } from '@selvedge/api';
import type { DriverItem } from '../../driver.ts';
import { type ItemRecord, refOf, releaseKey } from './item-record.ts';

const login = (registry: string) => ({ registry, username: 'all', password: 'one' });

function wanted(digest: string, registries: readonly string[]): DriverItem {
  const id = 'Application/shop/till';
  const terms = defaultItemTerms;
  return {
    item: { id, uid: 'u', epoch: 1, release: 'till-1', digest, deadlineSeconds: 600, terms },
    mayFetch: true,
    mayActivate: true,
    siteName: 'shop-1',
    variables: {},
    labels: {},
    nodeGroups: [],
    secrets: new Map(),
    secretVersions: {},
    logins: registries.map(login),
    manifests: async () => [],
  };
}

const fresh: ItemRecord = { id: 'Application/shop/till', uid: 'u', hasSucceeded: false, members: [] };
const running = (active: DriverItem, more: Partial<ItemRecord> = {}): ItemRecord => ({
  ...fresh,
  active: refOf(active, fresh),
  hasSucceeded: true,
  ...more,
});

for (const [change, before, after] of [
  ['comes', [], ['r.example']],
  ['goes', ['r.example'], []],
  ['takes the place of another', ['r.example'], ['s.example']],
] as const) {
  test(`a login that ${change} leaves a release that was healthy as it is`, () => {
    const record = running(wanted('sha256:1', before));
    const ref = refOf(wanted('sha256:1', after), record);
    assert.equal(releaseKey(ref), releaseKey(record.active ?? ref));
    // Also while other values of it are brought into force.
    const succeeded = 'sha256:1 abc';
    const renewed = refOf(wanted('sha256:1', after), { ...record, hasSucceeded: false, succeeded });
    assert.equal(releaseKey(renewed), releaseKey(ref));
  });
}

test('a release that has not been healthy takes a login that comes, and keeps it when it goes', () => {
  const record = { ...running(wanted('sha256:1', [])), hasSucceeded: false };
  const ref = refOf(wanted('sha256:1', ['r.example']), record);
  assert.deepEqual(ref.pulls, ['r.example']);
  const later = refOf(wanted('sha256:1', []), { ...record, active: ref });
  assert.deepEqual(later.pulls, ['r.example']);
});

test('the next release has what there are logins for, and what the one before had', () => {
  const record = running(wanted('sha256:1', ['r.example']));
  assert.deepEqual(refOf(wanted('sha256:2', ['s.example']), record).pulls, ['r.example', 's.example']);
});
