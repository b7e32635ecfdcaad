import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { defaultItemTerms, defaultSitePolicy, type SitePolicy } from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import type { FleetChange, FleetStore } from '@selvedge/store';
import { fleetAdoptions } from './fleet-adoption-conformance.ts';
import { fleetRemovals } from './fleet-removal-conformance.ts';
import { onlyRow, receivedAt, report, siteKey, till } from './fleet-samples.ts';
import { fleetStoreProperties } from './fleet-store-properties.ts';
import { databaseForTest, openForTest, type CreateTestDatabase } from './store-under-test.ts';

/** What `FleetStore` promises. Every implementation runs it. */
export function fleetStoreConformance(name: string, createDatabase: CreateTestDatabase): void {
  describe(`${name} as a FleetStore`, () => {
    keys(createDatabase);
    assignments(createDatabase);
    fleetRemovals(createDatabase);
    reports(createDatabase);
    listings(createDatabase);
    sites(createDatabase);
    fleetAdoptions(createDatabase);
    heartbeats(createDatabase);
    rolloutMembers(createDatabase);
    blobs(createDatabase);
    changes(createDatabase);
    fleetStoreProperties(createDatabase);
  });
}

function keys(createDatabase: CreateTestDatabase): void {
  test('a site has one key, which is found as it was added', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    assert.equal(await fleet.findSiteKey('s1'), undefined);
    await fleet.addSiteKey(siteKey('s1', 'k1'));
    await fleet.addSiteKey(siteKey('s1', 'k1'));
    assert.deepEqual(await fleet.findSiteKey('s1'), siteKey('s1', 'k1'));
    await assert.rejects(fleet.addSiteKey(siteKey('s1', 'k2')), { reason: 'AlreadyExists' });
    assert.deepEqual(await fleet.findSiteKey('s1'), siteKey('s1', 'k1'));
    await fleet.addSiteKey(siteKey('s2', 'k2'));
  });

  test('an agent that joins a Site made again under its name is taken up with the new uid', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    await fleet.addSiteKey(siteKey('s1', 'k1'));
    await fleet.addSiteKey({ ...siteKey('s1', 'k1'), siteUid: 'again' });
    assert.equal((await fleet.findSiteKey('s1'))?.siteUid, 'again');
  });

  test('of two agents that join one site at once only one gets in', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    const joined = ['k1', 'k2', 'k3'].map((publicKey) => fleet.addSiteKey(siteKey('s1', publicKey)));
    const results = await Promise.allSettled(joined);
    assert.equal(results.filter((result) => result.status === 'fulfilled').length, 1);
  });

  test('a key is removed, or only when it is the one that is meant', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    await fleet.addSiteKey(siteKey('s1', 'k1'));
    await fleet.removeSiteKey('s1', 'SHA256:other');
    assert.deepEqual(await fleet.findSiteKey('s1'), siteKey('s1', 'k1'));
    await fleet.removeSiteKey('s1', 'SHA256:k1');
    assert.equal(await fleet.findSiteKey('s1'), undefined);
    await fleet.addSiteKey(siteKey('s1', 'k2'));
    await fleet.removeSiteKey('s1');
    await fleet.removeSiteKey('s1');
    assert.equal(await fleet.findSiteKey('s1'), undefined);
  });

  test('a new key starts with no reports, and its first ones count', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    await fleet.addSiteKey(siteKey('s1', 'k1'));
    await fleet.assign([till('s1')]);
    await fleet.saveReports('s1', [report({ seq: 500 })], receivedAt);
    await fleet.addSiteKey(siteKey('s1', 'k1'));
    assert.equal((await onlyRow(fleet, 's1')).report?.seq, 500);
    await fleet.removeSiteKey('s1');
    assert.equal(
      (await onlyRow(fleet, 's1')).report?.seq,
      500,
      'what is known stays until another agent speaks',
    );
    await fleet.addSiteKey(siteKey('s1', 'k2'));
    assert.equal((await onlyRow(fleet, 's1')).report, undefined);
    await fleet.saveReports('s1', [report({ seq: 1 })], receivedAt);
    assert.equal((await onlyRow(fleet, 's1')).report?.seq, 1);
  });
}

function assignments(createDatabase: CreateTestDatabase): void {
  test('an unknown site is at epoch 0 with nothing', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    assert.deepEqual(await fleet.siteState('s1'), {
      site: 's1',
      epoch: 0,
      variables: {},
      policy: defaultSitePolicy,
      rows: [],
    });
    assert.deepEqual(await fleet.siteEpochs(), new Map());
  });

  test('an assignment makes a row and a new epoch', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    await fleet.assign([till('s1')]);
    const { assignedAt, ...row } = await onlyRow(fleet, 's1');
    assert.ok(!Number.isNaN(Date.parse(assignedAt)));
    assert.deepEqual(row, {
      ...till('s1'),
      phase: 'Wanted',
      removal: 'Delete',
      epoch: 1,
      revision: 2,
      createRevision: 2,
      deleted: false,
    });
    assert.equal((await fleet.siteState('s1')).epoch, 1);
  });

  test('one call is one epoch per site, whatever it sets', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    const desk = { application: 'desk', applicationUid: 'desk-uid' };
    await fleet.assign([till('s1'), till('s1', desk), till('s2')]);
    await fleet.assign([till('s1', { digest: 'sha256:2', release: 'till-2' })]);
    assert.deepEqual(
      await fleet.siteEpochs(),
      new Map([
        ['s1', 2],
        ['s2', 1],
      ]),
    );
    const { rows } = await fleet.siteState('s1');
    assert.deepEqual(
      rows.map((row) => [row.application, row.digest, row.epoch]),
      [
        ['desk', 'sha256:1', 1],
        ['till', 'sha256:2', 2],
      ],
    );
    assert.equal(new Set(rows.map((row) => row.revision)).size, 2);
  });

  test('an equal assignment changes rollout and wave only, and no epoch', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    await fleet.assign([till('s1')]);
    const before = await onlyRow(fleet, 's1');
    await fleet.assign([till('s1')]);
    assert.deepEqual(await onlyRow(fleet, 's1'), before);
    await fleet.assign([till('s1', { rollout: 'till-r2', wave: 'rest', deadlineSeconds: 5 })]);
    assert.deepEqual(await onlyRow(fleet, 's1'), {
      ...before,
      rollout: 'till-r2',
      wave: 'rest',
      revision: before.revision + 1,
    });
    assert.equal((await fleet.siteState('s1')).epoch, 1);
  });

  test('other terms are a new assignment, in every field but the fallback', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    const terms = { ...defaultItemTerms, activate: 'Hold' as const };
    const fallback = { release: 'till-0', digest: 'sha256:0' };
    await fleet.assign([till('s1', { terms: { ...terms, fallback } })]);
    const before = await onlyRow(fleet, 's1');
    assert.deepEqual(before.terms, { ...terms, fallback });
    await fleet.assign([till('s1', { terms })]);
    await fleet.assign([
      till('s1', { terms: { fallback: { ...fallback, digest: 'sha256:9' }, ...terms }, deadlineSeconds: 5 }),
    ]);
    assert.deepEqual(await onlyRow(fleet, 's1'), before, 'what the site was told under this epoch stays');
    const changed = [
      { ...terms, activate: 'At' as const, activateAt: '2026-01-01T00:00:00Z' },
      { ...terms, activate: 'At' as const, activateAt: '2026-01-02T00:00:00Z' },
      { ...terms, attempt: 2 },
      { ...terms, prepareSeconds: 7.5 },
    ];
    for (const [index, next] of changed.entries()) {
      await fleet.assign([till('s1', { terms: next, deadlineSeconds: 5 })]);
      const row = await onlyRow(fleet, 's1');
      assert.deepEqual([row.terms, row.epoch, row.deadlineSeconds], [next, 2 + index, 5]);
      assert.deepEqual([row.digest, row.createRevision], [before.digest, before.createRevision]);
    }
    assert.equal((await fleet.siteState('s1')).epoch, 5);
  });

  test('an application made again under its name gets a row of its own, and the old one becomes a tombstone', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    await fleet.assign([till('s1')]);
    await fleet.assign([till('s1', { applicationUid: 'again' })]);
    const { epoch, rows } = await fleet.siteState('s1');
    assert.equal(epoch, 2);
    assert.deepEqual(
      rows.map((row) => [row.applicationUid, row.phase, row.epoch, row.release, row.digest]),
      [
        ['again', 'Wanted', 2, 'till-1', 'sha256:1'],
        ['till-uid', 'Removing', 2, '', ''],
      ],
    );
  });

  test('nothing to assign, remove or report is no change', async (t) => {
    const { fleet, objects } = await openForTest(t, createDatabase);
    await fleet.assign([]);
    await fleet.remove([]);
    await fleet.remove([{ site: 's1', namespace: 'shop', application: 'till', mode: 'Delete' }]);
    assert.deepEqual(await fleet.saveReports('s1', [], receivedAt), []);
    await fleet.addRolloutMembers('r', []);
    await fleet.setSiteSettings('s1', { variables: {}, policy: defaultSitePolicy });
    await fleet.forgetSite('s1');
    assert.equal(await objects.currentRevision(), 1);
    assert.deepEqual(await fleet.siteEpochs(), new Map());
  });
}

function reports(createDatabase: CreateTestDatabase): void {
  test('a report is kept whole, with the time it came', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    await fleet.assign([till('s1')]);
    const full = report({
      state: 'Failed',
      runningDigest: 'sha256:0',
      reason: 'ContainerExited',
      message: 'exit code 1',
      logs: ['one', 'two'],
      pods: { wanted: 2, ready: 0 },
      seq: 1_780_000_000_000,
    });
    const saved = await fleet.saveReports('s1', [full], receivedAt);
    const row = await onlyRow(fleet, 's1');
    assert.deepEqual(row.report, { ...full, receivedAt });
    assert.deepEqual(saved, [row]);
  });

  test('since when a site is on its way is told by the hub, and begins anew after an answer or a wait', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    await fleet.assign([till('s1')]);
    const at = (minute: number) => `2026-01-01T00:0${minute}:00.000Z`;
    const since: (string | undefined)[] = [];
    const wait = { waiting: { reason: 'DownloadWindow' } } as const;
    const told = [
      {},
      {},
      wait,
      {},
      { state: 'Activating' },
      { state: 'Running' },
      { state: 'Degraded' },
    ] as const;
    for (const [minute, over] of told.entries()) {
      const said = report({ state: 'Preparing', sinceTime: at(minute), seq: minute + 1, ...over });
      const [row] = await fleet.saveReports('s1', [said], at(minute));
      since.push(row?.report?.unansweredSince);
    }
    assert.deepEqual(since, [undefined, at(0), undefined, undefined, at(3), undefined, undefined]);
  });

  test('older and repeated reports change nothing', async (t) => {
    const { fleet, objects } = await openForTest(t, createDatabase);
    await fleet.assign([till('s1')]);
    await fleet.saveReports('s1', [report({ seq: 5 })], receivedAt);
    const before = await onlyRow(fleet, 's1');
    const late = [report({ seq: 5, state: 'Failed' }), report({ seq: 4, state: 'Failed' })];
    assert.deepEqual(await fleet.saveReports('s1', late, '2026-01-02T00:00:00.000Z'), []);
    assert.deepEqual(await onlyRow(fleet, 's1'), before);
    assert.equal(await objects.currentRevision(), before.revision);
  });

  test('of several reports of one item in one call the newest is kept, in any order', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    await fleet.assign([till('s1')]);
    const several = [report({ seq: 2 }), report({ seq: 7, state: 'Degraded' }), report({ seq: 3 })];
    const saved = await fleet.saveReports('s1', several, receivedAt);
    assert.deepEqual(
      saved.map((row) => row.report?.seq),
      [7],
    );
    assert.deepEqual(await onlyRow(fleet, 's1'), saved[0]);
  });

  test('an agent that counts again from below is heard when it speaks of a later assignment', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    await fleet.assign([till('s1')]);
    await fleet.saveReports('s1', [report({ seq: 900 })], receivedAt);
    await fleet.assign([till('s1', { digest: 'sha256:2' })]);
    await fleet.saveReports('s1', [report({ seq: 10, epoch: 2, digest: 'sha256:2' })], receivedAt);
    assert.equal((await onlyRow(fleet, 's1')).report?.seq, 10);
  });

  test('a report of what the site was never given makes no row', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    await fleet.assign([till('s1')]);
    const strange = [
      report({ uid: 'other' }),
      report({ id: 'Application/shop/desk' }),
      report({ id: 'Application/till' }),
      report({ id: 'Application/shop/till/x' }),
      report({ id: 'Machine/shop/till' }),
    ];
    assert.deepEqual(await fleet.saveReports('s1', strange, receivedAt), []);
    assert.deepEqual(await fleet.saveReports('s2', [report()], receivedAt), []);
    assert.equal((await onlyRow(fleet, 's1')).report, undefined);
    assert.deepEqual((await fleet.siteState('s2')).rows, []);
  });

  test('a new assignment keeps the last report, which speaks of the old one', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    await fleet.assign([till('s1')]);
    await fleet.saveReports('s1', [report()], receivedAt);
    await fleet.assign([till('s1', { digest: 'sha256:2', release: 'till-2' })]);
    const row = await onlyRow(fleet, 's1');
    assert.deepEqual([row.epoch, row.report?.epoch, row.report?.digest], [2, 1, 'sha256:1']);
  });
}

function listings(createDatabase: CreateTestDatabase): void {
  test('deliveries are listed by site, namespace and application, with the revision of the list', async (t) => {
    const { fleet, objects } = await openForTest(t, createDatabase);
    const desk = { application: 'desk', applicationUid: 'desk-uid' };
    await fleet.assign([till('s2'), till('s1'), till('s1', desk), till('s1', { namespace: 'other' })]);
    const list = async (filter: Parameters<FleetStore['listDeliveries']>[0]) =>
      (await fleet.listDeliveries(filter)).rows.map((r) => `${r.namespace}/${r.application}/${r.site}`);
    assert.deepEqual(await list({}), ['other/till/s1', 'shop/desk/s1', 'shop/till/s1', 'shop/till/s2']);
    assert.deepEqual(await list({ site: 's2' }), ['shop/till/s2']);
    assert.deepEqual(await list({ namespace: 'shop', application: 'till' }), [
      'shop/till/s1',
      'shop/till/s2',
    ]);
    assert.deepEqual(await list({ application: 'till', site: 's1' }), ['other/till/s1', 'shop/till/s1']);
    assert.equal((await fleet.listDeliveries({})).revision, await objects.currentRevision());
  });

  test('what changed since a revision comes in the order of change, forgotten sites too', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    await fleet.assign([till('s1'), till('s2'), till('s3')]);
    const { revision } = await fleet.listDeliveries({});
    assert.deepEqual((await fleet.listDeliveries({ sinceRevision: revision })).rows, []);
    await fleet.saveReports('s3', [report()], receivedAt);
    await fleet.forgetSite('s1');
    const since = await fleet.listDeliveries({ sinceRevision: revision });
    assert.deepEqual(
      since.rows.map((row) => [row.site, row.deleted, row.revision]),
      [
        ['s3', false, revision + 1],
        ['s1', true, revision + 2],
      ],
    );
    assert.deepEqual(
      (await fleet.listDeliveries({})).rows.map((row) => row.site),
      ['s2', 's3'],
    );
  });
}

function sites(createDatabase: CreateTestDatabase): void {
  test('variables make a new epoch when they differ', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    const variables = { currency: 'EUR', tills: 3, outdoor: false };
    await fleet.setSiteSettings('s1', { variables: variables, policy: defaultSitePolicy });
    await fleet.setSiteSettings('s1', {
      variables: { outdoor: false, tills: 3, currency: 'EUR' },
      policy: defaultSitePolicy,
    });
    assert.deepEqual(await fleet.siteState('s1'), {
      site: 's1',
      epoch: 1,
      variables,
      policy: defaultSitePolicy,
      rows: [],
    });
    await fleet.setSiteSettings('s1', { variables: { ...variables, tills: '3' }, policy: defaultSitePolicy });
    assert.equal((await fleet.siteState('s1')).epoch, 2);
  });

  test('a policy makes a new epoch when it differs, and is kept whole', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    const policy: SitePolicy = {
      timeZone: 'Europe/Berlin',
      activateWindows: [{ schedule: '0 22 * * 1-5', durationSeconds: 3600 }],
      blackouts: [{ from: '2026-12-20', to: '2027-01-06', reason: 'Weihnachten 🎄' }],
      hold: { reason: 'stocktaking' },
    };
    await fleet.setSiteSettings('s1', { variables: {}, policy: defaultSitePolicy });
    assert.deepEqual(await fleet.siteEpochs(), new Map());
    await fleet.setSiteSettings('s1', { variables: { a: 1 }, policy });
    const { hold, ...open } = structuredClone(policy);
    await fleet.setSiteSettings('s1', { variables: { a: 1 }, policy: { hold, ...open } as SitePolicy });
    assert.deepEqual(await fleet.siteState('s1'), {
      site: 's1',
      epoch: 1,
      variables: { a: 1 },
      policy,
      rows: [],
    });
    await fleet.setSiteSettings('s1', { variables: { a: 1 }, policy: open });
    assert.deepEqual(await fleet.siteState('s1'), {
      site: 's1',
      epoch: 2,
      variables: { a: 1 },
      policy: open,
      rows: [],
    });
    await fleet.assign([till('s1')]);
    assert.deepEqual((await fleet.siteState('s1')).policy, open, 'assignments leave it alone');
  });

  test('a forgotten site has nothing but an epoch that never goes back', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    await fleet.addSiteKey(siteKey('s1', 'k1'));
    await fleet.setSiteSettings('s1', { variables: { a: 1 }, policy: { timeZone: 'Asia/Tokyo' } });
    await fleet.assign([till('s1')]);
    await fleet.saveReports('s1', [report({ epoch: 2 })], receivedAt);
    fleet.touch({ site: 's1', lastSeenAt: receivedAt, agentEpoch: 2, agentStateDigest: 'd' });
    await fleet.forgetSite('s1');
    assert.deepEqual(await fleet.siteState('s1'), {
      site: 's1',
      epoch: 3,
      variables: {},
      policy: defaultSitePolicy,
      rows: [],
    });
    assert.equal(await fleet.findSiteKey('s1'), undefined);
    assert.deepEqual(await fleet.heartbeats(), new Map());
    const { revision } = await fleet.listDeliveries({});
    await fleet.assign([till('s1')]);
    const row = await onlyRow(fleet, 's1');
    assert.deepEqual([row.epoch, row.createRevision, row.report], [4, revision + 1, undefined]);
  });

  test('everything outlives closing and opening', async (t) => {
    const database = await databaseForTest(t, createDatabase);
    const before = await database.open();
    await before.fleet.addSiteKey(siteKey('s1', 'k1'));
    await before.fleet.setSiteSettings('s1', { variables: { a: 1 }, policy: { timeZone: 'Asia/Tokyo' } });
    await before.fleet.assign([till('s1', { terms: { ...defaultItemTerms, activate: 'Hold' } })]);
    await before.fleet.saveReports('s1', [report({ epoch: 2 })], receivedAt);
    await before.fleet.addRolloutMembers('r', [{ site: 's1', wave: 'canary' }]);
    const heartbeat = {
      site: 's1',
      lastSeenAt: receivedAt,
      agentEpoch: 2,
      agentStateDigest: 'd',
      observedAt: receivedAt,
    };
    before.fleet.touch(heartbeat);
    const state = await before.fleet.siteState('s1');
    await before.close();
    const after = await database.open();
    assert.deepEqual(await after.fleet.siteState('s1'), state);
    assert.deepEqual(await after.fleet.findSiteKey('s1'), siteKey('s1', 'k1'));
    assert.deepEqual(await after.fleet.heartbeats(), new Map([['s1', heartbeat]]));
    assert.deepEqual(await after.fleet.rolloutMembers('r'), [{ site: 's1', wave: 'canary' }]);
    await after.close();
  });
}

function heartbeats(createDatabase: CreateTestDatabase): void {
  test('the last heartbeat of each site is seen at once', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    const beat = (site: string, agentEpoch: number) => ({
      site,
      lastSeenAt: `2026-01-01T00:00:0${agentEpoch}.000Z`,
      agentEpoch,
      agentStateDigest: `d${agentEpoch}`,
    });
    fleet.touch(beat('s1', 1));
    fleet.touch(beat('s2', 1));
    fleet.touch(beat('s1', 2));
    assert.deepEqual(
      await fleet.heartbeats(),
      new Map([
        ['s1', beat('s1', 2)],
        ['s2', beat('s2', 1)],
      ]),
    );
  });
}

function rolloutMembers(createDatabase: CreateTestDatabase): void {
  test('members of a rollout stay in their wave and in order', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    await fleet.addRolloutMembers('r1', [
      { site: 's2', wave: 'canary' },
      { site: 's1', wave: 'rest' },
    ]);
    await fleet.addRolloutMembers('r1', [
      { site: 's2', wave: 'rest' },
      { site: 's0', wave: 'rest' },
    ]);
    await fleet.addRolloutMembers('r2', [{ site: 's1', wave: 'canary' }]);
    assert.deepEqual(await fleet.rolloutMembers('r1'), [
      { site: 's2', wave: 'canary' },
      { site: 's1', wave: 'rest' },
      { site: 's0', wave: 'rest' },
    ]);
    await fleet.removeRolloutMembers('r1');
    assert.deepEqual(await fleet.rolloutMembers('r1'), []);
    assert.deepEqual(await fleet.rolloutMembers('r2'), [{ site: 's1', wave: 'canary' }]);
  });
}

function blobs(createDatabase: CreateTestDatabase): void {
  test('a blob is found by its digest as it was put', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    for (const bytes of [new Uint8Array(), Buffer.from('text'), Buffer.alloc(3_000_000, 'selvedge')]) {
      const digest = sha256Digest(bytes);
      assert.equal(await fleet.hasBlob(digest), false);
      assert.equal(await fleet.findBlob(digest), undefined);
      await Promise.all([fleet.putBlob(digest, bytes), fleet.putBlob(digest, bytes)]);
      assert.equal(await fleet.hasBlob(digest), true);
      assert.equal(Buffer.compare((await fleet.findBlob(digest)) ?? Buffer.from('?'), bytes), 0);
      assert.ok((await fleet.blobDigests()).includes(digest));
      await fleet.deleteBlob(digest);
      await fleet.deleteBlob(digest);
      assert.equal(await fleet.findBlob(digest), undefined);
    }
  });

  test('bytes under a digest that is not theirs are refused', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    const digest = sha256Digest('one');
    await assert.rejects(fleet.putBlob(digest, Buffer.from('other')), { reason: 'BadRequest' });
    assert.equal(await fleet.hasBlob(digest), false);
  });
}

function changes(createDatabase: CreateTestDatabase): void {
  const brief = (change: FleetChange) =>
    change.kind === 'site'
      ? `site ${change.site} ${change.epoch}`
      : `delivery ${change.row.site} ${change.row.revision} ${change.row.deleted ? 'deleted' : change.row.phase}`;

  test('listeners hear of every change once, when it is committed', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    const heard: string[] = [];
    const unsubscribe = fleet.onChange((change) => heard.push(brief(change)));
    const expect = (...lines: string[]) => assert.deepEqual(heard.splice(0), lines);
    await fleet.assign([till('s1'), till('s2')]);
    expect('delivery s1 2 Wanted', 'delivery s2 3 Wanted', 'site s1 1', 'site s2 1');
    await fleet.assign([till('s1')]);
    expect();
    await fleet.saveReports('s1', [report()], receivedAt);
    expect('delivery s1 4 Wanted');
    await fleet.setSiteSettings('s2', { variables: { a: 1 }, policy: defaultSitePolicy });
    expect('site s2 2');
    await fleet.remove([{ site: 's1', namespace: 'shop', application: 'till', mode: 'Delete' }]);
    expect('delivery s1 5 Removing', 'site s1 2');
    await fleet.forgetSite('s2');
    expect('delivery s2 6 deleted', 'site s2 3');
    unsubscribe();
    await fleet.assign([till('s3')]);
    expect();
  });

  test('a listener that throws harms neither the write nor the others', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    const heard: string[] = [];
    fleet.onChange(() => {
      throw new Error('listener at fault');
    });
    fleet.onChange((change) => heard.push(change.kind));
    await fleet.assign([till('s1')]);
    assert.deepEqual(heard, ['delivery', 'site']);
  });
}
