import { StatusError } from '@selvedge/api';
import type { AesGcmCipher } from '../aes-gcm-cipher.ts';
import { type ContentRecord, readDump } from '../read-dump.ts';
import type { StoreRecord } from '../store-record.ts';
import { BlobTable } from './blob-table.ts';
import { changesChannel } from './changes-channel.ts';
import { Connection, type ConnectionOptions } from './connection.ts';
import { FleetRows } from './fleet-rows.ts';
import { hasIdentity } from './hub-identity-check.ts';
import { insertDeliveries } from './fleet-tables.ts';
import { columnsOf, saveHeartbeats } from './heartbeat-batch.ts';
import type { ObjectLog } from './object-log.ts';
import { isOfDatabase, postgresError } from './postgres-error.ts';
import { readSetting, writeSetting } from './settings-table.ts';
import { renewInstance } from './store-instance.ts';
import { inTurn } from './transaction.ts';

export interface RestoreOptions {
  readonly revisionGap: number;
  readonly log: ObjectLog;
  readonly cipher: AesGcmCipher | undefined;
}

const contentTables = [
  'object_log',
  'object_head',
  'delivery',
  'site_state',
  'site_key',
  'heartbeat',
  'rollout_member',
  'blob',
];

/** Setting: id of the commit that filled the database. */
const restoredMark = 'restored';

/**
 * Fills an empty database in one transaction; see `Store.restore`. Every hub's writes wait meanwhile. Returns the new
 * `Store.instance`.
 */
export async function restoreDatabase(
  connectionOptions: ConnectionOptions,
  records: AsyncIterable<StoreRecord>,
  options: RestoreOptions,
): Promise<string> {
  let connection: Connection | undefined;
  try {
    connection = await Connection.open({
      ...connectionOptions,
      // The dump may come slowly.
      session: ['idle_in_transaction_session_timeout=0'],
    });
    const session = connection;
    return await inTurn(session, 'commit', async () => {
      const last = await requireUnused(session);
      const put = writer(session, options);
      const dumped = (await readDump(records, put)) + options.revisionGap;
      const revision = Math.max(dumped, last.revision);
      const id = last.id + 1;
      for (const name of ['compacted', 'deliveries_purged'])
        await writeSetting(session, name, String(revision));
      await session.query('INSERT INTO commit_log (id, revision, writer, batch) VALUES ($1, $2, 0, 0)', [
        id,
        revision,
      ]);
      await session.query(`SELECT pg_notify('${changesChannel}', $1)`, [`${id} 0`]);
      await writeSetting(session, restoredMark, String(id));
      return renewInstance(session);
    });
  } catch (error) {
    // What the dump's source throws is the caller's own.
    throw isOfDatabase(error) ? postgresError(error) : error;
  } finally {
    await connection?.close();
  }
}

/**
 * Returns the newest commit of a store that holds nothing; one that holds what a restore put there, and was not used by
 * any hub since, is emptied first: that restore was killed before its hub had its keys, and is done again.
 */
async function requireUnused(connection: Connection): Promise<{ id: number; revision: number }> {
  const [newest] = await connection.query<{ id: number; revision: number }>(
    'SELECT id, revision FROM commit_log ORDER BY id DESC LIMIT 1',
  );
  const used = contentTables.map((table) => `EXISTS (SELECT FROM ${table})`).join(' OR ');
  const [row] = await connection.query<{ used: boolean }>(`SELECT ${used} AS used`);
  if (newest?.revision === 1 && row?.used === false) return newest;
  const isOfRestore =
    (await readSetting(connection, restoredMark)) === String(newest?.id) && !(await hasIdentity(connection));
  if (newest !== undefined && isOfRestore) {
    await connection.query(`TRUNCATE ${contentTables.join(', ')}`);
    return newest;
  }
  throw new StatusError(
    'Conflict',
    'a backup is restored into an empty store only, this one holds something: use another database, or, if nothing in this one is needed any more, empty it with DROP SCHEMA selvedge CASCADE',
  );
}

function writer(
  connection: Connection,
  { log, cipher }: RestoreOptions,
): (record: ContentRecord) => Promise<void> {
  const rows = new FleetRows(cipher);
  const blobs = new BlobTable(cipher);
  return async (record) => {
    switch (record.type) {
      case 'object':
        return log.insert(connection, record.object);
      case 'site': {
        const { site, epoch, variables, policy } = rows.fromSite(record.site, record);
        await connection.query(
          'INSERT INTO site_state (site, epoch, commit_id, variables, policy) VALUES ($1, $2, 1, $3, $4)',
          [site, epoch, variables, policy],
        );
        return;
      }
      case 'siteKey': {
        const { key } = record;
        await connection.query(
          `INSERT INTO site_key (site, site_uid, public_key, fingerprint, token_uid, enrolled_at)
           VALUES ($1, $2, $3, $4, $5, $6)`,
          [key.site, key.siteUid, key.publicKey, key.fingerprint, key.tokenUid, key.enrolledAt],
        );
        return;
      }
      case 'delivery':
        await insertDeliveries(connection, [rows.fromDelivery(record.row)]);
        return;
      case 'heartbeat':
        await connection.query(saveHeartbeats, columnsOf([record.heartbeat]));
        return;
      case 'rolloutMember':
        await connection.query('INSERT INTO rollout_member (rollout_uid, site, wave) VALUES ($1, $2, $3)', [
          record.rolloutUid,
          record.member.site,
          record.member.wave,
        ]);
        return;
      case 'blob':
        return blobs.put(connection, record.digest, record.bytes);
    }
  };
}
