import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { BodyReader } from './body-reader.ts';
import { BootBench } from './testing/boot-bench.ts';

const mebibyte = 1024 * 1024;

describe('bodies that boxes send', () => {
  let bench: BootBench;
  let token: string;

  before(async () => {
    bench = await BootBench.start();
    token = await bench.openSession();
  });
  after(() => bench.close());

  /** Begins to send, sends so much of it, and says no more. */
  const begin = async (
    bytes: number,
    { path = '/machine/v1/inventory', announced = 7 * mebibyte } = {},
  ): Promise<{ socket: Socket; answer: () => string }> => {
    let answer = '';
    const socket = connect(bench.port, '127.0.0.1');
    await once(socket, 'connect');
    socket.on('data', (piece) => (answer += piece.toString('latin1')));
    socket.on('error', () => {});
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: rack\r\nAuthorization: Bearer ${token}\r\nContent-Length: ${announced}\r\n\r\n`,
    );
    socket.write(Buffer.alloc(bytes, ' '));
    return { socket, answer: () => answer };
  };

  test('of one box take so much memory together, however slowly they come; others are served, and so is it when it has let go', async () => {
    const first = await begin(6 * mebibyte);
    const ended = closed(first.socket);
    const second = await begin(6 * mebibyte);
    await Promise.race([ended, closed(second.socket)]);
    const answers = [first, second].map(({ answer }) => answer());
    assert.equal(answers.filter((answer) => answer.startsWith('HTTP/1.1 503')).length, 1, String(answers));
    const proof = { method: 'POST', body: 'nonce unknown\n' };
    assert.equal((await bench.ask('/machine/v1/session', { ...proof, from: '127.0.0.9' })).status, 403);
    for (const { socket } of [first, second]) socket.destroy();
    const full = { method: 'POST', body: ' '.repeat(7 * mebibyte), token };
    const statuses = new Set<number>();
    for (let tries = 0; tries < 50 && !statuses.has(400); tries += 1) {
      statuses.add((await bench.ask('/machine/v1/inventory', full).catch(() => ({ status: 503 }))).status);
    }
    assert.ok(statuses.has(400), 'it is read whole, and is no inventory');
    assert.deepEqual(bench.errors, []);
  });

  test('of strangers may hold little, and take nothing from boxes that proved themselves', async () => {
    const strangers = await Promise.all(
      Array.from({ length: 5 }, (_, index) =>
        begin(60 * 1024, {
          path: index % 2 === 0 ? '/machine/v1/session' : '/confirm/v1/unknown',
          announced: 64 * 1024,
        }),
      ),
    );
    await Promise.race(strangers.map(({ socket }) => closed(socket)));
    assert.ok(
      strangers.some(({ socket }) => !socket.closed),
      'some are held',
    );
    const proof = { method: 'POST', body: 'nonce unknown\n' };
    assert.equal((await bench.ask('/machine/v1/session', { ...proof, from: '127.0.0.9' })).status, 403);
    const log = { method: 'POST', body: ' '.repeat(200 * 1024), token };
    assert.equal((await bench.ask('/machine/v1/log', log)).status, 204);
    for (const { socket } of strangers) socket.destroy();
    assert.deepEqual(bench.errors, []);
  });
});

/** Also by a reset: the server need not read what it refused. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

/** A request that announces so much, and of which so much has come. */
function arriving(announced: number, bytes: number): IncomingMessage & PassThrough {
  const req = Object.assign(new PassThrough({ highWaterMark: 16 * mebibyte }), {
    headers: { 'content-length': String(announced) },
  });
  req.write(Buffer.alloc(bytes, ' '));
  return req as unknown as IncomingMessage & PassThrough;
}

test('small bodies of a box that proved itself are read while large ones take all that may be held', async (t) => {
  const bodies = new BodyReader();
  const known = { hasSession: true };
  const large = Array.from({ length: 4 }, (_, index) => {
    const req = arriving(8 * mebibyte, 8 * mebibyte);
    return { req, body: bodies.read({ req, address: `10.0.0.${index}` }, 8 * mebibyte, known) };
  });
  while (large.some(({ req }) => req.readableLength > 0)) await setImmediate(undefined, { signal: t.signal });
  const more = { req: arriving(100 * 1024, 100 * 1024), address: '10.0.0.9' };
  await assert.rejects(bodies.read(more, mebibyte, known), { code: 503 });
  for (const address of ['10.0.0.0', '10.0.0.9']) {
    const req = arriving(60_000, 60_000);
    req.end();
    assert.equal((await bodies.read({ req, address }, mebibyte, known)).length, 60_000);
  }
  for (const { req } of large) req.end();
  for (const { body } of large) assert.equal((await body).length, 8 * mebibyte);
  const req = arriving(100 * 1024, 100 * 1024);
  req.end();
  assert.equal((await bodies.read({ req, address: '10.0.0.9' }, mebibyte, known)).length, 100 * 1024);
});
