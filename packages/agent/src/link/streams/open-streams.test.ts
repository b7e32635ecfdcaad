import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { MachineBackend } from './testing/machine-backend.ts';
import { SpdyClient, textOf } from './testing/spdy-client.ts';
import { serveStreams } from './testing/stream-server.ts';
import { TunnelSocket } from './testing/tunnel-socket.ts';

const shell = (script: string, flags = 'stdin=true&stdout=true&stderr=true') =>
  `/exec?${flags}&command=sh&command=-c&command=${encodeURIComponent(script)}`;

const notZero = {
  metadata: {},
  status: 'Failure',
  message: 'command terminated with non-zero exit code: exit status 3',
  reason: 'NonZeroExitCode',
  details: { causes: [{ reason: 'ExitCode', message: '3' }] },
};

async function until(what: string, condition: () => boolean): Promise<void> {
  for (let attempt = 0; attempt < 1500; attempt++) {
    if (condition()) return;
    await wait(20);
  }
  throw new Error(`waited in vain until ${what}`);
}

/** What came in each channel. */
class Channels {
  readonly webSocket: WebSocket;
  readonly received = new Map<number, Buffer[]>();
  isClosed = false;
  closeCode = 0;

  constructor(port: number, path: string, protocols: readonly string[]) {
    this.webSocket = new WebSocket(`ws://127.0.0.1:${port}${path}`, [...protocols]);
    this.webSocket.on('message', (data) => {
      const message = data as Buffer;
      const number = message[0] ?? -1;
      this.received.set(number, [...(this.received.get(number) ?? []), message.subarray(1)]);
    });
    this.webSocket.on('close', (code) => {
      this.isClosed = true;
      this.closeCode = code;
    });
  }

  send(channel: number, payload: Buffer | string): void {
    this.webSocket.send(Buffer.concat([Buffer.from([channel]), Buffer.from(payload as string)]));
  }

  bytes(channel: number): Buffer {
    return Buffer.concat(this.received.get(channel) ?? []);
  }

  text(channel: number): string {
    return this.bytes(channel).toString('utf8');
  }
}

describe('exec over WebSocket', () => {
  for (const protocol of ['v5.channel.k8s.io', 'v4.channel.k8s.io']) {
    test(`${protocol}: output, error output and exit code, then a normal closure`, async () => {
      await using server = await serveStreams(new MachineBackend());
      const client = new Channels(
        server.port,
        shell('echo out; echo err >&2; exit 3', 'stdout=true&stderr=true'),
        ['v9.channel.k8s.io', protocol],
      );
      await until('it is closed', () => client.isClosed);
      assert.equal(client.webSocket.protocol, protocol);
      assert.equal(client.text(1), 'out\n');
      assert.equal(client.text(2), 'err\n');
      assert.deepEqual(JSON.parse(client.text(3)), notZero);
      assert.equal(client.closeCode, 1000);
    });
  }

  test('standard input ends with the close channel, and all of it came back before', async () => {
    await using server = await serveStreams(new MachineBackend());
    const client = new Channels(server.port, shell('cat'), ['v5.channel.k8s.io']);
    await once(client.webSocket, 'open');
    const input = randomBytes(3_000_000);
    for (let at = 0; at < input.length; at += 32_768) client.send(0, input.subarray(at, at + 32_768));
    client.send(255, Buffer.from([0]));
    await until('it is closed', () => client.isClosed);
    assert.ok(client.bytes(1).equals(input));
    assert.deepEqual(JSON.parse(client.text(3)), { metadata: {}, status: 'Success' });
  });

  test('sizes of the terminal reach the program', async () => {
    const backend = new MachineBackend();
    await using server = await serveStreams(backend);
    const client = new Channels(server.port, shell('cat', 'stdin=true&stdout=true&tty=true'), [
      'v5.channel.k8s.io',
    ]);
    await once(client.webSocket, 'open');
    client.send(4, '{"Width":120,"Height":40}');
    await until('the size came', () => backend.sizes.length === 1);
    assert.deepEqual(backend.sizes, [{ columns: 120, rows: 40 }]);
    client.send(255, Buffer.from([0]));
    await until('it is closed', () => client.isClosed);
  });

  test('a program that does not read its input holds the client, not our memory', async () => {
    const backend = new MachineBackend();
    const server = await serveStreams(backend);
    const client = new Channels(server.port, shell('exec sleep 1000'), ['v5.channel.k8s.io']);
    await once(client.webSocket, 'open');
    const before = process.memoryUsage().arrayBuffers;
    const part = Buffer.alloc(256 * 1024);
    for (let count = 0; count < 400; count += 1) client.send(0, part);
    await wait(300);
    // 100 MB were given to our own client here; far less can be on its way.
    assert.ok(client.webSocket.bufferedAmount > 80_000_000, `${client.webSocket.bufferedAmount}`);
    assert.ok(process.memoryUsage().arrayBuffers - before < 140_000_000);
    client.webSocket.terminate();
    // Nobody reads from a client that is held back, but a connection that is cut is noticed.
    await server[Symbol.asyncDispose]();
    await until('the backend knows', () => backend.left === 1);
  });

  test('a client that leaves is told to the backend', async () => {
    const backend = new MachineBackend();
    await using server = await serveStreams(backend);
    const client = new Channels(server.port, shell('exec sleep 1000', 'stdout=true'), ['v5.channel.k8s.io']);
    await until('it is connected', () => client.received.has(1));
    client.webSocket.terminate();
    await until('the backend knows', () => backend.left === 1);
  });

  test('a program that cannot be started is an internal error', async () => {
    await using server = await serveStreams(new MachineBackend());
    const client = new Channels(server.port, '/exec?stdout=true&command=/no/such/program', [
      'v5.channel.k8s.io',
    ]);
    await until('it is closed', () => client.isClosed);
    const status = JSON.parse(client.text(3)) as { reason: string; message: string };
    assert.equal(status.reason, 'InternalError');
    assert.match(status.message, /ENOENT/);
  });

  for (const [what, path, protocols, code] of [
    ['an unknown protocol', '/exec?stdout=true&command=true', ['v9.channel.k8s.io'], 403],
    ['no command', '/exec?stdout=true', ['v5.channel.k8s.io'], 400],
    ['no stream at all', '/exec?command=true', ['v5.channel.k8s.io'], 400],
    ['port-forward of the old kind', '/portforward?ports=80', ['v4.channel.k8s.io'], 403],
  ] as const) {
    test(`${what} is refused before the upgrade`, async () => {
      await using server = await serveStreams(new MachineBackend());
      const client = new WebSocket(`ws://127.0.0.1:${server.port}${path}`, [...protocols]);
      const [error] = (await once(client, 'error')) as [Error];
      assert.match(error.message, new RegExp(String(code)));
    });
  }

  test('attach joins until the client closes its input', async () => {
    await using server = await serveStreams(new MachineBackend());
    const client = new Channels(server.port, '/attach?stdin=true&stdout=true', ['v5.channel.k8s.io']);
    await until('it is attached', () => client.text(1) === 'attached\n');
    client.send(0, 'hello\n');
    client.send(255, Buffer.from([0]));
    await until('it is closed', () => client.isClosed);
    assert.equal(client.text(1), 'attached\nhello\n');
    assert.equal((JSON.parse(client.text(3)) as { status: string }).status, 'Success');
  });
});

describe('exec over SPDY/3.1', () => {
  for (const protocol of ['v4.channel.k8s.io', 'v3.channel.k8s.io', 'v2.channel.k8s.io', 'channel.k8s.io']) {
    test(`${protocol}: input to its end, output, error output and exit code`, async () => {
      await using server = await serveStreams(new MachineBackend());
      const client = await SpdyClient.open(server.port, shell('cat; echo err >&2; exit 3'), ['v9', protocol]);
      assert.equal(client.protocol, protocol);
      const error = await client.openStream({ streamType: 'error' }, true);
      const stdin = await client.openStream({ streamType: 'stdin' });
      const stdout = await client.openStream({ streamType: 'stdout' }, true);
      const stderr = await client.openStream({ streamType: 'stderr' }, true);
      const input = randomBytes(1_000_000);
      for (let at = 0; at < input.length; at += 50_000)
        await client.send(stdin, input.subarray(at, at + 50_000));
      await client.send(stdin, '', true);
      await until('all streams have ended', () => error.hasEnded && stdout.hasEnded && stderr.hasEnded);
      assert.deepEqual(client.replied, [1, 3, 5, 7]);
      assert.ok(Buffer.concat(stdout.data).equals(input));
      assert.equal(textOf(stderr), 'err\n');
      if (protocol === 'v4.channel.k8s.io') assert.deepEqual(JSON.parse(textOf(error)), notZero);
      else assert.match(textOf(error), /exit status 3/);
      await until('it said goodbye', () => client.wasToldGoodbye);
      client.close();
    });
  }

  test('sizes come as JSON, in pieces too; pings are answered', async () => {
    const backend = new MachineBackend();
    await using server = await serveStreams(backend);
    const path = shell('cat', 'stdin=true&stdout=true&tty=true');
    const client = await SpdyClient.open(server.port, path, ['v4.channel.k8s.io']);
    await client.openStream({ streamType: 'error' });
    const stdin = await client.openStream({ streamType: 'stdin' });
    const stdout = await client.openStream({ streamType: 'stdout' });
    const resize = await client.openStream({ streamType: 'resize' });
    await client.send(resize, '{"Width":80,"Height":24}\n{"Width":');
    await client.send(resize, '100,"Height":30}{"Width":-1,"Height":"x"}');
    client.ping(77);
    await until('sizes came', () => backend.sizes.length === 2);
    assert.deepEqual(backend.sizes, [
      { columns: 80, rows: 24 },
      { columns: 100, rows: 30 },
    ]);
    await until('the ping is answered', () => client.pongs.includes(77));
    await client.send(stdin, 'bye', true);
    await until('the output has ended', () => stdout.hasEnded);
    assert.equal(textOf(stdout), 'bye');
    client.close();
  });

  test('a client that leaves is told to the backend', async () => {
    const backend = new MachineBackend();
    await using server = await serveStreams(backend);
    const client = await SpdyClient.open(server.port, shell('echo up; exec sleep 1000', 'stdout=true'), [
      'v4.channel.k8s.io',
    ]);
    await client.openStream({ streamType: 'error' });
    const stdout = await client.openStream({ streamType: 'stdout' });
    await until('it runs', () => textOf(stdout) === 'up\n');
    client.close();
    await until('the backend knows', () => backend.left === 1);
  });

  test('bytes that are no SPDY end the connection', async () => {
    await using server = await serveStreams(new MachineBackend());
    for (const bytes of [
      Buffer.from('GET / HTTP/1.1\r\n\r\n'.repeat(3)),
      Buffer.from([0x80, 2, 0, 1, 0, 0, 0, 0]),
      Buffer.from([0x80, 3, 0, 1, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 2]),
      Buffer.from([0x80, 3, 0, 4, 0, 255, 255, 255]),
    ]) {
      const client = await SpdyClient.open(server.port, shell('cat'), ['v4.channel.k8s.io']);
      const closed = once(client.socket, 'close');
      client.socket.write(bytes);
      client.socket.end();
      await closed;
    }
  });

  test('an unknown protocol is refused before the upgrade', async () => {
    await using server = await serveStreams(new MachineBackend());
    await assert.rejects(
      SpdyClient.open(server.port, shell('cat'), ['v9.channel.k8s.io']),
      /^Error: 403 none of/,
    );
  });
});

describe('port-forward', () => {
  for (const kind of ['SPDY/3.1', 'SPDY/3.1 in a WebSocket'] as const) {
    test(`${kind}: many connections, each side ends on its own`, async () => {
      // Answers with what it was sent only when that has ended.
      const target = createServer({ allowHalfOpen: true }, (socket) => {
        void socket.toArray().then((parts) => socket.end(Buffer.concat(parts as Buffer[])));
      });
      target.listen(0, '127.0.0.1');
      await once(target, 'listening');
      const { port } = target.address() as { port: number };
      await using server = await serveStreams(new MachineBackend());
      const client =
        kind === 'SPDY/3.1'
          ? await SpdyClient.open(server.port, '/portforward', ['portforward.k8s.io'])
          : await tunnelled(server.port);
      await Promise.all(
        Array.from({ length: 40 }, async (_, index) => {
          const headers = { port: String(port), requestID: String(index) };
          const error = await client.openStream({ ...headers, streamType: 'error' }, true);
          const data = await client.openStream({ ...headers, streamType: 'data' });
          const bytes = randomBytes(100_000 + index);
          await client.send(data, bytes.subarray(0, 60_000));
          await client.send(data, bytes.subarray(60_000), true);
          await until('both have ended', () => data.hasEnded && error.hasEnded);
          assert.ok(Buffer.concat(data.data).equals(bytes));
          assert.equal(textOf(error), '');
        }),
      );
      client.close();
      target.close();
      await once(target, 'close');
    });

    test(`${kind}: nobody listens: told in the error stream, and the next connection works`, async () => {
      const target = createServer((socket) => socket.end('hello'));
      target.listen(0, '127.0.0.1');
      await once(target, 'listening');
      const { port } = target.address() as { port: number };
      await using server = await serveStreams(new MachineBackend());
      const client =
        kind === 'SPDY/3.1'
          ? await SpdyClient.open(server.port, '/portforward', ['portforward.k8s.io'])
          : await tunnelled(server.port);
      const wrong = { port: '1', requestID: 'a' };
      const error = await client.openStream({ ...wrong, streamType: 'error' }, true);
      const data = await client.openStream({ ...wrong, streamType: 'data' });
      await until('it is told', () => error.hasEnded && data.wasReset);
      assert.match(textOf(error), /^error forwarding port 1: .*ECONNREFUSED/);
      const right = { port: String(port), requestID: 'b' };
      await client.openStream({ ...right, streamType: 'error' }, true);
      const next = await client.openStream({ ...right, streamType: 'data' });
      await until('the next one answers', () => textOf(next) === 'hello');
      client.close();
      target.close();
    });
  }

  test('a client that resets its stream when the program has ended is told of no error', async () => {
    const target = createServer({ allowHalfOpen: true }, (socket) => socket.end('hello'));
    target.listen(0, '127.0.0.1');
    await once(target, 'listening');
    const { port } = target.address() as { port: number };
    await using server = await serveStreams(new MachineBackend());
    const client = await SpdyClient.open(server.port, '/portforward', ['portforward.k8s.io']);
    const headers = { port: String(port), requestID: 'a' };
    const error = await client.openStream({ ...headers, streamType: 'error' }, true);
    const data = await client.openStream({ ...headers, streamType: 'data' });
    await until('the program has ended', () => data.hasEnded);
    client.reset(data);
    await until('the connection is over', () => error.hasEnded);
    assert.equal(textOf(error), '');
    client.close();
    target.close();
  });

  async function tunnelled(port: number): Promise<SpdyClient> {
    const protocol = 'SPDY/3.1+portforward.k8s.io';
    const { tunnel, headers } = await TunnelSocket.open(port, '/portforward', protocol);
    assert.equal(headers['sec-websocket-protocol'], protocol);
    // RFC 6455 of the key that the tunnel sends.
    assert.equal(headers['sec-websocket-accept'], 'ICX+Yqv66kxgM0FcWaLWlFLwTAI=');
    return new SpdyClient(tunnel);
  }
});
