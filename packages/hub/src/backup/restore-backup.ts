import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, Logger } from '@selvedge/api';
import { syncDirectory, writeFileAtomically } from '@selvedge/api/node';
import { openSqliteStore, type Store } from '@selvedge/store';
import { lockDataDirectory } from '../identity/data-lock.ts';
import { openHubIdentity, unfinishedRestore } from '../identity/hub-identity.ts';
import { openPrivateDirectory, publishDirectory } from '../identity/private-file.ts';
import { parseKeyRing } from '../identity/store-key-file.ts';
import { sensitiveResources } from '../resources/index.ts';
import { type BackupSummary, storeRecords, unpackBackup } from './backup-contents.ts';
import { BackupError, type BackupHeader } from './backup-stream.ts';

export interface RestoreOptions {
  /** Where the hub is to live; empty or not there yet. */
  readonly dataDirectory: string;
  readonly packed: AsyncIterable<Uint8Array>;
  /** Opens another empty store than the one in the data directory, with these keys: PostgreSQL. */
  readonly openStore?: (keys: ReturnType<typeof parseKeyRing>) => Promise<Store>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Left aside by every way to make a data directory. */
const harmless = new Set(['lock', unfinishedRestore]);
const fewestRevisions = 1_000_000_000;
/** More than any hub writes, so that a backup that is restored twice gives out no revision twice. */
const revisionsPerSecond = 10_000;

/**
 * Makes a data directory (and fills a store) from a backup, whole or not at all: the hub starts only on what was restored
 * to its end. Throws BackupError when the directory holds a hub already, or the backup is not sound.
 */
export async function restoreBackup(options: RestoreOptions): Promise<BackupSummary> {
  const { dataDirectory } = options;
  await openPrivateDirectory(dataDirectory);
  const lock = lockDataDirectory(dataDirectory);
  try {
    await removeUnfinished(dataDirectory);
    await requireEmpty(dataDirectory);
    const unfinished = join(dataDirectory, unfinishedRestore);
    await mkdir(unfinished, { mode: 0o700 });
    await syncDirectory(dataDirectory);
    try {
      const summary = await fill(unfinished, options);
      await publish(unfinished, dataDirectory);
      return summary;
    } catch (error) {
      await removeUnfinished(dataDirectory);
      throw error;
    }
  } finally {
    lock.release();
  }
}

async function fill(unfinished: string, options: RestoreOptions): Promise<BackupSummary> {
  const { clock, logger } = options;
  const keys = join(unfinished, 'keys');
  await mkdir(keys, { mode: 0o700 });
  let header: BackupHeader | undefined;
  let storeKeys: ReturnType<typeof parseKeyRing> | undefined;
  const counts: Record<string, number> = {};
  const entries = storeRecords(unpackBackup(options.packed), {
    header: (entry) => {
      header = entry;
    },
    keyFile: async ({ name, content }) => {
      await writeFileAtomically(join(keys, name), content);
      if (name === 'store.key') storeKeys = parseKeyRing(content);
      counts['keyFile'] = (counts['keyFile'] ?? 0) + 1;
    },
  });
  // The header and the keys come before the first record of the store.
  const first = await entries.next();
  if (header === undefined || storeKeys === undefined || first.done === true) {
    throw new BackupError('the backup does not begin with its keys');
  }
  const head = first.value;
  const records = async function* () {
    yield head;
    for await (const record of entries) {
      counts[record.type] = (counts[record.type] ?? 0) + 1;
      yield record;
    }
  };
  const open =
    options.openStore ??
    ((ring) =>
      openSqliteStore({
        path: join(unfinished, 'store.db'),
        keys: ring,
        sensitiveResources,
        clock,
        logger,
      }));
  const store = await open(storeKeys);
  try {
    await store.restore(records(), { revisionGap: revisionGap(header, clock) });
    const revision = await store.objects.currentRevision();
    const { hubId, createdAt, engine } = header;
    delete counts['end'];
    // Reads every key that the hub will need.
    await openHubIdentity({ dataDirectory: unfinished, clock, logger });
    return { hubId, createdAt, engine, revision, counts };
  } finally {
    await store.close();
  }
}

/** How far ahead the restored store begins: behind all that may have been given out since the backup. */
function revisionGap(header: BackupHeader, clock: Clock): number {
  const seconds = (clock.now().getTime() - Date.parse(header.createdAt)) / 1000;
  return (
    fewestRevisions + Math.ceil(Math.max(0, Number.isFinite(seconds) ? seconds : 0) * revisionsPerSecond)
  );
}

/** The keys last: a hub starts with them only, and then everything else is in its place. */
async function publish(unfinished: string, dataDirectory: string): Promise<void> {
  const store = join(unfinished, 'store.db');
  if (existsSync(store)) await rename(store, join(dataDirectory, 'store.db'));
  await syncDirectory(dataDirectory);
  await publishDirectory(join(unfinished, 'keys'), join(dataDirectory, 'keys'));
  await rm(unfinished, { recursive: true, force: true });
  await syncDirectory(dataDirectory);
}

/** What a restore that was killed made. Once the keys are in their place it was finished, but for the folder. */
async function removeUnfinished(dataDirectory: string): Promise<void> {
  const unfinished = join(dataDirectory, unfinishedRestore);
  if (!existsSync(unfinished)) return;
  if (!existsSync(join(dataDirectory, 'keys'))) {
    for (const suffix of ['', '-wal', '-shm', '.lock']) {
      await rm(join(dataDirectory, `store.db${suffix}`), { force: true });
    }
  }
  await rm(unfinished, { recursive: true, force: true });
}

async function requireEmpty(dataDirectory: string): Promise<void> {
  const present = (await readdir(dataDirectory)).filter((name) => !harmless.has(name));
  if (present.length === 0) return;
  throw new BackupError(
    `${dataDirectory} is not empty (${present.slice(0, 3).join(', ')}): a backup is restored into an empty directory only, so that it destroys nothing`,
  );
}
