import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { defaultItemTerms, type DesiredItem, type ItemTerms } from '@selvedge/api';
import { SimulatedSite } from './testing/simulated-site.ts';

const good = release('good');
const bad = release('bad');

function release(name: string) {
  return { release: name, digest: `sha256:${name}` };
}

function assignment(
  named: { release: string; digest: string },
  epoch: number,
  terms: Partial<ItemTerms> = {},
): DesiredItem {
  return {
    id: 'Application/shop/till',
    uid: 'uid',
    epoch,
    ...named,
    deadlineSeconds: 300,
    terms: { ...defaultItemTerms, attempt: epoch, ...terms },
  };
}

/** A site on which `good` runs and has proved itself. */
function siteWithGood(): SimulatedSite {
  const site = new SimulatedSite();
  site.assign(assignment(good, 1));
  site.settle();
  assert.equal(site.serving, good.digest);
  assert.equal(site.report?.state, 'Running');
  return site;
}

describe('a new release at a site', () => {
  test('is prepared first, and waits for what its terms say, with what ran before', () => {
    const site = siteWithGood();
    site.assign(assignment(bad, 2, { activate: 'Hold' }));
    site.settle();
    assert.equal(site.report?.state, 'Prepared');
    assert.equal(site.report?.waiting?.reason, 'Hub');
    assert.equal(site.report?.epoch, 2);
    assert.equal(site.report?.runningDigest, good.digest);
    assert.equal(site.report?.activatedTime, undefined);
    assert.equal(site.active, good.digest);

    site.assign(assignment(bad, 3, { activate: 'Now', attempt: 2 }));
    assert.equal(site.active, bad.digest, 'prepared already: at once');
    site.settle();
    assert.equal(site.report?.state, 'Running');
    assert.ok(site.report?.activatedTime);
  });

  test('its manifests are waited for with what ran before', () => {
    const site = siteWithGood();
    site.missing.add(bad.digest);
    site.assign(assignment(bad, 2));
    site.settle();
    assert.equal(site.driverHas?.digest, good.digest);
    site.missing.clear();
    site.settle();
    assert.equal(site.serving, bad.digest);
  });

  test('is activated at its instant, not before, also when the clock was corrected, and at once when it is past', () => {
    const site = siteWithGood();
    site.assign(assignment(bad, 2, { activate: 'At', activateAt: site.timeIn(3600) }));
    site.settle();
    assert.equal(site.report?.waiting?.reason, 'Instant');
    site.pass(3000);
    site.correctClock(-1200);
    site.pass(1799);
    assert.equal(site.active, good.digest);
    site.pass(1);
    assert.equal(site.active, bad.digest);

    const late = siteWithGood();
    late.assign(assignment(bad, 2, { activate: 'At', activateAt: late.timeIn(-5) }));
    late.settle();
    assert.equal(late.active, bad.digest);
  });

  test('a hold keeps everything as it is, and gives way', () => {
    const site = siteWithGood();
    site.hold = { reason: 'SiteHold', message: 'stocktaking' };
    site.assign(assignment(bad, 2, { activate: 'Now' }));
    site.settle();
    assert.equal(site.report?.state, 'Prepared');
    assert.equal(site.report?.waiting?.reason, 'SiteHold');
    assert.equal(site.active, good.digest);
    site.hold = undefined;
    site.settle();
    assert.equal(site.active, bad.digest);
  });
});

describe('a release that does not become healthy', () => {
  test('is taken back when the driver says that it failed, and the hub learns why and what runs', () => {
    const site = siteWithGood();
    site.outcomes.set(bad.digest, 'fails');
    site.assign(assignment(bad, 2));
    site.settle();
    assert.equal(site.serving, good.digest);
    const { report } = site;
    assert.equal(report?.state, 'Failed');
    assert.equal(report?.wentBack, 'Unhealthy');
    assert.equal(report?.runningDigest, good.digest);
    assert.equal(report?.reason, 'CrashLoop');
    assert.deepEqual(report?.logs, ['boom']);
    assert.equal(report?.epoch, 2);
    assert.equal(site.wentBack, 1);
  });

  test('is taken back after its deadline, of which only watched time counts', () => {
    const site = siteWithGood();
    site.outcomes.set(bad.digest, 'hangs');
    site.assign(assignment(bad, 2));
    site.settle();
    site.pass(200);
    site.restart({ offSeconds: 86_400 });
    site.settle();
    assert.equal(site.active, bad.digest, 'the machine was off');
    site.pass(60);
    assert.equal(site.active, bad.digest);
    site.pass(120);
    assert.equal(site.active, good.digest);
    site.settle();
    assert.equal(site.report?.reason, 'DeadlineExceeded');
    assert.equal(site.report?.wentBack, 'Unhealthy');
  });

  test('is not tried again under that attempt, also after a restart; a newer attempt is', () => {
    const site = siteWithGood();
    site.outcomes.set(bad.digest, 'fails');
    site.assign(assignment(bad, 2));
    site.settle();
    site.restart({ offSeconds: 10 });
    site.assign(assignment(bad, 3, { attempt: 2 }));
    site.settle();
    assert.equal(site.report?.state, 'Failed');
    assert.equal(site.report?.epoch, 3);
    assert.equal(site.serving, good.digest);
    site.outcomes.set(bad.digest, 'runs');
    site.assign(assignment(bad, 4, { attempt: 3 }));
    site.settle();
    assert.equal(site.report?.state, 'Running');
    site.assign(assignment(good, 5));
    site.settle();
    site.assign(assignment(bad, 6, { attempt: 2 }));
    site.settle();
    assert.equal(site.report?.state, 'Running', 'the verdict was forgotten when it was healthy after all');
  });

  test('stays where there is nothing to go back to, and may recover', () => {
    const site = new SimulatedSite();
    site.outcomes.set(bad.digest, 'hangs');
    site.assign(assignment(bad, 1));
    site.settle();
    site.pass(400);
    assert.equal(site.report?.state, 'Failed');
    assert.equal(site.report?.wentBack, undefined);
    assert.equal(site.active, bad.digest);
    site.outcomes.set(bad.digest, 'runs');
    site.settle();
    assert.equal(site.report?.state, 'Running');
    assert.deepEqual(site.memory.verdicts, []);
  });

  for (const outcome of ['hangs', 'half runs'] as const) {
    test(`is taken back also while its successor is being prepared, when it ${outcome}`, () => {
      const site = siteWithGood();
      site.outcomes.set(bad.digest, outcome);
      site.assign(assignment(bad, 2));
      site.settle();
      site.assign(assignment(release('next'), 3, { activate: 'Hold' }));
      site.settle();
      assert.equal(site.report?.state, 'Prepared');
      site.pass(400);
      site.settle();
      assert.equal(site.serving, good.digest);
      assert.equal(site.report?.digest, release('next').digest);
      assert.equal(site.report?.state, 'Prepared');
    });
  }
});

describe('the deadline for preparing', () => {
  const slow = { prepareSeconds: 600 };

  test('passes while the site can fetch, and is over when it is prepared after all', () => {
    const site = siteWithGood();
    site.outcomes.set(bad.digest, 'never prepared');
    site.assign(assignment(bad, 2, slow));
    site.settle();
    site.pass(590);
    assert.equal(site.report?.state, 'Preparing');
    site.pass(30);
    assert.equal(site.report?.state, 'Failed');
    assert.equal(site.report?.reason, 'PrepareDeadlineExceeded');
    assert.equal(site.report?.wentBack, undefined);
    site.outcomes.set(bad.digest, 'runs');
    site.settle();
    assert.equal(site.report?.state, 'Running');
  });

  test('does not pass without the hub, on hold, or while no download window is open', () => {
    const site = siteWithGood();
    site.outcomes.set(bad.digest, 'never prepared');
    site.isInContact = false;
    site.assign(assignment(bad, 2, slow));
    site.settle();
    site.pass(86_400);
    assert.equal(site.report?.state, 'Preparing');
    site.isInContact = true;
    site.hold = { reason: 'HubHold', message: 'wait' };
    site.pass(86_400);
    assert.equal(site.report?.state, 'Preparing');
    site.hold = undefined;
    site.policy = {
      timeZone: 'UTC',
      downloadWindows: [{ schedule: '0 3 * * *', durationSeconds: 60 }],
    };
    site.pass(7200);
    assert.equal(site.report?.state, 'Preparing');
    assert.equal(site.report?.waiting?.reason, 'DownloadWindow');
  });
});

describe('a site that lost its memory', () => {
  test('brings back first what the hub knows to have proved itself, windows and holds or not', () => {
    const site = new SimulatedSite();
    site.hold = { reason: 'HubHold', message: 'wait' };
    site.missing.add(good.digest);
    site.assign(assignment(bad, 9, { activate: 'Hold', fallback: good }));
    site.settle();
    assert.equal(site.driverHas?.digest, good.digest);
    site.missing.clear();
    site.settle();
    assert.equal(site.serving, good.digest);
    assert.equal(site.report?.state, 'Prepared');
    assert.equal(site.report?.runningDigest, good.digest);
  });

  test('goes on with the wanted one when the hub has the other no more', () => {
    const site = new SimulatedSite();
    site.missing.add(good.digest);
    site.lost.add(good.digest);
    site.assign(assignment(bad, 9, { fallback: good }));
    site.settle();
    assert.equal(site.serving, bad.digest);
  });

  test('takes what its driver still has for what is active', () => {
    const site = siteWithGood();
    site.forgetMemory();
    site.assign(assignment(good, 5, { activate: 'Hold' }));
    site.settle();
    assert.equal(site.report?.state, 'Running');
    assert.equal(site.serving, good.digest);
  });
});

describe('a person at the site', () => {
  test('takes back what is active; that attempt is not tried again', () => {
    const site = siteWithGood();
    site.assign(assignment(bad, 2));
    site.settle();
    assert.equal(site.report?.state, 'Running');
    assert.ok(site.rollBack());
    site.settle();
    assert.equal(site.serving, good.digest);
    assert.equal(site.report?.state, 'Failed');
    assert.equal(site.report?.wentBack, 'RolledBackBySite');
    assert.ok(!site.rollBack(), 'there is nothing more to go back to');
    site.assign(assignment(bad, 3, { attempt: 3 }));
    site.settle();
    assert.equal(site.serving, bad.digest);
  });
});
