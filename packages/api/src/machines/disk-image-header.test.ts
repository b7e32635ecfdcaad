import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import {
  compressionOf,
  foreignFormatOf,
  isQcow2,
  qcow2HeaderBytes,
  readQcow2Header,
} from './disk-image-header.ts';

function header(
  changes: { readonly version?: number; readonly sizeBytes?: bigint; readonly l1Entries?: number } = {},
) {
  const { version = 3, sizeBytes = 10n * 1024n ** 3n, l1Entries = 20 } = changes;
  const bytes = Buffer.alloc(qcow2HeaderBytes);
  bytes.write('QFI\xfb', 'latin1');
  bytes.writeUInt32BE(version, 4);
  bytes.writeUInt32BE(16, 20);
  bytes.writeBigUInt64BE(sizeBytes, 24);
  bytes.writeUInt32BE(l1Entries, 36);
  bytes.writeBigUInt64BE(196_608n, 40);
  return bytes;
}

test('files are known by how they begin', () => {
  const text = Buffer.from('text');
  assert.equal(compressionOf(gzipSync(text)), 'gzip');
  assert.equal(compressionOf(zstdCompressSync(text)), 'zstd');
  assert.equal(compressionOf(Buffer.from('fd377a585a0000', 'hex')), 'xz');
  assert.equal(compressionOf(text), undefined);
  assert.equal(foreignFormatOf(Buffer.from('KDMV....')), 'VMDK');
  assert.equal(foreignFormatOf(text), undefined);
  assert.ok(isQcow2(header()));
});

test('a qcow2 header says how large the disk is and where its tables are', () => {
  assert.deepEqual(readQcow2Header(header()), {
    header: {
      diskBytes: 10 * 1024 ** 3,
      clusterBits: 16,
      l1Entries: 20,
      l1Offset: 196_608,
      compression: 'deflate',
    },
  });
});

test('tables that cannot cover the disk, and disks of impossible size, are refused', () => {
  assert.match(JSON.stringify(readQcow2Header(header({ l1Entries: 19 }))), /does not fit/);
  assert.match(JSON.stringify(readQcow2Header(header({ l1Entries: 2 ** 31 }))), /does not fit/);
  assert.match(JSON.stringify(readQcow2Header(header({ sizeBytes: 2n ** 63n }))), /not taken/);
  assert.match(JSON.stringify(readQcow2Header(header({ sizeBytes: 0n }))), /not taken/);
  assert.match(JSON.stringify(readQcow2Header(header({ version: 1 }))), /version 1/);
});

test('whatever the bytes are, a header is read or refused, and what is read is within bounds', () => {
  const anything = fc.uint8Array({ minLength: 0, maxLength: 200 });
  const changed = fc
    .array(fc.tuple(fc.integer({ min: 4, max: qcow2HeaderBytes - 1 }), fc.nat({ max: 255 })), {
      maxLength: 20,
    })
    .map((changes) => {
      const bytes = header();
      for (const [at, byte] of changes) bytes[at] = byte;
      return bytes;
    });
  fc.assert(
    fc.property(fc.oneof(anything, changed), (bytes) => {
      const read = readQcow2Header(bytes);
      if ('why' in read) return;
      const { diskBytes, clusterBits, l1Entries } = read.header;
      assert.ok(diskBytes > 0 && diskBytes <= 2 ** 41);
      assert.ok(clusterBits >= 9 && clusterBits <= 21);
      assert.ok(l1Entries * 2 ** (2 * clusterBits - 3) >= diskBytes);
    }),
  );
});
