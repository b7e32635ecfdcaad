import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { sha256Digest, writeFileAtomically } from '@selvedge/api/node';
import type { AgentDatabase } from './agent-database.ts';
import { findFile } from './atomic-file.ts';

/**
 * Manifests by digest. They may contain Secrets, so they are sealed with AES-256-GCM by STATE/keys/content.key (the digest
 * is additional data, so blobs cannot be swapped). This protects the database file alone: a copy, a backup or a crash dump
 * of it without STATE/keys. It does not protect against root on this machine, or against who takes the whole disk; for
 * that, encrypt the disk. The digest is checked at write and at each read.
 */
export class ContentStore {
  readonly #database: AgentDatabase;
  readonly #key: Buffer;

  private constructor(database: AgentDatabase, key: Buffer) {
    this.#database = database;
    this.#key = key;
  }

  static async open(database: AgentDatabase, keysDir: string): Promise<ContentStore> {
    const path = join(keysDir, 'content.key');
    const stored = await findFile(path);
    if (stored !== undefined) {
      const key = Buffer.from(stored.toString('utf8').trim(), 'base64');
      if (key.length === keyLength) return new ContentStore(database, key);
      // Content can be fetched again, so a damaged key is replaced: what it sealed reads as missing.
    }
    const key = randomBytes(keyLength);
    await writeFileAtomically(path, `${key.toString('base64')}\n`);
    return new ContentStore(database, key);
  }

  has(digest: string): boolean {
    return this.#database.find('SELECT 1 FROM content WHERE digest = ?', digest) !== undefined;
  }

  /** Throws when the bytes are not those that the digest names. Writing what is there is no change. */
  put(digest: string, bytes: Uint8Array): void {
    if (sha256Digest(bytes) !== digest) throw new Error(`content does not match its digest ${digest}`);
    const nonce = randomBytes(nonceLength);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce);
    cipher.setAAD(Buffer.from(digest));
    const sealed = Buffer.concat([nonce, cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
    this.#database.run('INSERT OR REPLACE INTO content (digest, sealed) VALUES (?, ?)', digest, sealed);
  }

  /** Undefined when it is not here. What was damaged or tampered with is removed, so that it is fetched again. */
  find(digest: string): Buffer | undefined {
    const row = this.#database.find('SELECT sealed FROM content WHERE digest = ?', digest);
    if (row === undefined) return undefined;
    const bytes = this.#open(digest, Buffer.from(row['sealed'] as Uint8Array));
    if (bytes === undefined) this.#database.run('DELETE FROM content WHERE digest = ?', digest);
    return bytes;
  }

  /** Proves that this agent wrote the text: whoever can change only the database cannot make it. */
  seal(text: string): string {
    return createHmac('sha256', this.#key).update(text).digest('base64url');
  }

  /** Removes everything else. */
  retain(digests: ReadonlySet<string>): void {
    for (const row of this.#database.all('SELECT digest FROM content')) {
      const digest = row['digest'] as string;
      if (!digests.has(digest)) this.#database.run('DELETE FROM content WHERE digest = ?', digest);
    }
  }

  #open(digest: string, sealed: Buffer): Buffer | undefined {
    if (sealed.length < nonceLength + tagLength) return undefined;
    const decipher = createDecipheriv('aes-256-gcm', this.#key, sealed.subarray(0, nonceLength));
    decipher.setAAD(Buffer.from(digest));
    decipher.setAuthTag(sealed.subarray(-tagLength));
    try {
      const bytes = Buffer.concat([
        decipher.update(sealed.subarray(nonceLength, -tagLength)),
        decipher.final(),
      ]);
      return sha256Digest(bytes) === digest ? bytes : undefined;
    } catch {
      return undefined;
    }
  }
}

const keyLength = 32;
const nonceLength = 12;
const tagLength = 16;
