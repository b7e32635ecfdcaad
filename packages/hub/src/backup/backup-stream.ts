import { createHash } from 'node:crypto';
import type { StoreRecord } from '@selvedge/store';

/**
 * What a backup holds: lines of JSON, compressed with gzip. First who made it, then the files of `keys/`, then the
 * records of the store (a blob's bytes in base64), last a line that counts and hashes all lines before it, so that
 * neither a cut nor a change goes unnoticed.
 */
export interface BackupHeader {
  readonly type: 'backup';
  readonly formatVersion: 1;
  readonly hubId: string;
  /** RFC 3339. */
  readonly createdAt: string;
  readonly engine: 'sqlite' | 'postgres';
}

export interface KeyFile {
  readonly type: 'keyFile';
  /** In `keys/`. */
  readonly name: string;
  readonly content: string;
}

export type BackupEntry = BackupHeader | KeyFile | StoreRecord;

interface Checksum {
  readonly type: 'checksum';
  readonly lines: number;
  /** Of the bytes of all lines before, in hex. */
  readonly sha256: string;
}

/** A backup that cannot be used as it is; the message says why. */
export class BackupError extends Error {
  override readonly name = 'BackupError';
}

const bytesPerChunk = 64 * 1024;

/** The lines of a backup, as bytes, some at a time; not compressed yet. */
export async function* encodeBackup(entries: AsyncIterable<BackupEntry>): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  let lines = 0;
  let chunk = '';
  for await (const entry of entries) {
    chunk += `${JSON.stringify(wireForm(entry))}\n`;
    lines += 1;
    if (chunk.length < bytesPerChunk) continue;
    const bytes = Buffer.from(chunk);
    hash.update(bytes);
    chunk = '';
    yield bytes;
  }
  hash.update(chunk);
  const checksum: Checksum = { type: 'checksum', lines, sha256: hash.digest('hex') };
  yield Buffer.from(`${chunk}${JSON.stringify(checksum)}\n`);
}

/** The entries of a backup; throws BackupError as soon as something is wrong, at the latest at its end. */
export async function* decodeBackup(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<BackupEntry> {
  const hash = createHash('sha256');
  let count = 0;
  let checksum: Checksum | undefined;
  for await (const line of linesOf(chunks)) {
    if (checksum !== undefined) throw new BackupError('the backup goes on behind its end: it was changed');
    const entry = parseLine(line, count + 1);
    if (entry.type === 'checksum') {
      checksum = entry;
      continue;
    }
    hash.update(line);
    hash.update('\n');
    count += 1;
    if ((count === 1) !== (entry.type === 'backup')) throw new BackupError('this is no backup of a hub');
    yield fromWireForm(entry);
  }
  if (checksum === undefined) throw new BackupError(`the backup is cut off after ${count} lines`);
  if (checksum.lines !== count || checksum.sha256 !== hash.digest('hex')) {
    throw new BackupError('the backup was changed or damaged: its checksum is another');
  }
}

async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  for await (const chunk of chunks) {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let start = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
      parts.push(bytes.subarray(start, end));
      yield parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
      parts = [];
      start = end + 1;
    }
    if (start < bytes.length) parts.push(bytes.subarray(start));
  }
  if (parts.length > 0) throw new BackupError('the backup is cut off in the middle of a line');
}

type WireEntry =
  | Exclude<BackupEntry, { type: 'blob' }>
  | { type: 'blob'; digest: string; bytes: string }
  | Checksum;

function parseLine(line: Buffer, number: number): WireEntry {
  try {
    const entry = JSON.parse(line.toString('utf8')) as WireEntry;
    if (typeof entry.type === 'string') return entry;
  } catch {
    // said below
  }
  throw new BackupError(`line ${number} of the backup cannot be read: it is damaged, or no backup of a hub`);
}

function wireForm(entry: BackupEntry): WireEntry {
  if (entry.type !== 'blob') return entry;
  const bytes = Buffer.from(entry.bytes.buffer, entry.bytes.byteOffset, entry.bytes.byteLength);
  return { ...entry, bytes: bytes.toString('base64') };
}

function fromWireForm(entry: Exclude<WireEntry, Checksum>): BackupEntry {
  if (entry.type !== 'blob') return entry;
  return { ...entry, bytes: Buffer.from(entry.bytes, 'base64') };
}
