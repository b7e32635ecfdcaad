import assert from 'node:assert/strict';
import { test } from 'node:test';
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

const anyOperation = fc.oneof(
  fc.record({
    type: fc.constant('assign' as const),
    targets: fc.array(anyTarget, { minLength: 1, maxLength: 3 }),
    life: fc.constantFrom('1', '2'),
    digest: fc.constantFrom('sha256:1', 'sha256:2'),
  }),
  fc.record({ type: fc.constant('remove' as const), targets: fc.array(anyTarget, { maxLength: 3 }) }),
  fc.record({
    type: fc.constant('report' as const),
    target: anyTarget,
    life: fc.constantFrom('1', '2'),
    state: fc.constantFrom('Running' as const, 'Failed' as const, 'Removed' as const),
    seq: fc.integer({ min: 1, max: 30 }),
  }),
  fc.record({
    type: fc.constant('variables' as const),
    site: fc.constantFrom(...sites),
    value: fc.integer({ min: 0, max: 2 }),
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
            if (operation.type !== 'forget') {
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
    const { targets, life, digest } = operation;
    const fields = {
      namespace: 'shop',
      release: digest,
      digest,
      deadlineSeconds: 60,
      rollout: 'r',
      wave: 'w',
    };
    const uid = (application: string) => `${application}-${life}`;
    await fleet.assign(targets.map((t) => ({ ...t, ...fields, applicationUid: uid(t.application) })));
  } else if (operation.type === 'remove') {
    await fleet.remove(operation.targets.map((target) => ({ ...target, namespace: 'shop' })));
  } else if (operation.type === 'variables') {
    await fleet.setSiteVariables(operation.site, operation.value === 0 ? {} : { value: operation.value });
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
