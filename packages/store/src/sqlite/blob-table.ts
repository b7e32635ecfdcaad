import { StatusError } from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import type { AesGcmCipher } from '../aes-gcm-cipher.ts';
import type { Db } from './db.ts';

/** The SQL of blobs, and their sealing. */
export class BlobTable {
  readonly #db: Db;
  readonly #cipher: AesGcmCipher | undefined;

  constructor(db: Db, cipher?: AesGcmCipher) {
    this.#db = db;
    this.#cipher = cipher;
  }

  put(digest: string, bytes: Uint8Array): void {
    const stored = this.#cipher?.seal(bytes, placeOfBlob(digest)) ?? bytes;
    this.#db.run('INSERT INTO blob (digest, sealed, bytes) VALUES (?, ?, ?) ON CONFLICT DO NOTHING', [
      digest,
      this.#cipher === undefined ? 0 : 1,
      stored,
    ]);
  }

  find(digest: string): Uint8Array | undefined {
    const row = this.#db.get<{ sealed: number; bytes: Uint8Array }>(
      'SELECT sealed, bytes FROM blob WHERE digest = ?',
      [digest],
    );
    if (row === undefined) return undefined;
    if (row.sealed === 0) {
      // Nothing else would notice a damaged page; sealed bytes are authenticated.
      if (sha256Digest(row.bytes) === digest) return row.bytes;
      throw new StatusError(
        'InternalError',
        `the content ${digest} in the store is damaged: restore the store from a backup`,
      );
    }
    if (this.#cipher === undefined) {
      throw new StatusError('InternalError', 'blobs are sealed: open the store with its key');
    }
    return this.#cipher.open(row.bytes, placeOfBlob(digest));
  }

  has(digest: string): boolean {
    return this.#db.get('SELECT 1 FROM blob WHERE digest = ?', [digest]) !== undefined;
  }

  digests(): string[] {
    return this.#db.all<{ digest: string }>('SELECT digest FROM blob').map((row) => row.digest);
  }

  delete(digest: string): void {
    this.#db.run('DELETE FROM blob WHERE digest = ?', [digest]);
  }
}

export const placeOfBlob = (digest: string): string => JSON.stringify(['blob', digest]);
