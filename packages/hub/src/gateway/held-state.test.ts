import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { defaultItemTerms, type DesiredState } from '@selvedge/api';
import { createLogger, sha256Digest, stateDigest, systemClock } from '@selvedge/api/node';
import { openSqliteStore, type Store } from '@selvedge/store';
import fc from 'fast-check';
import { buildDesiredState } from './desired-state.ts';
import { adoptingState, isForeignState, overridingState } from './held-state.ts';

type Step =
  | { kind: 'assign'; application: string; life: number; content: string }
  | { kind: 'remove'; application: string };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant('assign' as const),
    application: fc.constantFrom('till', 'menu', 'sign'),
    life: fc.integer({ min: 1, max: 2 }),
    content: fc.constantFrom('a', 'b', 'c'),
  }),
  fc.record({ kind: fc.constant('remove' as const), application: fc.constantFrom('till', 'menu', 'sign') }),
);

const siteUid = 'uid-of-the-site';

describe('what a site follows, and what the hub knows', () => {
  let folder = '';
  let store: Store;
  let sites = 0;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'selvedge-held-'));
    const logger = createLogger({ level: 'silent' });
    store = await openSqliteStore({ path: join(folder, 'store.db'), clock: systemClock, logger });
  });
  after(async () => {
    await store.close();
    rmSync(folder, { recursive: true });
  });

  const newSite = () => `site-${(sites += 1)}`;
  const stateOf = async (site: string, as = site): Promise<DesiredState> => ({
    ...buildDesiredState('hub', siteUid, await store.fleet.siteState(site)),
    site: as,
  });
  /** Takes the steps, and returns the state after each of them. */
  async function live(site: string, steps: readonly Step[]): Promise<DesiredState[]> {
    const states: DesiredState[] = [];
    for (const taken of steps) {
      const { application } = taken;
      const name = { site, namespace: 'shop', application };
      if (taken.kind === 'remove') await store.fleet.remove([{ ...name, mode: 'Delete' }]);
      else {
        const digest = sha256Digest(taken.content);
        await store.fleet.assign([
          {
            ...name,
            applicationUid: `${application}-${taken.life}`,
            release: `${application}-${digest.slice(7, 17)}`,
            digest,
            deadlineSeconds: 60,
            terms: defaultItemTerms,
            rollout: '',
            wave: '',
          },
        ]);
      }
      states.push(await stateOf(site));
    }
    return states;
  }

  test('no earlier state of the hub itself is ever taken for a foreign one', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
        const site = newSite();
        const states = await live(site, steps);
        const present = await store.fleet.siteState(site);
        for (const state of states.filter(({ epoch }) => epoch > 0)) {
          assert.equal(isForeignState(state, present), false);
        }
      }),
      { numRuns: 40 },
    );
  });

  test('a state from after a backup is foreign to the hub that was restored, unless all that differs was set anew', async () => {
    const scenario = fc.record({
      shared: fc.array(step, { maxLength: 5 }),
      lost: fc.array(step, { minLength: 1, maxLength: 5 }),
      since: fc.array(step, { maxLength: 8 }),
    });
    await fc.assert(
      fc.asyncProperty(scenario, async ({ shared, lost, since }) => {
        const [former, restored] = [newSite(), newSite()];
        await live(former, shared);
        await live(restored, shared);
        const fork = await stateOf(restored);
        const [last = fork] = (await live(former, lost)).toReversed();
        if (last.epoch === fork.epoch) return;
        await live(restored, since);
        const present = await store.fleet.siteState(restored);
        const held = { ...last, site: restored };
        if (isForeignState(held, present)) return;
        // Not found out: then nothing that the site follows beyond the backup is left as it was.
        const rows = new Map(present.rows.map((row) => [row.applicationUid, row]));
        for (const order of [...held.items, ...held.tombstones].filter((o) => o.epoch > fork.epoch)) {
          const row = rows.get(order.uid);
          assert.ok(row !== undefined && row.epoch >= order.epoch);
        }
      }),
      { numRuns: 60 },
    );
  });

  test('what is adopted is the very state, digest and all; by a hub that counted on, the same items', async () => {
    const scenario = fc.record({
      lost: fc.array(step, { minLength: 1, maxLength: 8 }),
      since: fc.array(step, { maxLength: 8 }),
    });
    await fc.assert(
      fc.asyncProperty(scenario, async ({ lost, since }) => {
        const [former, restored] = [newSite(), newSite()];
        const [last] = (await live(former, lost)).toReversed();
        if (last === undefined || last.epoch === 0) return;
        await live(restored, since);
        const before = await store.fleet.siteState(restored);
        const held = { ...last, site: restored };
        await store.fleet.adoptSiteState(restored, adoptingState(held, before.epoch));
        const adopted = await stateOf(restored);
        assert.deepEqual([adopted.items, adopted.tombstones], [held.items, held.tombstones]);
        if (before.epoch < held.epoch) assert.equal(stateDigest(adopted), stateDigest(held));
        else assert.equal(adopted.epoch, before.epoch + 1);
      }),
      { numRuns: 40 },
    );
  });

  test('an override leaves no item of the site without an order, and every order is news to it', async () => {
    const scenario = fc.record({
      lost: fc.array(step, { minLength: 1, maxLength: 8 }),
      since: fc.array(step, { maxLength: 8 }),
    });
    await fc.assert(
      fc.asyncProperty(scenario, async ({ lost, since }) => {
        const [former, restored] = [newSite(), newSite()];
        const [last] = (await live(former, lost)).toReversed();
        if (last === undefined || last.epoch === 0) return;
        await live(restored, since);
        const before = await store.fleet.siteState(restored);
        const held = { ...last, site: restored };
        await store.fleet.adoptSiteState(restored, overridingState(held, before));
        const state = await stateOf(restored);
        assert.ok(state.epoch > held.epoch && state.epoch > before.epoch);
        const orders = new Map([...state.items, ...state.tombstones].map((o) => [`${o.id} ${o.uid}`, o]));
        for (const item of held.items) assert.ok(orders.has(`${item.id} ${item.uid}`), 'an implicit removal');
        const wanted = before.rows.filter((row) => row.phase === 'Wanted');
        for (const row of wanted) {
          const order = state.items.find((item) => item.uid === row.applicationUid);
          assert.deepEqual([order?.digest, order?.epoch], [row.digest, state.epoch]);
        }
        // What the hub ordered to remove, and the site still has, goes by an order newer than the item.
        for (const item of held.items) {
          const tombstone = state.tombstones.find((t) => t.uid === item.uid);
          if (tombstone !== undefined) assert.ok(tombstone.epoch > item.epoch);
        }
      }),
      { numRuns: 40 },
    );
  });
});
