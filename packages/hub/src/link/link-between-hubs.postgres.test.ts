import assert from 'node:assert/strict';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { type EnrollmentToken, enrollmentTokens, type Lease, leases, type Site, sites } from '@selvedge/api';
import { createLogger, systemClock } from '@selvedge/api/node';
import { requireTool, startTestPostgres, type TestPostgres } from '@selvedge/testkit';
import { tokenIssuer } from '../gateway/enrollment-token-text.ts';
import { TestAgent } from '../gateway/testing/test-agent.ts';
import { eventually } from '../gateway/testing/test-hub.ts';
import { openHubIdentity } from '../identity/hub-identity.ts';
import { type Hub, startHub } from '../server/start-hub.ts';
import { linksNamespace } from './link-directory.ts';
import { FarEnd } from './testing/far-end.ts';
import { Person, proxyPath } from './testing/link-lab.ts';

const logger = createLogger({ level: 'silent' });

describe(
  'links and several hubs on one PostgreSQL database',
  requireTool('postgres', 'initdb', 'psql'),
  () => {
    let postgres: TestPostgres;
    before(async () => {
      postgres = await startTestPostgres();
    });
    after(() => postgres.remove());

    /** Hubs with the same keys, and the agent of the site `shop`, which polls the first of them. */
    async function startFleet(t: TestContext, count: number) {
      const { url: store } = await postgres.createDatabase();
      const hubs: { hub: Hub; data: string }[] = [];
      for (let i = 0; i < count; i++) {
        const data = mkdtempSync(join(tmpdir(), 'selvedge-link-'));
        t.after(() => rmSync(data, { recursive: true, force: true }));
        if (hubs[0]) cpSync(join(hubs[0].data, 'keys'), join(data, 'keys'), { recursive: true });
        const hub = await startHub({ data, listen: '127.0.0.1:0', store, logger });
        t.after(() => hub.close());
        hubs.push({ hub, data });
      }
      const [first] = hubs;
      assert.ok(first);
      const { hub, data } = first;
      const token = await hub.client.create<EnrollmentToken>(enrollmentTokens, {
        apiVersion: 'selvedge.dev/v1alpha1',
        kind: 'EnrollmentToken',
        metadata: { name: 'join' },
        spec: { siteName: 'shop' },
      });
      const identity = await openHubIdentity({ dataDirectory: data, clock: systemClock, logger });
      const issue = tokenIssuer({ identity, clock: systemClock, hubUrls: () => [hub.url] });
      const { status } = await issue(token);
      const ca = readFileSync(join(data, 'keys', 'ca.crt'), 'utf8');
      const agent = new TestAgent(hub.url, ca);
      t.after(() => agent.close());
      await agent.enroll((status as { token: string }).token);
      await hub.client.mergePatch<Site>(sites, { name: 'shop' }, { spec: { link: 'Full' } });
      const far = new FarEnd(agent, ca);
      t.after(() => far.stop());
      const persons = hubs.map((one) => new Person(t, one.hub.url, one.data));
      const isPolled = async () =>
        /^selvedge_gateway_open_polls 1$/m.test((await persons[0]!.ask('/metrics')).text);
      far.poll();
      await eventually(isPolled);
      // Every hub knows the Site as it is now.
      for (const one of hubs) {
        await eventually(
          async () => (await one.hub.client.find<Site>(sites, { name: 'shop' }))?.spec?.link === 'Full',
        );
      }
      return { hubs: hubs.map((one) => one.hub), persons, far };
    }

    test('a person at one hub reaches the site whose poll is at another and whose link is at a third', async (t) => {
      const { hubs, persons, far } = await startFleet(t, 3);
      far.openAt = hubs[2]!.url;
      far.handler = (stream, headers) => {
        if (headers[':method'] === 'CONNECT') {
          stream.respond({ ':status': 200, 'x-site': 'up' });
          stream.on('data', (chunk: Buffer) => stream.write(`echo ${chunk.toString()}`));
          stream.on('end', () => stream.end());
          return;
        }
        const chunks: Buffer[] = [];
        stream.on('data', (chunk: Buffer) => chunks.push(chunk));
        stream.on('end', () => {
          stream.respond({ ':status': 200, 'x-site': 'plain' });
          const user = Buffer.from(String(headers['selvedge-user']), 'base64url').toString();
          stream.end(`${headers[':method']} ${headers[':path']} ${Buffer.concat(chunks).toString()} ${user}`);
        });
      };
      const answer = await persons[1]!.ask(proxyPath('shop', '/api/v1/pods?x=%2F'), {
        method: 'POST',
        body: 'hello',
      });
      assert.equal(answer.status, 200, answer.text);
      assert.match(
        answer.text,
        /^POST \/api\/v1\/pods\?x=%2F hello \{"groups":\["system:masters",.*"name":"admin"\}$/,
      );
      const chunked = await persons[1]!.ask(proxyPath('shop', '/a'), {
        method: 'DELETE',
        body: 'without a length',
        headers: { 'transfer-encoding': 'chunked' },
      });
      assert.match(chunked.text, /^DELETE \/a without a length /);
      const { status, socket, headers } = await persons[0]!.upgrade(proxyPath('shop', '/exec'));
      assert.equal(status, 101);
      assert.equal(headers['x-site'], 'up');
      assert.ok(socket);
      socket.write('hi');
      const [chunk] = (await once(socket, 'data')) as [Buffer];
      assert.equal(chunk.toString(), 'echo hi');
      const lease = await hubs[0]!.client.get<Lease>(leases, {
        namespace: linksNamespace,
        name: 'link-shop',
      });
      assert.equal(lease.spec?.holderIdentity, hubs[2]!.url);
      assert.equal(far.opened, 1);
    });

    test('when the hub that has the link is gone without a farewell, the next request has another one opened', async (t) => {
      const { hubs, persons, far } = await startFleet(t, 2);
      // An address where nobody answers: of a hub that was killed.
      await hubs[0]!.client.create<never>(
        { group: '', version: 'v1', plural: 'namespaces', kind: 'Namespace', namespaced: false },
        {
          apiVersion: 'v1',
          kind: 'Namespace',
          metadata: { name: linksNamespace },
        } as never,
      );
      await hubs[0]!.client.create<Lease>(leases, {
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        metadata: { name: 'link-shop', namespace: linksNamespace },
        spec: { holderIdentity: 'https://127.0.0.1:1' },
      });
      assert.equal((await persons[1]!.ask(proxyPath('shop', '/'))).text, 'ok');
      assert.equal((await persons[0]!.ask(proxyPath('shop', '/'))).text, 'ok');
      // One that has not heard yet that the other has the link has one opened itself.
      const { opened } = far;
      assert.ok(opened === 1 || opened === 2, String(opened));
      // The link is lost, and with it the Lease.
      far.cut();
      await eventually(
        async () =>
          (await hubs[1]!.client.find<Lease>(leases, { namespace: linksNamespace, name: 'link-shop' })) ===
          undefined,
      );
      assert.equal((await persons[1]!.ask(proxyPath('shop', '/'))).text, 'ok');
      assert.equal(far.opened, opened + 1);
    });

    test('a hub takes no request of another without a token for that very request', async (t) => {
      const { hubs, persons, far } = await startFleet(t, 2);
      assert.equal((await persons[0]!.ask(proxyPath('shop', '/'))).text, 'ok');
      let asked = 0;
      far.handler = (stream) => {
        asked += 1;
        stream.respond({ ':status': 200 });
        stream.end('ok');
      };
      for (const authorization of ['', 'Bearer a.b.c', `Bearer ${await far.agent.jwt('')}`]) {
        const { status } = await persons[1]!.ask('/link/v1/sites/shop/api', {
          headers: authorization ? { authorization } : {},
        });
        assert.equal(status, 401);
      }
      assert.equal(asked, 0);
      assert.equal(hubs.length, 2);
    });
  },
);
