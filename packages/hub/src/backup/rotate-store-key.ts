import { join } from 'node:path';
import { type Logger, StatusError } from '@selvedge/api';
import { writeFileAtomically } from '@selvedge/api/node';
import type { KeyRing, Store } from '@selvedge/store';
import { getPrivateFile } from '../identity/private-file.ts';
import { formatKeyRing, generateStoreKey, parseKeyRing } from '../identity/store-key-file.ts';

export interface RotationResult {
  /** Rows that were sealed anew. */
  readonly resealed: number;
  readonly keysDropped: number;
}

/**
 * Gives a store a new key while it serves. At every instant `keys/store.key` opens every row, so a crash anywhere leaves a
 * store that opens: first the file has the new key and the old ones, then rows are sealed with the new one, and only
 * when none is left that is not, the file forgets the old ones. The next start, or the next call, goes on where a
 * crash stopped it. One at a time.
 */
export class StoreKeyRotation {
  readonly #path: string;
  readonly #store: Store;
  readonly #log: Logger;
  readonly #stop: AbortSignal;
  #running: Promise<RotationResult> | undefined;

  constructor(options: { dataDirectory: string; store: Store; logger: Logger; signal: AbortSignal }) {
    this.#path = join(options.dataDirectory, 'keys', 'store.key');
    this.#store = options.store;
    this.#log = options.logger.child({ component: 'store-key' });
    this.#stop = options.signal;
  }

  /** Throws `Conflict` while another one runs. */
  async rotate(): Promise<RotationResult> {
    if (this.#store.engine !== 'sqlite') {
      throw new StatusError(
        'BadRequest',
        'the key of a store on PostgreSQL is changed on all its hubs: see docs/guides/backup-and-restore.md',
      );
    }
    return this.#alone(async () => {
      const present = await this.#read();
      const keys: KeyRing = { active: generateStoreKey(), others: [present.active, ...present.others] };
      await writeFileAtomically(this.#path, formatKeyRing(keys));
      this.#log.info('store key made', { keys: 1 + keys.others.length });
      await this.#store.useKeys(keys);
      return this.#finish(keys);
    });
  }

  /** At the start of a hub: ends a rotation that a crash interrupted, or that was made by file. */
  async resume(): Promise<void> {
    if (this.#store.engine !== 'sqlite') {
      // Which keys are in the files is decided for all hubs together, by a person.
      const rows = await this.#store.reseal(this.#stop);
      if (rows > 0) this.#log.info('rows sealed with the first key of store.key', { rows });
      return;
    }
    const keys = await this.#read();
    if (keys.others.length > 0) await this.#alone(() => this.#finish(keys));
  }

  #alone(task: () => Promise<RotationResult>): Promise<RotationResult> {
    if (this.#running !== undefined) {
      throw new StatusError('Conflict', 'a key rotation is under way: ask again when it is done');
    }
    this.#running = task().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #finish(keys: KeyRing): Promise<RotationResult> {
    let resealed = 0;
    for (let last = 1; last > 0; ) {
      last = await this.#store.reseal(this.#stop);
      resealed += last;
      // Stopped half-way: the next start goes on.
      if (this.#stop.aborted) throw new StatusError('ServiceUnavailable', 'the hub is stopping');
    }
    const alone: KeyRing = { active: keys.active, others: [] };
    await this.#store.useKeys(alone); // refuses when a row may still need an old key
    await writeFileAtomically(this.#path, formatKeyRing(alone));
    this.#log.info('store key rotated', { rows: resealed, keysDropped: keys.others.length });
    return { resealed, keysDropped: keys.others.length };
  }

  async #read(): Promise<KeyRing> {
    return parseKeyRing(await getPrivateFile(this.#path));
  }
}
