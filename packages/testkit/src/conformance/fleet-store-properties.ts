import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { defaultSitePolicy } from '@selvedge/api';
import type { DeliveryRow, FleetStore } from '@selvedge/store';
import fc from 'fast-check';
import type { CreateTestDatabase } from './store-under-test.ts';

const sites = ['s1', 's2'];
const applications = ['till', 'desk'];
const receivedAt = '2026-01-01T00:00:00.000Z';

const anyTarget = fc.record({
  site: fc.constantFrom(...sites),
  application: fc.constantFrom(...applications),
});

const anyTerms = fc
  .record({
    activate: fc.constantFrom('Hold' as const, 'Window' as const),
    attempt: fc.constantFrom(1, 2),
    fallback: fc.constantFrom(undefined, { release: 'r0', digest: 'sha256:0' }),
  })
  .map(({ fallback, ...terms }) => ({
    ...terms,
    prepareSeconds: 60,
    ...(fallback === undefined ? {} : { fallback }),
  }));

const anyOperation = fc.oneof(
  fc.record({
    type: fc.constant('assign' as const),
    targets: fc.array(anyTarget, { minLength: 1, maxLength: 3 }),
    life: fc.constantFrom('1', '2'),
    digest: fc.constantFrom('sha256:1', 'sha256:2'),
    terms: anyTerms,
  }),
  fc.record({
    type: fc.constant('remove' as const),
    targets: fc.array(anyTarget, { maxLength: 3 }),
    mode: fc.constantFrom('Delete' as const, 'Orphan' as const),
  }),
  fc.record({
    type: fc.constant('adopt' as const),
    site: fc.constantFrom(...sites),
    ahead: fc.integer({ min: -1, max: 3 }),
    kept: fc.subarray(applications),
    isChanged: fc.boolean(),
  }),
  fc.record({
    type: fc.constant('report' as const),
    target: anyTarget,
    life: fc.constantFrom('1', '2'),
    state: fc.constantFrom('Running' as const, 'Failed' as const, 'Removed' as const),
    seq: fc.integer({ min: 1, max: 30 }),
  }),
  fc.record({
    type: fc.constant('settings' as const),
    site: fc.constantFrom(...sites),
    value: fc.integer({ min: 0, max: 2 }),
    timeZone: fc.constantFrom('UTC', 'Asia/Tokyo'),
  }),
  fc.record({ type: fc.constant('forget' as const), site: fc.constantFrom(...sites) }),
);
type Operation = typeof anyOperation extends fc.Arbitrary<infer T> ? T : never;

const rowId = (row: DeliveryRow) => `${row.site}/${row.application}/${row.applicationUid}`;

/** Rows and epochs built from `onChange` alone. */
class Mirror {
  readonly rows = new Map<string, DeliveryRow>();
  readonly epochs = new Map<string, number>();
  #revision = 1;

  constructor(fleet: FleetStore) {
    fleet.onChange((change) => {
      if (change.kind === 'site') {
        assert.ok(change.epoch > (this.epochs.get(change.site) ?? 0), 'an epoch never goes back');
        this.epochs.set(change.site, change.epoch);
        return;
      }
      assert.equal(change.row.revision, ++this.#revision, 'every change of a row is the next revision');
      if (change.row.deleted) this.rows.delete(rowId(change.row));
      else this.rows.set(rowId(change.row), change.row);
    });
  }
}

export function fleetStoreProperties(createDatabase: CreateTestDatabase): void {
  test('whatever is done, listeners know what is stored, and nothing vanishes without a tombstone', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyOperation, { maxLength: 30 }), async (operations) => {
        const database = await createDatabase();
        const store = await database.open();
        const { fleet } = store;
        try {
          const mirror = new Mirror(fleet);
          const resumed = new Map<string, DeliveryRow>();
          let resumedAt = 1;
          for (const [index, operation] of operations.entries()) {
            const before = new Set(mirror.rows.keys());
            await perform(fleet, operation, mirror);
            if (operation.type !== 'forget' && operation.type !== 'adopt') {
              for (const id of before) assert.ok(mirror.rows.has(id), `${id} vanished`);
            }
            if (index % 3 === 0) resumedAt = await catchUp(fleet, resumed, resumedAt);
          }
          await catchUp(fleet, resumed, resumedAt);
          await compare(fleet, mirror, resumed);
        } finally {
          await store.close();
          await database.remove();
        }
      }),
      { numRuns: 40 },
    );
  });
}

async function perform(fleet: FleetStore, operation: Operation, mirror: Mirror): Promise<void> {
  if (operation.type === 'assign') {
    const { targets, life, digest, terms } = operation;
    const fields = {
      namespace: 'shop',
      release: digest,
      digest,
      deadlineSeconds: 60,
      terms,
      rollout: 'r',
      wave: 'w',
    };
    const uid = (application: string) => `${application}-${life}`;
    await fleet.assign(targets.map((t) => ({ ...t, ...fields, applicationUid: uid(t.application) })));
    for (const target of targets) {
      const row = mirror.rows.get(`${target.site}/${target.application}/${uid(target.application)}`);
      assert.deepEqual([row?.phase, row?.digest, row?.removal], ['Wanted', digest, 'Delete']);
      assert.deepEqual({ ...row?.terms, fallback: undefined }, { ...terms, fallback: undefined });
    }
  } else if (operation.type === 'remove') {
    await fleet.remove(
      operation.targets.map((target) => ({ ...target, namespace: 'shop', mode: operation.mode })),
    );
  } else if (operation.type === 'adopt') {
    await adopt(fleet, operation);
  } else if (operation.type === 'settings') {
    const { site, value, timeZone } = operation;
    const settings = { variables: value === 0 ? {} : { value }, policy: { timeZone } };
    const before = await fleet.siteState(site);
    await fleet.setSiteSettings(site, settings);
    const isNew = !isDeepStrictEqual({ variables: before.variables, policy: before.policy }, settings);
    const expected = { ...before, ...settings, epoch: before.epoch + (isNew ? 1 : 0) };
    assert.deepEqual(await fleet.siteState(site), expected);
  } else if (operation.type === 'forget') {
    await fleet.forgetSite(operation.site);
  } else {
    const { target, life, state, seq } = operation;
    const uid = `${target.application}-${life}`;
    const known = mirror.rows.get(`${target.site}/${target.application}/${uid}`);
    const epoch = known?.epoch ?? 1;
    const report = {
      epoch,
      release: 'r',
      digest: known?.digest ?? '',
      state,
      sinceTime: '',
      observedTime: '',
      seq,
    };
    const id = `Application/shop/${target.application}`;
    const [saved] = await fleet.saveReports(target.site, [{ id, uid, ...report }], receivedAt);
    const isNews =
      known !== undefined &&
      (known.report === undefined || seq > known.report.seq || epoch > known.report.epoch);
    assert.equal(saved !== undefined, isNews);
    if (saved && known) {
      const isCarriedOut = known.phase === 'Removing' && state === 'Removed';
      assert.equal(saved.phase, isCarriedOut ? 'Removed' : known.phase);
    }
  }
}

/** Adopts a site that has lost some of what the hub wants there, and got something else. */
async function adopt(fleet: FleetStore, operation: Operation & { type: 'adopt' }): Promise<void> {
  const { site, ahead, kept, isChanged } = operation;
  const before = await fleet.siteState(site);
  const epoch = Math.max(1, before.epoch + ahead);
  const held = before.rows
    .filter((row) => kept.includes(row.application))
    .map((row) => ({
      ...row,
      phase: row.phase === 'Wanted' ? ('Wanted' as const) : ('Removing' as const),
      epoch: Math.min(row.epoch, epoch),
    }));
  const rows = isChanged ? held.map((row) => ({ ...row, epoch, digest: row.digest && 'sha256:9' })) : held;
  const adopting = fleet.adoptSiteState(site, { epoch, variables: {}, policy: defaultSitePolicy, rows });
  if (epoch <= before.epoch) {
    await assert.rejects(adopting, { reason: 'Conflict' });
    assert.deepEqual(await fleet.siteState(site), before);
    return;
  }
  await adopting;
  const after = await fleet.siteState(site);
  const brief = (list: readonly Pick<DeliveryRow, 'applicationUid' | 'digest' | 'epoch' | 'terms'>[]) =>
    list.map((row) => [row.applicationUid, row.digest, row.epoch, row.terms]);
  assert.deepEqual([after.epoch, after.variables, brief(after.rows)], [epoch, {}, brief(rows)]);
}

/** Applies what changed since `from`, as somebody does who was away. */
async function catchUp(fleet: FleetStore, rows: Map<string, DeliveryRow>, from: number): Promise<number> {
  const since = await fleet.listDeliveries({ sinceRevision: from });
  for (const row of since.rows) {
    if (row.deleted) rows.delete(rowId(row));
    else rows.set(rowId(row), row);
  }
  return since.revision;
}

async function compare(fleet: FleetStore, mirror: Mirror, resumed: Map<string, DeliveryRow>): Promise<void> {
  const { rows } = await fleet.listDeliveries({});
  const stored = new Map(rows.map((row) => [rowId(row), row]));
  assert.deepEqual(stored, mirror.rows);
  assert.deepEqual(stored, resumed);
  assert.deepEqual(await fleet.siteEpochs(), mirror.epochs);
  for (const site of sites) {
    const state = await fleet.siteState(site);
    for (const application of applications) {
      const wanted = state.rows.filter((row) => row.application === application && row.phase === 'Wanted');
      assert.ok(wanted.length <= 1, 'at most one life of an application is wanted');
    }
    for (const row of state.rows) assert.ok(row.epoch <= state.epoch);
  }
}
