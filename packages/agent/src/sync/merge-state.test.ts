import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  defaultItemTerms,
  defaultSitePolicy,
  type DesiredItem,
  type DesiredState,
  type SignedStateHeader,
  type Tombstone,
} from '@selvedge/api';
import { stateDigest } from '@selvedge/api/node';
import fc from 'fast-check';
import { mergeState } from './merge-state.ts';

type Change =
  | { kind: 'assign'; name: number; uid: number; digest: number }
  | { kind: 'remove'; name: number; uid: number }
  | { kind: 'variables'; value: number };

const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({
    kind: fc.constant('assign' as const),
    name: fc.nat(4),
    uid: fc.nat(1),
    digest: fc.nat(3),
  }),
  fc.record({ kind: fc.constant('remove' as const), name: fc.nat(4), uid: fc.nat(1) }),
  fc.record({ kind: fc.constant('variables' as const), value: fc.nat(9) }),
);

const first: DesiredState = {
  hubId: 'hub',
  site: 'shop',
  siteUid: 'uid',
  epoch: 0,
  variables: {},
  policy: defaultSitePolicy,
  items: [],
  tombstones: [],
};

/** What a hub does: every change gets the next epoch. */
function apply(state: DesiredState, one: Change): DesiredState {
  const epoch = state.epoch + 1;
  if (one.kind === 'variables') return { ...state, epoch, variables: { value: one.value } };
  const id = `Application/default/${one.name}`;
  const uid = String(one.uid);
  const isOther = (entry: DesiredItem | Tombstone) => entry.id !== id || entry.uid !== uid;
  const items = state.items.filter(isOther);
  const tombstones = state.tombstones.filter(isOther);
  if (one.kind === 'remove') {
    if (items.length === state.items.length) return state;
    return { ...state, epoch, items, tombstones: [...tombstones, { id, uid, epoch, mode: 'Delete' }] };
  }
  const digest = `sha256:${one.digest}`;
  const item = {
    id,
    uid,
    epoch,
    release: `r${one.digest}`,
    digest,
    deadlineSeconds: 60,
    terms: defaultItemTerms,
  };
  return { ...state, epoch, items: [...items, item], tombstones };
}

function headerOf(state: DesiredState): SignedStateHeader {
  const { hubId, site, siteUid, epoch } = state;
  return { hubId, site, siteUid, epoch, stateDigest: stateDigest(state) };
}

describe('merging a desired state', () => {
  test('a difference over what is held gives the very state that the hub signed, whatever happened between', () => {
    fc.assert(
      fc.property(
        fc.array(change, { maxLength: 20 }),
        fc.array(change, { maxLength: 20 }),
        (before, after) => {
          const held = before.reduce(apply, first);
          const target = after.reduce(apply, held);
          const isNew = (entry: { epoch: number }) => entry.epoch > held.epoch;
          const offered = {
            signed: '',
            full: false,
            variables: target.variables,
            policy: target.policy,
            items: target.items.filter(isNew),
            tombstones: target.tombstones.filter(isNew),
          };
          const merged = mergeState(held, offered, headerOf(target));
          assert.equal(stateDigest(merged), stateDigest(target));
        },
      ),
    );
  });

  test('a full state does not depend on what is held', () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 20 }), fc.array(change, { maxLength: 20 }), (one, other) => {
        const held = one.reduce(apply, first);
        const target = other.reduce(apply, first);
        const offered = { signed: '', full: true, ...target };
        const header = headerOf(target);
        assert.deepEqual(mergeState(held, offered, header), mergeState(undefined, offered, header));
        assert.equal(stateDigest(mergeState(held, offered, header)), header.stateDigest);
      }),
    );
  });

  test('no item leaves by a difference without its tombstone', () => {
    fc.assert(
      fc.property(
        fc.array(change, { maxLength: 20 }),
        fc.array(change, { maxLength: 20 }),
        (before, after) => {
          const held = before.reduce(apply, first);
          const target = after.reduce(apply, held);
          const offered = {
            signed: '',
            full: false,
            variables: {},
            policy: target.policy,
            items: [],
            tombstones: target.tombstones,
          };
          const merged = mergeState(held, offered, headerOf(target));
          for (const item of held.items) {
            const isRemoved = target.tombstones.some((one) => one.id === item.id && one.uid === item.uid);
            const isHeld = merged.items.some((one) => one.id === item.id && one.uid === item.uid);
            assert.equal(isHeld, !isRemoved);
          }
        },
      ),
    );
  });
});
