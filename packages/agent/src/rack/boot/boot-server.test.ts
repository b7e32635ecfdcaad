import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, test } from 'node:test';
import fc from 'fast-check';
import type { PreparedImage } from '../images/image-library.ts';
import { eventually } from '../../testing/test-agent.ts';
import { sampleInventory } from '../life/testing/sample-order.ts';
import { BootBench, occupyPort } from './testing/boot-bench.ts';

const question =
  '/ipxe/decide?mac=52:54:00:aa:bb:01&uuid=11111111-2222-3333-4444-555555555555&serial=S%201&platform=pcbios&arch=i386&product=Edge%20Box&manufacturer=Acme';

describe('the boot server', () => {
  let bench: BootBench;
  beforeEach(async () => {
    bench = await BootBench.start();
  });
  afterEach(() => bench.close());

  describe('towards firmware', () => {
    test('gives loaders with their length, by GET and HEAD', async () => {
      const got = await bench.ask('/boot/amd64/snponly.efi');
      assert.deepEqual([got.status, got.body], [200, 'snponly.efi of amd64']);
      const head = await bench.ask('/boot/amd64/snponly.efi', { method: 'HEAD' });
      assert.deepEqual([head.status, head.headers['content-length'], head.body], [200, '20', '']);
      assert.deepEqual(bench.desk.fetched, ['127.0.0.1 snponly.efi'], 'a HEAD fetches nothing');
    });

    test('gives nothing else of its disk', async () => {
      for (const path of [
        '/boot/amd64/vmlinuz',
        '/boot/../../etc/passwd',
        '/boot/%2e%2e/%2e%2e/etc/passwd',
        '/system/amd64/../initrd.img',
        '/system/amd64/undionly.kpxe',
        '/system/riscv/vmlinuz',
        '/boot/',
      ]) {
        assert.equal((await bench.ask(path)).status, 404, path);
      }
    });

    test('names what it does not have yet', async () => {
      const answer = await bench.ask('/system/arm64/vmlinuz');
      assert.deepEqual([answer.status, answer.body], [404, 'the rack has no vmlinuz for arm64 yet\n']);
    });

    test('tells the desk what a box showed, cleaned', async () => {
      await bench.ask(`${question}&serial=second`);
      await bench.ask(
        '/ipxe/decide?mac=52-54-00-AA-BB-02&uuid=nonsense&serial=a%0Ab%E2%80%AE&platform=efi&arch=x86_64',
      );
      assert.deepEqual(bench.desk.requests, [
        {
          macAddress: '52:54:00:aa:bb:01',
          uuid: '11111111-2222-3333-4444-555555555555',
          serial: 'S 1',
          manufacturer: 'Acme',
          product: 'Edge Box',
          platform: 'BIOS',
          architecture: 'amd64',
          address: '127.0.0.1',
        },
        {
          macAddress: '52:54:00:aa:bb:02',
          serial: 'a b',
          platform: 'UEFI',
          architecture: 'amd64',
          address: '127.0.0.1',
        },
      ]);
    });

    test('refuses a box without a MAC address, or of a kind that it cannot boot', async () => {
      for (const query of [
        '',
        'mac=52:54:00:aa:bb:01',
        'mac=52:54:00:aa:bb:01&platform=pcbios&arch=riscv64',
        'mac=01:00:5e:00:00:01&platform=pcbios&arch=i386',
        'mac=00:00:00:00:00:00&platform=pcbios&arch=i386',
      ]) {
        assert.equal((await bench.ask(`/ipxe/decide?${query}`)).status, 400, query);
      }
      assert.deepEqual(bench.desk.requests, []);
    });

    test('a HEAD makes no decision', async () => {
      assert.equal((await bench.ask(question, { method: 'HEAD' })).status, 405);
      assert.deepEqual(bench.desk.requests, []);
    });

    test('answers a box that may boot nothing with "not found", and its first script leaves for good then', async () => {
      bench.desk.decisions = [{ boot: 'Disk', method: 'NotFound' }];
      assert.equal((await bench.ask(question)).status, 404);
      const { body } = await bench.ask('/ipxe/boot.ipxe');
      assert.ok(body.includes(`chain --replace ${bench.url}/ipxe/refused.ipxe ||`));
      assert.equal((await bench.ask('/ipxe/refused.ipxe')).body, '#!ipxe\nexit 1\n');
    });

    test('a desk in trouble makes the box ask again, and boot its disk in the end', async () => {
      bench.desk.decisions = [new Error('the disk is full')];
      const first = await bench.ask(question);
      assert.equal(first.status, 200);
      assert.match(first.body, /sleep 5\n.*attempt=1/);
      const last = await bench.ask(`${question}&attempt=12`);
      assert.equal(last.body, '#!ipxe\niseq ${platform} efi && exit 1 || exit\n');
      assert.deepEqual(bench.errors, Array(2).fill('no decision for a box that boots'));
    });

    test('a box that asks without end is told to wait, and others are not', async () => {
      const statuses: number[] = [];
      for (let i = 0; i < 130; i += 1) statuses.push((await bench.ask(question)).status);
      assert.equal(statuses.filter((status) => status === 200).length, 120);
      assert.equal(statuses.at(-1), 429);
      assert.equal((await bench.ask(question, { from: '127.0.0.2' })).status, 200);
      bench.nowMs += 2000;
      assert.equal((await bench.ask(question)).status, 200);
    });

    test('scripts name the rack as the box reached it', async () => {
      const answer = await bench.ask('/ipxe/boot.ipxe', { headers: { host: '10.0.2.2:5248' } });
      assert.ok(answer.body.includes('http://10.0.2.2:5248/ipxe/decide?'));
      const hostile = await bench.ask('/ipxe/boot.ipxe', { headers: { host: 'a b && reboot' } });
      assert.ok(hostile.body.includes(`${bench.url}/ipxe/decide?`));
    });
  });

  describe('towards the inspection system', () => {
    test('opens one session for each nonce, for the address that it was given to', async () => {
      bench.desk.nonces.set('n1', '127.0.0.1');
      const ask = (from?: string) =>
        bench.ask('/machine/v1/session', {
          method: 'POST',
          body: 'nonce n1\nmac 52:54:00:aa:bb:01\nmac nonsense\nuuid x\nserial S1\n',
          ...(from === undefined ? {} : { from }),
        });
      assert.equal((await ask('127.0.0.9')).status, 403);
      assert.deepEqual([(await ask()).body, (await ask()).status], ['token token-1\n', 403]);
    });

    test('knows nobody without a token of this very box', async () => {
      const token = await bench.openSession();
      const paths = ['/machine/v1/task', '/machine/v1/seed/user-data', '/machine/v1/image/map'];
      for (const path of paths) {
        assert.equal((await bench.ask(path)).status, 401);
        assert.equal((await bench.ask(path, { token: 'guess' })).status, 401);
        assert.equal((await bench.ask(path, { token, from: '127.0.0.7' })).status, 401);
      }
    });

    test('takes an inventory and names what is wrong with a bad one', async () => {
      const token = await bench.openSession();
      const put = (body: string, method = 'POST') =>
        bench.ask('/machine/v1/inventory', { method, body, token });
      const inventory = sampleInventory();
      assert.equal((await put(JSON.stringify(inventory))).status, 204);
      assert.equal((await put(JSON.stringify(inventory), 'PUT')).status, 204);
      assert.deepEqual(bench.desk.inventories, [inventory, inventory]);
      assert.deepEqual(await put('{').then(({ status, body }) => [status, body]), [
        400,
        'the inventory is no JSON\n',
      ]);
      const { storage, ...others } = inventory.resources;
      const bad = await put(JSON.stringify({ ...inventory, resources: others }));
      assert.deepEqual(
        [bad.status, bad.body],
        [400, 'resources.storage: must be an object\n'],
        String(storage.total),
      );
      bench.desk.hasForgotten = true;
      assert.equal((await put(JSON.stringify(inventory))).status, 401);
    });

    test('refuses what is too large without reading it', async () => {
      const token = await bench.openSession();
      const announced = await bench.ask('/machine/v1/log', {
        method: 'POST',
        token,
        headers: { 'content-length': '99999999' },
        body: 'x',
      });
      assert.equal(announced.status, 413);
      assert.equal(announced.headers['connection'], 'close');
      const chunked = bench.ask('/machine/v1/log', {
        method: 'POST',
        token,
        headers: { 'transfer-encoding': 'chunked' },
        body: 'x'.repeat(300_000),
      });
      // The connection may be closed before all of it was sent.
      await chunked.then(
        ({ status }) => assert.equal(status, 413),
        () => undefined,
      );
      assert.deepEqual(bench.desk.logs, []);
    });

    test('gives the task as lines, waits when there is none, and lets go of a box that hangs up', async () => {
      const token = await bench.openSession();
      bench.desk.task = { id: 7, task: { task: 'test', name: 'memory', timeoutSeconds: 60 } };
      const { body } = await bench.ask('/machine/v1/task', { token });
      assert.equal(body, 'id 7\ntask test\nname memory\ntimeout 60\n');
      bench.desk.task = undefined;
      const socket = connect(bench.port, '127.0.0.1');
      socket.write(`GET /machine/v1/task HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`);
      await eventually('it waits', () => bench.desk.waiting === 1);
      socket.destroy();
      await eventually('it is let go', () => bench.desk.waiting === 0);
    });

    test('takes the answer to the present task only', async () => {
      const token = await bench.openSession();
      bench.desk.task = { id: 7, task: { task: 'collect' } };
      const body = [
        'status failed',
        'reason DiskError',
        'exit 3',
        'seconds 12',
        'message it broke\u0007',
        'value chunks-fetched 4',
        'value __proto__ x',
        'output',
        'status ok',
        'second line',
      ].join('\n');
      const answer = (id: string) => bench.ask(`/machine/v1/task/${id}`, { method: 'POST', token, body });
      assert.deepEqual([(await answer('6')).status, (await answer('7')).status], [409, 204]);
      assert.deepEqual(bench.desk.results, [
        {
          id: 7,
          result: {
            status: 'failed',
            reason: 'DiskError',
            message: 'it broke',
            exitCode: 3,
            durationSeconds: 12,
            values: { 'chunks-fetched': '4' },
            output: 'status ok\nsecond line',
          },
        },
      ]);
      assert.equal(
        (await bench.ask('/machine/v1/task/7', { method: 'POST', token, body: 'status fine' })).status,
        400,
      );
    });

    test('tells a box at work to go on, or to stop', async () => {
      const token = await bench.openSession();
      const post = (body: string) => bench.ask('/machine/v1/progress', { method: 'POST', token, body });
      assert.equal((await post('step Writing\ndone 5\ntotal 3\n')).body, 'continue\n');
      bench.desk.isAborted = true;
      assert.equal((await post('step Writing\ndone 1\ntotal 3\n')).body, 'abort\n');
      assert.deepEqual(bench.desk.progress[0], { step: 'Writing', done: 3, total: 3 });
      assert.equal((await post('step Dancing\ndone 1\ntotal 3\n')).status, 400);
    });

    test('gives scripts, seed files and the log its place', async () => {
      const token = await bench.openSession();
      bench.desk.scripts.set('10-disks check', '#!/bin/sh\n');
      bench.desk.files.set('user-data', '#cloud-config\n');
      bench.desk.files.set('secret', 'x');
      assert.equal((await bench.ask('/machine/v1/script/10-disks%20check', { token })).body, '#!/bin/sh\n');
      assert.equal((await bench.ask('/machine/v1/seed/user-data', { token })).body, '#cloud-config\n');
      assert.equal((await bench.ask('/machine/v1/seed/network-config', { token })).status, 404);
      assert.equal((await bench.ask('/machine/v1/seed/secret', { token })).status, 404);
      assert.equal(
        (await bench.ask('/machine/v1/log', { method: 'POST', token, body: 'hallo' })).status,
        204,
      );
      assert.deepEqual(bench.desk.logs, ['hallo']);
    });

    test('gives an image by map and chunk, and breaks off rather than give wrong bytes', async () => {
      const token = await bench.openSession();
      assert.equal((await bench.ask('/machine/v1/image/map', { token })).status, 503);
      bench.desk.prepared = imageOf(['first chunk', 'second']);
      const sums = ['first chunk', 'second'].map((text) => createHash('sha256').update(text).digest('hex'));
      assert.equal(
        (await bench.ask('/machine/v1/image/map', { token })).body,
        `0 0 11 ${sums[0]}\n1 11 6 ${sums[1]}\n`,
      );
      const chunk = await bench.ask('/machine/v1/image/chunk/1', { token });
      assert.deepEqual([chunk.body, chunk.headers['content-length']], ['second', '6']);
      assert.equal((await bench.ask('/machine/v1/image/chunk/2', { token })).status, 404);
      assert.equal((await bench.ask('/machine/v1/image/chunk/-1', { token })).status, 404);
      bench.desk.prepared = imageOf(['x'.repeat(100_000)], { breaksAfter: 1 });
      await assert.rejects(bench.ask('/machine/v1/image/chunk/0', { token }));
      bench.desk.prepared = imageOf(['x'], { breaksAfter: 0 });
      assert.equal((await bench.ask('/machine/v1/image/chunk/0', { token })).status, 500);
    });
  });

  describe('towards the installed system', () => {
    test('takes a confirmation once, as cloud-init posts it', async () => {
      bench.desk.confirmations.add('c1');
      const confirm = () =>
        bench.ask('/confirm/v1/c1', {
          method: 'POST',
          body: 'pub_key_rsa=AAAA&instance_id=i-1&hostname=till%0A7',
          headers: { 'content-type': 'application/x-www-form-urlencoded' },
        });
      assert.deepEqual([(await confirm()).status, (await confirm()).status], [200, 403]);
      assert.equal((await bench.ask('/confirm/v1/c1')).status, 405);
    });
  });

  test('what is not HTTP, or hostile, is never an inner error and does no harm', async () => {
    const token = await bench.openSession();
    const path = fc.oneof(
      fc.constantFrom(
        '/machine/v1/task/7',
        '/machine/v1/session',
        '/machine/v1/inventory',
        '/confirm/v1/x',
        question,
      ),
      fc.webPath(),
      fc.string().map((text) => `/${text.replaceAll(/[\s\0]/g, '%')}`),
      fc.constantFrom(
        '//',
        '/%',
        '/boot//x',
        '/machine/v1/script/%ff',
        '*',
        'http://x/',
        '/machine/v1/image/chunk/1e9',
      ),
    );
    const lines = fc.constantFrom(
      'nonce',
      'status ok',
      'output',
      'value',
      '{"resources":',
      '[[[[',
      'a=%',
      '\u0000',
    );
    const body = fc.oneof(
      fc.string(),
      fc.array(lines, { maxLength: 6 }).map((parts) => parts.join('\n')),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('GET', 'POST', 'PUT', 'HEAD', 'DELETE'),
        path,
        body,
        async (method, target, text) => {
          const status = await rawStatus(bench.port, { method, path: target, body: text, token });
          assert.ok(status < 500 || status === 503, `${method} ${target}: ${status}`);
        },
      ),
      { numRuns: 200 },
    );
    assert.deepEqual(bench.errors, []);
    assert.equal((await bench.ask('/ipxe/boot.ipxe')).status, 200);
  });

  test('one box that opens connections without end does not keep others out', async () => {
    const sockets = Array.from({ length: 140 }, () => connect({ port: bench.port, host: '127.0.0.1' }));
    try {
      await Promise.all(
        sockets.map((socket) => Promise.race([once(socket, 'connect'), once(socket, 'error')])),
      );
      assert.equal((await bench.ask('/ipxe/boot.ipxe', { from: '127.0.0.5' })).status, 200);
    } finally {
      for (const socket of sockets) socket.destroy();
    }
  });

  test('an address that cannot be had is told and tried again, and what is wanted no more is let go', async () => {
    const other = await occupyPort();
    const changed = Promise.withResolvers<void>();
    bench.server.onChange(() => {
      if (bench.server.listenProblems().length === 0) changed.resolve();
    });
    await bench.server.setListen([
      { host: '127.0.0.1', port: other.port },
      { host: '203.0.113.77', port: 5248 },
    ]);
    const messages = bench.server.listenProblems().map(({ message }) => message);
    assert.match(messages[0] ?? '', /another program listens on 127\.0\.0\.1 port \d+/);
    assert.match(messages[1] ?? '', /does not have the address 203\.0\.113\.77/);
    await assert.rejects(bench.ask('/ipxe/boot.ipxe'));
    await other.release();
    await bench.server.setListen([{ host: '127.0.0.1', port: other.port }]);
    await changed.promise;
    assert.deepEqual(bench.server.addresses(), [{ host: '127.0.0.1', port: other.port }]);
  });
});

function imageOf(chunks: readonly string[], fault: { breaksAfter?: number } = {}): PreparedImage {
  const offsets = chunks.map((_, i) => chunks.slice(0, i).join('').length);
  return {
    digest: 'sha256:00',
    diskBytes: chunks.join('').length,
    chunkCount: chunks.length,
    chunk: (index) => {
      const text = chunks[index] ?? '';
      const sha256 = createHash('sha256').update(text).digest('hex');
      return { offset: offsets[index] ?? 0, length: text.length, sha256 };
    },
    read: async function* (index) {
      const pieces = (chunks[index] ?? '').match(/.{1,65536}/gs) ?? [];
      for (const [i, piece] of pieces.entries()) {
        if (i === fault.breaksAfter) throw new Error('the disk of the rack is damaged');
        yield Buffer.from(piece);
      }
    },
  };
}

/** As it is, without what a client library would mend. 0: no answer, the connection was closed. */
function rawStatus(
  port: number,
  asked: { method: string; path: string; body: string; token: string },
): Promise<number> {
  const { method, path, body, token } = asked;
  return new Promise((resolve) => {
    let answer = '';
    const socket = connect(port, '127.0.0.1', () => {
      const head = `${method} ${path} HTTP/1.1\r\nHost: rack\r\nAuthorization: Bearer ${token}\r\nConnection: close\r\n`;
      socket.end(`${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
    });
    socket.on('data', (piece) => (answer += piece.toString('latin1')));
    socket.on('error', () => {});
    socket.on('close', () => resolve(Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0)));
  });
}
