import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { systemClock } from '@selvedge/api/node';
import { DistributionError } from '../distribution-error.ts';
import { TestS3Server } from '../testing/test-s3-server.ts';
import type { BlobStorage } from './blob-storage.ts';
import { readCredentialsFile } from './credentials-file.ts';
import { FileStorage } from './file-storage.ts';
import { S3Storage } from './s3-storage.ts';

async function newFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'selvedge-storage-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function openS3(t: TestContext, secretAccessKey?: string) {
  const server = await TestS3Server.start();
  t.after(() => server[Symbol.asyncDispose]());
  const credentials = {
    ...server.credentials,
    ...(secretAccessKey === undefined ? {} : { secretAccessKey }),
  };
  const storage = new S3Storage({
    bucket: server.bucket,
    prefix: 'hub',
    endpoint: server.endpoint,
    region: 'us-east-1',
    credentials: () => Promise.resolve(credentials),
    clock: { now: () => systemClock.now(), sleep: (_, signal) => systemClock.sleep(1, signal) },
    partBytes: 100_000,
    copyBytes: 250_000,
  });
  return { server, storage };
}

async function* pieces(bytes: Buffer, { cutAt }: { cutAt?: number } = {}): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 7_000) {
    if (cutAt !== undefined && at >= cutAt) throw new Error('the client is gone');
    yield await Promise.resolve(bytes.subarray(at, at + 7_000));
  }
}

async function keysOf(storage: BlobStorage): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of storage.list('')) found.push(key);
  return found.sort();
}

const numbered = (size: number) => Buffer.from(Array.from({ length: size }, (_, i) => i % 251));
const refuses =
  (code: string, message = /./) =>
  (error: unknown) =>
    error instanceof DistributionError && error.code === code && message.test(error.message);

for (const [name, open] of [
  [
    'files',
    async (t: TestContext) =>
      new FileStorage({ directory: await newFolder(t), reserveBytes: 0, clock: systemClock }),
  ],
  ['a bucket', async (t: TestContext) => (await openS3(t)).storage],
] as const) {
  describe(`storage: ${name}`, () => {
    test('gives back what was written, as a whole, from somewhere on, and in the middle', async (t) => {
      const storage = await open(t);
      for (const size of [0, 1, 99_999, 100_000, 100_001, 350_000]) {
        const bytes = numbered(size);
        const written = await storage.write('a/b', pieces(bytes));
        assert.equal(written.sizeBytes, size);
        assert.ok((await storage.read('a/b'))?.equals(bytes), String(size));
        assert.equal((await storage.find('a/b'))?.sizeBytes, size);
      }
      const part = async (range: { offset: number; length?: number }) => {
        const chunks: Buffer[] = [];
        for await (const chunk of (await storage.open('a/b', range)) ?? []) chunks.push(chunk as Buffer);
        return Array.from(Buffer.concat(chunks));
      };
      assert.deepEqual(await part({ offset: 3, length: 2 }), [3, 4]);
      assert.deepEqual(await part({ offset: 349_999 }), [349_999 % 251]);
    });

    test('a write that is cut off leaves nothing, and what was there before', async (t) => {
      const storage = await open(t);
      await storage.put('a/b', Buffer.from('before'));
      for (const cutAt of [1, 50_000, 150_000]) {
        await assert.rejects(
          storage.write('a/b', pieces(numbered(200_000), { cutAt })),
          /the client is gone/,
        );
        await assert.rejects(
          storage.write('a/c', pieces(numbered(200_000), { cutAt })),
          /the client is gone/,
        );
      }
      assert.equal(String(await storage.read('a/b')), 'before');
      assert.deepEqual(await keysOf(storage), ['a/b']);
    });

    test('moves, also what is large, and deletes, also what is not there', async (t) => {
      const storage = await open(t);
      for (const size of [10, 600_000]) {
        const bytes = numbered(size);
        await storage.write('from/here', pieces(bytes));
        await storage.put('to/there', Buffer.from('replaced'));
        await storage.move('from/here', 'to/there');
        assert.ok((await storage.read('to/there'))?.equals(bytes));
        assert.deepEqual(await keysOf(storage), ['to/there']);
      }
      await storage.delete('to/there');
      await storage.delete('to/there');
      assert.deepEqual(await keysOf(storage), []);
      assert.equal(await storage.read('to/there'), undefined);
      assert.equal(await storage.open('to/there'), undefined);
    });

    test('lists what is below a folder, in any number', async (t) => {
      const storage = await open(t);
      for (const key of ['a/1', 'a/2', 'a/b/3', 'a/b/4', 'ab/5']) await storage.put(key, Buffer.from(key));
      const found: string[] = [];
      for await (const { key, sizeBytes } of storage.list('a/')) found.push(`${key} ${sizeBytes}`);
      assert.deepEqual(found.sort(), ['a/1 3', 'a/2 3', 'a/b/3 5', 'a/b/4 5']);
    });

    test('no key leads elsewhere', async (t) => {
      const storage = await open(t);
      for (const key of [
        '../x',
        'a/../../x',
        '/x',
        'a//b',
        '.x',
        'a/.x',
        '',
        'a\\b',
        'a b',
        'x'.repeat(1000),
      ]) {
        await assert.rejects(storage.put(key, Buffer.from('x')), /is none/, key);
        await assert.rejects(storage.read(key), /is none/, key);
      }
    });
  });
}

describe('files of the registry', () => {
  test('are not written when the disk has less left than its reserve', async (t) => {
    const directory = await newFolder(t);
    const storage = new FileStorage({ directory, reserveBytes: Number.MAX_SAFE_INTEGER, clock: systemClock });
    await assert.rejects(storage.put('a/b', Buffer.from('x')), refuses('STORAGE_FULL', /free on the disk/));
    assert.deepEqual(await keysOf(storage), []);
  });

  test('a folder that cannot be used is told, without its path', async (t) => {
    const directory = join(await newFolder(t), 'file');
    await writeFile(directory, 'no folder');
    const storage = new FileStorage({ directory, reserveBytes: 0, clock: systemClock });
    await assert.rejects(storage.put('a/b', Buffer.from('x')), (error: Error) => {
      return refuses('UNAVAILABLE')(error) && !error.message.includes(directory);
    });
  });

  test('a full disk in mid-write is told as such, and leaves nothing', async (t) => {
    const directory = await newFolder(t);
    const storage = new FileStorage({ directory, reserveBytes: 0, clock: systemClock });
    const full = async function* () {
      yield await Promise.resolve(Buffer.from('half'));
      throw Object.assign(new Error('no space left'), { code: 'ENOSPC' });
    };
    await assert.rejects(storage.write('a/b', full()), refuses('STORAGE_FULL'));
    assert.deepEqual(await readdir(join(directory, '.unfinished')), []);
  });

  test('symbolic links in it are not followed out of it when it is listed', async (t) => {
    const [directory, elsewhere] = [await newFolder(t), await newFolder(t)];
    await writeFile(join(elsewhere, 'secret'), 'x');
    await symlink(elsewhere, join(directory, 'link'));
    const storage = new FileStorage({ directory, reserveBytes: 0, clock: systemClock });
    assert.deepEqual(await keysOf(storage), []);
  });
});

describe('a bucket of the registry', () => {
  test('is written in parts: no request is larger than one of them', async (t) => {
    const { server, storage } = await openS3(t);
    await storage.write('a/b', pieces(numbered(950_000)));
    assert.ok(server.largestBody <= 100_000, String(server.largestBody));
    assert.equal(server.multiparts.size, 0);
  });

  test('a wrong key is refused, and the message says where to look and nothing secret', async (t) => {
    const { server, storage } = await openS3(t, 'another-secret');
    await assert.rejects(storage.put('a/b', Buffer.from('x')), (error: Error) => {
      const told = `${error.message} ${(error.cause as Error).message}`;
      assert.match(told, /SignatureDoesNotMatch/);
      assert.ok(!told.includes('another-secret') && !error.message.includes(server.bucket));
      return refuses('UNAVAILABLE')(error);
    });
    assert.equal(server.objects.size, 0);
  });

  test('a store that is busy is asked again, one that stays so is given up', async (t) => {
    const { server, storage } = await openS3(t);
    let busy = 2;
    server.failing = () => (busy-- > 0 ? 503 : undefined);
    await storage.put('a/b', Buffer.from('x'));
    assert.equal(String(await storage.read('a/b')), 'x');
    server.failing = () => 503;
    await assert.rejects(storage.read('a/b'), refuses('UNAVAILABLE'));
    await assert.rejects(storage.write('a/c', pieces(numbered(300_000))), refuses('UNAVAILABLE'));
  });

  test('multipart uploads that were left behind are ended later', async (t) => {
    const { server, storage } = await openS3(t);
    server.failing = (method) => (method === 'DELETE' ? 503 : undefined);
    await assert.rejects(
      storage.write('a/b', pieces(numbered(300_000), { cutAt: 250_000 })),
      /client is gone/,
    );
    assert.equal(server.multiparts.size, 1);
    server.failing = undefined;
    await storage.removeUnfinished(new Date(0));
    assert.equal(server.multiparts.size, 1, 'it is young');
    await storage.removeUnfinished(new Date(systemClock.now().getTime() + 60_000));
    assert.equal(server.multiparts.size, 0);
  });
});

describe('credentials of the storage', () => {
  test('are lines of a file; what is missing is named, what is there is not told', async (t) => {
    const path = join(await newFolder(t), 'credentials');
    await assert.rejects(readCredentialsFile(path, ['username']), refuses('UNAVAILABLE', /cannot be read/));
    await writeFile(path, '# of the bucket\nusername = till\npassword=top=secret\n');
    const read = await readCredentialsFile(path, ['username', 'password']);
    assert.deepEqual(read, { username: 'till', password: 'top=secret' });
    await writeFile(path, 'username=top-secret\n');
    await assert.rejects(readCredentialsFile(path, ['username', 'password']), (error: Error) => {
      return /password=…/.test(error.message) && !error.message.includes('top-secret');
    });
  });
});
