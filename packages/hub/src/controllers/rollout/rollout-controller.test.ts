import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type Event,
  events,
  type Release,
  type Rollout,
  type RolloutPhase,
  type RolloutSpec,
  releases,
  rollouts,
  type Site,
  sites,
} from '@selvedge/api';
import { type Behaviour, TestHub } from '../testing/test-hub.ts';

const canaryFirst = {
  waves: [
    { name: 'canary', sites: 1 },
    { name: 'rest', percent: 100 },
  ],
};
const askBeforeRest = {
  waves: [
    { name: 'canary', sites: 1 },
    { name: 'rest', percent: 100, approval: 'Manual' as const },
  ],
};

async function reached(hub: TestHub, rollout: string, phase: RolloutPhase): Promise<Rollout> {
  return hub.eventually(async () => {
    const found = await hub.rollout(rollout);
    assert.equal(found.status?.phase, phase, found.status?.message);
    return found;
  });
}

function patch(
  hub: TestHub,
  rollout: string,
  spec: Partial<Record<keyof RolloutSpec, unknown>>,
): Promise<Rollout> {
  return hub.client.mergePatch<Rollout>(rollouts, { namespace: 'shop', name: rollout }, { spec });
}

/** Sites fail with every release but these. */
function onlyHealthy(...good: readonly (string | undefined)[]): Behaviour {
  return (row) =>
    good.includes(row.release)
      ? { state: 'Running' }
      : { state: 'Failed', reason: 'CrashLoop', message: 'container web exited with 1' };
}

/** Reasons of the events about it, as often as they happened. */
async function seen(hub: TestHub, about: { kind: string; name: string }): Promise<(string | undefined)[]> {
  const { items } = await hub.client.list<Event>(events);
  return items
    .filter(({ involvedObject: { kind, name } }) => kind === about.kind && name === about.name)
    .flatMap(({ reason, count = 1 }) => Array<string | undefined>(count).fill(reason));
}

const statusOf = (
  object: { status?: { conditions?: { type: string; status: string; reason: string }[] } },
  type: string,
) => {
  const condition = object.status?.conditions?.find((c) => c.type === type);
  return condition && `${condition.status} ${condition.reason}`;
};

const everyShop = ['shop-1', 'shop-2', 'shop-3'];

/** Three sites that run release one, and the name of that. */
async function startShops(hub: TestHub): Promise<string> {
  await hub.addSites(...everyShop);
  await hub.apply();
  await reached(hub, 'till-1', 'Completed');
  const release = (await hub.application()).status?.release;
  assert.ok(release);
  return release;
}

describe('a release that fails', () => {
  test('at its canary is condemned and taken back; no other site sees it', async () => {
    await using hub = await TestHub.start();
    const good = await startShops(hub);
    for (const name of everyShop) hub.agent(name).behaviour = onlyHealthy(good);
    await hub.apply({ text: 'bad' });
    const rollout = await reached(hub, 'till-2', 'Reverted');
    assert.equal(rollout.status?.breach?.reason, 'BudgetExceeded');
    assert.match(rollout.status.breach.message, /shop-\d/);
    assert.equal(statusOf(rollout, 'Reverted'), 'True BudgetExceeded');
    assert.deepEqual(
      rollout.status.failures?.map(({ reason, message }) => `${reason}: ${message}`),
      ['CrashLoop: container web exited with 1'],
    );
    assert.equal(statusOf(rollout, 'Progressing'), 'False Reverted');
    const bad = await hub.release(rollout.spec.release);
    assert.equal(bad.status?.condemned?.rollout, 'till-2');
    assert.equal(bad.status.condemned.time, rollout.status.breach.time);
    assert.equal(statusOf(bad, 'Condemned'), 'True BudgetExceeded');
    await hub.eventually(async () => {
      for (const row of await hub.rows()) {
        assert.equal(row.release, good);
        assert.equal(row.report?.epoch, row.epoch);
        assert.equal(row.report.state, 'Running');
      }
    });
    for (const name of everyShop) assert.ok(!hub.agent(name).activations.includes(bad.metadata.name));
    await hub.eventually(async () => {
      const application = await hub.application();
      assert.equal(application.status?.approvedRelease, good);
      assert.equal(statusOf(application, 'ReleaseCondemned'), 'True BudgetExceeded');
      assert.equal(statusOf(application, 'Available'), 'False RolloutReverted');
      assert.equal(statusOf(application, 'Progressing'), 'False RolloutReverted');
    });
    await hub.eventually(async () => {
      const ofRollout = await seen(hub, { kind: 'Rollout', name: 'till-2' });
      const ofApplication = await seen(hub, { kind: 'Application', name: 'till' });
      for (const reason of [
        'RolloutStarted',
        'WaveBegun',
        'DeliveryFailed',
        'BudgetExceeded',
        'ReleaseCondemned',
        'RolloutReverting',
        'WaveReverted',
        'RolloutReverted',
      ]) {
        const times = ofRollout.filter((said) => said === reason).length;
        assert.equal(times, 1, `${reason}: ${ofRollout.join()}`);
        assert.ok(ofApplication.includes(reason), `${reason}: ${ofApplication.join()}`);
      }
    });
  });

  test('is not offered again until a person lifts it; then it is tried anew', async () => {
    await using hub = await TestHub.start();
    const good = await startShops(hub);
    for (const name of everyShop) hub.agent(name).behaviour = onlyHealthy(good);
    await hub.apply({ text: 'bad' });
    const { spec } = await reached(hub, 'till-2', 'Reverted');
    await hub.apply({ text: 'one' });
    await reached(hub, 'till-3', 'Completed');
    await hub.apply({ text: 'bad' });
    const blocked = await reached(hub, 'till-4', 'Blocked');
    assert.equal(blocked.spec.release, spec.release);
    assert.match(blocked.status?.message ?? '', /lift/);
    await hub.pass(60_000);
    assert.ok((await hub.rows()).every((row) => row.release === good));

    for (const name of everyShop) hub.agent(name).behaviour = () => ({ state: 'Running' });
    await hub.lift(spec.release, 'the registry was down');
    await reached(hub, 'till-5', 'Completed');
    assert.equal((await hub.rollout('till-4')).status?.phase, 'Superseded');
    assert.ok((await hub.rows()).every((row) => row.release === spec.release && row.terms.attempt === 5));
    const lifted = await hub.release(spec.release);
    assert.equal(lifted.status?.condemned, undefined);
    assert.equal(lifted.status?.lifted?.by, 'kim');
    assert.equal(statusOf(lifted, 'Approved'), 'True EveryWavePassed');
    await hub.eventually(async () => {
      assert.ok((await seen(hub, { kind: 'Application', name: 'till' })).includes('ReleaseLifted'));
      assert.equal((await hub.application()).status?.approvedRelease, spec.release);
      assert.equal(statusOf(await hub.application(), 'ReleaseCondemned'), 'False NotCondemned');
    });
    assert.equal((await hub.client.list(rollouts)).items.length, 5);
  });

  test('and is lifted while its rollout is the newest goes out again by a new rollout', async () => {
    await using hub = await TestHub.start();
    const good = await startShops(hub);
    for (const name of everyShop) hub.agent(name).behaviour = onlyHealthy(good);
    await hub.apply({ text: 'bad' });
    const { spec } = await reached(hub, 'till-2', 'Reverted');
    await hub.pass(60_000);
    assert.equal((await hub.client.list(rollouts)).items.length, 2);
    await hub.lift(spec.release);
    await reached(hub, 'till-3', 'Reverted');
    // Made anew it is not condemned, but nobody has lifted anything.
    await hub.client.delete(releases, { namespace: 'shop', name: spec.release });
    await hub.eventually(async () =>
      assert.ok(await hub.client.find(releases, { namespace: 'shop', name: spec.release })),
    );
    await hub.pass(60_000);
    assert.equal((await hub.client.list(rollouts)).items.length, 3);
    assert.ok((await hub.rows()).every((row) => row.release === good));
  });

  test('is condemned again by the rollout that was made after a lift, when it fails again', async () => {
    await using hub = await TestHub.start();
    const good = await startShops(hub);
    for (const name of everyShop) hub.agent(name).behaviour = onlyHealthy(good);
    await hub.apply({ text: 'bad' });
    const { spec } = await reached(hub, 'till-2', 'Reverted');
    await hub.lift(spec.release);
    await reached(hub, 'till-3', 'Reverted');
    assert.equal((await hub.rollout('till-3')).spec.release, spec.release);
    // Condemned again, by the new rollout this time.
    assert.equal((await hub.release(spec.release)).status?.condemned?.rollout, 'till-3');
    assert.equal((await hub.rollout('till-2')).status?.phase, 'Reverted');
  });

  test('with no release before it goes nowhere else, and the next one mends it', async () => {
    await using hub = await TestHub.start();
    await hub.addSites(...everyShop);
    for (const name of everyShop) hub.agent(name).behaviour = onlyHealthy();
    await hub.apply({ text: 'bad' });
    const { spec } = await reached(hub, 'till-1', 'Reverted');
    await hub.pass(60_000);
    const given = (await hub.rows()).filter((row) => row.terms.activate !== 'Hold');
    assert.deepEqual(given, []);
    for (const name of everyShop)
      hub.agent(name).behaviour = (row) => ({ state: row.release === spec.release ? 'Failed' : 'Running' });
    await hub.apply({ text: 'mended' });
    await reached(hub, 'till-2', 'Completed');
  });

  test('can be taken back by a person after every wave but the last has passed', async () => {
    await using hub = await TestHub.start();
    const good = await startShops(hub);
    await hub.apply({ text: 'slow', rollout: askBeforeRest });
    await hub.eventually(async () => {
      assert.equal(statusOf(await hub.rollout('till-2'), 'AwaitingApproval'), 'True WaveIsManual');
    });
    await patch(hub, 'till-2', { stop: 'Revert' });
    const { status } = await reached(hub, 'till-2', 'Reverted');
    assert.equal(status?.breach?.reason, 'RevertedByPerson');
    await hub.eventually(async () => {
      assert.ok((await hub.rows()).every((row) => row.release === good && row.report?.epoch === row.epoch));
    });
  });
});

describe('a rollout', () => {
  test('waits for a person before a manual wave, and says so', async () => {
    await using hub = await TestHub.start();
    const good = await startShops(hub);
    await hub.apply({ text: 'two', rollout: askBeforeRest });
    await hub.eventually(async () => {
      assert.equal(statusOf(await hub.rollout('till-2'), 'AwaitingApproval'), 'True WaveIsManual');
    });
    for (let i = 0; i < 20; i++) await hub.pass(30_000);
    assert.equal((await hub.rows()).filter((row) => row.release !== good).length, 1);
    await patch(hub, 'till-2', { approvedWaves: ['rest'] });
    const rollout = await reached(hub, 'till-2', 'Completed');
    assert.equal(statusOf(rollout, 'AwaitingApproval'), 'False NoApprovalNeeded');
    assert.equal(statusOf(rollout, 'Completed'), 'True Completed');
    assert.equal(rollout.status?.activation?.sites, 3);
    const reasons = await seen(hub, { kind: 'Rollout', name: 'till-2' });
    assert.ok(reasons.includes('AwaitingApproval') && reasons.includes('WavePassed'), reasons.join());
  });

  test('is paused and resumed on its own, and aborted and taken up again', async () => {
    await using hub = await TestHub.start();
    const good = await startShops(hub);
    for (const name of everyShop) hub.agent(name).behaviour = () => ({ state: 'Activating' });
    await hub.apply({ text: 'two', rollout: canaryFirst });
    await hub.eventually(async () => {
      assert.equal((await hub.rows()).filter((row) => row.release !== good).length, 1);
    });
    for (const [change, phase, undo] of [
      [{ paused: true }, 'Paused', { paused: false }],
      [{ stop: 'Abort' }, 'Aborted', { stop: null }],
    ] as const) {
      await patch(hub, 'till-2', change);
      await reached(hub, 'till-2', phase);
      await hub.pass(30_000);
      assert.equal((await hub.rows()).filter((row) => row.release !== good && row.wave === 'rest').length, 0);
      await patch(hub, 'till-2', undo);
      await reached(hub, 'till-2', 'Progressing');
    }
    for (const name of everyShop) hub.agent(name).behaviour = () => ({ state: 'Running' });
    await reached(hub, 'till-2', 'Completed');
    await hub.eventually(async () => {
      const reasons = await seen(hub, { kind: 'Rollout', name: 'till-2' });
      for (const reason of ['RolloutPaused', 'RolloutAborted', 'RolloutResumed']) {
        assert.ok(reasons.includes(reason), `${reason}, only ${reasons.join()}`);
      }
    });
  });

  test('that a newer release overtakes leaves no site without a release, and none with two', async () => {
    await using hub = await TestHub.start();
    const one = await startShops(hub);
    for (const name of everyShop) {
      hub.agent(name).behaviour = (row) => ({ state: row.rollout === 'till-2' ? 'Activating' : 'Running' });
    }
    await hub.apply({ text: 'two', rollout: canaryFirst });
    await hub.eventually(async () => {
      assert.equal((await hub.rows()).filter((row) => row.release !== one).length, 1);
    });
    await hub.apply({ text: 'three', rollout: canaryFirst });
    const known = new Set<string>();
    await hub.eventually(async () => {
      const rows = await hub.rows();
      assert.equal(rows.length, 3);
      for (const row of rows) {
        assert.equal(row.phase, 'Wanted');
        known.add(row.release);
      }
      assert.equal((await hub.rollout('till-3')).status?.phase, 'Completed');
    });
    const three = (await hub.application()).status?.release;
    assert.ok((await hub.rows()).every((row) => row.release === three));
    assert.equal(known.size, 3);
    const before = await hub.rollout('till-2');
    assert.equal(before.status?.phase, 'Superseded');
    assert.match(before.status.message ?? '', /till-3/);
    assert.equal(statusOf(before, 'Progressing'), 'False Superseded');
    await hub.eventually(async () => {
      assert.ok((await seen(hub, { kind: 'Rollout', name: 'till-2' })).includes('RolloutSuperseded'));
    });
  });

  test('prepares all of a wave before any activates, and activates at the instant', async () => {
    await using hub = await TestHub.start();
    const good = await startShops(hub);
    const at = new Date(hub.clock.now().getTime() + 3_600_000).toISOString();
    await hub.apply({
      text: 'two',
      rollout: { waves: [{ name: 'all', percent: 100 }], prepare: {}, activate: { when: 'At', at } },
    });
    await hub.eventually(async () => {
      const rows = await hub.rows();
      assert.ok(rows.every((row) => row.release !== good && row.terms.activateAt === at));
      assert.ok(rows.every((row) => row.report?.epoch === row.epoch && row.report.state === 'Prepared'));
      assert.equal((await hub.application()).status?.sites?.prepared, 3);
    });
    // At the instant, link or no link.
    await hub.eventually(async () => assert.equal((await hub.rollout('till-2')).status?.phase, 'Completed'), {
      step: 60_000,
    });
    const { activation } = (await hub.rollout('till-2')).status ?? {};
    assert.equal(activation?.sites, 3);
    assert.ok((activation.firstTime ?? '') >= at);
    await hub.eventually(async () => {
      const reasons = await seen(hub, { kind: 'Rollout', name: 'till-2' });
      for (const reason of ['WavePrepared', 'WaveActivated', 'WavePassed'])
        assert.ok(reasons.includes(reason), reason);
    });
  });
});

describe('a site', () => {
  test('that is new in mid-rollout gets the approved release until its wave comes', async () => {
    await using hub = await TestHub.start();
    const good = await startShops(hub);
    await hub.apply({ text: 'two', rollout: askBeforeRest });
    await hub.eventually(async () => {
      assert.equal(statusOf(await hub.rollout('till-2'), 'AwaitingApproval'), 'True WaveIsManual');
    });
    assert.equal((await hub.application()).status?.approvedRelease, good);
    await hub.addSites('shop-4');
    await hub.eventually(async () => {
      const row = await hub.row('shop-4');
      assert.equal(row?.release, good);
      assert.equal(row.report?.state, 'Running');
    });
    await patch(hub, 'till-2', { approvedWaves: ['rest'] });
    await reached(hub, 'till-2', 'Completed');
    await hub.eventually(async () => {
      assert.equal((await hub.row('shop-4'))?.report?.state, 'Running');
      assert.notEqual((await hub.row('shop-4'))?.release, good);
    });
    assert.deepEqual(hub.agent('shop-4').activations.length, 2);
  });

  test('that comes back gets the newest approved release, none in between', async () => {
    await using hub = await TestHub.start();
    const one = await startShops(hub);
    await hub.cutOff('shop-2');
    await hub.apply({ text: 'two' });
    await reached(hub, 'till-2', 'Completed');
    await hub.apply({ text: 'three' });
    await reached(hub, 'till-3', 'Completed');
    const three = (await hub.application()).status?.release;
    await hub.apply({
      text: 'four',
      rollout: { waves: [{ name: 'ask', percent: 100, approval: 'Manual' }] },
    });
    await hub.eventually(async () => {
      assert.equal(statusOf(await hub.rollout('till-4'), 'AwaitingApproval'), 'True WaveIsManual');
    });
    hub.agent('shop-2').isInTouch = true;
    await hub.eventually(async () => {
      const row = await hub.row('shop-2');
      assert.equal(row?.release, three);
      assert.equal(row?.report?.epoch, row?.epoch);
      assert.equal(row?.report?.state, 'Running');
    });
    assert.deepEqual(hub.agent('shop-2').activations, [one, three]);
  });

  test('on hold keeps nobody waiting, and follows when it is let go', async () => {
    await using hub = await TestHub.start();
    const one = await startShops(hub);
    const hold = (reason: string | null) =>
      hub.client.mergePatch<Site>(
        sites,
        { name: 'shop-3' },
        { spec: { hold: reason === null ? null : { reason } } },
      );
    await hold('stocktaking');
    hub.agent('shop-3').behaviour = () => ({ state: 'Pending', waiting: { reason: 'HubHold' } });
    await hub.apply({ text: 'two' });
    await reached(hub, 'till-2', 'Completed');
    await hub.eventually(async () => {
      const { sites: counts } = (await hub.application()).status ?? {};
      assert.equal(counts?.held, 1);
      assert.equal(counts?.running, 2);
      assert.equal(counts?.failed, 0);
    });
    assert.equal((await hub.release(one)).status?.condemned, undefined);
    hub.agent('shop-3').behaviour = () => ({ state: 'Running' });
    await hold(null);
    await hub.eventually(async () => assert.equal((await hub.application()).status?.sites?.running, 3));
  });
});

describe('the history', () => {
  test('keeps condemned releases and the approved one, however many rollouts failed since', async () => {
    await using hub = await TestHub.start();
    await hub.addSites('shop-1');
    await hub.apply({ text: 'good' });
    await reached(hub, 'till-1', 'Completed');
    const good = (await hub.application()).status?.release ?? '';
    hub.agent('shop-1').behaviour = onlyHealthy(good);
    const bad: string[] = [];
    for (let n = 2; n <= 14; n++) {
      await hub.apply({ text: `bad ${n}` });
      bad.push((await reached(hub, `till-${n}`, 'Reverted')).spec.release);
    }
    await hub.eventually(async () => {
      const names = (await hub.client.list<Rollout>(rollouts)).items.map(({ metadata }) => metadata.name);
      // The newest, ten finished ones, and that of the approved release.
      assert.equal(names.length, 12, names.join());
      assert.ok(names.includes('till-1') && !names.includes('till-2') && names.includes('till-4'));
    });
    const kept = (await hub.client.list<Release>(releases)).items.map(({ metadata }) => metadata.name);
    for (const name of [good, ...bad]) assert.ok(kept.includes(name), name);
    assert.equal((await hub.application()).status?.approvedRelease, good);
    await hub.eventually(async () => {
      assert.equal((await hub.row('shop-1'))?.release, good);
      assert.equal((await hub.row('shop-1'))?.report?.state, 'Running');
    });
  });
});
