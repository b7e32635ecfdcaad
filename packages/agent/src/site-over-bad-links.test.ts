import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { canonicalJson } from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import { startTcpLink } from '@selvedge/testkit';
import { readProxySettings } from './hub-connection/proxy-settings.ts';
import { AgentDatabase } from './state/agent-database.ts';
import { MemoryDriver } from './testing/memory-driver.ts';
import { eventually, makeStateDir, startTestAgent, wrongClock } from './testing/test-agent.ts';
import { TestHub } from './testing/test-hub.ts';
import { startTestProxy } from './testing/test-proxy.ts';

const manifests = [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' } }];
const yearMs = 365 * 86_400_000;

function bigManifests(seed: string) {
  const data = createHash('sha512').update(seed).digest('hex').repeat(4000);
  return [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'big' }, data: { text: data } }];
}

describe('a site behind a bad link', () => {
  test('it works through an HTTP proxy', async () => {
    await using dir = await makeStateDir();
    await using hub = await TestHub.start();
    await using proxy = await startTestProxy({ credentials: 'u:p' });
    const proxies = readProxySettings({ HTTPS_PROXY: `http://u:p@127.0.0.1:${proxy.port}` });
    await using _agent = startTestAgent({ stateDir: dir.path, token: hub.token(), proxies });
    hub.assign('till', manifests);
    await eventually('it runs', () => hub.reports.size === 1);
    assert.ok(proxy.asked.every((one) => one.target === `127.0.0.1:${hub.port}`));
  });

  test('cut off, it runs on; joined again, it catches up', async () => {
    await using dir = await makeStateDir();
    await using hub = await TestHub.start({ waitSeconds: 2 });
    await using link = await startTcpLink({ target: { port: hub.port } });
    const token = hub.token({ hubs: [`https://127.0.0.1:${link.port}`] });
    await using agent = startTestAgent({ stateDir: dir.path, token, longestWaitSeconds: 2 });
    const item = hub.assign('till', manifests);
    await eventually('it runs', () => hub.reports.size === 1);
    link.cut();
    await eventually('the loss is noticed', () =>
      agent.log.some((line) => line.message.startsWith('the hub cannot be reached')),
    );
    const { id, uid, epoch, release, digest } = item;
    agent.driver.report({ id, uid, epoch, release, digest, state: 'Degraded' });
    hub.assign('kiosk', bigManifests('k'));
    assert.equal(agent.driver.running.size, 1);
    link.restore();
    await eventually('it has caught up', () => hub.reports.size === 2);
    await eventually('the report arrived', () => hub.reports.get(`${id} ${uid}`)?.state === 'Degraded');
  });

  for (const [name, agentMs, hubMs] of [
    ['a year ahead', yearMs, 0],
    ['a year behind', -yearMs, 0],
    ['right, and the hub two years ahead', 0, 2 * yearMs],
  ] as const) {
    test(`its clock is ${name}: it enrols, syncs and reports by the hub's clock`, async () => {
      await using dir = await makeStateDir();
      await using hub = await TestHub.start({ timeOffsetMs: hubMs });
      const clock = wrongClock(agentMs);
      await using agent = startTestAgent({ stateDir: dir.path, token: hub.token(), clock });
      hub.assign('till', manifests);
      await eventually('it runs', () => hub.reports.size === 1);
      const [report] = hub.reports.values();
      const differenceMs = Date.parse(report?.observedTime ?? '') - hub.now().getTime();
      assert.ok(Math.abs(differenceMs) < 60_000);
      await agent.stop();

      await using _again = startTestAgent({ stateDir: dir.path, clock: wrongClock(-agentMs) });
      hub.assign('kiosk', bigManifests('x'));
      await eventually('it syncs though the clock jumped while it was off', () => hub.reports.size === 2);
    });
  }

  test('reports made before the first contact are put right when the time is known', async () => {
    await using dir = await makeStateDir();
    await using hub = await TestHub.start();
    await using link = await startTcpLink({ target: { port: hub.port } });
    const token = hub.token({ hubs: [`https://127.0.0.1:${link.port}`] });
    await using first = startTestAgent({ stateDir: dir.path, token });
    const item = hub.assign('till', manifests);
    await eventually('it runs', () => hub.reports.size === 1);
    await first.stop();
    link.cut();
    const clock = wrongClock(-yearMs);
    const driver = new MemoryDriver({ isIdle: true, clock });
    await using _agent = startTestAgent({ stateDir: dir.path, clock, driver });
    await eventually('it is driven', () => driver.desired.length === 1);
    const { id, uid, epoch, release, digest } = item;
    driver.report({ id, uid, epoch, release, digest, state: 'Degraded', reason: 'Early' });
    link.restore();
    await eventually('it is reported', () => hub.reports.get(`${id} ${uid}`)?.reason === 'Early');
    const { sinceTime, observedTime } = hub.reports.get(`${id} ${uid}`) ?? {};
    for (const time of [sinceTime, observedTime]) {
      assert.ok(Math.abs(Date.parse(time ?? '') - hub.now().getTime()) < 60_000, time);
    }
  });

  test('content is fetched where it was cut off, and only handed on when it is what was named', async () => {
    await using dir = await makeStateDir();
    await using hub = await TestHub.start();
    await using agent = startTestAgent({ stateDir: dir.path, token: hub.token() });
    const before = hub.assign('till', manifests);
    await eventually('the first runs', () => hub.reports.size === 1);
    const big = bigManifests('1');
    const bytes = Buffer.from(canonicalJson(big));
    let cuts = 0;
    hub.serveBlob = (_digest, _range, res) => {
      if (cuts++ > 0) return false;
      res.writeHead(200, { 'content-length': bytes.length });
      res.write(bytes.subarray(0, 100_000), () => res.destroy());
      return true;
    };
    const item = hub.assign('till', big);
    await eventually(
      'the second runs',
      () => agent.driver.running.get(`${item.id} ${item.uid}`)?.item.digest === item.digest,
    );
    assert.deepEqual(agent.driver.running.get(`${item.id} ${item.uid}`)?.manifests, big);
    const asked = hub.blobRequests.filter((one) => one.digest === item.digest);
    assert.equal(asked[0]?.range, undefined);
    assert.match(asked[1]?.range ?? '', /^bytes=[1-9]\d*-$/);
    assert.notEqual(before.digest, item.digest);
  });

  test('tampered content is not used: what ran goes on, and the report says why', async () => {
    await using dir = await makeStateDir();
    await using hub = await TestHub.start();
    await using agent = startTestAgent({ stateDir: dir.path, token: hub.token() });
    const before = hub.assign('till', manifests);
    await eventually('the first runs', () => hub.reports.size === 1);
    const next = [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'next' } }];
    const digest = sha256Digest(canonicalJson(next));
    hub.serveBlob = (_digest, _range, res) => {
      res.end('[{"kind":"Evil"}]');
      return true;
    };
    const item = hub.assign('till', next);
    const reportOf = () => hub.reports.get(`${item.id} ${item.uid}`);
    await eventually('the trouble is reported', () => reportOf()?.reason === 'ContentUnavailable');
    assert.equal(reportOf()?.epoch, item.epoch);
    assert.equal(reportOf()?.runningDigest, before.digest);
    assert.equal(agent.driver.desired[0]?.item.digest, before.digest);
    hub.serveBlob = undefined;
    await eventually('the true content is used', () => reportOf()?.state === 'Running');
    assert.equal(reportOf()?.runningDigest, digest);
  });

  test('a newer state does not wait for content that nobody needs any more', async () => {
    await using dir = await makeStateDir();
    await using hub = await TestHub.start();
    await using agent = startTestAgent({ stateDir: dir.path, token: hub.token() });
    const never = hub.assign('till', bigManifests('never'));
    hub.serveBlob = (digest, _range, res) => {
      if (digest !== never.digest) return false;
      // It begins, and then nothing comes.
      res.writeHead(200);
      res.write('[');
      return true;
    };
    await eventually('it is being fetched', () => hub.blobRequests.length > 0);
    hub.assign('till', manifests);
    await eventually('the newer one runs', () => agent.driver.running.size === 1, 15);
  });

  test('rebooted without the hub while new content was missing, it runs what it ran before', async () => {
    await using dir = await makeStateDir();
    await using hub = await TestHub.start();
    await using agent = startTestAgent({ stateDir: dir.path, token: hub.token() });
    const before = hub.assign('till', manifests);
    await eventually('it runs', () => hub.reports.size === 1);
    hub.assign('till', bigManifests('away'), { withContent: false });
    await eventually('the new state is accepted', () => hub.requests.at(-1)?.epoch === 2);
    await agent.stop();
    await hub.close();
    await using again = startTestAgent({ stateDir: dir.path });
    await eventually('the former release runs', () => again.driver.running.size === 1);
    assert.equal(again.driver.running.values().next().value?.item.digest, before.digest);
  });

  test('a stored state that was tampered with is not driven, and fetched again', async () => {
    await using dir = await makeStateDir();
    await using hub = await TestHub.start();
    await using agent = startTestAgent({ stateDir: dir.path, token: hub.token() });
    const item = hub.assign('till', manifests);
    await eventually('it runs', () => hub.reports.size === 1);
    await agent.stop();
    const database = AgentDatabase.open(dir.path);
    database.run("UPDATE states SET body = replace(body, 'till', 'evil')");
    database.close();
    await using again = startTestAgent({ stateDir: dir.path });
    await eventually('the true state is there again', () => again.driver.running.size === 1);
    assert.ok(again.log.some((line) => line.message.includes('does not verify')));
    assert.equal(again.driver.running.values().next().value?.item.id, item.id);
  });
});
