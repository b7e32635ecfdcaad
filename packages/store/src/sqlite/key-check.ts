import { StatusError } from '@selvedge/api';
import { type AesGcmCipher, sealedBy } from '../aes-gcm-cipher.ts';
import type { Db } from './db.ts';
import { readSetting, writeSetting } from './settings.ts';

const place = 'key check';

/**
 * Compares the keys given with those that rows are sealed with, and notes the active one: better no start than
 * unreadable rows later. `key_check` is sealed with the newest active key; `sealing_keys` are the ids of all keys that
 * rows may be sealed with; `reseal_due` says that not all need be sealed with the active one. Call in a transaction.
 */
export function adoptKeys(db: Db, cipher: AesGcmCipher | undefined): void {
  const check = readSetting<Uint8Array>(db, 'key_check');
  if (cipher === undefined) {
    if (check === undefined) return;
    throw new StatusError('BadRequest', 'this store is encrypted: open it with its key');
  }
  if (check !== undefined) cipher.open(check, place);
  const inUse = keysInUse(db);
  const missing = inUse.filter((id) => !cipher.keyIds.includes(id));
  if (missing.length > 0) {
    throw new StatusError(
      'BadRequest',
      `rows of this store are sealed with key ${missing.join(', ')}, which is not among the keys given (${cipher.keyIds.join(', ')}): put it back until all rows are sealed anew`,
    );
  }
  const active = cipher.activeKeyId;
  if (check !== undefined && sealedBy(check) === active) return;
  writeSetting(db, 'key_check', cipher.seal('selvedge', place));
  writeSetting(db, 'sealing_keys', [...new Set([...inUse, active])].join(' '));
  writeSetting(db, 'reseal_due', 1);
}

/** Rows may be there that are not sealed with the active key. */
export function isResealDue(db: Db): boolean {
  return readSetting<number>(db, 'reseal_due') === 1;
}

/** Every row was seen to be sealed with the active key. Call in a transaction. */
export function noteResealed(db: Db, cipher: AesGcmCipher): void {
  writeSetting(db, 'sealing_keys', cipher.activeKeyId);
  writeSetting(db, 'reseal_due', 0);
}

function keysInUse(db: Db): string[] {
  const noted = readSetting<string>(db, 'sealing_keys');
  if (noted !== undefined) return noted.split(' ');
  const check = readSetting<Uint8Array>(db, 'key_check');
  return check === undefined ? [] : [sealedBy(check)];
}
