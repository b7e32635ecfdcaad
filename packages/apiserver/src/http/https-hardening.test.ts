import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpsRequest } from 'node:https';
import { type ClientHttp2Session, connect, constants } from 'node:http2';
import { setTimeout as pause } from 'node:timers/promises';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { after, before, describe, test } from 'node:test';
import { createLogger } from '@selvedge/api/node';
import { FakeClock, loopbackCertificate } from '@selvedge/testkit';
import { type HttpsServer, startHttpsServer } from './https-server.ts';

const maxConnections = 12;
const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

/** RFC 9113 §4.1. */
function frame(type: number, flags: number, ...[stream, payload]: [stream: number, payload: Buffer]): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

describe('the HTTPS server, against clients that mean no good', () => {
  const clock = new FakeClock();
  let server: HttpsServer;
  let ca: string;
  /** Requests to /hang, in work. */
  let hanging = 0;
  let asked = 0;

  before(async () => {
    const { key, certificate } = await loopbackCertificate();
    ca = certificate;
    server = await startHttpsServer({
      host: '127.0.0.1',
      port: 0,
      tls: { key, cert: certificate, clientCa: certificate },
      clock,
      logger: createLogger({ level: 'silent' }),
      headersMilliseconds: 300,
      maxConnections,
      handle: (req, res) => {
        asked += 1;
        if (req.url === '/hang') {
          hanging += 1;
          (res as NodeJS.EventEmitter).once('close', () => (hanging -= 1));
        } else res.end('ok');
      },
    });
  });
  after(() => server.close());

  const raw = async (protocol: 'h2' | 'http/1.1'): Promise<TLSSocket> => {
    const socket = connectTls({ host: '127.0.0.1', port: server.port, ca, ALPNProtocols: [protocol] });
    socket.on('error', () => {});
    await once(socket, 'secureConnect');
    socket.resume();
    return socket;
  };

  const session = (): ClientHttp2Session => {
    const client = connect(`https://127.0.0.1:${server.port}`, { ca });
    client.on('error', () => {});
    return client;
  };

  function askOver1(path = '/', headers: Record<string, string> = {}): Promise<number | undefined> {
    return new Promise((resolve, reject) => {
      const options = { host: '127.0.0.1', port: server.port, path, ca, headers, agent: false };
      httpsRequest(options, (res) => {
        res.resume();
        res.once('end', () => resolve(res.statusCode));
      })
        .once('error', reject)
        .end();
    });
  }

  const stillServes = async () => assert.equal(await askOver1(), 200);
  const closed = async (socket: TLSSocket) => {
    if (!socket.destroyed) await once(socket, 'close');
  };

  test('a head that drips in is cut, however diligently', async () => {
    const socket = await raw('http/1.1');
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n');
    const dripping = setInterval(() => socket.write('x'), 20);
    await closed(socket);
    clearInterval(dripping);
    await stillServes();
  });

  test('a head that is too large is refused, over both protocols', async () => {
    assert.equal(await askOver1('/', { 'x-large': 'x'.repeat(70_000) }).catch(() => 431), 431);
    const client = session();
    const stream = client.request({
      ':path': '/',
      ...Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`x-${i}`, 'y'.repeat(2000)])),
    });
    let isAnswered = false;
    stream.on('response', () => (isAnswered = true));
    await new Promise((resolve) => {
      stream.on('error', resolve);
      stream.on('close', resolve);
    });
    assert.equal(isAnswered, false);
    client.destroy();
    await stillServes();
  });

  test('who opens streams and resets them at once is cut off after the first thousand or so', async () => {
    const client = session();
    await once(client, 'connect');
    const before = asked;
    for (let i = 0; i < 60 && !client.closed; i += 1) {
      for (let j = 0; j < 50 && !client.closed; j += 1) {
        const stream = client.request({ ':path': '/hang' });
        stream.on('error', () => {});
        stream.close(constants.NGHTTP2_CANCEL);
      }
      await pause(1);
    }
    await stillServes();
    assert.ok(asked - before < 2_000, `${asked - before} of 3,000 reached the server`);
    while (hanging > 0) await pause(10);
    client.destroy();
  });

  const floods: [what: string, bytes: Buffer][] = [
    ['pings', frame(6, 0, 0, Buffer.alloc(8))],
    ['settings', frame(4, 0, 0, Buffer.alloc(0))],
    ['empty data of no stream', frame(0, 0, 1, Buffer.alloc(0))],
    ['priorities', frame(2, 0, 3, Buffer.from([0, 0, 0, 0, 16]))],
    ['frames of an unknown type', frame(200, 0, 0, Buffer.alloc(100))],
    ['headers that never end', frame(9, 0, 1, Buffer.alloc(100, 0x88))],
  ];
  for (const [what, bytes] of floods) {
    test(`a flood of ${what} costs nobody else anything`, async () => {
      const before = process.memoryUsage().rss;
      const socket = await raw('h2');
      socket.write(Buffer.concat([preface, frame(4, 0, 0, Buffer.alloc(0))]));
      const many = Buffer.concat(Array.from({ length: 1000 }, () => bytes));
      // Answers are not read: they would pile up.
      socket.pause();
      for (let i = 0; i < 50 && !socket.destroyed; i += 1) {
        socket.write(many);
        await pause(1);
      }
      await stillServes();
      socket.destroy();
      assert.ok(process.memoryUsage().rss - before < 150 * 1024 ** 2);
    });
  }

  test('who has the answer and goes on sending is cut off', async () => {
    const client = session();
    const stream = client.request({ ':path': '/', ':method': 'POST' });
    stream.on('error', () => {});
    stream.write('a body that never ends');
    await once(stream, 'response');
    stream.resume();
    const isOver = once(stream, 'close');
    await isOver;
    client.destroy();
  });

  test('with too many connections, the one that is idle longest goes, and nobody that works', async () => {
    const working = await raw('http/1.1');
    working.write('GET /hang HTTP/1.1\r\nHost: x\r\n\r\n');
    while (hanging === 0) await pause(5);
    const idle: TLSSocket[] = [];
    for (let i = 0; i < maxConnections + 5; i += 1) {
      const client = await raw(i % 2 === 0 ? 'h2' : 'http/1.1');
      if (i % 2 === 0) client.write(Buffer.concat([preface, frame(4, 0, 0, Buffer.alloc(0))]));
      idle.push(client);
    }
    await Promise.all(idle.slice(0, 5).map(closed));
    assert.equal(working.destroyed, false);
    await stillServes();
    assert.equal(idle.at(-1)?.destroyed, false);
    for (const socket of [working, ...idle]) socket.destroy();
  });

  test('when all work, the newcomer is refused, until one is done', async () => {
    const working: TLSSocket[] = [];
    for (let i = 0; i < maxConnections; i += 1) {
      const socket = await raw('http/1.1');
      socket.write('GET /hang HTTP/1.1\r\nHost: x\r\n\r\n');
      working.push(socket);
      while (hanging < i + 1) await pause(5);
    }
    await assert.rejects(askOver1());
    working[0]?.destroy();
    while (hanging === maxConnections) await pause(5);
    await stillServes();
    for (const socket of working) socket.destroy();
  });

  test('connections whose upgrade was refused keep nobody out, though they do not end', async () => {
    const refused: TLSSocket[] = [];
    for (let i = 0; i < maxConnections; i += 1) {
      const socket = connectTls({ host: '127.0.0.1', port: server.port, ca, allowHalfOpen: true } as never);
      socket.on('error', () => {});
      await once(socket, 'secureConnect');
      socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
      await once(socket, 'data');
      refused.push(socket);
    }
    await stillServes();
    await clock.advance(2_000);
    // A connection that is there no more is noticed by who writes to it.
    for (const socket of refused.map((one) => one.resume())) {
      for (; !socket.destroyed; await pause(10)) socket.write('x');
    }
  });
});
