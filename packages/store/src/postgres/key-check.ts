import { StatusError } from '@selvedge/api';
import { type AesGcmCipher, sealedBy } from '../aes-gcm-cipher.ts';
import type { Connection } from './connection.ts';
import { readSetting, writeSetting } from './settings-table.ts';
import { inTurn } from './transaction.ts';
import { writerKeys } from './writer-table.ts';

const place = 'key check';

/**
 * Compares the keys given with those that rows are sealed with, and with those of the other hubs, and notes the active
 * one: better no start than unreadable rows later. `key_check` is sealed with the newest active key; `sealing_keys` are the ids of all keys that
 * rows may be sealed with; `reseal_due` says that not all need be sealed with the active one.
 */
export async function adoptKeys(
  connection: Connection,
  cipher: AesGcmCipher | undefined,
  hub?: string,
): Promise<void> {
  await inTurn(connection, 'migration', async () => {
    const check = await readSetting(connection, 'key_check');
    const sealed = check === undefined ? undefined : Buffer.from(check, 'base64');
    if (cipher === undefined) {
      if (sealed === undefined) return;
      throw new StatusError('BadRequest', 'this store is encrypted: open it with its key');
    }
    if (sealed !== undefined) cipher.open(sealed, place);
    const inUse = await keysInUse(connection);
    const missing = inUse.filter((id) => !cipher.keyIds.includes(id));
    if (missing.length > 0) {
      throw new StatusError(
        'BadRequest',
        `rows of this store are sealed with key ${missing.join(', ')}, which is not among the keys given (${cipher.keyIds.join(', ')}): put it back until all rows are sealed anew`,
      );
    }
    const active = cipher.activeKeyId;
    if (sealed !== undefined && sealedBy(sealed) === active && inUse.includes(active)) return;
    await requireShared(connection, active, hub);
    const again = Buffer.from(cipher.seal('selvedge', place)).toString('base64');
    await writeSetting(connection, 'key_check', again);
    await writeSetting(connection, 'sealing_keys', [...new Set([...inUse, active])].join(' '));
    await writeSetting(connection, 'reseal_due', '1');
  });
}

/** Rows may be there that are not sealed with the active key. */
export async function isResealDue(connection: Connection): Promise<boolean> {
  return (await readSetting(connection, 'reseal_due')) === '1';
}

/** Every row was seen to be sealed with the active key; other hubs may still use theirs. */
export async function noteResealed(connection: Connection, cipher: AesGcmCipher): Promise<void> {
  await inTurn(connection, 'migration', async () => {
    const others = [...(await writerKeys(connection)).values()].flatMap((ids) => ids.slice(0, 1));
    const keys = new Set([cipher.activeKeyId, ...others]);
    await writeSetting(connection, 'sealing_keys', [...keys].join(' '));
    await writeSetting(connection, 'reseal_due', keys.size === 1 ? '0' : '1');
  });
}

/** What this hub seals from now on, every hub that runs must be able to open. */
async function requireShared(connection: Connection, active: string, hub: string | undefined): Promise<void> {
  for (const [other, ids] of await writerKeys(connection)) {
    if (other === hub || ids.includes(active)) continue;
    throw new StatusError(
      'BadRequest',
      `hub ${other}, which runs on this database, has not the key ${active}: add it as a further line to the store.key of every hub and restart them, before it becomes the first one anywhere`,
    );
  }
}

async function keysInUse(connection: Connection): Promise<string[]> {
  return (await readSetting(connection, 'sealing_keys'))?.split(' ') ?? [];
}
