import { randomBytes } from 'node:crypto';
import type { KeyRing } from '@selvedge/store';

/** `keys/store.key`: one key of 32 bytes in base64 per line; the first one seals, all of them open. */
export function parseKeyRing(text: string): KeyRing {
  const [active, ...others] = text.trim().split('\n').map(parseSymmetricKey);
  return { active: active as Uint8Array, others };
}

export function formatKeyRing(keys: KeyRing): string {
  return [keys.active, ...keys.others].map((key) => `${Buffer.from(key).toString('base64')}\n`).join('');
}

/** 32 bytes. */
export function generateStoreKey(): Uint8Array {
  return randomBytes(32);
}

/** One line of a key file. */
export function parseSymmetricKey(text: string): Uint8Array {
  const key = Buffer.from(text.trim(), 'base64');
  if (key.length !== 32) throw new Error(`32 bytes in base64 are wanted, there are ${key.length}`);
  return key;
}
