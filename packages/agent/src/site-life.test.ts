import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import {
  defaultItemTerms,
  type ItemReport,
  type ItemTerms,
  type SiteReport,
  StatusError,
} from '@selvedge/api';
import { systemClock } from '@selvedge/api/node';
import { formatStatus } from './commands/format-status.ts';
import { holdSite, releaseSite, rollBackItem } from './commands/person-acts.ts';
import { readStatus } from './commands/read-status.ts';
import { MemoryDriver } from './testing/memory-driver.ts';
import { MemoryMachine } from './testing/memory-machine.ts';
import { type Outcome, withOutcome } from './testing/release-outcome.ts';
import { eventually, makeStateDir, startTestAgent } from './testing/test-agent.ts';
import { TestHub } from './testing/test-hub.ts';

const id = 'Application/default/till';
let count = 0;

/** Other content with each call. */
function manifests(outcome: Outcome = {}) {
  count += 1;
  const config = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' }, data: { n: String(count) } };
  return withOutcome([config], outcome);
}

function terms(activate: ItemTerms['activate'], more: Partial<ItemTerms> = {}): ItemTerms {
  return { ...defaultItemTerms, activate, ...more };
}

/** A hub, an agent, and a till that runs; the machine outlives the agents. */
async function setUp() {
  const dir = await makeStateDir();
  const hub = await TestHub.start();
  const machine = new MemoryMachine();
  const start = () => startTestAgent({ stateDir: dir.path, driver: new MemoryDriver({ machine }) });
  let agent = startTestAgent({
    stateDir: dir.path,
    token: hub.token(),
    driver: new MemoryDriver({ machine }),
  });
  const first = hub.assign('till', manifests());
  await eventually('the till runs', () => hub.reports.get(`${first.id} ${first.uid}`)?.state === 'Running');
  return {
    dir,
    hub,
    machine,
    first,
    person: (item?: string, reason = 'stocktaking') => ({
      stateDir: dir.path,
      ...(item === undefined ? {} : { item }),
      reason,
      by: 'eve',
      clock: systemClock,
    }),
    report: (): ItemReport | undefined => hub.reports.get(`${first.id} ${first.uid}`),
    serving: () => machine.servingDigest(first),
    log: () => agent.log,
    async stop() {
      await agent.stop();
    },
    start() {
      agent = start();
      return agent;
    },
    async [Symbol.asyncDispose]() {
      await agent.stop().catch(() => {});
      await hub.close();
      await dir[Symbol.asyncDispose]();
    },
  };
}

describe('a release that a site is to prepare and to activate', () => {
  test('is prepared on hold, survives a restart as that, and is activated when the hub says so', async () => {
    await using site = await setUp();
    const { hub, machine } = site;
    const content = manifests();
    const next = hub.assign('till', content, { terms: terms('Hold') });
    await eventually('it is prepared', () => site.report()?.state === 'Prepared');
    assert.equal(site.report()?.epoch, next.epoch);
    assert.equal(site.report()?.waiting?.reason, 'Hub');
    assert.equal(site.report()?.runningDigest, site.first.digest);
    await site.stop();
    site.start();
    await eventually('it polls again', () => hub.requests.at(-1)?.reports.length === 0);
    assert.equal(site.report()?.state, 'Prepared');
    assert.equal(site.serving(), site.first.digest);
    assert.equal(machine.activations.length, 1);
    hub.assign('till', content, { terms: terms('Now') });
    await eventually('it runs', () => site.report()?.state === 'Running');
    assert.equal(site.serving(), next.digest);
    assert.ok(site.report()?.activatedTime);
  });

  test('switches at its instant by the clock of the hub, with the link cut', async () => {
    await using site = await setUp();
    const { hub, machine } = site;
    const at = new Date(hub.now().getTime() + 4000);
    const next = hub.assign('till', manifests(), { terms: terms('At', { activateAt: at.toISOString() }) });
    await eventually('it is prepared', () => site.report()?.waiting?.reason === 'Instant');
    assert.equal(site.report()?.waiting?.until, at.toISOString());
    await hub.close();
    await eventually('it has switched', () => site.serving() === next.digest);
    const switched = machine.activations.at(-1)?.time ?? new Date(0);
    assert.ok(
      switched.getTime() >= at.getTime() - 50,
      `${switched.toISOString()} is before ${at.toISOString()}`,
    );
  });

  test('is fetched in a download window alone, unless it is to be now', async () => {
    await using site = await setUp();
    const { hub } = site;
    // Opens on the 30th of February, so never.
    hub.policy = { timeZone: 'UTC', downloadWindows: [{ schedule: '0 3 30 2 *', durationSeconds: 3600 }] };
    const content = manifests();
    const next = hub.assign('till', content);
    await eventually('it waits', () => site.report()?.waiting?.reason === 'DownloadWindow');
    assert.equal(site.report()?.epoch, next.epoch);
    assert.equal(hub.siteReport?.windows.download.isOpen, false);
    assert.ok(!hub.blobRequests.some(({ digest }) => digest === next.digest));
    hub.assign('till', content, { terms: terms('Now') });
    await eventually('it runs', () => site.serving() === next.digest);
  });

  test('is taken back when it fails, hub or no hub, is not tried again, and the hub learns of it once', async () => {
    await using site = await setUp();
    const { hub, machine } = site;
    const content = manifests({ health: 'crash', reason: 'CrashLoop', message: 'exit 3', logs: ['boom'] });
    hub.serveBlob = () => false;
    const bad = hub.assign('till', content, { terms: terms('Hold', { attempt: 1 }) });
    await eventually('it is prepared', () => site.report()?.state === 'Prepared');
    const at = new Date(hub.now().getTime() + 2000).toISOString();
    hub.assign('till', content, { terms: terms('At', { attempt: 1, activateAt: at }) });
    await eventually('it waits', () => site.report()?.waiting?.reason === 'Instant');
    hub.refuse = () => {
      throw new Error('out of order');
    };
    await eventually('it was taken back', () => machine.activations.length === 3);
    assert.equal(machine.activations[1]?.digest, bad.digest);
    await site.stop();
    site.start();
    await systemClock.sleep(200);
    assert.equal(site.serving(), site.first.digest);
    hub.refuse = undefined;
    await eventually('the hub knows', () => site.report()?.wentBack === 'Unhealthy');
    const report = site.report();
    assert.equal(report?.state, 'Failed');
    assert.equal(report.reason, 'CrashLoop');
    assert.deepEqual(report.logs, ['boom']);
    assert.equal(report.runningDigest, site.first.digest);
    await eventually('the act is told', () => hub.acts.length === 1);
    assert.equal(hub.acts[0]?.kind, 'WentBack');
    hub.assign('till', content, { terms: terms('Now', { attempt: 1 }) });
    await eventually('it is refused again', () => site.report()?.epoch === hub.epoch);
    assert.equal(site.report()?.state, 'Failed');
    assert.equal(machine.activations.filter(({ digest }) => digest === bad.digest).length, 1);
    assert.equal(hub.acts.length, 1);
    const status = await readStatus(site.dir.path, systemClock.now());
    assert.match(
      formatStatus(status, systemClock.now()),
      /default\/till: till-\w+ \(try 1\).*CrashLoop: exit 3/,
    );
  });

  test('a site whose disk was lost brings back first what proved itself there', async () => {
    await using site = await setUp();
    const { hub, first } = site;
    await site.stop();
    await using empty = await makeStateDir();
    hub.assign('till', manifests(), {
      terms: terms('Hold', { fallback: { release: first.release, digest: first.digest } }),
    });
    const machine = new MemoryMachine();
    await using _agent = startTestAgent({
      stateDir: empty.path,
      token: hub.token(),
      driver: new MemoryDriver({ machine }),
    });
    await eventually('it is prepared', () => site.report()?.state === 'Prepared');
    assert.equal(machine.servingDigest(first), first.digest);
    assert.equal(site.report()?.runningDigest, first.digest);
  });
});

describe('a login that is listed and has not arrived', () => {
  test('is waited for by the release to come, and by nothing that runs', async () => {
    await using site = await setUp();
    const { hub } = site;
    const version = 'v1';
    const sealed = [{ id: 'RegistryCredential/default/images', version }];
    hub.policy = { ...hub.policy, sealed };
    const next = hub.assign('till', manifests());
    await eventually('it waits', () => site.report()?.reason === 'SecretMissing');
    assert.equal(site.report()?.state, 'Preparing');
    assert.match(site.report()?.message ?? '', /^RegistryCredential images has not arrived/);
    assert.equal(site.serving(), site.first.digest);
    await site.stop();
    const { driver } = site.start();
    await eventually('what runs is given', () => driver.desired[0]?.item.digest === site.first.digest);
    hub.policy = { ...hub.policy, sealed: [] };
    hub.epoch += 1;
    hub.publish();
    await eventually('it runs', () => site.serving() === next.digest);
  });
});

describe('a person at the site', () => {
  test('holds and releases beside the running agent, and the hub learns of it in order', async () => {
    await using site = await setUp();
    const { hub, person } = site;
    assert.match(await holdSite(person('till')), /On hold: default\/till\.[\s\S]*running agent/);
    await eventually('the hub knows the hold', () => hub.siteReport?.holds[0]?.item === id);
    const next = hub.assign('till', manifests(), { terms: terms('Now') });
    await eventually('it waits', () => site.report()?.waiting?.reason === 'SiteHold');
    assert.equal(site.report()?.state, 'Prepared');
    const now = systemClock.now();
    const text = formatStatus(await readStatus(site.dir.path, now), now);
    assert.match(text, /Hold: +default\/till, by eve for \d+s: stocktaking/);
    assert.match(text, /waits for a person at the site/);
    assert.match(await releaseSite({ ...person('default/till'), reason: '' }), /Released: default\/till/);
    await eventually('it runs', () => site.serving() === next.digest);
    await eventually('the acts are told', () => hub.acts.length === 2);
    assert.deepEqual(
      hub.acts.map((act) => [act.kind, act.item, act.by, act.reason]),
      [
        ['Hold', id, 'eve', 'stocktaking'],
        ['Release', id, 'eve', undefined],
      ],
    );
    await eventually('the hold is over at the hub', () => hub.siteReport?.holds.length === 0);
  });

  test('a hold that is set while the agent is stopped binds from the first moment', async () => {
    await using site = await setUp();
    const { hub, person } = site;
    await site.stop();
    assert.match(await holdSite(person()), /the whole site shop-1[\s\S]*does not run now/);
    const next = hub.assign('till', manifests(), { terms: terms('Now') });
    site.start();
    await eventually('it waits', () => site.report()?.waiting?.reason === 'SiteHold');
    assert.equal(hub.siteReport?.windows.activate.isOpen, false);
    assert.equal(site.serving(), site.first.digest);
    await releaseSite(person());
    await eventually('it runs', () => site.serving() === next.digest);
  });

  test('nothing is removed on hold; afterwards it is', async () => {
    await using site = await setUp();
    const { hub, person, first } = site;
    await holdSite(person());
    await eventually('the hub knows the hold', () => hub.siteReport?.holds.length === 1);
    hub.remove(first);
    await eventually('it says why', () => site.report()?.waiting?.reason === 'SiteHold');
    assert.equal(site.report()?.state, 'Pending');
    await site.stop();
    site.start();
    await eventually('it polls', () => hub.requests.at(-1)?.epoch === hub.epoch);
    assert.equal(site.serving(), first.digest);
    await releaseSite(person());
    await eventually('it is removed', () => site.report()?.state === 'Removed');
    assert.equal(site.serving(), undefined);
  });

  test('values of the site that change on hold come into force afterwards', async () => {
    await using site = await setUp();
    const { hub, machine, person, first } = site;
    const values = () => machine.running.get(`${first.id} ${first.uid}`)?.variables;
    await holdSite(person());
    await eventually('the hub knows the hold', () => hub.siteReport?.holds.length === 1);
    hub.variables = { price: 3 };
    hub.policy = { ...hub.policy, nodeGroups: [{ name: 'edge' }], labels: { size: 'large' } };
    hub.epoch += 1;
    hub.publish();
    await eventually('it is accepted', () => hub.requests.at(-1)?.epoch === hub.epoch);
    await site.stop();
    const { driver } = site.start();
    const groups = () => driver.desired[0]?.nodeGroups.map(({ name }) => name);
    const labels = () => driver.desired[0]?.labels;
    await eventually('it polls again', () => hub.requests.at(-1)?.reports.length === 0);
    await eventually('the driver knows what to run', () => groups() !== undefined);
    assert.deepEqual(values(), {});
    assert.deepEqual(groups(), []);
    assert.deepEqual(labels(), {});
    await releaseSite(person());
    await eventually('the values are in force', () => values()?.['price'] === 3);
    assert.deepEqual(groups(), ['edge']);
    assert.deepEqual(labels(), { size: 'large' });
  });

  test('rolls back, beside the agent or while it is stopped; the hub learns of it, a newer attempt is tried', async () => {
    await using site = await setUp();
    const { hub, person, first } = site;
    await assert.rejects(rollBackItem(person('till')), /nothing to roll back to/);
    const content = manifests();
    const next = hub.assign('till', content);
    await eventually('it runs', () => site.report()?.state === 'Running' && site.serving() === next.digest);
    assert.match(
      await rollBackItem(person('till', 'bad coffee')),
      new RegExp(`from ${next.release} to ${first.release}`),
    );
    await eventually('it is rolled back', () => site.report()?.wentBack === 'RolledBackBySite');
    assert.equal(site.serving(), first.digest);
    assert.match(site.report()?.message ?? '', /rolled back by eve at the site: bad coffee/);
    await eventually('the act is told', () => hub.acts[0]?.kind === 'Rollback');
    hub.assign('till', content, { terms: terms('Now', { attempt: 2 }) });
    await eventually(
      'it runs again',
      () => site.serving() === next.digest && site.report()?.state === 'Running',
    );
    await site.stop();
    await rollBackItem(person('till', 'again'));
    await assert.rejects(rollBackItem(person('till')), /ordered already/);
    site.start();
    await eventually('it is rolled back again', () => site.serving() === first.digest);
  });

  test('what makes no sense is refused by name', async () => {
    await using site = await setUp();
    const { person } = site;
    await assert.rejects(holdSite(person('tyll')), /no application "tyll"; it has: default\/till/);
    await assert.rejects(holdSite(person('till', '  ')), /say why/);
    await assert.rejects(
      releaseSite(person('till')),
      /not on hold by a person at the site; on hold: nothing/,
    );
    await assert.rejects(holdSite({ ...person(), stateDir: '/nonexistent' }), /not the state directory/);
    await using empty = await makeStateDir();
    await assert.rejects(holdSite({ ...person(), stateDir: empty.path }), /not the state directory/);
  });
});

describe('a hub that is not what it was', () => {
  test('a removal in a state that is refused is told, once', async () => {
    await using site = await setUp();
    const { hub, first } = site;
    hub.assign('kiosk', manifests());
    await eventually('both run', () => hub.reports.size === 2);
    const epoch = hub.epoch;
    hub.items = [];
    hub.tombstones = [{ id: first.id, uid: first.uid, epoch: 1, mode: 'Delete' }];
    hub.epoch = 1;
    hub.publish();
    await eventually('it is told', () => (hub.siteReport?.refusedRemovals?.length ?? 0) === 2);
    assert.equal(hub.siteReport?.refusedRemovals?.[0]?.reason, 'Stale');
    hub.publish();
    await eventually('the acts are told', () => hub.acts.length === 2);
    assert.ok(hub.acts.every((act) => act.kind === 'RemovalRefused'));
    assert.equal(site.serving(), first.digest);
    hub.epoch = epoch + 1;
    hub.tombstones = [];
    hub.assign('till', manifests());
    await eventually('that is over', () =>
      (hub.siteReport?.refusedRemovals ?? []).every(({ reason }) => reason === 'Implicit'),
    );
    assert.equal(hub.acts.filter((act) => act.reason === 'Stale').length, 2);
  });

  test('two that take turns are noticed; one that was restarted is not', async () => {
    await using site = await setUp();
    const { hub } = site;
    hub.instance = 'restarted';
    hub.assign('a', manifests());
    await eventually('it runs', () => hub.reports.size === 2);
    assert.equal(hub.siteReport?.hubInstances, undefined);
    hub.instance = 'test-hub';
    hub.assign('b', manifests());
    await eventually('it is told', () => hub.siteReport?.hubInstances !== undefined);
    const { hubInstances } = hub.siteReport as SiteReport;
    assert.deepEqual(
      hubInstances?.map(({ instance }) => instance),
      ['restarted', 'test-hub'],
    );
    assert.ok(site.log().some((line) => line.message.startsWith('two hubs answer')));
  });

  test('is sent the state that the site follows, as it was signed, when it asks', async () => {
    await using site = await setUp();
    const { hub } = site;
    const state = hub.state();
    hub.asksForState = true;
    hub.publish();
    await eventually('it is sent', () => hub.requests.some((request) => request.held !== undefined));
    const { held } = hub.requests.findLast((request) => request.held !== undefined) ?? {};
    assert.deepEqual(held?.state, state);
    assert.match(held?.signed ?? '', /^[\w-]+\.[\w-]+\.[\w-]+$/);
  });

  test('takes no more of the state than it can: the site talks on without it', async () => {
    await using site = await setUp();
    const { hub } = site;
    hub.refuse = (request) => {
      if (request.held === undefined) return undefined;
      hub.asksForState = false;
      return new StatusError('RequestEntityTooLarge', 'too large');
    };
    hub.asksForState = true;
    hub.publish();
    await eventually('it is sent', () => hub.requests.some((request) => request.held !== undefined));
    const { length } = hub.requests;
    await eventually('the site is heard again', () => hub.requests.length > length);
    assert.equal(hub.requests.at(-1)?.held, undefined);
  });
});

describe('a state directory of an agent before local decisions', () => {
  test('opens, and what its driver was given goes on untouched', async () => {
    await using site = await setUp();
    const { hub, machine, first } = site;
    await site.stop();
    await hub.close();
    const database = new DatabaseSync(join(site.dir.path, 'agent.db'));
    const { digest } = database.prepare('SELECT digest FROM states').get() as { digest: string };
    database.exec(`
      DROP TABLE memories; DROP TABLE holds; DROP TABLE acts; DROP TABLE orders; DROP TABLE sealed;
      DROP TABLE machines; DROP TABLE machine_reports; DROP TABLE machine_inventories;
      ALTER TABLE removals DROP COLUMN mode; PRAGMA user_version=1;
    `);
    database.prepare('INSERT INTO items VALUES (?, ?, ?)').run(first.id, first.uid, digest);
    database.close();
    const before = await readStatus(site.dir.path, systemClock.now());
    assert.equal(before.items[0]?.id, id);
    const agent = site.start();
    await eventually('it is driven', () => agent.driver.desired.length === 1);
    await systemClock.sleep(200);
    assert.equal(machine.activations.length, 1);
    assert.equal(agent.driver.desired[0]?.mayActivate, true);
    const status = await readStatus(site.dir.path, systemClock.now());
    assert.equal(status.items[0]?.activeRelease, first.release);
    await site.stop();
    const rows = new DatabaseSync(join(site.dir.path, 'agent.db'));
    assert.equal(rows.prepare('SELECT count(*) AS n FROM items').get()?.['n'], 0);
    rows.close();
  });

  test('what was remembered and altered by another hand is not driven', async () => {
    await using site = await setUp();
    const { hub } = site;
    await site.stop();
    await hub.close();
    const database = new DatabaseSync(join(site.dir.path, 'agent.db'));
    database.exec("UPDATE memories SET body = replace(body, 'till-', 'evil-')");
    database.close();
    const agent = site.start();
    await eventually('it is logged', () => agent.log.some((line) => /does not verify/.test(line.message)));
    assert.ok(agent.driver.desired.every(({ item }) => !item.release.startsWith('evil')));
  });
});
