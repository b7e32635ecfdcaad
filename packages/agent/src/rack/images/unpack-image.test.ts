import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { open, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { imageChunkBytes } from '@selvedge/api';
import { getTool, requireTool } from '@selvedge/testkit';
import fc from 'fast-check';
import { ImageFault } from './image-fault.ts';
import { PreparedDisk } from './prepared-disk.ts';
import { readDisk, temporaryFolder } from './testing/store-under-test.ts';
import { unpackImage, type UnpackOptions } from './unpack-image.ts';

const run = promisify(execFile);
const mib = 1024 * 1024;
const qemuImg = requireTool('qemu-img');

async function qemu(...args: string[]): Promise<string> {
  return (await run(getTool('qemu-img'), args)).stdout;
}

/** 10.5 MiB: data, holes and zeros, over the borders of chunks and clusters. */
function disk(): Buffer {
  const bytes = Buffer.alloc(10.5 * mib);
  randomBytes(100_000).copy(bytes, 0);
  randomBytes(3 * mib).copy(bytes, 3 * mib + 512);
  Buffer.from('text that can be compressed '.repeat(9000)).copy(bytes, 7 * mib);
  randomBytes(512).copy(bytes, bytes.length - 512);
  return bytes;
}

type Changes = Partial<Omit<UnpackOptions, 'source' | 'target'>>;

async function unpack(folder: string, source: string, changes: Changes = {}): Promise<PreparedDisk> {
  const target = join(folder, 'disk.raw');
  const map = await unpackImage({
    source,
    target,
    format: 'QCOW2',
    checkRoom: async () => {},
    signal: new AbortController().signal,
    ...changes,
  });
  return new PreparedDisk({ digest: 'sha256:x', path: target, map, onDamaged: assert.fail });
}

/** `disk()` as qemu-img converts it. */
async function qcow2In(folder: string, layout: readonly string[] = []) {
  const raw = join(folder, 'source.raw');
  const source = join(folder, 'source.qcow2');
  const bytes = disk();
  await writeFile(raw, bytes);
  await qemu('convert', '-f', 'raw', '-O', 'qcow2', ...layout, raw, source);
  return { raw, source, bytes };
}

async function refused(folder: string, bytes: Uint8Array, changes: Changes = {}): Promise<string> {
  const source = join(folder, 'refused');
  await writeFile(source, bytes);
  const error: unknown = await unpack(folder, source, changes).then(
    () => assert.fail('it was taken'),
    (one: unknown) => one,
  );
  assert.ok(error instanceof ImageFault, `an ImageFault was expected, not ${String(error)}`);
  return error.message;
}

const packings: readonly { name: string; pack: (bytes: Buffer) => Buffer | Promise<Buffer> }[] = [
  { name: 'nothing', pack: (bytes) => bytes },
  { name: 'gzip', pack: (bytes) => gzipSync(bytes, { level: 1 }) },
  {
    name: 'gzip in two members',
    pack: (bytes) =>
      Buffer.concat([bytes.subarray(0, mib), bytes.subarray(mib)].map((part) => gzipSync(part))),
  },
  { name: 'zstd', pack: (bytes) => zstdCompressSync(bytes) },
  {
    name: 'zstd in many frames',
    pack: (bytes) =>
      Buffer.concat(
        [0, 1, 2, 7].map((at, i, all) =>
          zstdCompressSync(bytes.subarray(at * mib, (all[i + 1] ?? 99) * mib)),
        ),
      ),
  },
];

for (const { name, pack } of packings) {
  test(`a raw disk packed in ${name} comes out as it was, its zeros take no room`, async (t) => {
    const folder = await temporaryFolder(t);
    const source = join(folder, 'source');
    const bytes = disk();
    await writeFile(source, await pack(bytes));
    const image = await unpack(folder, source, { format: 'Raw' });
    assert.ok(bytes.equals(await readDisk(image)));
    assert.equal(image.chunkCount, Math.ceil(bytes.length / imageChunkBytes));
  });
}

test('chunks of zeros are holes in the file, and named as such', async (t) => {
  const folder = await temporaryFolder(t);
  const source = join(folder, 'source');
  const bytes = Buffer.alloc(64 * mib);
  bytes.write('end', bytes.length - 3);
  await writeFile(source, gzipSync(bytes));
  const image = await unpack(folder, source, { format: 'Raw' });
  const { blocks } = await stat(join(folder, 'disk.raw'));
  assert.ok(blocks * 512 <= 2 * imageChunkBytes, `${blocks} blocks`);
  assert.equal(image.chunk(0).sha256, 'zero');
  assert.notEqual(image.chunk(15).sha256, 'zero');
  assert.ok(bytes.equals(await readDisk(image)));
});

test('what xz and zstd made is read, and a missing xz is named', requireTool('xz', 'zstd'), async (t) => {
  const folder = await temporaryFolder(t);
  const bytes = disk();
  const raw = join(folder, 'source');
  await writeFile(raw, bytes);
  await run(getTool('xz'), ['-0', '-k', raw]);
  await run(getTool('zstd'), ['-q', '--long=27', raw]);
  for (const kind of ['xz', 'zst']) {
    const image = await unpack(folder, `${raw}.${kind}`, { format: 'Raw' });
    assert.ok(bytes.equals(await readDisk(image)), kind);
  }
  const message = await refused(folder, await readFile(`${raw}.xz`), {
    format: 'Raw',
    xz: join(folder, 'no-xz'),
  });
  assert.match(message, /install xz-utils/);
  const cut = (await readFile(`${raw}.xz`)).subarray(0, 100_000);
  assert.match(
    await refused(folder, cut, { format: 'Raw' }),
    /cannot be decompressed \(xz\).*Unexpected end/,
  );
});

test('a disk that does not end with a sector is filled up with zeros', async (t) => {
  const folder = await temporaryFolder(t);
  const source = join(folder, 'source');
  await writeFile(source, Buffer.alloc(1000, 7));
  const read = await readDisk(await unpack(folder, source, { format: 'Raw' }));
  assert.equal(read.length, 1024);
  assert.ok(read.subarray(0, 1000).every((byte) => byte === 7));
});

const layouts: readonly string[][] = [
  [],
  ['-c'],
  ['-c', '-o', 'compression_type=zstd'],
  ['-o', 'compat=0.10'],
  ['-c', '-o', 'compat=0.10,cluster_size=512'],
  ['-o', 'cluster_size=512'],
  ['-c', '-o', 'cluster_size=2M'],
  ['-o', 'preallocation=metadata'],
  ['-o', 'preallocation=full,cluster_size=4k'],
  ['-o', 'lazy_refcounts=on,refcount_bits=1'],
];

for (const layout of layouts) {
  test(
    `qcow2 as qemu-img makes it with ${layout.join(' ') || 'nothing'} is the disk it was made of`,
    qemuImg,
    async (t) => {
      const folder = await temporaryFolder(t);
      const { raw, source, bytes } = await qcow2In(folder, layout);
      assert.ok(bytes.equals(await readDisk(await unpack(folder, source))));
      assert.equal(
        await qemu('compare', '-f', 'raw', '-F', 'raw', raw, join(folder, 'disk.raw')),
        'Images are identical.\n',
      );
    },
  );
}

test(
  'a qcow2 file that is packed once more, and one with snapshots, give their newest state',
  qemuImg,
  async (t) => {
    const folder = await temporaryFolder(t);
    const { source, bytes } = await qcow2In(folder);
    await qemu('snapshot', '-c', 'before', source);
    const packed = join(folder, 'packed');
    await writeFile(packed, zstdCompressSync(await readFile(source)));
    assert.ok(bytes.equals(await readDisk(await unpack(folder, packed))));
    await assert.rejects(stat(join(folder, 'disk.raw.part')), { code: 'ENOENT' });
  },
);

test('any pattern of data, holes and clusters is read as qemu-img reads it', qemuImg, async (t) => {
  const folder = await temporaryFolder(t);
  const write = fc.record({
    at: fc.nat({ max: 9 * mib }),
    length: fc.integer({ min: 1, max: 200_000 }),
    isNoise: fc.boolean(),
  });
  const cluster = fc.constantFrom('512', '4k', '64k', '1M');
  const packed = fc.constantFrom([], ['-c']);
  const property = fc.asyncProperty(
    fc.array(write, { maxLength: 12 }),
    cluster,
    packed,
    async (writes, size, flags) => {
      const raw = join(folder, 'source.raw');
      const source = join(folder, 'source.qcow2');
      const bytes = Buffer.alloc(9.25 * mib + 512);
      for (const { at, length, isNoise } of writes) {
        (isNoise ? randomBytes(length) : Buffer.alloc(length, 'ab')).copy(bytes, at);
      }
      await writeFile(raw, bytes);
      await qemu('convert', '-f', 'raw', '-O', 'qcow2', ...flags, '-o', `cluster_size=${size}`, raw, source);
      assert.ok(bytes.equals(await readDisk(await unpack(folder, source))));
    },
  );
  await fc.assert(property, { numRuns: 8 });
});

test(
  'what cannot stand alone, is damaged, or is no such image is refused with what to do',
  qemuImg,
  async (t) => {
    const folder = await temporaryFolder(t);
    const base = join(folder, 'base.qcow2');
    const child = join(folder, 'child.qcow2');
    await qemu('create', '-f', 'qcow2', base, '10M');
    await qemu('create', '-f', 'qcow2', '-b', base, '-F', 'qcow2', child);
    assert.match(await refused(folder, await readFile(child)), /backing file.*qemu-img convert/);
    const good = await readFile(base);
    const changed = (at: number, byte: number) => {
      const bytes = Buffer.from(good);
      bytes[at] = byte;
      return bytes;
    };
    assert.match(await refused(folder, changed(35, 2)), /encrypted/);
    assert.match(await refused(folder, changed(79, 2)), /corrupt/);
    assert.match(await refused(folder, changed(79, 4)), /in another file/);
    assert.match(await refused(folder, changed(79, 16)), /extended L2/);
    assert.match(await refused(folder, changed(78, 1)), /not known/);
    assert.match(await refused(folder, changed(7, 9)), /version 9/);
    assert.match(await refused(folder, changed(23, 60)), /2\^60/);
    assert.match(await refused(folder, changed(24, 1)), /disk of/);
    assert.match(await refused(folder, good.subarray(0, 60)), /no qcow2/);
    assert.match(await refused(folder, Buffer.from('KDMV...')), /no qcow2/);
    const raw = { format: 'Raw' } as const;
    assert.match(await refused(folder, good, raw), /QCOW2/);
    assert.match(await refused(folder, gzipSync(good), raw), /QCOW2/);
    assert.match(await refused(folder, gzipSync(gzipSync(good)), raw), /once more with gzip/);
    assert.match(await refused(folder, Buffer.from('KDMV...'), raw), /VMDK/);
    assert.match(await refused(folder, Buffer.alloc(0), raw), /empty/);
    assert.match(await refused(folder, gzipSync(disk()).subarray(0, 9999), raw), /decompressed \(gzip\)/);
    assert.match(
      await refused(folder, zstdCompressSync(disk()).subarray(0, 9999), raw),
      /decompressed \(zstd\)/,
    );
    const trailed = Buffer.concat([zstdCompressSync(disk()), Buffer.alloc(5000, 1)]);
    assert.match(await refused(folder, trailed, raw), /decompressed \(zstd\)/);
  },
);

test('tables that lead out of the file or in circles end in a refusal, not in a hang', qemuImg, async (t) => {
  const folder = await temporaryFolder(t);
  const { source } = await qcow2In(folder, ['-c']);
  const good = await readFile(source);
  const l1Offset = Number(good.readBigUInt64BE(40));
  const hostile = (at: number, value: bigint) => {
    const bytes = Buffer.from(good);
    bytes.writeBigUInt64BE(value, at);
    return bytes;
  };
  assert.match(await refused(folder, hostile(l1Offset, 1n << 50n)), /beyond its end/);
  const l2Offset = Number(good.readBigUInt64BE(l1Offset) & 0x00ff_ffff_ffff_fe00n);
  assert.match(await refused(folder, hostile(l2Offset, 1n << 50n)), /beyond its end/);
  assert.match(await refused(folder, hostile(l2Offset, (1n << 62n) | 70_000n)), /compressed cluster/);
  const circle = join(folder, 'circle');
  await writeFile(circle, hostile(l1Offset, BigInt(l1Offset)));
  await unpack(folder, circle).catch((error: unknown) => assert.ok(error instanceof ImageFault));
});

test(
  'a packed qcow2 file that unpacks without end, or could not be used, is not unpacked to its end',
  qemuImg,
  async (t) => {
    const folder = await temporaryFolder(t);
    const { source } = await qcow2In(folder, []);
    const good = await readFile(source);
    const diskBytes = Number(good.readBigUInt64BE(24));
    const bomb = zstdCompressSync(Buffer.concat([good, Buffer.alloc(4 * diskBytes + 64 * mib)]));
    assert.ok(bomb.length < 5 * mib);
    assert.match(await refused(folder, bomb), /much more than its disk can hold/);
    const encrypted = Buffer.concat([good, Buffer.alloc(8 * mib)]);
    encrypted[35] = 2;
    const path = join(folder, 'encrypted');
    await writeFile(path, gzipSync(encrypted));
    const checkRoom = () => Promise.reject(new Error('too much was unpacked'));
    await assert.rejects(unpack(folder, path, { checkRoom }), /encrypted/);
  },
);

test(
  'a compressed cluster that asks for more memory than a cluster can need is refused',
  qemuImg,
  async (t) => {
    const folder = await temporaryFolder(t);
    const { source } = await qcow2In(folder, ['-c', '-o', 'compression_type=zstd']);
    const bytes = await readFile(source);
    const l1Offset = Number(bytes.readBigUInt64BE(40));
    const l2Offset = Number(bytes.readBigUInt64BE(l1Offset) & 0x00ff_ffff_ffff_fe00n);
    // The text at 7 MiB, in clusters of 64 KiB.
    const cluster = Number(bytes.readBigUInt64BE(l2Offset + 7 * 16 * 8) & ((1n << 54n) - 1n));
    assert.equal(bytes.readUInt32LE(cluster), 0xfd2fb528, 'a zstd frame');
    // No single segment, and a window of 128 MiB.
    bytes[cluster + 4] = (bytes[cluster + 4] ?? 0) & 0b1101_1111;
    bytes[cluster + 5] = (27 - 10) << 3;
    await writeFile(source, bytes);
    await assert.rejects(
      unpack(folder, source),
      (error) =>
        error instanceof ImageFault &&
        (error.cause as NodeJS.ErrnoException).code === 'ZSTD_error_frameParameter_windowTooLarge',
    );
  },
);

test('a file that unpacks to more than may be is cut off, as is one that is no longer wanted', async (t) => {
  const folder = await temporaryFolder(t);
  const source = join(folder, 'source');
  await writeFile(source, gzipSync(Buffer.alloc(64 * mib)));
  const seen: number[] = [];
  const checkRoom = async (diskBytes: number) => {
    seen.push(diskBytes);
    if (diskBytes > 8 * mib) throw new ImageFault('ImageMismatch', 'too large');
  };
  const raw = { format: 'Raw' } as const;
  await assert.rejects(unpack(folder, source, { ...raw, checkRoom }), /too large/);
  assert.deepEqual(seen, [4 * mib, 8 * mib, 12 * mib]);
  const stop = new AbortController();
  const stopping = async () => stop.abort(new Error('not wanted'));
  await assert.rejects(
    unpack(folder, source, { ...raw, checkRoom: stopping, signal: stop.signal }),
    /not wanted/,
  );
});

test('a chunk that the disk changed is noticed before its last piece is given', async (t) => {
  const folder = await temporaryFolder(t);
  const source = join(folder, 'source');
  const target = join(folder, 'disk.raw');
  const bytes = disk();
  await writeFile(source, bytes);
  const map = await unpackImage({
    source,
    target,
    format: 'Raw',
    checkRoom: async () => {},
    signal: new AbortController().signal,
  });
  let damage = 0;
  const image = new PreparedDisk({
    digest: 'sha256:x',
    path: target,
    map,
    onDamaged: () => void (damage += 1),
  });
  const file = await open(target, 'r+');
  await file.write(Buffer.from([1, 2, 3]), 0, 3, 5_000_000);
  await file.close();
  let given = 0;
  const readAll = async (index: number) => {
    for await (const piece of image.read(index)) given += piece.length;
  };
  await assert.rejects(readAll(1), /chunk 1 .*not what was written/);
  assert.ok(given < image.chunk(1).length);
  assert.equal(damage, 1);
  await readAll(0);
  assert.throws(() => image.chunk(3), RangeError);
});
