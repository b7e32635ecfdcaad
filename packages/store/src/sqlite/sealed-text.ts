import { StatusError } from '@selvedge/api';
import type { AesGcmCipher } from '../aes-gcm-cipher.ts';

/** How text that may hold secrets stands in a column of type ANY: TEXT as is, BLOB when sealed. */
export type MaybeSealed = string | Uint8Array;

export function sealText(cipher: AesGcmCipher | undefined, text: string, place: string): MaybeSealed {
  return cipher === undefined ? text : cipher.seal(text, place);
}

export function openText(cipher: AesGcmCipher | undefined, value: MaybeSealed, place: string): string {
  if (typeof value === 'string') return value;
  if (cipher === undefined) {
    throw new StatusError('InternalError', 'rows of the store are sealed: open it with its key');
  }
  return cipher.open(value, place).toString('utf8');
}
