import { StatusError } from '@selvedge/api';
import type { AesGcmCipher } from '../aes-gcm-cipher.ts';
import type { Connection } from './connection.ts';

export interface BlobRecord {
  readonly digest: string;
  readonly is_sealed: boolean;
  readonly bytes: Uint8Array;
}

/** The SQL of blobs, and their sealing. Everything here may be done twice. */
export class BlobTable {
  readonly #cipher: AesGcmCipher | undefined;

  constructor(cipher?: AesGcmCipher) {
    this.#cipher = cipher;
  }

  async put(connection: Connection, digest: string, bytes: Uint8Array): Promise<void> {
    await connection.query(
      'INSERT INTO blob (digest, is_sealed, bytes) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING',
      [digest, this.#cipher !== undefined, this.#cipher?.seal(bytes, blobPlace(digest)) ?? bytes],
    );
  }

  async find(connection: Connection, digest: string): Promise<Uint8Array | undefined> {
    const sql = 'SELECT digest, is_sealed, bytes FROM blob WHERE digest = $1';
    const [row] = await connection.query<BlobRecord>(sql, [digest]);
    return row && this.open(row);
  }

  open(row: BlobRecord): Uint8Array {
    if (!row.is_sealed) return row.bytes;
    if (this.#cipher === undefined) {
      throw new StatusError('InternalError', 'blobs are sealed: open the store with its key');
    }
    return this.#cipher.open(row.bytes, blobPlace(row.digest));
  }

  async has(connection: Connection, digest: string): Promise<boolean> {
    const rows = await connection.query('SELECT 1 FROM blob WHERE digest = $1', [digest]);
    return rows.length > 0;
  }

  async digests(connection: Connection): Promise<string[]> {
    const rows = await connection.query<{ digest: string }>('SELECT digest FROM blob');
    return rows.map((row) => row.digest);
  }

  async delete(connection: Connection, digest: string): Promise<void> {
    await connection.query('DELETE FROM blob WHERE digest = $1', [digest]);
  }
}

export const blobPlace = (digest: string): string => JSON.stringify(['blob', digest]);
