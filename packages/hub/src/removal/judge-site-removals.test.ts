import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { HeldRemoval, Site } from '@selvedge/api';
import * as fc from 'fast-check';
import { defaultRemovalLimits } from './judge-removal.ts';
import { judgeSiteRemovals } from './judge-site-removals.ts';
import { removalFinalizer } from './removal-finalizer.ts';

const digest = `sha256:${'a'.repeat(64)}`;
const heldRemoval: HeldRemoval = {
  digest,
  reason: 'TooMany',
  message: 'many Sites were deleted',
  sites: 9,
  of: 10,
  names: [],
  volumes: false,
  sinceTime: '2026-11-22T00:00:00Z',
};

function siteOf(n: number, state: 'there' | 'deleted' | 'approved'): Site {
  const site: Site = {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Site',
    metadata: {
      name: `shop-${n}`,
      uid: `uid-${n}`,
      finalizers: [removalFinalizer],
      ...(state === 'there' ? {} : { deletionTimestamp: '2026-11-22T00:00:00Z' }),
    },
  };
  if (state !== 'approved') return site;
  return { ...site, spec: { removal: { approved: { digest } } }, status: { heldRemoval } };
}

const fleet = (there: number, deleted: number, approved = 0) => [
  ...Array.from({ length: there }, (_, n) => siteOf(n, 'there')),
  ...Array.from({ length: deleted }, (_, n) => siteOf(1000 + n, 'deleted')),
  ...Array.from({ length: approved }, (_, n) => siteOf(2000 + n, 'approved')),
];
const judge = (sites: Site[], recent: string[] = []) =>
  judgeSiteRemovals({ sites, recent: new Set(recent), limits: defaultRemovalLimits });

describe('the guard of the fleet', () => {
  it('lets a few Sites go, and holds all of many', () => {
    assert.equal(judge(fleet(10, 3)).go.length, 3);
    const { go, held, message } = judge(fleet(10, 4));
    assert.deepEqual([go.length, held.length], [0, 4]);
    assert.match(message, /4 of 14 sites were deleted: the guard lets 3 sites go within an hour/);
  });

  it('counts those that left within the hour', () => {
    assert.equal(judge(fleet(10, 2), ['x']).go.length, 2);
    assert.equal(judge(fleet(10, 2), ['x', 'y']).held.length, 2);
  });

  it('lets those go that were approved, and only them', () => {
    const { go, held } = judge(fleet(10, 4, 2));
    assert.deepEqual(
      go.map(({ metadata }) => metadata.name),
      ['shop-2000', 'shop-2001'],
    );
    assert.equal(held.length, 4);
  });

  it('takes consent to another set for none, and consent that came before anybody was asked', () => {
    const [site] = fleet(0, 0, 1);
    assert.ok(site);
    const other = {
      ...site,
      status: { heldRemoval: { ...heldRemoval, digest: `sha256:${'b'.repeat(64)}` } },
    };
    const early = { ...site, status: {} };
    assert.equal(judge([...fleet(0, 5), other, early]).held.length, 7);
  });

  it('goes on with those that it had let go when the hub ended, and counts none of them twice', () => {
    const letGo = ['uid-1000', 'uid-1001', 'uid-1002'];
    assert.equal(judge(fleet(10, 3), letGo).go.length, 3);
    assert.equal(judge(fleet(10, 1), letGo).go.length, 1);
    assert.equal(judge(fleet(10, 4), letGo).held.length, 4);
  });

  it('takes what it remembers for no consent', () => {
    const remembered = Array.from({ length: 60 }, (_, n) => `uid-${1000 + n}`);
    assert.equal(judge(fleet(10, 60), remembered).held.length, 60);
  });

  it('lets no more unapproved Sites go than the limits say, whatever comes first', () => {
    const number = fc.integer({ min: 0, max: 60 });
    fc.assert(
      fc.property(fc.tuple(number, number, number, number), ([there, deleted, approved, gone]) => {
        const recent = Array.from({ length: gone }, (_, n) => `gone-${n}`);
        const { go, held } = judge(fleet(there, deleted, approved), recent);
        assert.equal(go.length + held.length, deleted + approved);
        const unapproved = go.length - approved;
        assert.ok(unapproved === 0 || unapproved === deleted);
        const allowed = Math.max(3, Math.floor((there + deleted + approved + gone) / 10));
        if (unapproved > 0) assert.ok(unapproved + approved + gone <= allowed);
      }),
    );
  });
});
