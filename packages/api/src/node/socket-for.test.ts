import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectHttp2, performServerHandshake } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { duplexPair, type Duplex } from 'node:stream';
import { describe, test } from 'node:test';
import { abstractName, loopbackPort, type MeetingPoint, socketFor } from './socket-for.ts';

const points: Record<string, () => MeetingPoint> = {
  'a loopback port': loopbackPort,
  ...(process.platform === 'linux' ? { 'a name of the kernel': abstractName } : {}),
};

/** A stream that is no socket, its far end, and the socket in front of it. */
async function makeSocket(point: MeetingPoint): Promise<{ far: Duplex; near: Duplex; socket: Socket }> {
  const [near, far] = duplexPair();
  const socket = await socketFor(near, point);
  for (const end of [near, far, socket]) end.on('error', () => {});
  return { far, near, socket };
}

async function readBytes(stream: Duplex, length: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size >= length) break;
  }
  return Buffer.concat(chunks);
}

describe('A socket in front of a stream', () => {
  for (const [name, makePoint] of Object.entries(points)) {
    test(`carries bytes both ways over ${name}`, async () => {
      const { far, socket } = await makeSocket(makePoint());
      const large = Buffer.alloc(3_000_000, 'x');
      const there = readBytes(far, large.length);
      const back = readBytes(socket, large.length);
      socket.write(large);
      far.write(large);
      assert.ok(large.equals(await there) && large.equals(await back));
      socket.destroy();
    });

    test(`cuts off whoever else comes to ${name}`, async () => {
      const point = makePoint();
      const strangers: Socket[] = [];
      const { far, socket } = await makeSocket({
        listen: point.listen,
        connect: (bound) => {
          // Before the true one, and with as many bytes.
          for (const bytes of [Buffer.alloc(32), Buffer.alloc(5), Buffer.alloc(0)]) {
            const stranger = connect(point.connect(bound));
            stranger.on('error', () => {});
            stranger.write(bytes);
            if (bytes.length < 32) stranger.end();
            strangers.push(stranger);
          }
          return point.connect(bound);
        },
      });
      for (const stranger of strangers) if (!stranger.destroyed) await once(stranger.resume(), 'close');
      socket.end('true');
      assert.equal(Buffer.concat((await far.toArray()) as Buffer[]).toString(), 'true');
      socket.destroy();
      const late = connect(point.connect(undefined));
      await assert.rejects(once(late, 'connect'), { code: /ECONNREFUSED|EADDRNOTAVAIL/ });
    });
  }

  test('is gone when the stream goes, and the other way round', async () => {
    const first = await makeSocket(loopbackPort());
    first.near.destroy();
    await once(first.socket.resume(), 'close');
    const second = await makeSocket(loopbackPort());
    second.socket.destroy();
    await once(second.near, 'close');
  });

  test('is gone at once when the stream was gone before', async () => {
    const [near] = duplexPair();
    near.destroy();
    const socket = await socketFor(near);
    await once(socket.resume(), 'close');
  });

  test('lets HTTP/2 survive garbage and an end of the stream at any byte', async () => {
    for (let length = 0; length < 120; length += 7) {
      const [near, far] = duplexPair();
      const session = performServerHandshake(await socketFor(near));
      session.on('error', () => {});
      session.on('stream', (stream) => {
        stream.on('error', () => {});
        stream.respond();
        stream.end(Buffer.alloc(100_000));
      });
      const [clientEnd, wire] = duplexPair();
      const client = connectHttp2('http://x', { createConnection: () => clientEnd });
      client.on('error', () => {});
      client
        .request()
        .on('error', () => {})
        .resume();
      let passed = 0;
      wire.on('data', (chunk: Buffer) => {
        if (!far.writable) return;
        far.write(chunk.subarray(0, Math.max(0, length - passed)));
        passed += chunk.length;
        if (passed >= length) far.end(Buffer.alloc(200, 0xff));
      });
      far.pipe(wire);
      await new Promise<void>((resolve) => session.once('close', () => resolve()));
      clientEnd.destroy();
    }
  });
});
