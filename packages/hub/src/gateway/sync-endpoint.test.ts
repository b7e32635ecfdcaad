import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:http2';
import { describe, test } from 'node:test';
import {
  defaultItemTerms,
  type Delivery,
  deliveries,
  hubTimeHeader,
  type Site,
  type StatusBody,
  type SyncResponse,
  sites,
} from '@selvedge/api';
import { eventually, TestHub } from './testing/test-hub.ts';
import type { TestAgent } from './testing/test-agent.ts';

/** The state of an answer that must have one. */
function stateOf(body: SyncResponse): NonNullable<SyncResponse['state']> {
  assert.ok(body.state, 'the answer has no state');
  return body.state;
}

/** Syncs until the agent holds what the hub wants. */
async function catchUp(agent: TestAgent): Promise<SyncResponse> {
  const { code, body } = await agent.sync();
  assert.equal(code, 200, body.message);
  await agent.accept(stateOf(body));
  return body;
}

/** The site after its controller has said that it is connected, so that nobody else writes it. */
function settledSite(hub: TestHub, name: string): Promise<Site> {
  return eventually(async () => {
    const site = await hub.site(name);
    return site.status?.conditions?.some((c) => c.type === 'Connected' && c.status === 'True') && site;
  });
}

describe('sync', { concurrency: false }, () => {
  test('the first contact gets the full state; a change wakes the poll with the difference', async (t) => {
    const hub = await TestHub.start(t);
    const agent = await hub.enrolledAgent('berlin');
    await hub.assign('berlin', 'till', 'one');
    await hub.assign('berlin', 'menu', 'one');
    const first = await catchUp(agent);
    assert.equal(first.state?.full, true);
    assert.equal(first.retryAfterSeconds, 0);
    assert.deepEqual(agent.items.map((i) => i.id).sort(), ['Application/shop/menu', 'Application/shop/till']);

    const started = performance.now();
    const waiting = agent.sync();
    await eventually(
      async () => (await hub.hub.fleet.heartbeats()).get('berlin')?.agentEpoch === agent.epoch,
    );
    await hub.assign('berlin', 'till', 'two');
    const { body } = await waiting;
    assert.ok(performance.now() - started < 30_000, 'it waited for its time instead of being woken');
    const state = stateOf(body);
    assert.equal(state.full, false);
    assert.deepEqual(
      state.items.map((i) => i.id),
      ['Application/shop/till'],
    );
    await agent.accept(state);
    assert.equal(agent.items.length, 2);
  });

  test('a removal comes as a tombstone', async (t) => {
    const hub = await TestHub.start(t);
    const agent = await hub.enrolledAgent('berlin');
    await hub.assign('berlin', 'till', 'one');
    await catchUp(agent);
    await hub.remove('berlin', 'till');
    const body = await catchUp(agent);
    assert.deepEqual(body.state?.items, []);
    assert.deepEqual(
      agent.tombstones.map((i) => i.uid),
      ['uid-till'],
    );
    assert.deepEqual(agent.items, []);
  });

  test('nothing new: the hub waits its time, and answers with nothing', async (t) => {
    const hub = await TestHub.start(t, { syncWait: '1s' });
    const agent = await hub.enrolledAgent('berlin');
    const started = performance.now();
    const { code, body, headers } = await agent.sync();
    assert.equal(code, 200);
    assert.equal(body.state, undefined);
    assert.ok(performance.now() - started >= 800);
    assert.ok(Math.abs(Date.parse(body.hubTime) - Date.now()) < 10_000);
    assert.ok(Math.abs(Date.parse(String(headers[hubTimeHeader])) - Date.now()) < 10_000);
  });

  test('the hub waits no longer than the agent can', async (t) => {
    const hub = await TestHub.start(t);
    const agent = await hub.enrolledAgent('berlin');
    const started = performance.now();
    assert.equal((await agent.sync({ maxWaitSeconds: 1 })).code, 200);
    assert.ok(performance.now() - started < 30_000);
  });

  test('an agent that asks for everything gets everything; again and again, with growing pauses', async (t) => {
    const hub = await TestHub.start(t);
    const agent = await hub.enrolledAgent('berlin');
    await hub.assign('berlin', 'till', 'one');
    await catchUp(agent);
    await hub.assign('berlin', 'menu', 'one');
    // Before it is sent another state, it is to show the one that it follows; one that does not know the question gets it all the same.
    const asked = await agent.sync({ full: true });
    assert.deepEqual([asked.body.sendState, asked.body.state], [true, undefined]);
    const pauses: number[] = [];
    for (let i = 0; i < 4; i++) {
      const { body } = await agent.sync({ full: true });
      assert.equal(stateOf(body).items.length, 2);
      pauses.push(body.retryAfterSeconds);
    }
    assert.deepEqual(pauses, [0, 1, 2, 4]);
  });

  test('another state of the same epoch is answered with the full one', async (t) => {
    const hub = await TestHub.start(t);
    const agent = await hub.enrolledAgent('berlin');
    await hub.assign('berlin', 'till', 'one');
    await catchUp(agent);
    const stateDigest = `sha256:${'0'.repeat(64)}`;
    assert.equal((await agent.sync({ stateDigest })).body.sendState, true);
    assert.equal(stateOf((await agent.sync({ stateDigest })).body).full, true);
  });

  test('reports are stored before they are acknowledged, survive the hub, and change nothing when sent twice', async (t) => {
    const hub = await TestHub.start(t);
    const agent = await hub.enrolledAgent('berlin');
    await hub.assign('berlin', 'till', 'one');
    await catchUp(agent);
    const [item] = agent.items;
    assert.ok(item);
    const report = agent.report(item, {
      state: 'Failed',
      reason: 'ImageNotFound',
      message: 'no such image',
      logs: ['a', 'b'],
    });
    const first = await agent.sync({ reports: [report] });
    assert.equal(first.code, 200, first.body.message);
    assert.equal(first.body.ackSeq, report.seq);
    const rows = async () => (await hub.hub.fleet.listDeliveries({ site: 'berlin' })).rows;
    const [stored] = await rows();
    assert.equal(stored?.report?.reason, 'ImageNotFound');
    // The answer was lost: the same again.
    const again = await agent.sync({ reports: [report] });
    assert.equal(again.body.ackSeq, report.seq);
    assert.equal((await rows())[0]?.revision, stored?.revision);
    await hub.stop();
    await hub.start();
    agent.url = hub.hub.url;
    const { body } = await agent.sync({ maxWaitSeconds: 1 });
    assert.equal(body.ackSeq, report.seq);
    assert.equal(body.sendAllReports, undefined);
    assert.deepEqual((await rows())[0]?.report?.logs, ['a', 'b']);
  });

  test('who reported a moment ago is heard of again long before the whole wait is over', async (t) => {
    const hub = await TestHub.start(t, { syncWait: '5m' });
    const agent = await hub.enrolledAgent('berlin');
    await hub.assign('berlin', 'till', 'one');
    await catchUp(agent);
    const [item] = agent.items;
    assert.ok(item);
    await agent.sync({ reports: [agent.report(item, { state: 'Running' })] });
    const started = performance.now();
    assert.equal((await agent.sync()).code, 200);
    assert.ok(performance.now() - started < 120_000);
  });

  test('a quiet site renews when it was observed, but only of what the hub has, and never into the future', async (t) => {
    const hub = await TestHub.start(t, { syncWait: '1s' });
    const agent = await hub.enrolledAgent('berlin');
    await hub.assign('berlin', 'till', 'one');
    await catchUp(agent);
    const [item] = agent.items;
    assert.ok(item);
    const report = agent.report(item, { observedTime: '2026-01-01T00:00:00.000Z' });
    const observed = async () => (await hub.hub.fleet.heartbeats()).get('berlin')?.observedAt;
    const shown = async () => {
      const name = { namespace: 'shop', name: 'till.berlin' };
      return (await hub.hub.client.get<Delivery>(deliveries, name)).status.observedTime;
    };

    await agent.sync({ observedTime: '2026-01-02T00:00:00.000Z' });
    assert.equal(await observed(), undefined, 'the hub does not have what the agent speaks of');
    await agent.sync({ reports: [report] });
    await eventually(async () => (await shown()) === report.observedTime);
    await agent.sync({ observedTime: '2026-01-03T00:00:00.000Z' });
    await eventually(async () => (await shown()) === '2026-01-03T00:00:00.000Z');
    await agent.sync({ observedTime: '2999-01-01T00:00:00.000Z' });
    assert.equal(await observed(), (await hub.hub.fleet.heartbeats()).get('berlin')?.lastSeenAt);
    const refused = await agent.sync({ observedTime: 'yesterday' });
    assert.equal(refused.body.details?.causes?.[0]?.field, 'observedTime');
  });

  test('missing reports are asked for, once for the same difference', async (t) => {
    const hub = await TestHub.start(t);
    const agent = await hub.enrolledAgent('berlin');
    await hub.assign('berlin', 'till', 'one');
    await catchUp(agent);
    const [item] = agent.items;
    assert.ok(item);
    const report = agent.report(item);
    const asked = await agent.sync();
    assert.equal(asked.body.sendAllReports, true);
    assert.equal((await agent.sync({ maxWaitSeconds: 1 })).body.sendAllReports, undefined);
    assert.equal((await agent.sync({ reports: [report] })).body.ackSeq, report.seq);
    assert.equal((await agent.sync({ maxWaitSeconds: 1 })).body.sendAllReports, undefined);
  });

  test('a report of an item that the site was never given is acknowledged and makes nothing', async (t) => {
    const hub = await TestHub.start(t);
    const agent = await hub.enrolledAgent('berlin');
    const report = agent.report({
      id: 'Application/shop/ghost',
      uid: 'g',
      epoch: 1,
      release: 'ghost-1',
      digest: `sha256:${'1'.repeat(64)}`,
      deadlineSeconds: 1,
      terms: defaultItemTerms,
    });
    const { body } = await agent.sync({ reports: [report] });
    assert.equal(body.ackSeq, report.seq);
    assert.deepEqual((await hub.hub.fleet.listDeliveries({ site: 'berlin' })).rows, []);
  });

  test('an agent ahead of the hub is sent nothing, and the Site says so until they agree again', async (t) => {
    const hub = await TestHub.start(t, { syncWait: '1s' });
    const agent = await hub.enrolledAgent('berlin');
    await hub.assign('berlin', 'till', 'one');
    await catchUp(agent);
    const ahead = await agent.sync({ epoch: 99, full: true });
    assert.equal(ahead.body.state, undefined);
    const behind = (await hub.site('berlin')).status?.conditions?.find((c) => c.type === 'HubBehind');
    assert.equal(behind?.status, 'True');
    assert.match(behind?.message ?? '', /epoch 99.*old backup/);
    const { resourceVersion } = (await settledSite(hub, 'berlin')).metadata;
    await agent.sync({ epoch: 99 });
    assert.equal((await hub.site('berlin')).metadata.resourceVersion, resourceVersion);
    await agent.sync();
    const after = (await hub.site('berlin')).status?.conditions?.find((c) => c.type === 'HubBehind');
    assert.equal(after?.status, 'False');
  });

  test('a refused state is shown on the Site and offered again without haste', async (t) => {
    const hub = await TestHub.start(t, { syncWait: '1s' });
    const agent = await hub.enrolledAgent('berlin');
    await hub.assign('berlin', 'till', 'one');
    const { body } = await agent.sync();
    const header = JSON.parse(await agent.verify(stateOf(body).signed)) as { epoch: number };
    const refusal = { reason: 'BadSignature' as const, message: 'it was changed', epoch: header.epoch };
    const started = performance.now();
    const again = await agent.sync({ refusal });
    assert.ok(performance.now() - started >= 800);
    assert.equal(stateOf(again.body).full, true);
    const condition = async () =>
      (await hub.site('berlin')).status?.conditions?.find((c) => c.type === 'DesiredStateAccepted');
    assert.equal((await condition())?.status, 'False');
    assert.equal((await condition())?.reason, 'BadSignature');
    assert.match((await condition())?.message ?? '', /it was changed/);
    await agent.accept(stateOf(again.body));
    await agent.sync();
    assert.equal((await condition())?.status, 'True');
  });

  test('the Site shows the agent and its clock; a quiet contact writes nothing', async (t) => {
    const hub = await TestHub.start(t, { syncWait: '1s' });
    const agent = await hub.enrolledAgent('berlin');
    const wrong = new Date(Date.now() + 3_600_000).toISOString();
    await agent.sync({ agent: { ...agent.info, version: '0.2.0' }, agentTime: wrong });
    const site = await settledSite(hub, 'berlin');
    assert.equal(site.status?.agent?.version, '0.2.0');
    assert.ok(Math.abs((site.status?.agent?.clockOffsetSeconds ?? 0) - 3600) <= 2);
    const almost = new Date(Date.now() + 3_602_000).toISOString();
    await agent.sync({ agent: { ...agent.info, version: '0.2.0' }, agentTime: almost });
    assert.equal((await hub.site('berlin')).metadata.resourceVersion, site.metadata.resourceVersion);
  });

  test('a newer poll of the same site ends the older one', async (t) => {
    const hub = await TestHub.start(t);
    const agent = await hub.enrolledAgent('berlin');
    const older = agent.sync();
    await eventually(async () => (await hub.hub.fleet.heartbeats()).has('berlin'));
    const newer = agent.sync({ maxWaitSeconds: 1 });
    const ended = await older;
    assert.equal(ended.code, 200);
    assert.ok(ended.body.retryAfterSeconds >= 5);
    assert.equal((await newer).body.retryAfterSeconds, 0);
  });

  test('who hangs up leaves no poll behind', async (t) => {
    const hub = await TestHub.start(t);
    const agent = await hub.enrolledAgent('berlin');
    const hangUp = new AbortController();
    const waiting = agent.sync({}, { signal: hangUp.signal });
    await eventually(async () => (await hub.hub.fleet.heartbeats()).has('berlin'));
    hangUp.abort();
    await assert.rejects(waiting);
    assert.equal((await agent.sync({ maxWaitSeconds: 1 })).code, 200);
  });

  test('a stopping hub answers the polls and says when to come back', async (t) => {
    const hub = await TestHub.start(t);
    const agents = [await hub.enrolledAgent('a'), await hub.enrolledAgent('b')];
    const waiting = agents.map((agent) => agent.sync());
    await eventually(async () => (await hub.hub.fleet.heartbeats()).size === 2);
    const started = performance.now();
    await hub.stop();
    assert.ok(performance.now() - started < 15_000);
    for (const { code, body } of await Promise.all(waiting)) {
      assert.equal(code, 200);
      assert.ok(body.retryAfterSeconds >= 1 && body.retryAfterSeconds <= 10);
    }
  });

  test('after a restart the agent goes on with the key that it has', async (t) => {
    const hub = await TestHub.start(t);
    const agent = await hub.enrolledAgent('berlin');
    await hub.assign('berlin', 'till', 'one');
    await catchUp(agent);
    await hub.stop();
    await hub.start();
    agent.url = hub.hub.url;
    await hub.assign('berlin', 'till', 'two');
    assert.equal((await catchUp(agent)).state?.full, false);
  });
});

describe('who is refused at the sync door, and told why', { concurrency: false }, () => {
  async function refused(agent: TestAgent, overrides: object): Promise<StatusBody> {
    const { code, body, headers } = await agent.sync({}, overrides);
    assert.equal(code, 401);
    assert.equal(body.reason, 'Unauthorized');
    assert.ok(Math.abs(Date.parse(String(headers[hubTimeHeader])) - Date.now()) < 10_000);
    return body;
  }

  test('an agent that is not enrolled, of another key, hub, clock or body', async (t) => {
    const hub = await TestHub.start(t);
    const agent = await hub.enrolledAgent('berlin');
    const year = 365 * 86_400;
    assert.match((await refused(agent, { iss: 'nowhere' })).message, /no site "nowhere"/);
    assert.match(
      (await refused(agent, { kid: 'SHA256:other' })).message,
      /key SHA256:other is unknown at site "berlin"/,
    );
    assert.match((await refused(agent, { aud: 'elsewhere' })).message, /for hub "elsewhere"/);
    assert.match((await refused(agent, { clockOffsetSeconds: year })).message, /clock is 3153\d{4} s ahead/);
    assert.match(
      (await refused(agent, { clockOffsetSeconds: -year })).message,
      /clock is 3153\d{4} s behind/,
    );
    assert.match((await refused(agent, { lifeSeconds: 3600 })).message, /at most 300 s/);
    assert.match((await refused(agent, { signedBody: '{}' })).message, /body of the request is not the one/);
    const stranger = generateKeyPairSync('ed25519').privateKey;
    assert.match((await refused(agent, { key: stranger })).message, /signature of the agent token/);
    await hub.hub.client.create(sites, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Site',
      metadata: { name: 'empty' },
      spec: {},
    });
    assert.match((await refused(agent, { iss: 'empty' })).message, /knows no agent key of site "empty"/);
    for (const authorization of ['', 'Bearer', 'Bearer x.y.z', 'Basic YTpi', `Bearer ${'x'.repeat(9000)}`]) {
      const { code } = await agent.call({
        method: 'POST',
        path: '/sync/v1',
        body: '{}',
        headers: { authorization },
      });
      assert.equal(code, 401, authorization.slice(0, 20));
    }
  });

  test('the clock is measured by the refusal, and the next request gets in', async (t) => {
    const hub = await TestHub.start(t);
    const agent = await hub.enrolledAgent('berlin');
    const offset = 365 * 86_400;
    const { headers } = await agent.sync({}, { clockOffsetSeconds: offset });
    const measured = Date.now() + offset * 1000 - Date.parse(String(headers[hubTimeHeader]));
    const corrected = offset - Math.round(measured / 1000);
    const { code } = await agent.sync({ maxWaitSeconds: 1 }, { clockOffsetSeconds: corrected });
    assert.equal(code, 200);
  });

  test('a revoked key, by its fingerprint; a waiting poll is ended by it', async (t) => {
    const hub = await TestHub.start(t);
    const agent = await hub.enrolledAgent('berlin');
    const waiting = agent.sync();
    await eventually(async () => (await hub.hub.fleet.heartbeats()).has('berlin'));
    await hub.hub.client.mergePatch(
      sites,
      { name: 'berlin' },
      { spec: { revokedKeys: [agent.fingerprint] } },
    );
    const ended = await waiting;
    assert.equal(ended.code, 401);
    assert.ok(ended.body.message.includes(`key ${agent.fingerprint} of site "berlin" is revoked`));
    assert.match((await refused(agent, {})).message, /is revoked/);
  });

  test('the agent of a site that was deleted, or deleted and made again', async (t) => {
    const hub = await TestHub.start(t);
    const agent = await hub.enrolledAgent('berlin');
    await hub.hub.client.delete(sites, { name: 'berlin' });
    await eventually(async () => (await hub.hub.client.find(sites, { name: 'berlin' })) === undefined);
    assert.match((await refused(agent, {})).message, /no site "berlin" at this hub: it was deleted/);
    await hub.hub.client.create(sites, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Site',
      metadata: { name: 'berlin' },
      spec: {},
    });
    assert.match((await refused(agent, {})).message, /enrol the agent again/);
    assert.equal((await agent.enroll(await hub.token('again', { siteName: 'berlin' }))).code, 200);
    assert.equal((await agent.sync({ maxWaitSeconds: 1 })).code, 200);
  });

  test('a body too large, not JSON or of wrong types changes nothing', async (t) => {
    const hub = await TestHub.start(t);
    const agent = await hub.enrolledAgent('berlin');
    await hub.assign('berlin', 'till', 'one');
    await catchUp(agent);
    const [item] = agent.items;
    assert.ok(item);
    const good = agent.report(item);
    const send = (body: string) => agent.signedCall<StatusBody>({ method: 'POST', path: '/sync/v1', body });
    const large = await send(JSON.stringify({ ...agent.syncRequest(), padding: 'x'.repeat(1_100_000) }));
    assert.equal(large.code, 413);
    assert.ok(large.headers[hubTimeHeader]);
    assert.equal((await send('not json')).code, 400);
    assert.equal((await send('[]')).code, 422);
    const wrong = {
      ...agent.syncRequest(),
      epoch: -1,
      reports: [good, { ...good, state: 'Sleeping', seq: '7', logs: [1] }],
    };
    const invalid = await send(JSON.stringify(wrong));
    assert.equal(invalid.code, 422);
    assert.deepEqual(
      invalid.body.details?.causes?.map((c) => c.field),
      ['epoch', 'reports[1].state', 'reports[1].logs[0]', 'reports[1].seq'],
    );
    assert.equal((await hub.hub.fleet.listDeliveries({ site: 'berlin' })).rows[0]?.report, undefined);
  });

  test('the same over HTTP/2: answers, refusals and a body too large', async (t) => {
    const hub = await TestHub.start(t);
    const agent = await hub.enrolledAgent('berlin');
    await hub.assign('berlin', 'till', 'one');
    const session = connect(hub.hub.url, { ca: readFileSync(`${hub.data}/keys/ca.crt`) });
    t.after(() => session.destroy());
    const post = async (body: string, signedBody = body) => {
      const authorization = `Bearer ${await agent.jwt(signedBody)}`;
      const stream = session.request({ ':method': 'POST', ':path': '/sync/v1', authorization });
      stream.end(body);
      const [headers] = (await once(stream, 'response')) as [Record<string, string | number>];
      const chunks: Buffer[] = [];
      for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
      return { headers, body: JSON.parse(Buffer.concat(chunks).toString()) as SyncResponse & StatusBody };
    };
    const good = await post(JSON.stringify(agent.syncRequest()));
    assert.equal(good.headers[':status'], 200);
    await agent.accept(stateOf(good.body));
    assert.equal((await post(JSON.stringify(agent.syncRequest()), '{}')).headers[':status'], 401);
    const large = await post(JSON.stringify({ padding: 'x'.repeat(1_100_000) }));
    assert.equal(large.headers[':status'], 413);
    assert.ok(large.headers[hubTimeHeader]);
    assert.equal(
      (await post(JSON.stringify(agent.syncRequest({ maxWaitSeconds: 1 })))).headers[':status'],
      200,
    );
  });

  test('a wrong method or path', async (t) => {
    const hub = await TestHub.start(t);
    const agent = hub.agent();
    const get = await agent.call<StatusBody>({ method: 'GET', path: '/sync/v1' });
    assert.equal(get.code, 405);
    assert.equal((await agent.call({ method: 'POST', path: '/sync/v2', body: '{}' })).code, 404);
    assert.ok(get.headers[hubTimeHeader]);
  });
});

describe('content', { concurrency: false }, () => {
  test('an agent gets the content of its own site, whole or in part, and nothing else', async (t) => {
    const hub = await TestHub.start(t);
    const [agent, other] = [await hub.enrolledAgent('berlin'), await hub.enrolledAgent('munich')];
    const digest = await hub.assign('berlin', 'till', '0123456789');
    const whole = await agent.getBlob(digest);
    assert.equal(whole.code, 200);
    assert.equal(whole.bytes.toString(), '0123456789');
    assert.equal(whole.headers.etag, `"${digest}"`);
    assert.match(whole.headers['cache-control'] ?? '', /private.*immutable/);
    const part = await agent.getBlob(digest, { range: 'bytes=4-6' });
    assert.equal(part.code, 206);
    assert.equal(part.bytes.toString(), '456');
    assert.equal(part.headers['content-range'], 'bytes 4-6/10');
    const beyond = await agent.getBlob(digest, { range: 'bytes=10-' });
    assert.equal(beyond.code, 416);
    assert.equal(beyond.headers['content-range'], 'bytes */10');
    assert.equal((await agent.getBlob(digest, { 'if-none-match': `"${digest}"` })).code, 304);
    assert.equal((await agent.getBlob(digest, { range: 'bytes=4-6', 'if-range': '"x"' })).code, 200);
    const head = await agent.getBlob(digest, {}, 'HEAD');
    assert.equal(head.headers['content-length'], '10');
    assert.equal((await other.getBlob(digest)).code, 404);
    assert.equal((await agent.getBlob(`sha256:${'0'.repeat(64)}`)).code, 404);
    assert.equal((await agent.getBlob('..%2f..%2fkeys')).code, 404);
    assert.equal((await agent.call({ method: 'GET', path: `/content/v1/blobs/${digest}` })).code, 401);
    await hub.remove('berlin', 'till');
    assert.equal((await agent.getBlob(digest)).code, 404);
  });
});
