import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Release, type Rollout, releases, rollouts } from '@selvedge/api';
import { TestHub } from '../testing/test-hub.ts';

/** A canary fails, its release is condemned, and it goes back: every kind of write of a rollout is in it. */
interface Begun {
  readonly hub: TestHub;
  readonly good: string;
  /** Of both sites; their labels may have taken one, before or after the release. */
  readonly epochs: ReadonlyMap<string, number>;
}

async function start(): Promise<Begun> {
  const hub = await TestHub.start();
  await hub.addSites('shop-1', 'shop-2');
  await hub.apply();
  await hub.eventually(async () => assert.equal((await hub.rollout('till-1')).status?.phase, 'Completed'));
  const good = (await hub.application()).status?.release ?? '';
  for (const name of ['shop-1', 'shop-2']) {
    hub.agent(name).behaviour = (row) =>
      row.release === good
        ? { state: 'Running' }
        : { state: 'Failed', reason: 'CrashLoop', message: 'container web exited with 1' };
  }
  await hub.eventually(async () => {
    for (const site of ['shop-1', 'shop-2']) {
      assert.notEqual((await hub.fleet.siteState(site)).policy.labels, undefined);
    }
  });
  await hub.stopControllers();
  return { hub, good, epochs: await hub.fleet.siteEpochs() };
}

async function isTakenBack({ hub, good, epochs }: Begun, place: string): Promise<void> {
  await hub.eventually(async () => {
    assert.equal((await hub.rollout('till-2')).status?.phase, 'Reverted', place);
    for (const row of await hub.rows()) {
      assert.equal(row.release, good, place);
      assert.equal(row.report?.epoch, row.epoch, place);
    }
  });
  const { status, spec } = await hub.rollout('till-2');
  assert.equal(status?.breach?.reason, 'BudgetExceeded', place);
  const bad = await hub.release(spec.release);
  assert.equal(bad.status?.condemned?.rollout, 'till-2', place);
  assert.ok((bad.status?.condemned?.time ?? '') <= (status?.breach?.time ?? ''), place);
  assert.equal((await hub.client.list<Rollout>(rollouts)).items.length, 2, place);
  assert.equal((await hub.client.list<Release>(releases)).items.length, 2, place);
  // The canary was given the new release, and the one before again; the other site nothing.
  const grown = [...(await hub.fleet.siteEpochs())].map(([site, epoch]) => epoch - (epochs.get(site) ?? 0));
  assert.deepEqual(
    grown.toSorted((a, b) => a - b),
    [0, 2],
    place,
  );
  for (const name of ['shop-1', 'shop-2']) assert.deepEqual(hub.agent(name).activations, [good], place);
}

describe('a rollout that breaks off', () => {
  test('at any write, before it is done or after, is carried on to the same end', async () => {
    let boundaries = 0;
    const places = new Set<string>();
    for (let breaksAt = 1; ; breaksAt++) {
      const begun = await start();
      const { hub } = begun;
      await using _ = hub;
      let asked = 0;
      let broken = '';
      // Events are not waited for, so they come in any order; nothing depends on them.
      hub.startControllers((write) => {
        if (broken === '' && !write.endsWith(' events') && ++asked === breaksAt)
          broken = `${breaksAt}: ${write}`;
        return broken !== '';
      });
      await hub.apply({ text: 'bad' });
      await hub.eventually(async () => {
        if (broken === '') assert.equal((await hub.rollout('till-2')).status?.phase, 'Reverted');
      });
      if (broken === '') {
        await isTakenBack(begun, 'unbroken');
        break;
      }
      places.add(broken.replace(/^\d+: /, ''));
      boundaries = breaksAt;
      await hub.stopControllers();
      hub.startControllers();
      await isTakenBack(begun, broken);
    }
    assert.ok(boundaries > 20, `only ${boundaries} boundaries`);
    for (const write of [
      'create releases',
      'create rollouts',
      'putBlob',
      'updateStatus releases',
      'updateStatus rollouts',
      'updateStatus applications',
      'addRolloutMembers',
      'assign',
    ]) {
      assert.ok(places.has(write), `never broke at ${write}`);
    }
  });
});
