import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test, type TestContext } from 'node:test';
import {
  type Application,
  applications,
  defaultItemTerms,
  type Delivery,
  deliveries,
  type EnrollmentToken,
  enrollmentTokens,
  type Site,
  sites,
} from '@selvedge/api';
import { createLogger, sha256Digest, systemClock } from '@selvedge/api/node';
import { requireTool, startTestPostgres, type TestPostgres } from '@selvedge/testkit';
import { tokenIssuer } from '../gateway/enrollment-token-text.ts';
import { TestAgent } from '../gateway/testing/test-agent.ts';
import { openHubIdentity } from '../identity/hub-identity.ts';
import { type Hub, startHub } from './start-hub.ts';

const logger = createLogger({ level: 'silent' });

const program = `
  import { runHub } from ${JSON.stringify(new URL('../index.ts', import.meta.url).href)};
  const [data, listen, store] = process.argv.slice(1);
  await runHub({ data, listen, store });
`;

const till = (version: string): Application => ({
  apiVersion: 'selvedge.dev/v1alpha1',
  kind: 'Application',
  metadata: { name: 'till', namespace: 'default' },
  spec: {
    source: {
      inline: {
        manifests: [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'till' }, data: { version } }],
      },
    },
    placement: { siteSelector: {} },
    rollout: {
      waves: [
        { name: 'canary', sites: 1 },
        { name: 'rest', percent: 100 },
      ],
    },
  },
});

/** A hub in a process of its own. */
class HubProcess {
  url = '';
  #child: ChildProcess | undefined;

  async start(data: string, store: string): Promise<void> {
    const child = spawn(
      process.execPath,
      ['--input-type=module', '-e', program, data, '127.0.0.1:0', store],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    this.#child = child;
    const log: string[] = [];
    for await (const line of createInterface({ input: child.stderr })) {
      log.push(line);
      if (!line.includes('"hub ready"')) continue;
      this.url = (JSON.parse(line) as { url: string }).url;
      child.stderr.resume();
      return;
    }
    throw new Error(`the hub did not start: ${log.join('\n')}`);
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }
}

describe('two hubs on one PostgreSQL database', requireTool('postgres', 'initdb', 'psql'), () => {
  let postgres: TestPostgres;
  before(async () => {
    postgres = await startTestPostgres();
  });
  after(() => postgres.remove());

  function folders(t: TestContext): [first: string, second: string] {
    const made = [0, 1].map(() => mkdtempSync(join(tmpdir(), 'selvedge-two-')));
    t.after(() => {
      for (const folder of made) rmSync(folder, { recursive: true, force: true });
    });
    return made as [string, string];
  }

  /** Two hubs of this process with the same keys. */
  async function startTwo(t: TestContext): Promise<{ hubs: [Hub, Hub]; data: string }> {
    const { url: store } = await postgres.createDatabase();
    const [a, b] = folders(t);
    const start = async (data: string) => {
      const hub = await startHub({ data, listen: '127.0.0.1:0', store, logger });
      t.after(() => hub.close());
      return hub;
    };
    const first = await start(a);
    cpSync(join(a, 'keys'), join(b, 'keys'), { recursive: true });
    return { hubs: [first, await start(b)], data: a };
  }

  async function makeToken(hub: Hub, data: string, spec: EnrollmentToken['spec']): Promise<string> {
    const identity = await openHubIdentity({ dataDirectory: data, clock: systemClock, logger });
    const issue = tokenIssuer({ identity, clock: systemClock, hubUrls: () => [hub.url] });
    const made = await hub.client.create<EnrollmentToken>(enrollmentTokens, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'EnrollmentToken',
      metadata: { name: 'shops' },
      spec,
    });
    return ((await issue(made))['status'] as { token: string }).token;
  }

  function agentOf(t: TestContext, url: string, data: string): TestAgent {
    const agent = new TestAgent(url, readFileSync(join(data, 'keys', 'ca.crt'), 'utf8'));
    t.after(() => agent.close());
    return agent;
  }

  const assignment = (site: string, digest: string) => ({
    site,
    namespace: 'shop',
    application: 'till',
    applicationUid: 'till-uid',
    release: 'till-1',
    digest,
    deadlineSeconds: 600,
    terms: defaultItemTerms,
    rollout: '',
    wave: '',
  });

  test('a site that waits at one hub learns at once what is assigned through the other', async (t) => {
    const { hubs, data } = await startTwo(t);
    const [a, b] = hubs;
    const text = await makeToken(a, data, { siteName: 'shop' });
    const agent = agentOf(t, a.url, data);
    assert.equal((await agent.enroll(text)).code, 200);
    agent.url = b.url;
    for (let round = 0; round < 3; round++) {
      const content = Buffer.from(`content ${round}`);
      const digest = sha256Digest(content);
      const began = performance.now();
      const poll = agent.sync();
      await systemClock.sleep(300);
      await a.fleet.putBlob(digest, content);
      await a.fleet.assign([assignment('shop', digest)]);
      const { code, body } = await poll;
      assert.equal(code, 200, body.message);
      assert.ok(performance.now() - began < 30_000, 'answered by the news, not by the end of the wait');
      assert.ok(body.state);
      await agent.accept(body.state);
      assert.equal(agent.items[0]?.digest, digest);
      assert.deepEqual((await agent.getBlob(digest)).bytes, content);
      const item = agent.items[0];
      assert.ok(item);
      const answer = await agent.sync({ reports: [agent.report(item)] });
      assert.equal(answer.code, 200);
      const [row] = (await a.fleet.siteState('shop')).rows;
      assert.equal(row?.report?.digest, digest);
    }
  });

  test('an agent may join through either hub, no use of a token counts twice, a replay does nothing new', async (t) => {
    const { hubs, data } = await startTwo(t);
    const text = await makeToken(hubs[0], data, { siteNameTemplate: 'shop-{random}', uses: 6 });
    const agents = Array.from({ length: 10 }, (_, i) => agentOf(t, (hubs[i % 2] as Hub).url, data));
    const codes = await Promise.all(agents.map(async (agent) => (await agent.enroll(text)).code));
    assert.equal(codes.filter((code) => code === 200).length, 6);
    assert.equal(codes.filter((code) => code === 403).length, 4);
    const joined = agents.filter((agent) => agent.site !== '');
    const [first] = joined;
    assert.ok(first);
    first.url = first.url === hubs[0].url ? hubs[1].url : hubs[0].url;
    assert.equal((await first.enroll(text)).code, 200);
    const token = await hubs[1].client.get<EnrollmentToken>(enrollmentTokens, { name: 'shops' });
    assert.equal(token.status?.usedCount, 6);
    assert.equal((await hubs[1].client.list<Site>(sites)).items.length, 6);
    for (const agent of joined) {
      agent.url = agent.url === hubs[0].url ? hubs[1].url : hubs[0].url;
      const { code, body } = await agent.sync({ maxWaitSeconds: 0 });
      assert.equal(code, 200, body.message);
    }
  });

  test('no store.db is made, and one that is there is not forgotten', async (t) => {
    const { url: store } = await postgres.createDatabase();
    const [a, b] = folders(t);
    const hub = await startHub({ data: a, listen: '127.0.0.1:0', store, logger });
    await hub.close();
    assert.equal(existsSync(join(a, 'store.db')), false);
    await (await startHub({ data: b, listen: '127.0.0.1:0', logger })).close();
    await assert.rejects(
      startHub({ data: b, listen: '127.0.0.1:0', store, logger }),
      /store\.db holds the data/,
    );
  });

  test('a rollout goes on when the leading hub is killed', { timeout: 300_000 }, async (t) => {
    const { url: store } = await postgres.createDatabase();
    const [a, b] = folders(t);
    const leader = new HubProcess();
    t.after(() => leader.kill());
    await leader.start(a, store);
    cpSync(join(a, 'keys'), join(b, 'keys'), { recursive: true });
    const hub = await startHub({ data: b, listen: '127.0.0.1:0', store, logger });
    t.after(() => hub.close());
    const text = await makeToken(hub, b, { siteNameTemplate: 'shop-{random}', uses: 4 });
    const agents = [leader.url, hub.url, leader.url, hub.url].map((url) => agentOf(t, url, b));
    for (const agent of agents) assert.equal((await agent.enroll(text)).code, 200);
    const stop = new AbortController();
    const lives = agents.map((agent) => live(agent, [leader.url, hub.url], stop.signal));
    const { client } = hub;
    await client.create<Application>(applications, till('1'));
    await untilRunning(hub);
    await client.mergePatch(applications, { namespace: 'default', name: 'till' }, { spec: till('2').spec });
    await systemClock.sleep(200);
    await leader.kill();
    await untilRunning(hub);
    await client.mergePatch(applications, { namespace: 'default', name: 'till' }, { spec: till('3').spec });
    await untilRunning(hub);
    stop.abort();
    assert.deepEqual((await Promise.all(lives)).flat(), []);
  });
});

/** Until every site runs what the Application is now. */
async function untilRunning({ client }: Hub): Promise<void> {
  const name = { namespace: 'default', name: 'till' };
  for (let attempt = 0; attempt < 1200; attempt++) {
    const { items } = await client.list<Delivery>(deliveries, { namespace: 'default' });
    const { metadata, status } = await client.get<Application>(applications, name);
    const isRunning = (d: Delivery) => d.status.state === 'Running' && d.spec.release === status?.release;
    const isSeen = status?.observedGeneration === metadata.generation;
    if (isSeen && items.length === 4 && items.every(isRunning) && status?.sites?.running === 4) return;
    await systemClock.sleep(100);
  }
  throw new Error('the rollout did not end within two minutes');
}

/** Syncs like a true agent, at another hub each time; returns what a hub did that it must never do. */
async function live(agent: TestAgent, urls: readonly string[], signal: AbortSignal): Promise<string[]> {
  const wrongs: string[] = [];
  let acknowledged = 0;
  for (let turn = 0; !signal.aborted; turn++) {
    agent.url = urls[turn % urls.length] as string;
    const reports = [...agent.reports.values()].filter((r) => r.seq > acknowledged);
    try {
      const { code, body } = await agent.sync({ reports, maxWaitSeconds: 1 });
      if (code < 500 && code !== 200) wrongs.push(`${code} ${body.message}`);
      if (code !== 200) continue;
      acknowledged = Math.max(acknowledged, body.ackSeq);
      if (body.sendAllReports) wrongs.push('an acknowledged report is lost');
      if (body.state === undefined) continue;
      await agent.accept(body.state);
      for (const item of agent.items) agent.report(item);
    } catch (error) {
      const isOfNetwork = error instanceof Error && ('code' in error || 'errno' in error);
      if (!isOfNetwork) wrongs.push(String(error));
      await systemClock.sleep(50);
    }
  }
  return wrongs;
}
