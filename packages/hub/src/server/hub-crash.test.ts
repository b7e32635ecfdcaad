import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, test, type TestContext } from 'node:test';
import {
  type Application,
  applications,
  type Delivery,
  deliveries,
  type EnrollmentToken,
  enrollmentTokens,
  type KubeObject,
  type Site,
  sites,
} from '@selvedge/api';
import { systemClock } from '@selvedge/api/node';
import { createHttpClient, loadKubeconfig } from '@selvedge/kube';
import { TestAgent } from '../gateway/testing/test-agent.ts';

const program = `
  import { runHub } from ${JSON.stringify(new URL('../index.ts', import.meta.url).href)};
  const [data, listen] = process.argv.slice(1);
  await runHub({ data, listen });
`;

/** A hub in a process of its own, killed and started again at one address. */
class HubProcess {
  readonly data: string;
  url = '';
  #child: ChildProcess | undefined;

  constructor(t: TestContext) {
    this.data = mkdtempSync(join(tmpdir(), 'selvedge-crash-'));
    t.after(async () => {
      await this.kill();
      rmSync(this.data, { recursive: true, force: true });
    });
  }

  async start(): Promise<void> {
    const listen = this.url === '' ? '127.0.0.1:0' : new URL(this.url).host;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program, this.data, listen], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
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
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  }

  /** Orderly; returns the exit code. */
  async terminate(): Promise<number | null> {
    const child = this.#child;
    assert.ok(child);
    const exit = once(child, 'exit');
    child.kill('SIGTERM');
    await exit;
    return child.exitCode;
  }

  async client(t: TestContext) {
    const client = createHttpClient({
      kubeconfig: await loadKubeconfig(join(this.data, 'admin.kubeconfig')),
    });
    t.after(() => client.close());
    return client;
  }

  agent(t: TestContext): TestAgent {
    const agent = new TestAgent(this.url, readFileSync(join(this.data, 'keys', 'ca.crt'), 'utf8'));
    t.after(() => agent.close());
    return agent;
  }
}

/** Enrols through kills and restarts of the hub; `false` when the hub refused for good. */
async function enrollInTheEnd(agent: TestAgent, tokenText: string): Promise<boolean> {
  for (let attempt = 0; attempt < 400; attempt++) {
    try {
      const { code, body } = await agent.enroll(tokenText);
      if (code === 200) return true;
      // Used up, or (told a moment earlier) the site has its agent.
      if (code === 403 || code === 409) return false;
      assert.ok(code >= 500, `${code} ${body.message}`);
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
      // The hub is away.
    }
    await systemClock.sleep(40);
  }
  throw new Error('the hub did not come back');
}

type Client = Awaited<ReturnType<HubProcess['client']>>;

async function makeToken(client: Client, name: string, spec: EnrollmentToken['spec']): Promise<string> {
  const object = { apiVersion: 'selvedge.dev/v1alpha1', kind: 'EnrollmentToken', metadata: { name }, spec };
  await client.create<EnrollmentToken>(enrollmentTokens, object as EnrollmentToken);
  const answer = await client.request<KubeObject & { status: { token: string } }>({
    method: 'POST',
    path: `/apis/selvedge.dev/v1alpha1/enrollmenttokens/${name}/token`,
    body: {},
  });
  return answer.status.token;
}

/** Syncs like a true agent until the signal fires; returns what the hub did that it must never do. */
async function live(agent: TestAgent, signal: AbortSignal): Promise<string[]> {
  const wrongs: string[] = [];
  let acknowledged = 0;
  while (!signal.aborted) {
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
      if (!isNetworkError(error)) wrongs.push(String(error));
      await systemClock.sleep(50);
    }
  }
  return wrongs;
}

function isNetworkError(error: unknown): boolean {
  return error instanceof Error && ('code' in error || 'errno' in error);
}

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

describe('a hub killed in the middle of enrolments', { concurrency: false }, () => {
  test('no use of a token is lost, and none lets two in', { timeout: 180_000 }, async (t) => {
    const hub = new HubProcess(t);
    await hub.start();
    const client = await hub.client(t);
    const texts: string[] = [];
    const makeToken = async (name: string, spec: EnrollmentToken['spec']): Promise<string> => {
      const object = {
        apiVersion: 'selvedge.dev/v1alpha1',
        kind: 'EnrollmentToken',
        metadata: { name },
        spec,
      };
      await client.create<EnrollmentToken>(enrollmentTokens, object as EnrollmentToken);
      const answer = await client.request<KubeObject & { status: { token: string } }>({
        method: 'POST',
        path: `/apis/selvedge.dev/v1alpha1/enrollmenttokens/${name}/token`,
        body: {},
      });
      return answer.status.token;
    };
    for (let i = 0; i < 12; i++) texts.push(await makeToken(`once-${i}`, { siteName: `single-${i}` }));
    const many = await makeToken('many', { siteNameTemplate: 'shop-{random}', uses: 12 });

    const agents = {
      pairs: texts.map(() => [hub.agent(t), hub.agent(t)]),
      many: texts.map(() => hub.agent(t)),
    };
    const pairs = Promise.all(
      agents.pairs.map((pair, i) => Promise.all(pair.map((agent) => enrollInTheEnd(agent, texts[i] ?? '')))),
    );
    const all = Promise.all(agents.many.map((agent) => enrollInTheEnd(agent, many)));
    for (const delay of [15, 40, 70, 110]) {
      await systemClock.sleep(delay);
      await hub.kill();
      await hub.start();
    }
    for (const outcome of await pairs) assert.equal(outcome.filter(Boolean).length, 1);
    assert.deepEqual(
      await all,
      texts.map(() => true),
    );

    const token = await client.get<EnrollmentToken>(enrollmentTokens, { name: 'many' });
    assert.equal(token.status?.used?.length, 12);
    assert.ok(token.status?.used?.every((use) => use.siteUid !== undefined));
    assert.equal((await client.list<Site>(sites)).items.length, 24);
    for (const agent of [...agents.many, ...agents.pairs.flat().filter((a) => a.site !== '')]) {
      const { code, body } = await agent.sync({ maxWaitSeconds: 0 });
      assert.equal(code, 200, body.message);
    }
    assert.equal(await hub.terminate(), 0);
  });
});

describe('a hub killed in the middle of rollouts', { concurrency: false }, () => {
  test('every rollout ends, and no acknowledged report is lost', { timeout: 180_000 }, async (t) => {
    const hub = new HubProcess(t);
    await hub.start();
    const client = await hub.client(t);
    const agents = [hub.agent(t), hub.agent(t), hub.agent(t), hub.agent(t)];
    const text = await makeToken(client, 'shops', { siteNameTemplate: 'shop-{random}', uses: 4 });
    for (const agent of agents) assert.ok(await enrollInTheEnd(agent, text));
    const stop = new AbortController();
    const lives = agents.map((agent) => live(agent, stop.signal));
    await client.create<Application>(applications, till('0'));
    for (const delay of [100, 250, 400, 700]) {
      await systemClock.sleep(delay);
      await hub.kill();
      await hub.start();
      const name = { namespace: 'default', name: 'till' };
      await client.mergePatch(applications, name, { spec: till(String(delay)).spec });
    }
    const done = async () => {
      const { items } = await client.list<Delivery>(deliveries, { namespace: 'default' });
      const { status } = await client.get<Application>(applications, { namespace: 'default', name: 'till' });
      const isRunning = (d: Delivery) => d.status.state === 'Running' && d.spec.release === status?.release;
      return items.length === 4 && items.every(isRunning) && status?.sites?.running === 4;
    };
    for (let attempt = 0; !(await done()); attempt++) {
      assert.ok(attempt < 600, 'the rollout did not end within a minute');
      await systemClock.sleep(100);
    }
    stop.abort();
    assert.deepEqual((await Promise.all(lives)).flat(), []);
  });
});
