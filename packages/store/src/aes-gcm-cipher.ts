import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { StatusError } from '@selvedge/api';
import type { KeyRing } from './key-ring.ts';

const formatVersion = 1;
const keyIdLength = 4;
const nonceLength = 12;
const tagLength = 16;
const headerLength = 1 + keyIdLength + nonceLength;

/** Where the key id stands in sealed bytes, for SQL: first byte and length, counted from 1. */
export const sealedKeyId = { start: 2, length: keyIdLength };

/**
 * Seals bytes with AES-256-GCM. Layout: version (1 byte), key id (4), random nonce (12), ciphertext, tag (16). The key
 * id tells which key of the ring is needed. `place` is authenticated with the bytes: what was sealed for one row cannot
 * be opened as another.
 */
export class AesGcmCipher {
  #active: Key;
  #keys: Map<string, Key>;

  constructor(ring: KeyRing) {
    this.#active = new Key(ring.active);
    this.#keys = keysById(this.#active, ring);
  }

  /** From now on; what was sealed with a key that is not in the ring can no longer be opened. */
  useKeys(ring: KeyRing): void {
    const active = new Key(ring.active);
    this.#keys = keysById(active, ring);
    this.#active = active;
  }

  /** 8 hex digits that name the key and give nothing of it away. */
  get activeKeyId(): string {
    return this.#active.id;
  }

  /** Of all keys in the ring. */
  get keyIds(): string[] {
    return [...this.#keys.keys()];
  }

  seal(plain: Uint8Array | string, place: string): Uint8Array {
    const nonce = randomBytes(nonceLength);
    const cipher = createCipheriv('aes-256-gcm', this.#active.bytes, nonce).setAAD(Buffer.from(place));
    const body = typeof plain === 'string' ? cipher.update(plain, 'utf8') : cipher.update(plain);
    return Buffer.concat([
      Uint8Array.of(formatVersion),
      this.#active.idBytes,
      nonce,
      body,
      cipher.final(),
      cipher.getAuthTag(),
    ]);
  }

  /** Throws InternalError when the bytes were sealed by a key that is not here, for another place, or changed since. */
  open(sealed: Uint8Array, place: string): Buffer {
    const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength);
    const keyId = sealedBy(bytes);
    const key = this.#keys.get(keyId);
    if (key === undefined) {
      throw new StatusError(
        'InternalError',
        `a row of the store was sealed with key ${keyId}, but the store was opened with key ${this.keyIds.join(', ')}: put the right key in place`,
      );
    }
    const decipher = createDecipheriv('aes-256-gcm', key.bytes, bytes.subarray(1 + keyIdLength, headerLength))
      .setAAD(Buffer.from(place))
      .setAuthTag(bytes.subarray(bytes.length - tagLength));
    try {
      return Buffer.concat([
        decipher.update(bytes.subarray(headerLength, bytes.length - tagLength)),
        decipher.final(),
      ]);
    } catch (error) {
      throw new StatusError('InternalError', 'a sealed row of the store was changed or moved', {
        cause: error,
      });
    }
  }
}

/** Id of the key that sealed these bytes. Throws InternalError when they are no sealed bytes. */
export function sealedBy(sealed: Uint8Array): string {
  if (sealed.length < headerLength + tagLength || sealed[0] !== formatVersion) {
    throw new StatusError('InternalError', 'a sealed row of the store has an unknown form');
  }
  return Buffer.from(sealed.subarray(1, 1 + keyIdLength)).toString('hex');
}

class Key {
  readonly bytes: Uint8Array;
  readonly idBytes: Uint8Array;
  readonly id: string;

  constructor(bytes: Uint8Array) {
    if (bytes.byteLength !== 32) {
      throw new StatusError('BadRequest', `the store's key must be 32 bytes long, not ${bytes.byteLength}`);
    }
    this.bytes = Uint8Array.from(bytes);
    this.idBytes = createHash('sha256')
      .update('selvedge store key id')
      .update(bytes)
      .digest()
      .subarray(0, keyIdLength);
    this.id = Buffer.from(this.idBytes).toString('hex');
  }
}

function keysById(active: Key, ring: KeyRing): Map<string, Key> {
  const keys = new Map<string, Key>();
  for (const key of [active, ...ring.others.map((bytes) => new Key(bytes))]) {
    const known = keys.get(key.id);
    if (known !== undefined && !Buffer.from(known.bytes).equals(key.bytes)) {
      throw new StatusError(
        'BadRequest',
        `two of the store's keys have the same id ${key.id}: make another one`,
      );
    }
    keys.set(key.id, key);
  }
  return keys;
}
