import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { StatusError } from '@selvedge/api';

const formatVersion = 1;
const keyIdLength = 4;
const nonceLength = 12;
const tagLength = 16;
const headerLength = 1 + keyIdLength + nonceLength;

/**
 * Seals bytes with AES-256-GCM. Layout: version (1 byte), key id (4), random nonce (12), ciphertext, tag (16). The key
 * id tells which key is needed, so a store may one day hold several. `place` is authenticated with the bytes: what was
 * sealed for one row cannot be opened as another.
 */
export class AesGcmCipher {
  /** 8 hex digits that name the key and give nothing of it away. */
  readonly keyId: string;
  readonly #key: Uint8Array;
  readonly #keyIdBytes: Uint8Array;

  constructor(key: Uint8Array) {
    if (key.byteLength !== 32) {
      throw new StatusError('BadRequest', `the store's key must be 32 bytes long, not ${key.byteLength}`);
    }
    this.#key = Uint8Array.from(key);
    this.#keyIdBytes = createHash('sha256')
      .update('selvedge store key id')
      .update(key)
      .digest()
      .subarray(0, keyIdLength);
    this.keyId = Buffer.from(this.#keyIdBytes).toString('hex');
  }

  seal(plain: Uint8Array | string, place: string): Uint8Array {
    const nonce = randomBytes(nonceLength);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce).setAAD(Buffer.from(place));
    const body = typeof plain === 'string' ? cipher.update(plain, 'utf8') : cipher.update(plain);
    return Buffer.concat([
      Uint8Array.of(formatVersion),
      this.#keyIdBytes,
      nonce,
      body,
      cipher.final(),
      cipher.getAuthTag(),
    ]);
  }

  /** Throws InternalError when the bytes were sealed by another key, for another place, or changed since. */
  open(sealed: Uint8Array, place: string): Buffer {
    const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength);
    if (bytes.length < headerLength + tagLength || bytes[0] !== formatVersion) {
      throw new StatusError('InternalError', 'a sealed row of the store has an unknown form');
    }
    const keyId = bytes.subarray(1, 1 + keyIdLength).toString('hex');
    if (keyId !== this.keyId) {
      throw new StatusError(
        'InternalError',
        `a row of the store was sealed with key ${keyId}, but the store was opened with key ${this.keyId}: put the right key in place`,
      );
    }
    const decipher = createDecipheriv('aes-256-gcm', this.#key, bytes.subarray(1 + keyIdLength, headerLength))
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
