import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { defaultItemTerms, defaultSitePolicy, type DesiredState } from '@selvedge/api';
import { stateDigest } from '@selvedge/api/node';
import type { DeliveryRow, SiteState } from '@selvedge/store';
import fc from 'fast-check';
import { buildDesiredState, changesSince, chooseOffer } from './desired-state.ts';

function row(over: Partial<DeliveryRow>): DeliveryRow {
  return {
    site: 's',
    namespace: 'shop',
    application: 'till',
    applicationUid: 'u1',
    phase: 'Wanted',
    release: 'till-1',
    digest: `sha256:${'1'.repeat(64)}`,
    epoch: 1,
    assignedAt: '2026-01-01T00:00:00.000Z',
    deadlineSeconds: 600,
    terms: defaultItemTerms,
    removal: 'Delete',
    rollout: '',
    wave: '',
    revision: 1,
    createRevision: 1,
    deleted: false,
    ...over,
  };
}

const siteState = (epoch: number, rows: DeliveryRow[]): SiteState => ({
  site: 's',
  epoch,
  variables: { a: 1 },
  policy: defaultSitePolicy,
  rows,
});

describe('desired state', () => {
  test('Wanted rows are items; Removing and Removed rows are tombstones', () => {
    const state = buildDesiredState(
      'hub',
      'uid',
      siteState(3, [
        row({ application: 'b', epoch: 3 }),
        row({ application: 'a', phase: 'Removing', release: '', epoch: 2 }),
        row({ application: 'a', applicationUid: 'u0', phase: 'Removed', release: '', epoch: 1 }),
      ]),
    );
    assert.deepEqual(
      state.items.map((i) => i.id),
      ['Application/shop/b'],
    );
    assert.deepEqual(state.tombstones, [
      { id: 'Application/shop/a', uid: 'u0', epoch: 1, mode: 'Delete' },
      { id: 'Application/shop/a', uid: 'u1', epoch: 2, mode: 'Delete' },
    ]);
    assert.equal(state.epoch, 3);
  });

  test('the order of the rows does not matter', () => {
    const rows = [row({ application: 'b' }), row({ application: 'a' }), row({ applicationUid: 'u2' })];
    const digest = (r: DeliveryRow[]) => stateDigest(buildDesiredState('hub', 'uid', siteState(1, r)));
    assert.equal(digest(rows), digest(rows.toReversed()));
  });

  test('a difference, laid over the state that it was made for, gives the present state', () => {
    const phases = fc.constantFrom('Wanted' as const, 'Removing' as const, 'Removed' as const);
    const change = fc.record({ application: fc.constantFrom('a', 'b', 'c'), phase: phases });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 12 }), fc.nat(12), (changes, at) => {
        const history = [buildDesiredState('hub', 'uid', siteState(0, []))];
        const rows = new Map<string, DeliveryRow>();
        for (const [i, { application, phase }] of changes.entries()) {
          rows.set(application, row({ application, phase, epoch: i + 1, release: `r${i}` }));
          history.push(buildDesiredState('hub', 'uid', siteState(i + 1, [...rows.values()])));
        }
        const present = history.at(-1) as DesiredState;
        const held = history[Math.min(at, history.length - 1)] as DesiredState;
        const { items, tombstones } = changesSince(present, held.epoch);
        const gone = new Set([...items, ...tombstones].map((i) => `${i.id} ${i.uid}`));
        const kept = <T extends { id: string; uid: string }>(list: T[]) =>
          list.filter((i) => !gone.has(`${i.id} ${i.uid}`));
        const merged = {
          ...present,
          items: [...kept(held.items), ...items],
          tombstones: [...kept(held.tombstones), ...tombstones],
        };
        assert.equal(stateDigest(merged), stateDigest(present));
      }),
    );
  });
});

describe('what is offered', () => {
  const present = { epoch: 5, stateDigest: 'sha256:p' };

  test('nothing, to who holds the present state or where nothing was ever wanted', () => {
    assert.equal(chooseOffer(present, present), 'Current');
    assert.equal(
      chooseOffer({ epoch: 0, stateDigest: '' }, { epoch: 0, stateDigest: 'sha256:e' }),
      'Current',
    );
  });

  test('a difference to who is behind, everything to who has nothing or asks for it', () => {
    assert.equal(chooseOffer({ epoch: 4, stateDigest: 'sha256:o' }, present), 'Difference');
    assert.equal(chooseOffer({ epoch: 0, stateDigest: '' }, present), 'Full');
    assert.equal(chooseOffer({ epoch: 4, stateDigest: 'sha256:o', full: true }, present), 'Full');
  });

  test('everything to who holds another state of the same epoch', () => {
    assert.equal(chooseOffer({ epoch: 5, stateDigest: 'sha256:o' }, present), 'Full');
  });

  test('nothing to who is ahead, whatever it asks for', () => {
    assert.equal(chooseOffer({ epoch: 6, stateDigest: 'sha256:o', full: true }, present), 'HubBehind');
    assert.equal(chooseOffer({ epoch: 1, stateDigest: 'x' }, { epoch: 0, stateDigest: 'y' }), 'HubBehind');
  });

  test('without haste to who refused this very state', () => {
    const refusal = { reason: 'BadSignature' as const, message: '', epoch: 5 };
    assert.equal(chooseOffer({ epoch: 4, stateDigest: 'sha256:o', refusal }, present), 'Refused');
    assert.equal(
      chooseOffer({ epoch: 4, stateDigest: 'sha256:o', refusal: { ...refusal, epoch: 4 } }, present),
      'Difference',
    );
  });
});
