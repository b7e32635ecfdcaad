import { StatusError } from '@selvedge/api';
import type { Connection } from './connection.ts';
import { readSetting, writeSetting } from './settings-table.ts';
import { inTurn } from './transaction.ts';

export interface HubIdentityFacts {
  readonly hubId: string;
  readonly caFingerprint: string;
}

/**
 * A database belongs to one hub identity: the first one that opens it. Hubs that share it hold the same keys; with
 * others agents would refuse what they are told by one of them.
 */
export async function adoptIdentity(
  connection: Connection,
  identity: HubIdentityFacts | undefined,
): Promise<void> {
  if (identity === undefined) return;
  await inTurn(connection, 'migration', async () => {
    const hubId = await readSetting(connection, 'hub_id');
    const caFingerprint = await readSetting(connection, 'ca_fingerprint');
    if (hubId === undefined) {
      await writeSetting(connection, 'hub_id', identity.hubId);
      await writeSetting(connection, 'ca_fingerprint', identity.caFingerprint);
      return;
    }
    if (hubId === identity.hubId && caFingerprint === identity.caFingerprint) return;
    throw new StatusError(
      'BadRequest',
      `this database belongs to hub ${hubId} (CA ${caFingerprint}), the keys in the data directory are those of hub ${identity.hubId} (CA ${identity.caFingerprint}): copy the directory keys/ of that hub here, or use another database`,
    );
  });
}

/** Whether a hub ever opened the database. */
export async function hasIdentity(connection: Connection): Promise<boolean> {
  return (await readSetting(connection, 'hub_id')) !== undefined;
}
