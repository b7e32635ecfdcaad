import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import {
  type Application,
  applications,
  type Delivery,
  deliveries,
  type Event,
  events,
  type ItemReport,
  type LocalAct,
  namespaces,
  type Site,
  type SiteReport,
  sites,
  type StatusBody,
} from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import { startHub } from '../server/start-hub.ts';
import { eventually, TestHub } from './testing/test-hub.ts';
import type { TestAgent } from './testing/test-agent.ts';

const always = { isOpen: true };
const quiet: SiteReport = { holds: [], windows: { download: always, activate: always } };
const sinceTime = '2026-01-01T00:00:00.000Z';

async function catchUp(agent: TestAgent): Promise<void> {
  const { body } = await agent.sync({ maxWaitSeconds: 1 });
  if (body.state !== undefined) await agent.accept(body.state);
}

/** The Site once nobody writes it any more. */
async function settled(hub: TestHub): Promise<Site> {
  let last = '';
  return eventually(async () => {
    const site = await hub.site('berlin');
    const { resourceVersion = '' } = site.metadata;
    const isSame = last === resourceVersion;
    last = resourceVersion;
    const isConnected = site.status?.conditions?.some((c) => c.type === 'Connected' && c.status === 'True');
    return isSame && isConnected === true && site;
  });
}

const conditionOf = (site: Site, type: string) => site.status?.conditions?.find((c) => c.type === type);

async function eventsAbout(hub: TestHub, kind: string): Promise<Event[]> {
  const { items } = await hub.hub.client.list<Event>(events);
  return items.filter((e) => e.involvedObject.kind === kind && e.source?.component === 'selvedge-agent');
}

function makeAct(seq: number, over: Partial<LocalAct> = {}): LocalAct {
  return {
    seq,
    time: sinceTime,
    kind: 'Hold',
    by: 'anna',
    reason: 'inventory',
    message: 'anna holds the site: inventory',
    ...over,
  };
}

describe('what a site says of itself', { concurrency: false }, () => {
  test('is on the Site, is written once, and goes when the site says so', async (t) => {
    const hub = await TestHub.start(t, { syncWait: '1s' });
    const agent = await hub.enrolledAgent('berlin');
    const report: SiteReport = {
      holds: [{ reason: 'inventory', by: 'anna', sinceTime }],
      windows: {
        download: { isOpen: false, changesAt: '2026-01-02T01:00:00.000Z' },
        activate: { isOpen: true },
      },
    };
    await agent.sync({ site: report, maxWaitSeconds: 1 });
    const site = await eventually(async () => {
      const found = await settled(hub);
      return conditionOf(found, 'Held') && found;
    });
    assert.deepEqual(site.status?.holds, report.holds);
    assert.deepEqual(site.status?.windows, report.windows);
    assert.equal(conditionOf(site, 'Held')?.reason, 'HeldAtSite');
    const { resourceVersion } = (await settled(hub)).metadata;
    // The same again, the instant written in another way.
    const again = structuredClone(report) as { windows: { download: { changesAt: string } } };
    again.windows.download.changesAt = '2026-01-02T02:00:00+01:00';
    for (const told of [report, again as unknown as SiteReport]) {
      await agent.sync({ site: told, maxWaitSeconds: 1 });
    }
    assert.equal((await hub.site('berlin')).metadata.resourceVersion, resourceVersion);
    await agent.sync({ site: quiet, maxWaitSeconds: 1 });
    const after = await eventually(async () => {
      const found = await hub.site('berlin');
      return conditionOf(found, 'Held')?.status === 'False' && found;
    });
    assert.equal(after.status?.holds, undefined);
    assert.deepEqual(after.status?.windows, { download: { isOpen: true }, activate: { isOpen: true } });
  });

  test('two hubs that take turns, and removals that it refused, are conditions and Events', async (t) => {
    const hub = await TestHub.start(t, { syncWait: '1s' });
    const agent = await hub.enrolledAgent('berlin');
    const { body } = await agent.sync({ maxWaitSeconds: 1 });
    const told: SiteReport = {
      ...quiet,
      hubInstances: [
        { instance: 'another-hub', lastSeenTime: sinceTime },
        { instance: body.instance, lastSeenTime: '2026-01-01T00:00:05.000Z' },
      ],
      refusedRemovals: [{ id: 'Application/shop/till', reason: 'Implicit', message: 'no tombstone came' }],
    };
    await agent.sync({ site: told, maxWaitSeconds: 1 });
    const site = await settled(hub);
    const twoHubs = conditionOf(site, 'TwoHubs');
    assert.equal(twoHubs?.status, 'True');
    assert.match(twoHubs?.message ?? '', /another-hub, last at .*\(this one\).* stop it/);
    const refused = conditionOf(site, 'RemovalRefused');
    assert.match(
      refused?.message ?? '',
      /did not remove Application\/shop\/till \(Implicit: no tombstone came\)/,
    );
    assert.equal(site.status?.hubInstances?.length, 2);
    // Turns that go on write nothing: only another hub, or ten more minutes, are news.
    const soon = structuredClone(told.hubInstances ?? []).map((h) => ({
      ...h,
      lastSeenTime: '2026-01-01T00:01:00.000Z',
    }));
    await agent.sync({ site: { ...told, hubInstances: soon }, maxWaitSeconds: 1 });
    assert.equal((await hub.site('berlin')).metadata.resourceVersion, site.metadata.resourceVersion);
    const { items } = await hub.hub.client.list<Event>(events);
    for (const reason of ['TwoHubs', 'RemovalRefused']) {
      assert.ok(
        items.some((e) => e.reason === reason && e.type === 'Warning' && e.involvedObject.name === 'berlin'),
        reason,
      );
    }
    await agent.sync({ site: quiet, maxWaitSeconds: 1 });
    const after = await hub.site('berlin');
    assert.equal(conditionOf(after, 'TwoHubs')?.status, 'False');
    assert.equal(conditionOf(after, 'RemovalRefused')?.status, 'False');
    assert.equal(after.status?.hubInstances, undefined);
  });

  test('of two hubs with one identity each answers under its own name, and says on the Site which one it is', async (t) => {
    const hub = await TestHub.start(t, { syncWait: '1s' });
    const agent = await hub.enrolledAgent('berlin');
    await hub.stop();
    const copied = mkdtempSync(join(tmpdir(), 'selvedge-copied-'));
    t.after(() => rmSync(copied, { recursive: true, force: true }));
    cpSync(hub.data, copied, { recursive: true });
    await hub.start();
    const logger = createLogger({ level: 'silent' });
    const copy = await startHub({ data: copied, listen: '127.0.0.1:0', logger, syncWait: '1s' });
    t.after(() => copy.close());
    const hubInstances: { instance: string; lastSeenTime: string }[] = [];
    for (const { url } of [hub.hub, copy]) {
      agent.url = url;
      const { body } = await agent.sync({ maxWaitSeconds: 1 });
      hubInstances.push({ instance: body.instance, lastSeenTime: body.hubTime });
    }
    assert.equal(new Set(hubInstances.map(({ instance }) => instance)).size, 2);
    for (const [i, { url, client }] of [hub.hub, copy].entries()) {
      agent.url = url;
      await agent.sync({ site: { ...quiet, hubInstances } });
      const message =
        conditionOf(await client.get<Site>(sites, { name: 'berlin' }), 'TwoHubs')?.message ?? '';
      for (const [j, { instance }] of hubInstances.entries()) {
        assert.ok(message.includes(instance));
        assert.equal(message.includes(`${instance} (this one)`), i === j);
      }
    }
  });

  test('an agent that knows nothing of all this is served as ever', async (t) => {
    const hub = await TestHub.start(t, { syncWait: '1s' });
    const agent = await hub.enrolledAgent('berlin');
    await hub.assign('berlin', 'till', 'one');
    await catchUp(agent);
    const { status } = await settled(hub);
    assert.equal(status?.windows, undefined);
    assert.equal(status?.acts, undefined);
    assert.deepEqual(
      status?.conditions?.map((c) => c.type),
      ['Connected'],
    );
  });

  test('progress, waiting and going back are on the Delivery', async (t) => {
    const hub = await TestHub.start(t, { syncWait: '1s' });
    const agent = await hub.enrolledAgent('berlin');
    await hub.assign('berlin', 'till', 'one');
    await catchUp(agent);
    const [item] = agent.items;
    assert.ok(item);
    const shown = async (over: Partial<ItemReport>) => {
      const { code, body } = await agent.sync({ reports: [agent.report(item, over)] });
      assert.equal(code, 200, body.message);
      const name = { namespace: 'shop', name: 'till.berlin' };
      return hub.hub.client.get<Delivery>(deliveries, name);
    };
    const waiting = { reason: 'ActivateWindow' as const, until: sinceTime, message: 'opens at night' };
    const progress = { done: 1, total: 2, doneBytes: 10, totalBytes: 30 };
    const prepared = await shown({
      state: 'Prepared',
      waiting,
      progress,
      images: [{ name: 'till:1', sizeBytes: 10 }],
    });
    assert.equal(prepared.status.state, 'Prepared');
    assert.deepEqual(prepared.status.waiting, waiting);
    assert.deepEqual(prepared.status.progress, progress);
    assert.equal(prepared.spec.activate, 'Window');
    assert.equal(prepared.spec.attempt, 1);
    assert.deepEqual((await hub.site('berlin')).status?.applications, {
      wanted: 1,
      running: 0,
      progressing: 1,
      prepared: 1,
      failed: 0,
    });
    const failed = await shown({ state: 'Failed', wentBack: 'Unhealthy', activatedTime: sinceTime });
    assert.equal(failed.status.wentBack, 'Unhealthy');
    assert.equal(failed.status.activatedTime, sinceTime);
    assert.equal(failed.status.waiting, undefined);
  });

  test('what others changed at the site is on the Delivery and counted, until it is not so any more', async (t) => {
    const hub = await TestHub.start(t, { syncWait: '1s' });
    const agent = await hub.enrolledAgent('berlin');
    await hub.assign('berlin', 'till', 'one');
    await catchUp(agent);
    const [item] = agent.items;
    assert.ok(item);
    const shown = async (drift?: string[]) => {
      const over = drift === undefined ? {} : { drift };
      const { code, body } = await agent.sync({ reports: [agent.report(item, over)] });
      const name = { namespace: 'shop', name: 'till.berlin' };
      const { status } = await hub.hub.client.get<Delivery>(deliveries, name);
      const counts = (await hub.site('berlin')).status?.applications;
      return { code, message: body.message, status, drifted: counts?.drifted };
    };
    const drift = ['Deployment/till: spec.replicas', 'Service/other/till: spec.ports'];
    const found = await shown(drift);
    assert.equal(found.status.state, 'Running');
    assert.deepEqual([found.status.drift, found.drifted], [drift, 1]);
    const mended = await shown();
    assert.deepEqual([mended.status.drift, mended.drifted], [undefined, undefined]);
    const steered = await shown(['Deployment/\u001b[2Jtill']);
    assert.deepEqual(steered.status.drift, ['Deployment/[2Jtill']);
    const refused = await shown(Array.from({ length: 21 }, () => 'x'));
    assert.equal(refused.code, 422);
    assert.match(refused.message, /reports\[0\]\.drift/);
  });

  test('a hostile or wrong body is refused by the path of each field, and changes nothing', async (t) => {
    const hub = await TestHub.start(t, { syncWait: '1s' });
    const agent = await hub.enrolledAgent('berlin');
    await hub.assign('berlin', 'till', 'one');
    await catchUp(agent);
    const [item] = agent.items;
    assert.ok(item);
    const report = agent.report(item);
    const window = { download: always, activate: always };
    const before = await settled(hub);
    const cases: [object, string[]][] = [
      [{ reports: [{ ...report, waiting: { reason: 'Mood' } }] }, ['reports[0].waiting.reason']],
      [
        { reports: [{ ...report, progress: { done: -1 } }] },
        ['reports[0].progress.done', 'reports[0].progress.total'],
      ],
      [{ reports: [{ ...report, wentBack: 'Yes' }] }, ['reports[0].wentBack']],
      [{ reports: [{ ...report, activatedTime: 'now' }] }, ['reports[0].activatedTime']],
      [
        { reports: [{ ...report, images: Array(51).fill({ name: 'a', sizeBytes: 1 }) }] },
        ['reports[0].images'],
      ],
      [
        { reports: [{ ...report, images: [{ name: 'a', sizeBytes: 1.5 }] }] },
        ['reports[0].images[0].sizeBytes'],
      ],
      [
        { site: [] },
        ['site', 'site.windows', 'site.holds', 'site.windows.download', 'site.windows.download.isOpen'],
      ],
      [{ site: { ...quiet, holds: [{ by: 1, reason: 'x', sinceTime }] } }, ['site.holds[0].by']],
      [
        { site: { ...quiet, windows: { ...window, activate: { isOpen: 'yes' } } } },
        ['site.windows.activate.isOpen'],
      ],
      [{ site: { ...quiet, hubInstances: [{ instance: 'a' }] } }, ['site.hubInstances[0].lastSeenTime']],
      [
        { site: { ...quiet, refusedRemovals: Array(101).fill({ id: 'A/b/c', reason: 'x', message: 'y' }) } },
        ['site.refusedRemovals'],
      ],
      [{ acts: [{ ...makeAct(1), kind: 'Dance' }] }, ['acts[0].kind']],
      [{ acts: [makeAct(2), makeAct(2)] }, ['acts[1].seq']],
      [{ acts: [makeAct(1, { message: 'x'.repeat(8_193) })] }, ['acts[0].message']],
      [{ acts: Array.from({ length: 51 }, (_, i) => makeAct(i + 1)) }, ['acts']],
    ];
    for (const [over, paths] of cases) {
      const body = JSON.stringify({ ...agent.syncRequest({ maxWaitSeconds: 0 }), ...over });
      const answer = await agent.signedCall<StatusBody>({ method: 'POST', path: '/sync/v1', body });
      assert.equal(answer.code, 422, body.slice(0, 300));
      const fields = answer.body.details?.causes?.map((c) => c.field) ?? [];
      for (const path of paths) assert.ok(fields.includes(path), `${path} in ${fields.join(', ')}`);
    }
    assert.equal((await hub.site('berlin')).metadata.resourceVersion, before.metadata.resourceVersion);
    assert.deepEqual(await eventsAbout(hub, 'Site'), []);
    assert.equal((await hub.hub.fleet.listDeliveries({ site: 'berlin' })).rows[0]?.report, undefined);
  });
});

describe('what people do at a site', { concurrency: false }, () => {
  async function start(t: Parameters<typeof TestHub.start>[0]): Promise<{ hub: TestHub; agent: TestAgent }> {
    const hub = await TestHub.start(t, { syncWait: '1s' });
    const agent = await hub.enrolledAgent('berlin');
    await hub.hub.client.create(namespaces, {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'shop' },
    });
    const application: Application = {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Application',
      metadata: { name: 'till', namespace: 'shop' },
      spec: {
        source: {
          inline: { manifests: [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'till' } }] },
        },
        placement: { siteSelector: { matchLabels: { no: 'site' } } },
      },
    };
    await hub.hub.client.create(applications, application);
    await hub.assign('berlin', 'till', 'one');
    return { hub, agent };
  }

  const rollback = makeAct(2, {
    kind: 'Rollback',
    item: 'Application/shop/till',
    message: 'anna rolled shop/till back to till-one',
  });

  test('becomes Events on the Site and the Application, durable before it is acknowledged', async (t) => {
    const { hub, agent } = await start(t);
    const { body } = await agent.sync({ acts: [makeAct(1), rollback], maxWaitSeconds: 30 });
    assert.equal(body.ackActs, 2);
    const site = await eventsAbout(hub, 'Site');
    assert.deepEqual(new Set(site.map((e) => e.reason)), new Set(['HeldAtSite', 'RolledBackAtSite']));
    assert.ok(site.every((e) => e.firstTimestamp === sinceTime));
    const [application] = await eventsAbout(hub, 'Application');
    assert.equal(application?.type, 'Warning');
    assert.match(
      application?.message ?? '',
      /^berlin: anna rolled shop\/till back to till-one, at 2026\S+: inventory$/,
    );
    assert.deepEqual((await hub.site('berlin')).status?.acts, {
      keyFingerprint: agent.fingerprint,
      acknowledged: 2,
    });
  });

  test('is no Event about an Application that the site was never given', async (t) => {
    const { hub, agent } = await start(t);
    await hub.hub.client.create(applications, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Application',
      metadata: { name: 'other', namespace: 'shop' },
      spec: {
        source: { inline: { manifests: [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' } }] } },
        placement: { siteSelector: { matchLabels: { no: 'site' } } },
      },
    } satisfies Application);
    const acts = [makeAct(1, { item: 'Application/shop/other' }), makeAct(2, { item: rollback.item ?? '' })];
    assert.equal((await agent.sync({ acts })).body.ackActs, 2);
    const about = (await eventsAbout(hub, 'Application')).map((e) => e.involvedObject.name);
    assert.deepEqual(about, ['till']);
    assert.equal((await eventsAbout(hub, 'Site')).length, 2);
  });

  test('beyond what is told in an hour is acknowledged, and one Event says that there was more', async (t) => {
    const { hub, agent } = await start(t);
    for (let first = 1; first < 200; first += 50) {
      const acts = Array.from({ length: 50 }, (_, i) => makeAct(first + i));
      assert.equal((await agent.sync({ acts })).body.ackActs, first + 49);
    }
    const reasons = (await eventsAbout(hub, 'Site')).map((e) => e.reason);
    const told = reasons.filter((reason) => reason === 'HeldAtSite').length;
    assert.ok(told >= 60 && told < 70, `${told}`);
    const more = reasons.filter((reason) => reason === 'ActsNotTold').length;
    assert.ok(more === 1 || more === 2, 'one an hour');
  });

  test('and what it says of itself is written so often at once, and then with pauses', async (t) => {
    const { hub, agent } = await start(t);
    const answers: number[] = [];
    for (let turn = 0; turn < 60; turn++) {
      const site = { ...quiet, holds: [{ reason: `turn ${turn}`, by: 'anna', sinceTime }] };
      const { code, body } = await agent.sync({ site });
      answers.push(code);
      if (code === 429) assert.equal(body.details?.retryAfterSeconds, 5);
    }
    assert.equal(answers[0], 200);
    assert.ok(answers.includes(429), 'it has to say it again');
    hub.clock.offsetMilliseconds += 6_000;
    assert.equal((await agent.sync({ site: quiet })).code, 200);
    assert.equal((await hub.site('berlin')).status?.holds, undefined);
  });

  test('steers no terminal', async (t) => {
    const { hub, agent } = await start(t);
    const evil = 'red \u001b[31mtext\u0007\u202e and\nmore';
    await agent.sync({ acts: [makeAct(1, { message: evil })] });
    const [event] = await eventsAbout(hub, 'Site');
    assert.match(event?.message ?? '', /^red \[31mtext and more/);
    await catchUp(agent);
    const [item] = agent.items;
    assert.ok(item);
    const log = 'a\tb\n\u001b]0;title\u0007c';
    const report = agent.report(item, { state: 'Failed', reason: evil, message: evil, logs: [log] });
    assert.equal((await agent.sync({ reports: [report] })).code, 200);
    const { rows } = await hub.hub.fleet.listDeliveries({ site: 'berlin' });
    const kept = rows.find((row) => row.report !== undefined)?.report;
    assert.deepEqual(
      [kept?.reason, kept?.message, kept?.logs],
      ['red [31mtext and more', 'red [31mtext and more', ['a\tb\n]0;titlec']],
    );
    const bad = agent.report(item, { uid: 'a\u001bb' });
    assert.equal((await agent.sync({ reports: [bad] })).code, 422);
  });

  test('is an Event once: sent again, after a crash before the number was kept, and after a restart', async (t) => {
    const { hub, agent } = await start(t);
    const acts = [makeAct(1), rollback];
    await agent.sync({ acts });
    const before = await eventsAbout(hub, 'Site');
    assert.equal((await agent.sync({ acts })).body.ackActs, 2, 'the answer was lost');
    // As a hub leaves it that was killed after the Events and before the number was kept.
    const status = { status: { acts: null } };
    await hub.hub.client.mergePatch(sites, { name: 'berlin' }, status, { subresource: 'status' });
    await eventually(async () => (await hub.site('berlin')).status?.acts === undefined);
    await hub.stop();
    await hub.start();
    agent.url = hub.hub.url;
    assert.equal((await agent.sync({ acts: [...acts, makeAct(3, { kind: 'Release' })] })).body.ackActs, 3);
    const after = await eventsAbout(hub, 'Site');
    assert.equal(after.length, before.length + 1);
    for (const event of before) {
      const same = after.find((e) => e.metadata.name === event.metadata.name);
      assert.equal(same?.metadata.resourceVersion, event.metadata.resourceVersion);
    }
    // Long after the Events expired, a late copy of the request makes none of them again.
    for (const { metadata } of after) await hub.hub.client.delete(events, metadata);
    assert.equal((await agent.sync({ acts })).body.ackActs, 3);
    assert.deepEqual(await eventsAbout(hub, 'Site'), []);
  });

  test('of an agent with a new key counts anew, so nothing of it is taken for known', async (t) => {
    const { hub, agent } = await start(t);
    await agent.sync({ acts: [makeAct(1), makeAct(2)] });
    const { spec } = await hub.site('berlin');
    const revokedKeys = [...(spec?.revokedKeys ?? []), agent.fingerprint];
    await hub.hub.client.mergePatch(sites, { name: 'berlin' }, { spec: { revokedKeys } });
    await eventually(async () => (await hub.hub.fleet.findSiteKey('berlin')) === undefined);
    const next = hub.agent();
    assert.equal((await next.enroll(await hub.token('again', { siteName: 'berlin' }))).code, 200);
    assert.equal((await next.sync({ maxWaitSeconds: 1 })).body.ackActs, undefined);
    assert.equal((await next.sync({ acts: [makeAct(1, { message: 'of the new one' })] })).body.ackActs, 1);
    const messages = (await eventsAbout(hub, 'Site')).map((e) => e.message ?? '');
    assert.equal(messages.length, 3);
    assert.ok(messages.some((message) => message.startsWith('of the new one')));
  });
});
