import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { readTar, TarError } from './read-tar.ts';
import { type TarFile, tarChecksum, writeTar } from './write-tar.ts';

const modified = new Date('2026-11-22T10:00:00Z');

async function pack(files: readonly TarFile[]): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(writeTar(files, { modified })));
}

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function unpack(bytes: Uint8Array, pieceSize = 1000): Promise<[name: string, content: Buffer][]> {
  const files: [string, Buffer][] = [];
  for await (const entry of readTar(pieces(bytes, pieceSize))) {
    files.push([entry.name, Buffer.concat(await Array.fromAsync(entry.content()))]);
  }
  return files;
}

function file(name: string, text: string | Uint8Array): TarFile {
  const content = Buffer.from(text);
  return { name, sizeBytes: content.length, content };
}

/** With a valid checksum again. */
function forged(archive: Buffer, change: (header: Buffer) => void): Buffer {
  const copy = Buffer.from(archive);
  change(copy.subarray(0, 512));
  copy.write(`${tarChecksum(copy.subarray(0, 512)).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return copy;
}

test('what is written is read again, however the bytes come', async () => {
  const content = fc.uint8Array({ maxLength: 2000 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(content, { maxLength: 5 }),
      fc.integer({ min: 1, max: 1500 }),
      async (all, size) => {
        const files = all.map((bytes, at) => file(`folder/${at}`, bytes));
        const read = await unpack(await pack(files), size);
        assert.deepEqual(
          read,
          all.map((bytes, at) => [`folder/${at}`, Buffer.from(bytes)]),
        );
      },
    ),
    { numRuns: 50 },
  );
});

test('what is not read of a file is skipped', async () => {
  const archive = await pack([file('a', 'x'.repeat(5000)), file('b', 'second')]);
  const names: string[] = [];
  for await (const { name } of readTar(pieces(archive, 700))) names.push(name);
  assert.deepEqual(names, ['a', 'b']);
});

test('the tar program of the system reads it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'svg-tar-'));
  try {
    await writeFile(join(folder, 'x.tar'), await pack([file('a/b.json', '{}'), file('c', 'x'.repeat(513))]));
    const { stdout } = await promisify(execFile)('tar', ['-tvf', join(folder, 'x.tar')]);
    assert.match(stdout, /-rw-r--r-- .* 2 2026-11-22 .* a\/b\.json\n-rw-r--r-- .* 513 .* c\n/);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('names that lead out, links, folders and extensions are refused', async () => {
  const archive = await pack([file('content', 'x')]);
  for (const name of ['../keys', '/etc/passwd', 'a/../../b', './a', 'a//b', 'a\\b', 'ä']) {
    const evil = forged(archive, (header) => header.fill(0, 0, 100).write(name, 0, 'latin1'));
    await assert.rejects(
      unpack(evil),
      (error) => error instanceof TarError && /name/.test(error.message),
      name,
    );
  }
  for (const type of ['1', '2', '3', '5', 'x', 'g', 'L', '\0']) {
    const evil = forged(archive, (header) => void header.write(type, 156, 'latin1'));
    await assert.rejects(unpack(evil), /not a plain file/, type);
  }
  const prefixed = forged(archive, (header) => void header.write('..', 345, 'latin1'));
  await assert.rejects(unpack(prefixed), /name/);
});

test('an archive that is cut or damaged at any place is an error', async () => {
  const archive = await pack([file('a', 'x'.repeat(700)), file('b', 'y')]);
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: archive.length - 1 }), async (end) => {
      await assert.rejects(unpack(archive.subarray(0, end)), TarError);
    }),
    { numRuns: 60 },
  );
  const damaged = Buffer.from(archive);
  damaged[130] = 0x37;
  await assert.rejects(unpack(damaged), /damaged/);
  await assert.rejects(unpack(Buffer.from('PK\x03\x04'.repeat(300))), /no archive/);
});

test('sizes beyond what eleven octal digits say are kept; impossible ones are refused', async () => {
  const archive = await pack([file('a', '')]);
  const large = forged(archive, (header) => {
    header.fill(0, 124, 136);
    header[124] = 0x80;
    header.writeBigUInt64BE(20n * 1024n ** 3n, 128);
  });
  for await (const { sizeBytes } of readTar(pieces(large, 512))) {
    assert.equal(sizeBytes, 20 * 1024 ** 3);
    break;
  }
  const impossible = forged(large, (header) => void header.writeBigUInt64BE(2n ** 63n, 128));
  await assert.rejects(unpack(impossible), /impossible/);
});

test('a file that is longer or shorter than it says ends the writing', async () => {
  for (const sizeBytes of [1, 5]) {
    await assert.rejects(pack([{ ...file('a', 'abc'), sizeBytes }]), /not [15]$/);
  }
});
