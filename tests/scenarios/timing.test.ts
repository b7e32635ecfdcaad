import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FleetLab, hours, minutes } from './fleet-lab.ts';

test('a window that is closed: prepared, then activated when it opens, also on the night of the change to summer time', async () => {
  // Berlin skips from 02:00 to 03:00 on 29 March 2026: a window at 02:30 opens at 03:00 local, which is 01:00 UTC.
  await using lab = await FleetLab.start({ start: '2026-03-28T12:00:00Z' });
  const spec = {
    timeZone: 'Europe/Berlin',
    windows: { activate: [{ schedule: '30 2 * * *', duration: '1h' }] },
  };
  await lab.addSites(['shop-0', 'shop-1'], { spec });
  await lab.addSites(['office'], { spec: { timeZone: 'UTC' } });
  await lab.apply('till', { version: '1', rollout: { activate: { when: 'Now' } } });
  await lab.rolloutReaches('till-1', 'Completed');
  assert.ok(lab.clock.now() < new Date('2026-03-28T20:00:00Z'), 'Now does not wait for windows');

  await lab.apply('till', { version: '2', rollout: { waves: [{ name: 'all', percent: 100 }] } });
  await lab.untilWithin(hours(2), 'the office has no window to wait for', async () => {
    return lab.versionAt('office', 'till') === '2';
  });
  await lab.until('the shops wait, and say until when', async () => {
    const delivery = await lab.findDelivery('till', 'shop-0');
    return (
      delivery?.status.state === 'Prepared' &&
      delivery.status.waiting?.reason === 'ActivateWindow' &&
      Date.parse(delivery.status.waiting.until ?? '') === Date.parse('2026-03-29T01:00:00Z')
    );
  });
  await lab.passUntil('2026-03-29T00:50:00Z');
  assert.deepEqual(lab.versions('till'), { office: '2', 'shop-0': '1', 'shop-1': '1' });
  await lab.passUntil('2026-03-29T01:05:00Z');
  await lab.rolloutReaches('till-2', 'Completed');
  assert.ok(lab.clock.now() < new Date('2026-03-29T02:00:00Z'));
});

test('at an instant all prepared sites switch, with the link cut too', async () => {
  await using lab = await FleetLab.start({ start: '2026-06-01T12:00:00Z' });
  await lab.addSites(['shop-0', 'shop-1', 'shop-2', 'shop-3']);
  await lab.apply('till', { version: '1' });
  await lab.rolloutReaches('till-1', 'Completed');
  const at = '2026-06-01T22:00:00Z';
  await lab.apply('till', {
    version: '2',
    rollout: {
      waves: [{ name: 'all', percent: 100 }],
      prepare: { threshold: '100%' },
      activate: { when: 'At', at },
    },
  });
  await lab.until('all are prepared and know the instant', async () => {
    const found = await Promise.all(
      ['shop-0', 'shop-1', 'shop-2', 'shop-3'].map((s) => lab.findDelivery('till', s)),
    );
    return found.every((d) => d?.status.state === 'Prepared' && d.status.waiting?.reason === 'Instant');
  });
  lab.cut('shop-1', 'shop-2');
  await lab.passUntil('2026-06-01T21:59:00Z');
  assert.ok(Object.values(lab.versions('till')).every((version) => version === '1'));
  await lab.passUntil('2026-06-01T22:00:01Z');
  await lab.until('all have switched', async () =>
    Object.values(lab.versions('till')).every((version) => version === '2'),
  );
  lab.restore('shop-1', 'shop-2');
  const { status } = await lab.rolloutReaches('till-2', 'Completed');
  const spread = Date.parse(status?.activation?.lastTime ?? '') - Date.parse(at);
  assert.equal(status?.activation?.sites, 4);
  assert.ok(spread >= 0, 'never early');
});

test('nothing activates below the threshold of prepared sites', async () => {
  await using lab = await FleetLab.start();
  await lab.addSites(['shop-0', 'shop-1', 'shop-2', 'shop-3']);
  await lab.apply('till', { version: '1' });
  await lab.rolloutReaches('till-1', 'Completed');
  await lab.apply('till', {
    version: '2',
    outcome: { prepare: 'slow:3600', sites: ['shop-3'] },
    rollout: {
      waves: [{ name: 'all', percent: 100 }],
      prepare: { threshold: '100%', deadline: '3h' },
    },
  });
  await lab.pass(minutes(30));
  assert.ok(Object.values(lab.versions('till')).every((version) => version === '1'));
  const wave = (await lab.findRollout('till-2'))?.status?.waves?.[0];
  assert.equal(wave?.phase, 'Preparing');
  assert.equal(wave?.prepared, 3);
  await lab.rolloutReaches('till-2', 'Completed');
  assert.ok(Object.values(lab.versions('till')).every((version) => version === '2'));
});

test('a newer release supersedes in mid-wave, and no site is ever without one', async () => {
  await using lab = await FleetLab.start();
  const names = ['shop-0', 'shop-1', 'shop-2', 'shop-3', 'shop-4', 'shop-5'];
  await lab.addSites(names);
  const rollout = {
    waves: [
      { name: 'half', percent: 50, soak: '2h' },
      { name: 'rest', percent: 100 },
    ],
  };
  await lab.apply('till', { version: '1', rollout: { waves: [{ name: 'all', percent: 100 }] } });
  await lab.rolloutReaches('till-1', 'Completed');
  await lab.apply('till', { version: '2', rollout });
  await lab.until('the first wave runs version 2', async () => {
    return Object.values(lab.versions('till')).filter((version) => version === '2').length === 3;
  });
  await lab.apply('till', { version: '3', rollout });
  await lab.rolloutReaches('till-2', 'Superseded');
  await lab.until('a wave of version 3 runs', async () => {
    return Object.values(lab.versions('till')).filter((version) => version === '3').length === 3;
  });
  const between = Object.values(lab.versions('till'));
  assert.ok(between.every((version) => version !== undefined));
  await lab.rolloutReaches('till-3', 'Completed');
  assert.ok(Object.values(lab.versions('till')).every((version) => version === '3'));
  for (const name of names) {
    assert.equal(lab.site(name).agent.driver.gaps('till'), 0, `${name} always ran exactly one release`);
  }
});

test('a wave with manual approval waits for a person', async () => {
  await using lab = await FleetLab.start();
  await lab.addSites(['shop-0', 'shop-1', 'shop-2']);
  await lab.apply('till', { version: '1' });
  await lab.rolloutReaches('till-1', 'Completed');
  await lab.apply('till', {
    version: '2',
    rollout: {
      waves: [
        { name: 'canary', sites: 1 },
        { name: 'rest', percent: 100, approval: 'Manual' },
      ],
    },
  });
  await lab.untilWithin(hours(1), 'the second wave awaits approval', async () => {
    return (await lab.findRollout('till-2'))?.status?.waves?.[1]?.phase === 'AwaitingApproval';
  });
  await lab.pass(hours(5));
  assert.equal(Object.values(lab.versions('till')).filter((version) => version === '2').length, 1);
  await lab.patchRollout('till-2', { spec: { approvedWaves: ['rest'] } });
  await lab.rolloutReaches('till-2', 'Completed');
});
