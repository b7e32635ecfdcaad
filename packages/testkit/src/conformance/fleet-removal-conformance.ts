import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '@selvedge/api/node';
import { onlyRow, receivedAt, report, till } from './fleet-samples.ts';
import { type CreateTestDatabase, openForTest } from './store-under-test.ts';

export function fleetRemovals(createDatabase: CreateTestDatabase): void {
  const target = { site: 's1', namespace: 'shop', application: 'till', mode: 'Delete' as const };

  test('a removal turns the row into a tombstone that stays, also when it was carried out', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    await fleet.assign([till('s1')]);
    await fleet.remove([target]);
    const removing = await onlyRow(fleet, 's1');
    assert.deepEqual(
      [removing.phase, removing.epoch, removing.release, removing.digest, removing.rollout, removing.wave],
      ['Removing', 2, '', '', '', ''],
    );
    await fleet.remove([target]);
    assert.deepEqual(await onlyRow(fleet, 's1'), removing);
    await fleet.saveReports('s1', [report({ state: 'Removed', epoch: 2, seq: 2 })], receivedAt);
    const removed = await onlyRow(fleet, 's1');
    assert.equal(removed.phase, 'Removed');
    assert.deepEqual([removed.epoch, (await fleet.siteState('s1')).epoch], [2, 2]);
    await fleet.remove([target]);
    assert.deepEqual(await onlyRow(fleet, 's1'), removed);
  });

  test('only a Removed report of this very tombstone carries it out', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    await fleet.assign([till('s1')]);
    await fleet.saveReports('s1', [report({ state: 'Removed', epoch: 1, seq: 1 })], receivedAt);
    assert.equal((await onlyRow(fleet, 's1')).phase, 'Wanted');
    await fleet.remove([target]);
    await fleet.saveReports('s1', [report({ state: 'Removed', epoch: 1, seq: 2 })], receivedAt);
    await fleet.saveReports('s1', [report({ state: 'Removing', epoch: 2, seq: 3 })], receivedAt);
    await fleet.saveReports('s1', [report({ state: 'Removed', epoch: 2, seq: 4, uid: 'other' })], receivedAt);
    assert.equal((await onlyRow(fleet, 's1')).phase, 'Removing');
  });

  test('what was removed can be wanted again', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    await fleet.assign([till('s1')]);
    await fleet.remove([target]);
    await fleet.assign([till('s1')]);
    const row = await onlyRow(fleet, 's1');
    assert.deepEqual([row.phase, row.epoch, row.release, row.createRevision], ['Wanted', 3, 'till-1', 2]);
  });

  test('a tombstone says what becomes of the item, until it is wanted again', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    for (const [index, mode] of (['Delete', 'DeleteVolumes', 'Orphan'] as const).entries()) {
      const site = `s${index}`;
      await fleet.assign([till(site)]);
      assert.equal((await onlyRow(fleet, site)).removal, 'Delete');
      await fleet.remove([{ ...target, site, mode }]);
      const removing = await onlyRow(fleet, site);
      assert.deepEqual([removing.phase, removing.removal, removing.epoch], ['Removing', mode, 2]);
      await fleet.remove([{ ...target, site, mode: 'DeleteVolumes' }]);
      assert.deepEqual(await onlyRow(fleet, site), removing, 'what was ordered is not made worse');
      await fleet.saveReports(site, [report({ state: 'Removed', epoch: 2 })], receivedAt);
      assert.equal((await onlyRow(fleet, site)).removal, mode);
      await fleet.assign([till(site)]);
      assert.equal((await onlyRow(fleet, site)).removal, 'Delete');
    }
  });

  test('a tombstone was assigned when the removal was ordered, not when the item was or when it was carried out', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    await fleet.assign([till('s1')]);
    await systemClock.sleep(5);
    const asked = systemClock.now().toISOString();
    await fleet.remove([target]);
    const { assignedAt } = await onlyRow(fleet, 's1');
    assert.ok(assignedAt >= asked);
    await systemClock.sleep(5);
    await fleet.saveReports('s1', [report({ state: 'Removed', epoch: 2 })], receivedAt);
    assert.equal((await onlyRow(fleet, 's1')).assignedAt, assignedAt);
  });

  test('the life before is deleted when its application is made again, its data stays', async (t) => {
    const { fleet } = await openForTest(t, createDatabase);
    await fleet.assign([till('s1')]);
    await fleet.assign([till('s1', { applicationUid: 'again' })]);
    const { rows } = await fleet.siteState('s1');
    assert.deepEqual(
      rows.map((row) => [row.applicationUid, row.phase, row.removal]),
      [
        ['again', 'Wanted', 'Delete'],
        ['till-uid', 'Removing', 'Delete'],
      ],
    );
  });
}
