import { closeSync, fsyncSync, openSync, statfsSync, statSync, writeSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { isStatusError, type StatusReason } from '@selvedge/api';
import { AesGcmCipher } from '../aes-gcm-cipher.ts';
import type { KeyRing } from '../key-ring.ts';
import type { StoreRecord } from '../store-record.ts';
import type { StoreVerdict } from '../store.ts';
import { type Db, openDb } from './db.ts';
import { dumpDatabase } from './dump-database.ts';
import { verifyDatabase } from './verify-database.ts';

/**
 * The program of the store's second thread: what takes long and must not hold the event loop, through a connection of
 * its own. It never writes to the store's tables. Its door is `StoreWorker`.
 */
export interface WorkerOptions {
  readonly path: string;
  readonly keys: KeyRing | undefined;
}

export interface CheckpointResult {
  /** Pages in the log, and how many of them are in the database already. */
  readonly logged: number;
  readonly checkpointed: number;
}

/** What can be asked of the worker. */
export interface WorkerTasks {
  checkpoint(): CheckpointResult;
  /**
   * Makes the file of the log at least this large, with zeros behind what is in it, as after a longer log; does nothing on
   * a disk that is nearly full. Nobody may write to the database meanwhile.
   */
  growLog(bytes: number): void;
  verify(): StoreVerdict;
  /** Copies the database as it is now into a file that is there and empty. */
  snapshot(target: string): void;
  /** Then its records, some at a time; none: there are no more. */
  nextRecords(): StoreRecord[];
}

export interface WorkerRequest {
  readonly id: number;
  readonly task: keyof WorkerTasks;
  readonly argument: string | number | undefined;
}

export type WorkerAnswer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly reason: StatusReason; readonly message: string };

const recordsPerAnswer = 200;
const bytesPerAnswer = 1024 * 1024;

const { path, keys } = workerData as WorkerOptions;
const cipher = keys && new AesGcmCipher(keys);
let own: Db | undefined;
let records: Iterator<StoreRecord> | undefined;

function database(): Db {
  if (own === undefined) {
    own = openDb(path, { busyMilliseconds: 5000 });
    own.exec('PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF; PRAGMA wal_autocheckpoint = 0');
  }
  return own;
}

const tasks: WorkerTasks = {
  checkpoint: () => {
    const row = database().get<{ log: number; checkpointed: number }>('PRAGMA wal_checkpoint(PASSIVE)');
    return { logged: row?.log ?? 0, checkpointed: row?.checkpointed ?? 0 };
  },
  growLog: (bytes) => growFile(`${path}-wal`, bytes),
  verify: () => verifyDatabase(database(), cipher),
  snapshot: (target) => {
    database().run('VACUUM INTO ?', [target]);
    database().close();
    own = openDb(target, { readOnly: true });
    records = dumpDatabase(own, cipher)[Symbol.iterator]();
  },
  nextRecords: () => {
    const batch: StoreRecord[] = [];
    let bytes = 0;
    while (batch.length < recordsPerAnswer && bytes < bytesPerAnswer) {
      const next = records?.next();
      if (next === undefined || next.done === true) break;
      batch.push(next.value);
      if (next.value.type === 'blob') bytes += next.value.bytes.length;
      if (next.value.type === 'object') bytes += next.value.object.body.length;
    }
    return batch;
  },
};

parentPort?.on('message', ({ id, task, argument }: WorkerRequest) => {
  parentPort?.postMessage(answer(id, () => tasks[task](argument as never)));
});

/** Beside the database, which must not be opened and closed like this (database-holder.ts), the log holds no locks. */
function growFile(file: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(file);
  const present = statSync(file).size;
  if (present >= bytes || bavail * bsize < bytes * 8) return;
  const descriptor = openSync(file, 'r+');
  try {
    const zeros = Buffer.alloc(1024 * 1024);
    for (let at = present; at < bytes; at += zeros.length) {
      writeSync(descriptor, zeros, 0, Math.min(zeros.length, bytes - at), at);
    }
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function answer(id: number, ask: () => unknown): WorkerAnswer {
  try {
    return { id, value: ask() };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { id, reason: isStatusError(error) ? error.reason : 'InternalError', message };
  }
}
