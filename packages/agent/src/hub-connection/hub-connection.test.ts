import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import { systemClock } from '@selvedge/api/node';
import { startTcpLink } from '@selvedge/testkit';
import { eventually, listLogger, wrongClock } from '../testing/test-agent.ts';
import { issueCertificate, makeAuthority } from '../testing/test-certificates.ts';
import { TestHub } from '../testing/test-hub.ts';
import { startTestProxy } from '../testing/test-proxy.ts';
import { ContactError } from './contact-error.ts';
import { HubClock } from './hub-clock.ts';
import { HubConnection } from './hub-connection.ts';
import { noProxy, type ProxySettings, readProxySettings } from './proxy-settings.ts';

const yearMs = 365 * 86_400_000;

function connect(
  hub: TestHub,
  options: {
    hubs?: string[];
    proxies?: ProxySettings;
    clock?: HubClock;
    hubCa?: string;
    timeoutMs?: number;
    extraCas?: string[];
    returnMs?: number;
  } = {},
) {
  return new HubConnection({
    hubs: (options.hubs ?? [`https://127.0.0.1:${hub.port}`]).map((url) => new URL(url)),
    hubCa: new X509Certificate(options.hubCa ?? hub.authority.certificate),
    proxies: options.proxies ?? noProxy,
    clock: options.clock ?? new HubClock({ clock: systemClock }),
    logger: listLogger([]),
    connectTimeoutMs: options.timeoutMs ?? 10_000,
    idleTimeoutMs: options.timeoutMs ?? 20_000,
    ...(options.extraCas === undefined ? {} : { extraCas: options.extraCas }),
    ...(options.returnMs === undefined ? {} : { returnMs: options.returnMs }),
  });
}

const identity = {
  method: 'GET',
  path: '/gateway/v1/identity',
  answerTimeoutMs: 10_000,
  maxBytes: 100_000,
  signal: new AbortController().signal,
} as const;

async function ask(connection: HubConnection, options: { answerTimeoutMs?: number } = {}): Promise<number> {
  return (await connection.request({ ...identity, ...options })).status;
}

const isUntrusted = (error: unknown) => error instanceof ContactError && error.isUntrusted;

describe('the way to the hub', () => {
  test('one connection serves one request after the other', async () => {
    await using hub = await TestHub.start();
    await using link = await startTcpLink({ target: { port: hub.port } });
    const connection = connect(hub, { hubs: [`https://127.0.0.1:${link.port}`] });
    for (let n = 0; n < 3; n++) assert.equal(await ask(connection), 200);
    assert.equal(link.connections, 1);
    connection.close();
  });

  test('the next address is tried when one does not answer or is somebody else', async () => {
    await using hub = await TestHub.start();
    await using stranger = await TestHub.start();
    const connection = connect(hub, {
      hubs: ['https://127.0.0.1:1', `https://127.0.0.1:${stranger.port}`, `https://localhost:${hub.port}`],
    });
    assert.equal(await ask(connection), 200);
    assert.equal(connection.hub.hostname, 'localhost');
    connection.close();
  });

  test('a server of another CA, for another name, or with a client certificate gets no request', async () => {
    const authority = await makeAuthority('the CA', systemClock.now());
    const notBefore = new Date(systemClock.now().getTime() - 60_000);
    const otherCa = await makeAuthority('the CA', systemClock.now());
    const bad = [
      await issueCertificate(otherCa, { names: ['127.0.0.1'], notBefore, days: 1 }),
      await issueCertificate(authority, { names: ['127.0.0.2', 'hub.example'], notBefore, days: 1 }),
      await issueCertificate(authority, { names: ['127.0.0.1'], notBefore, days: 1, usage: 'client' }),
    ];
    for (const certificate of bad) {
      await using hub = await TestHub.start({ certificate });
      const connection = connect(hub, { hubCa: authority.certificate });
      await assert.rejects(ask(connection), isUntrusted);
      connection.close();
      await hub.close();
    }
  });

  test("dates of a hub's certificate do not matter while its time is unknown, nor when only one clock objects", async () => {
    for (const offsetMs of [yearMs * 2, -yearMs * 2]) {
      await using hub = await TestHub.start();
      const clock = new HubClock({ clock: wrongClock(offsetMs) });
      const connection = connect(hub, { clock });
      assert.equal(await ask(connection), 200);
      assert.ok(
        Math.abs(clock.now().getTime() - systemClock.now().getTime()) < 60_000,
        'the time was learnt',
      );
      connection.close();
      const again = connect(hub, { clock });
      assert.equal(await ask(again), 200);
      again.close();
      await hub.close();
    }
  });

  test("a hub's certificate that expired by every clock is refused", async () => {
    const authority = await makeAuthority('the CA', systemClock.now());
    const notBefore = new Date(systemClock.now().getTime() - 10 * 86_400_000);
    const certificate = await issueCertificate(authority, { names: ['127.0.0.1'], notBefore, days: 1 });
    await using hub = await TestHub.start({ certificate });
    const clock = new HubClock({ clock: systemClock });
    clock.observe(systemClock.now().toISOString());
    const connection = connect(hub, { clock, hubCa: authority.certificate });
    await assert.rejects(ask(connection), isUntrusted);
    connection.close();
  });

  test('an HTTP proxy with a password is used, and the password is in no error', async () => {
    await using hub = await TestHub.start();
    await using proxy = await startTestProxy({ credentials: 'shop:p@ss word' });
    const through = (credentials: string) =>
      connect(hub, {
        proxies: readProxySettings({ HTTPS_PROXY: `http://${credentials}127.0.0.1:${proxy.port}` }),
      });
    const good = through('shop:p%40ss%20word@');
    assert.equal(await ask(good), 200);
    assert.equal(proxy.asked[0]?.target, `127.0.0.1:${hub.port}`);
    good.close();
    const bad = through('shop:wrong-secret@');
    await assert.rejects(
      ask(bad),
      (error: Error) => /407/.test(error.message) && !/wrong-secret/.test(error.message),
    );
    bad.close();
  });

  test('a link that is cut is noticed, while connecting and while waiting for an answer', async () => {
    await using hub = await TestHub.start();
    await using link = await startTcpLink({ target: { port: hub.port } });
    const connection = connect(hub, { hubs: [`https://127.0.0.1:${link.port}`], timeoutMs: 300 });
    link.cut();
    await assert.rejects(
      ask(connection),
      (error) => error instanceof ContactError && error.phase === 'connect',
    );
    link.restore();
    assert.equal(await ask(connection), 200);
    link.cut();
    await assert.rejects(
      ask(connection, { answerTimeoutMs: 300 }),
      (error) => error instanceof ContactError && error.phase === 'answer' && error.isTimeout,
    );
    link.restore();
    assert.equal(await ask(connection), 200);
    connection.close();
  });

  test('an answer without end is cut off', async () => {
    await using hub = await TestHub.start();
    const connection = connect(hub);
    await assert.rejects(connection.request({ ...identity, maxBytes: 10 }), /longer than 10 bytes/);
    connection.close();
  });
});

describe('several addresses of the hub', () => {
  const isHubOf = (answer: { status: number }) => Promise.resolve(answer.status === 200);

  test('the preferred one is taken again once it answers as the hub, and a request under way stays where it is', async () => {
    await using hub = await TestHub.start();
    await using near = await startTcpLink({ target: { port: hub.port } });
    near.cut();
    const connection = connect(hub, {
      hubs: [`https://127.0.0.1:${near.port}`, `https://localhost:${hub.port}`],
      returnMs: 50,
    });
    const stop = new AbortController();
    const returning = connection.returnToPreferred(isHubOf, stop.signal);
    assert.equal(await ask(connection), 200);
    assert.equal(connection.hub.hostname, 'localhost');
    near.restore();
    await eventually('it is back', () => connection.hub.hostname === '127.0.0.1');
    assert.equal(await ask(connection), 200);
    stop.abort();
    await returning;
    connection.close();
  });

  test('one that answers, but not as the hub, is not returned to', async () => {
    await using hub = await TestHub.start();
    await using near = await startTcpLink({ target: { port: hub.port } });
    await near.close();
    const connection = connect(hub, {
      hubs: [`https://127.0.0.1:${near.port}`, `https://localhost:${hub.port}`],
      returnMs: 20,
    });
    assert.equal(await ask(connection), 200);
    await using stranger = await TestHub.start({ port: near.port });
    let answers = 0;
    const isHub = async () => {
      answers += 1;
      return false;
    };
    const stop = new AbortController();
    const returning = connection.returnToPreferred(isHub, stop.signal);
    connection.trust(new X509Certificate(stranger.authority.certificate));
    await eventually('it was looked at', () => answers > 2);
    assert.equal(connection.hub.hostname, 'localhost');
    stop.abort();
    await returning;
    connection.close();
  });

  test('one where again and again not the hub answers is left', async () => {
    const authority = await makeAuthority('the CA', systemClock.now());
    const notBefore = new Date(systemClock.now().getTime() - 60_000);
    const certificate = await issueCertificate(authority, { names: ['127.0.0.1'], notBefore, days: 1 });
    const balancer = createServer(certificate, (_req, res) => {
      res.writeHead(503);
      res.end('no backend');
    });
    await new Promise<void>((resolve) => balancer.listen(0, '127.0.0.1', resolve));
    await using hub = await TestHub.start();
    const { port } = balancer.address() as AddressInfo;
    const connection = connect(hub, {
      hubs: [`https://127.0.0.1:${port}`, `https://localhost:${hub.port}`],
      extraCas: [authority.certificate],
    });
    assert.deepEqual([await ask(connection), await ask(connection), await ask(connection)], [503, 503, 200]);
    connection.close();
    balancer.closeAllConnections();
    await new Promise<void>((resolve) => balancer.close(() => resolve()));
  });

  test('a proxy that ends TLS with a CA of the company needs that CA, in a connection of its own too', async () => {
    const authority = await makeAuthority('the company', systemClock.now());
    const notBefore = new Date(systemClock.now().getTime() - 60_000);
    const certificate = await issueCertificate(authority, { names: ['127.0.0.1'], notBefore, days: 1 });
    await using hub = await TestHub.start({ certificate });
    const without = connect(hub);
    await assert.rejects(
      ask(without),
      (error: Error) => isUntrusted(error) && /--ca-file/.test(error.message),
    );
    without.close();
    const connection = connect(hub, { extraCas: [authority.certificate] });
    assert.equal(await ask(connection), 200);
    const { socket } = await connection.openSocket(new AbortController().signal);
    assert.equal(socket.destroyed, false);
    socket.destroy();
    connection.close();
  });

  test('a proxy reached over TLS with a CA of the company', async () => {
    const authority = await makeAuthority('the company', systemClock.now());
    const notBefore = new Date(systemClock.now().getTime() - 60_000);
    const certificate = await issueCertificate(authority, { names: ['127.0.0.1'], notBefore, days: 1 });
    await using hub = await TestHub.start();
    await using proxy = await startTestProxy({ certificate });
    const proxies = readProxySettings({ HTTPS_PROXY: `https://127.0.0.1:${proxy.port}` });
    const without = connect(hub, { proxies });
    await assert.rejects(ask(without), /the proxy 127\.0\.0\.1:\d+: .*--ca-file/);
    without.close();
    const connection = connect(hub, { proxies, extraCas: [authority.certificate] });
    assert.equal(await ask(connection), 200);
    assert.equal(proxy.asked.length, 1);
    connection.close();
  });
});
