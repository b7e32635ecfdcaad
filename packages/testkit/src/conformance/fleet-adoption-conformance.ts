import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultItemTerms, type StatusReason } from '@selvedge/api';
import type {
  AdoptedRow,
  AdoptedState,
  DeliveryRow,
  FleetChange,
  FleetStore,
  SiteState,
} from '@selvedge/store';
import { onlyRow, receivedAt, report, siteKey, till } from './fleet-samples.ts';
import { type CreateTestDatabase, openForTest } from './store-under-test.ts';

const reason = (expected: StatusReason) => ({ name: 'StatusError', reason: expected });
const desk = { application: 'desk', applicationUid: 'desk-uid' };
const removal = (application: string) => ({
  site: 's1',
  namespace: 'shop',
  application,
  mode: 'DeleteVolumes' as const,
});

const wanted = (change: Partial<AdoptedRow> = {}): AdoptedRow => ({
  namespace: 'shop',
  application: 'till',
  applicationUid: 'till-uid',
  phase: 'Wanted',
  release: 'till-7',
  digest: 'sha256:7',
  epoch: 7,
  deadlineSeconds: 60,
  terms: { ...defaultItemTerms, attempt: 7, fallback: { release: 'till-6', digest: 'sha256:6' } },
  removal: 'Delete',
  ...change,
});
const adopted = (change: Partial<AdoptedState> = {}): AdoptedState => ({
  epoch: 9,
  variables: { a: 1 },
  policy: { timeZone: 'Europe/Oslo' },
  rows: [wanted()],
  ...change,
});

/** As a site says what it follows: it does not tell a removal that is done from one that is ordered. */
function asHeld({ epoch, variables, policy, rows }: SiteState): AdoptedState {
  return {
    epoch,
    variables,
    policy,
    rows: rows.map((row) => ({ ...row, phase: row.phase === 'Wanted' ? 'Wanted' : 'Removing' })),
  };
}

/** What of a site's state is told to it and signed. */
function told(state: SiteState): unknown {
  const { epoch, variables, policy } = asHeld(state);
  const rows = state.rows.map(({ applicationUid, phase, release, digest, epoch: since, ...row }) => ({
    name: `${row.namespace}/${row.application} ${applicationUid}`,
    epoch: since,
    ...(phase === 'Wanted'
      ? { release, digest, terms: row.terms, deadlineSeconds: row.deadlineSeconds }
      : { mode: row.removal }),
  }));
  return { epoch, variables, policy, rows };
}

async function rowsByUid(fleet: FleetStore): Promise<Record<string, DeliveryRow>> {
  const { rows } = await fleet.siteState('s1');
  return Object.fromEntries(rows.map((row) => [row.applicationUid, row]));
}

/** What becomes of a site that is ahead of a restored hub. */
export function fleetAdoptions(createDatabase: CreateTestDatabase): void {
  test('a site that is ahead is adopted: what it follows becomes what the hub wants, epochs and all', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    await fleet.assign([till('s1'), till('s1', desk), till('s2')]);
    const others = await onlyRow(fleet, 's2');
    const tombstone = wanted({
      ...desk,
      phase: 'Removing',
      release: '',
      digest: '',
      removal: 'Orphan',
      epoch: 8,
    });
    const again = wanted({ ...desk, applicationUid: 'desk-again', epoch: 9 });
    await fleet.adoptSiteState('s1', adopted({ rows: [wanted(), tombstone, again] }));
    const state = await fleet.siteState('s1');
    assert.deepEqual(
      [state.epoch, state.variables, state.policy],
      [9, { a: 1 }, { timeZone: 'Europe/Oslo' }],
    );
    const rows = await rowsByUid(fleet);
    for (const row of [wanted(), tombstone, again]) {
      const { assignedAt, revision, createRevision, ...kept } = rows[row.applicationUid] as DeliveryRow;
      assert.deepEqual(kept, { ...row, site: 's1', rollout: '', wave: '', deleted: false });
      assert.ok(revision >= createRevision);
      // Nobody may take the removal of long ago for a new one.
      const isLongAgo = Date.parse(assignedAt) === 0;
      assert.equal(isLongAgo, row.phase === 'Removing');
    }
    assert.equal(Object.keys(rows).length, 3);
    assert.deepEqual(await onlyRow(fleet, 's2'), others);
  });

  test('a hub restored from a backup is in step with its site again, whatever happened after the backup', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    const behind = (await openForTest(t, createDatabase)).fleet;
    for (const hub of [fleet, behind]) {
      await hub.assign([
        till('s1'),
        till('s1', desk),
        till('s1', { application: 'gone', applicationUid: 'gone-uid' }),
      ]);
      await hub.remove([removal('gone')]);
    }
    await fleet.saveReports(
      's1',
      [report({ id: 'Application/shop/gone', uid: 'gone-uid', epoch: 2, state: 'Removed' })],
      receivedAt,
    );
    await fleet.setSiteSettings('s1', { variables: { a: 2 }, policy: { timeZone: 'Asia/Tokyo' } });
    await fleet.assign([
      till('s1', { digest: 'sha256:2', terms: { ...defaultItemTerms, activate: 'Hold' } }),
    ]);
    await fleet.assign([till('s1', { application: 'new', applicationUid: 'new-uid' })]);
    await fleet.remove([removal('desk')]);
    await behind.adoptSiteState('s1', asHeld(await fleet.siteState('s1')));
    assert.deepEqual(told(await behind.siteState('s1')), told(await fleet.siteState('s1')));
  });

  test('what the hub alone wanted is dropped, without an order to the site', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    await fleet.assign([till('s1', desk), till('s1', { application: 'gone', applicationUid: 'gone-uid' })]);
    await fleet.remove([removal('gone')]);
    const { revision } = await fleet.listDeliveries({});
    const heard: FleetChange[] = [];
    fleet.onChange((change) => heard.push(change));
    await fleet.adoptSiteState('s1', adopted());
    assert.deepEqual(
      heard
        .map((c) => (c.kind === 'site' ? `site ${c.epoch}` : `${c.row.applicationUid} ${c.row.deleted}`))
        .toSorted(),
      ['desk-uid true', 'gone-uid true', 'site 9', 'till-uid false'],
    );
    assert.equal(heard.at(-1)?.kind, 'site', 'the epoch is announced behind the rows');
    assert.deepEqual((await onlyRow(fleet, 's1')).applicationUid, 'till-uid');
    const since = (await fleet.listDeliveries({ sinceRevision: revision })).rows;
    assert.deepEqual(
      since.map((row) => row.revision),
      [revision + 1, revision + 2, revision + 3],
    );
    assert.equal(since.filter((row) => row.deleted).length, 2);
  });

  test('an item that the site holds as the hub ordered it keeps its time, its reports and its end', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    await fleet.addSiteKey(siteKey('s1', 'k1'));
    await fleet.assign([till('s1'), till('s1', desk)]);
    await fleet.remove([removal('desk')]);
    await fleet.saveReports(
      's1',
      [report(), report({ id: 'Application/shop/desk', uid: 'desk-uid', epoch: 2, state: 'Removed' })],
      receivedAt,
    );
    const before = await rowsByUid(fleet);
    await fleet.adoptSiteState('s1', { ...asHeld(await fleet.siteState('s1')), epoch: 5 });
    const after = await rowsByUid(fleet);
    for (const uid of ['till-uid', 'desk-uid']) {
      const { revision, ...row } = after[uid] as DeliveryRow;
      const { revision: former, ...expected } = { ...(before[uid] as DeliveryRow), rollout: '', wave: '' };
      assert.ok(revision > former);
      assert.deepEqual(row, expected);
    }
    assert.equal(after['desk-uid']?.phase, 'Removed');
    assert.equal((await fleet.findSiteKey('s1'))?.fingerprint, 'SHA256:k1');
  });

  test('an order of the same epoch that said something else is another one', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    await fleet.assign([till('s1')]);
    const before = await onlyRow(fleet, 's1');
    await fleet.adoptSiteState('s1', adopted({ rows: [wanted({ epoch: 1 })] }));
    const { assignedAt, digest, epoch } = await onlyRow(fleet, 's1');
    assert.deepEqual([digest, epoch], ['sha256:7', 1]);
    assert.ok(assignedAt >= before.assignedAt);
    await fleet.adoptSiteState('s1', adopted({ epoch: 10, rows: [wanted({ phase: 'Removing', epoch: 1 })] }));
    assert.equal((await onlyRow(fleet, 's1')).assignedAt, '1970-01-01T00:00:00.000Z');
  });

  test('after an adoption the site is assigned to, reports and is removed from as ever', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    await fleet.adoptSiteState('s1', adopted());
    const { terms } = wanted();
    await fleet.assign([till('s1', { digest: 'sha256:7', terms })]);
    const kept = await onlyRow(fleet, 's1');
    assert.deepEqual(
      [kept.epoch, kept.rollout, kept.wave],
      [7, 'till-r1', 'canary'],
      'it is what is wanted already',
    );
    const [saved] = await fleet.saveReports('s1', [report({ epoch: 7, digest: 'sha256:7' })], receivedAt);
    assert.equal(saved?.report?.digest, 'sha256:7');
    await fleet.assign([till('s1')]);
    assert.equal((await onlyRow(fleet, 's1')).epoch, 10);
    await fleet.remove([removal('till')]);
    await fleet.saveReports('s1', [report({ epoch: 11, state: 'Removed', seq: 2 })], receivedAt);
    assert.deepEqual(
      [(await onlyRow(fleet, 's1')).phase, (await fleet.siteState('s1')).epoch],
      ['Removed', 11],
    );
  });

  test('a site that is not ahead is not adopted', async (t) => {
    const { fleet, objects } = await openForTest(t, createDatabase);
    await fleet.assign([till('s1')]);
    await fleet.adoptSiteState('s1', adopted());
    const before = await fleet.siteState('s1');
    const revision = await objects.currentRevision();
    for (const epoch of [8, 9]) {
      await assert.rejects(fleet.adoptSiteState('s1', adopted({ epoch, rows: [] })), reason('Conflict'));
    }
    assert.deepEqual(await fleet.siteState('s1'), before);
    assert.equal(await objects.currentRevision(), revision);
    await fleet.adoptSiteState('s1', adopted({ epoch: 10, rows: [] }));
    assert.deepEqual((await fleet.siteState('s1')).rows, []);
  });

  test('a state that contradicts itself is not adopted', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    await fleet.assign([till('s1')]);
    const before = await fleet.siteState('s1');
    const wrong: AdoptedState[] = [
      adopted({ rows: [wanted({ epoch: 10 })] }),
      adopted({ rows: [wanted({ epoch: 0 })] }),
      adopted({ rows: [wanted(), wanted()] }),
      adopted({ rows: [wanted(), wanted({ applicationUid: 'other' })] }),
      adopted({ epoch: 9.5 }),
      adopted({ epoch: Number.MAX_SAFE_INTEGER }),
    ];
    for (const [index, state] of wrong.entries()) {
      await assert.rejects(fleet.adoptSiteState('s1', state), reason('BadRequest'), `case ${index}`);
    }
    assert.deepEqual(await fleet.siteState('s1'), before);
  });

  test('adoptions and assignments of one site at once are one after another', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    const epochs: number[] = [];
    fleet.onChange((change) => change.kind === 'site' && epochs.push(change.epoch));
    const asked = await Promise.allSettled([
      fleet.assign([till('s1')]),
      fleet.adoptSiteState('s1', adopted()),
      fleet.assign([till('s1', { digest: 'sha256:2' })]),
      fleet.adoptSiteState('s1', adopted()),
      fleet.assign([till('s1', { digest: 'sha256:3' })]),
    ]);
    assert.deepEqual(
      asked.map((one) => one.status),
      ['fulfilled', 'fulfilled', 'fulfilled', 'rejected', 'fulfilled'],
    );
    assert.deepEqual(epochs, [1, 9, 10, 11]);
    assert.deepEqual(
      [(await onlyRow(fleet, 's1')).digest, (await onlyRow(fleet, 's1')).epoch],
      ['sha256:3', 11],
    );
  });
}
