import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline, Readable } from 'node:stream';
import { createGunzip, createGzip } from 'node:zlib';
import { readDump, type StoreRecord } from '@selvedge/store';
import { getPrivateFile } from '../identity/private-file.ts';
import {
  type BackupEntry,
  BackupError,
  type BackupHeader,
  decodeBackup,
  encodeBackup,
  type KeyFile,
} from './backup-stream.ts';

/** Where the contents of a backup come from. */
export interface BackupSource {
  readonly header: Omit<BackupHeader, 'type' | 'formatVersion'>;
  /** The `keys` folder of the data directory. */
  readonly keysDirectory: string;
  readonly records: AsyncIterable<StoreRecord>;
}

/** What is in a backup. */
export interface BackupSummary {
  readonly hubId: string;
  readonly createdAt: string;
  readonly engine: string;
  readonly revision: number;
  /** How many there are of each type of record, and `keyFile`. */
  readonly counts: Readonly<Record<string, number>>;
}

/** Without these a hub is not the one that its agents and kubeconfigs know. */
const neededKeyFiles = ['hub-id', 'fleet.key', 'store.key', 'enroll.key', 'ca.key', 'ca.crt'];

/** A whole backup, compressed: what the hub sends, and what is sealed into a file. */
export function packBackup(source: BackupSource): AsyncIterable<Uint8Array> {
  return piped(encodeBackup(entriesOf(source)), createGzip({ level: 4 }));
}

/** The entries of what `packBackup` made. Throws BackupError. */
export async function* unpackBackup(packed: AsyncIterable<Uint8Array>): AsyncGenerator<BackupEntry> {
  try {
    yield* decodeBackup(piped(packed, createGunzip()));
  } catch (cause) {
    const code = (cause as { code?: unknown }).code;
    if (typeof code !== 'string' || !code.startsWith('Z_')) throw cause;
    throw new BackupError('the backup is damaged or cut off', { cause });
  }
}

/** Hands out what is in a backup; its own end is checked by `unpackBackup`. */
export interface BackupReader {
  readonly header: (header: BackupHeader) => void;
  readonly keyFile: (file: KeyFile) => void | Promise<void>;
}

/** The records of the store in a backup; everything else goes to the reader. Throws BackupError when keys are missing. */
export async function* storeRecords(
  entries: AsyncIterable<BackupEntry>,
  reader: BackupReader,
): AsyncGenerator<StoreRecord> {
  const names = new Set<string>();
  for await (const entry of entries) {
    if (entry.type === 'backup') {
      if (entry.formatVersion !== 1) {
        throw new BackupError('this backup was made by a newer version: read it with that version');
      }
      reader.header(entry);
    } else if (entry.type === 'keyFile') {
      if (!/^[a-z0-9][a-z0-9.-]*$/.test(entry.name))
        throw new BackupError('the backup has a key file of a wrong name');
      names.add(entry.name);
      await reader.keyFile(entry);
    } else {
      yield entry;
    }
  }
  const missing = neededKeyFiles.filter((name) => !names.has(name));
  if (missing.length > 0) throw new BackupError(`the backup lacks the hub's keys: ${missing.join(', ')}`);
}

/** Reads a backup from its beginning to its end; throws when anything is wrong with it. */
export async function summarizeBackup(packed: AsyncIterable<Uint8Array>): Promise<BackupSummary> {
  let header: BackupHeader | undefined;
  const counts: Record<string, number> = {};
  const count = (type: string) => {
    counts[type] = (counts[type] ?? 0) + 1;
  };
  const records = storeRecords(unpackBackup(packed), {
    header: (entry) => {
      header = entry;
    },
    keyFile: () => count('keyFile'),
  });
  const revision = await readDump(records, (record) => count(record.type));
  if (header === undefined) throw new BackupError('this is no backup of a hub');
  const { hubId, createdAt, engine } = header;
  return { hubId, createdAt, engine, revision, counts };
}

async function* entriesOf({ header, keysDirectory, records }: BackupSource): AsyncGenerator<BackupEntry> {
  yield { type: 'backup', formatVersion: 1, ...header };
  for (const entry of await readdir(keysDirectory, { withFileTypes: true })) {
    if (!entry.isFile() || entry.name.endsWith('.tmp')) continue;
    const content = await getPrivateFile(join(keysDirectory, entry.name));
    yield { type: 'keyFile', name: entry.name, content };
  }
  yield* records;
}

function piped(
  source: AsyncIterable<Uint8Array>,
  through: NodeJS.ReadWriteStream & AsyncIterable<Uint8Array>,
): AsyncIterable<Uint8Array> {
  // An error of the source is met by who reads the result.
  pipeline(Readable.from(source), through, () => {});
  return through;
}
