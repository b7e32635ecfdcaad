import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Application, Condition, Delivery, Site } from '@selvedge/api';
import {
  ago,
  now,
  restInProgress,
  sampleApplication,
  sampleDelivery,
  sampleRelease,
  sampleRollout,
  sampleSite,
} from '../testing/sample-fleet.ts';
import { explainDelivery, type WhyInput, type WhyReport } from './explain-delivery.ts';

const known: WhyInput = {
  now,
  siteName: 'shop-1',
  namespace: 'shop',
  applicationName: 'till',
  site: sampleSite('shop-1'),
  application: sampleApplication(),
  release: sampleRelease(),
  rollout: sampleRollout(),
  delivery: sampleDelivery(),
  knownSites: [],
  knownApplications: [],
};
const explain = (changes: Partial<WhyInput> = {}) => explainDelivery({ ...known, ...changes });
const step = (report: WhyReport, topic: string) =>
  report.chain
    .filter((s) => s.topic === topic)
    .map((s) => s.text)
    .join(' | ');
const later = (seconds: number) => ago(-seconds);
const siteWith = (changes: Partial<Site>): Site => ({ ...sampleSite('shop-1'), ...changes });
const condition = (type: string, message: string): Condition => {
  return { type, status: 'True', reason: 'Because', message, lastTransitionTime: ago(60) };
};
const older = { release: 'till-bbbbbbbbbb', rollout: 'till-2', wave: '' };

describe('why a site is where it is in the life of a rollout', () => {
  test('preparing: how many images and bytes are there, and no deadline while its window is closed', () => {
    const progress = { done: 3, total: 5, doneBytes: 12 * 1024 ** 2, totalBytes: 40 * 1024 ** 2 };
    const waiting = { reason: 'DownloadWindow', until: later(3_600) };
    const delivery = sampleDelivery({ state: 'Preparing', progress, waiting });
    const site = siteWith({
      spec: { timeZone: 'UTC', windows: { download: [{ schedule: '0 13 * * *', duration: '2h' }] } },
    });
    const report = explain({ delivery, site });
    assert.equal(report.verdict, 'Progressing');
    assert.match(
      step(report, 'Waiting'),
      /^is being prepared: 3 of 5 images, 12\.6 of 41\.9 MB \| for its download window, until/,
    );
    assert.match(step(report, 'Window'), /^download window: closed, opens in 60m, at 2026-03-01T13:00:00/);
    assert.match(report.next, /no deadline runs meanwhile/);
    const open = explain({ delivery: sampleDelivery({ state: 'Preparing', progress }) });
    assert.match(open.next, /another 58m to be prepared/);
  });

  test('prepared: what its wave still waits for, and how much is missing', () => {
    const rollout = sampleRollout({
      waves: [{ ...restInProgress, phase: 'Preparing', sites: 10, pending: 3, prepared: 6, away: 1 }],
    });
    rollout.spec.strategy = { ...rollout.spec.strategy, prepare: { threshold: '95%' } };
    const delivery = sampleDelivery(
      { state: 'Prepared', waiting: { reason: 'Hub' }, runningRelease: 'till-bbbbbbbbbb' },
      { activate: 'Hold' },
    );
    const report = explain({ rollout, delivery });
    assert.equal(report.verdict, 'Prepared');
    assert.equal(report.isTrouble, false);
    assert.match(step(report, 'Gate'), /95% of the 9 in touch have it prepared: 6 have, 3 more needed/);
    assert.match(step(report, 'Assignment'), /to prepare only until its wave is ready$/);
    assert.match(report.next, /when enough sites of its wave have it prepared/);
  });

  test('prepared for an instant, and for a window with a blackout on it', () => {
    const at = later(600);
    const rollout = sampleRollout();
    rollout.spec.strategy = { ...rollout.spec.strategy, activate: { when: 'At', at } };
    const instant = explain({
      rollout,
      delivery: sampleDelivery(
        { state: 'Prepared', waiting: { reason: 'Instant', until: at } },
        { activate: 'At', activateTime: at },
      ),
    });
    assert.match(instant.next, /link or no link/);
    assert.match(step(instant, 'Gate'), /the instant .*, in 10m/);
    const blackout = explain({
      site: siteWith({
        spec: { blackouts: [{ from: '2026-02-27', to: '2026-03-02', reason: 'stocktaking' }] },
      }),
      delivery: sampleDelivery({ state: 'Prepared', waiting: { reason: 'Blackout', until: later(86_400) } }),
    });
    assert.match(step(blackout, 'Window'), /activate window: closed \(blackout: stocktaking\), opens in 36h/);
    assert.match(blackout.next, /when its window opens/);
  });

  test('held: by whom, since when, why, and who can end it', () => {
    const hold = { reason: 'till drawer open', by: 'anna', sinceTime: ago(7_200) };
    const there = explain({
      site: siteWith({ status: { connectivity: 'Connected', holds: [hold] } }),
      delivery: sampleDelivery({ state: 'Prepared', waiting: { reason: 'SiteHold' } }),
    });
    assert.equal(there.verdict, 'Held');
    assert.equal(there.isTrouble, false);
    assert.match(
      step(there, 'Hold'),
      /the whole site is held at the site by anna since .*: till drawer open/,
    );
    assert.match(there.next, /selvedge-agent release/);
    const byHub = explain({
      site: siteWith({ spec: { hold: { reason: 'audit' } }, status: { connectivity: 'Connected' } }),
      delivery: sampleDelivery({ state: 'Preparing' }),
    });
    assert.equal(byHub.verdict, 'Held');
    assert.deepEqual(byHub.commands, ['selvedge site release shop-1']);
    const item = { ...hold, item: 'Application/shop/till' };
    const other = { ...hold, item: 'Application/shop/kiosk' };
    const ofItem = (held: typeof item) =>
      explain({
        site: siteWith({ status: { connectivity: 'Connected', holds: [held] } }),
        delivery: sampleDelivery({ state: 'Prepared' }),
      });
    assert.equal(ofItem(item).verdict, 'Held');
    assert.equal(ofItem(other).verdict, 'Prepared');
  });

  test('a hub behind its site, and two hubs with one identity', () => {
    const behind = explain({
      site: siteWith({
        status: { connectivity: 'Connected', conditions: [condition('HubBehind', 'it follows epoch 90')] },
      }),
      delivery: sampleDelivery({ state: 'Pending' }),
    });
    assert.equal(behind.verdict, 'Held');
    assert.equal(behind.isTrouble, true);
    assert.deepEqual(behind.commands, ['selvedge site adopt shop-1', 'selvedge site override shop-1']);
    assert.equal(step(behind, 'Hold'), '', 'what the site says is told once');
    const two = explain({
      site: siteWith({
        status: { connectivity: 'Connected', conditions: [condition('TwoHubs', 'two hubs take turns')] },
      }),
    });
    assert.equal(two.isTrouble, true);
    assert.match(step(two, 'Site'), /two hubs take turns/);
  });

  test('a wave that waits for a person leads to promote', () => {
    const { delivery: _, ...rest } = known;
    const rollout = sampleRollout({ waves: [{ ...restInProgress, phase: 'AwaitingApproval', pending: 0 }] });
    const report = explainDelivery({ ...rest, rollout });
    assert.equal(report.verdict, 'Waiting');
    assert.match(step(report, 'Gate'), /a person lets it begin/);
    assert.equal(report.commands[0], 'selvedge rollout promote till-3 -n shop');
  });

  test('a site without the variable: the wave that has drawn it counts it, and it is not said to be in none', () => {
    const { delivery: _, ...rest } = known;
    const failures = [{ site: 'shop-1', reason: 'VariableUndefined', message: 'it lacks port' }];
    const report = explainDelivery({
      ...rest,
      release: sampleRelease(['port']),
      rollout: sampleRollout({ failures, waves: [{ ...restInProgress, failed: 1 }] }),
    });
    assert.equal(report.verdict, 'Blocked');
    assert.match(step(report, 'Wave'), /a wave has drawn the site and counts it as failed/);
    assert.doesNotMatch(step(report, 'Wave'), /in none/);
  });

  test('a site that went back by itself, and one where a person took it back', () => {
    const went = (wentBack: string): Delivery =>
      sampleDelivery({
        state: 'Failed',
        reason: 'NotHealthyInTime',
        message: 'not ready after 600 s',
        wentBack,
        runningRelease: 'till-bbbbbbbbbb',
      });
    const itself = explain({ delivery: went('Unhealthy') });
    assert.equal(itself.verdict, 'Failed');
    assert.match(step(itself, 'Report'), /the site went back by itself to till-bbbbbbbbbb 60s ago/);
    assert.match(itself.next, /^till-bbbbbbbbbb, which ran before, runs on/);
    const person = explain({ delivery: went('RolledBackBySite') });
    assert.match(step(person, 'Report'), /a person at the site took it back to till-bbbbbbbbbb/);
    assert.match(person.next, /a new rollout of this one, is tried there again/);
  });

  test('a condemned release: why, where, that sites go back, and how it is allowed again', () => {
    const message = '2 sites failed, 1 may: shop-2, shop-3';
    const release = sampleRelease();
    release.status = { condemned: { time: ago(50), rollout: 'till-3', reason: 'BudgetExceeded', message } };
    const breach = { time: ago(50), wave: 'canary', reason: 'BudgetExceeded', message };
    const rollout = sampleRollout({ phase: 'Reverted', breach });
    const delivery = sampleDelivery({ state: 'Running', runningRelease: 'till-bbbbbbbbbb' }, older);
    const report = explain({ release, rollout, delivery });
    assert.equal(report.verdict, 'Reverted');
    assert.equal(report.isTrouble, true);
    assert.match(step(report, 'Release'), /condemned in till-3 50s ago \(BudgetExceeded\): 2 sites failed/);
    assert.doesNotMatch(step(report, 'Rollout'), /2 sites failed/, 'it is told once');
    const other = explain({ rollout, delivery });
    assert.match(step(other, 'Rollout'), /BudgetExceeded in wave canary 50s ago/);
    const localActs = [{ time: ago(55), message: 'the site went back by itself' }];
    const told = explain({ release, rollout, delivery, localActs });
    assert.equal(step(told, 'Local'), '55s ago: the site went back by itself');
    assert.match(report.next, /^The site runs till-bbbbbbbbbb\. Apply a release that works/);
    assert.ok(report.commands.includes('selvedge rollout lift till-aaaaaaaaaa -n shop'));
    const onItsWay = explain({ release, rollout, delivery: sampleDelivery({ state: 'Preparing' }, older) });
    assert.match(onItsWay.next, /^The site goes back to till-bbbbbbbbbb/);
    const lifted = sampleRelease();
    lifted.status = { lifted: { time: ago(10), by: 'anna' } };
    assert.match(step(explain({ release: lifted }), 'Release'), /anna lifted that 10s ago/);
  });

  test('a site that was away catches up with the newest approved release meanwhile', () => {
    const application = sampleApplication({
      status: { ...sampleApplication().status, approvedRelease: 'till-bbbbbbbbbb' },
    });
    const report = explain({ application, delivery: sampleDelivery({ state: 'Activating' }, older) });
    assert.match(
      step(report, 'Assignment'),
      /is still to run till-bbbbbbbbbb, the newest that every wave passed/,
    );
  });

  test('a removal that the guard holds, of a site that is no longer selected', () => {
    const held = {
      digest: `sha256:${'c'.repeat(64)}`,
      reason: 'TooMany',
      message: 'till is to leave 9 of 20 sites: the guard lets 3 sites go within an hour.',
      sites: 9,
      of: 20,
      names: ['shop-1'],
      volumes: false,
      sinceTime: ago(30),
    };
    const application: Application = sampleApplication({
      status: { ...sampleApplication().status, heldRemoval: held },
    });
    const site = sampleSite('shop-1', { labels: { tier: 'closed' } });
    const report = explain({ application, site });
    assert.equal(report.verdict, 'RemovalHeld');
    assert.equal(report.isTrouble, true);
    assert.match(step(report, 'Guard'), /a removal is held, of 9 of 20 sites/);
    assert.deepEqual(report.commands, ['selvedge removal show till -n shop']);
    assert.equal(explain({ application }).verdict, 'Running', 'a site that stays is not concerned');
  });
});
