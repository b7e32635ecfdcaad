import { StatusError } from '@selvedge/api';
import type { AesGcmCipher } from '../aes-gcm-cipher.ts';
import { type ContentRecord, readDump } from '../read-dump.ts';
import type { StoreRecord } from '../store-record.ts';
import { BlobTable } from './blob-table.ts';
import { changesChannel } from './changes-channel.ts';
import { Connection, type ConnectionOptions } from './connection.ts';
import { FleetRows } from './fleet-rows.ts';
import { insertDeliveries } from './fleet-tables.ts';
import { columnsOf, saveHeartbeats } from './heartbeat-batch.ts';
import type { ObjectLog } from './object-log.ts';
import { isOfDatabase, postgresError } from './postgres-error.ts';
import { writeSetting } from './settings-table.ts';
import { inTurn } from './transaction.ts';

export interface RestoreOptions {
  readonly revisionGap: number;
  readonly log: ObjectLog;
  readonly cipher: AesGcmCipher | undefined;
}

const contentTables = [
  'object_log',
  'delivery',
  'site_state',
  'site_key',
  'heartbeat',
  'rollout_member',
  'blob',
];

/** Fills an empty database in one transaction; see `Store.restore`. Every hub's writes wait meanwhile. */
export async function restoreDatabase(
  connectionOptions: ConnectionOptions,
  records: AsyncIterable<StoreRecord>,
  options: RestoreOptions,
): Promise<void> {
  let connection: Connection | undefined;
  try {
    connection = await Connection.open({
      ...connectionOptions,
      // The dump may come slowly.
      session: ['idle_in_transaction_session_timeout=0'],
    });
    const session = connection;
    await inTurn(session, 'commit', async () => {
      const lastId = await requireEmpty(session);
      const put = writer(session, options);
      const revision = (await readDump(records, put)) + options.revisionGap;
      for (const name of ['compacted', 'deliveries_purged'])
        await writeSetting(session, name, String(revision));
      await session.query('INSERT INTO commit_log (id, revision, writer, batch) VALUES ($1, $2, 0, 0)', [
        lastId + 1,
        revision,
      ]);
      await session.query(`SELECT pg_notify('${changesChannel}', $1)`, [`${lastId + 1} 0`]);
    });
  } catch (error) {
    // What the dump's source throws is the caller's own.
    throw isOfDatabase(error) ? postgresError(error) : error;
  } finally {
    await connection?.close();
  }
}

async function requireEmpty(connection: Connection): Promise<number> {
  const [newest] = await connection.query<{ id: number; revision: number }>(
    'SELECT id, revision FROM commit_log ORDER BY id DESC LIMIT 1',
  );
  const used = contentTables.map((table) => `EXISTS (SELECT FROM ${table})`).join(' OR ');
  const [row] = await connection.query<{ used: boolean }>(`SELECT ${used} AS used`);
  if (newest?.revision !== 1 || row?.used !== false) {
    throw new StatusError(
      'Conflict',
      'a backup is restored into an empty store only, this one holds something',
    );
  }
  return newest.id;
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
      case 'site':
        await connection.query(
          'INSERT INTO site_state (site, epoch, commit_id, variables) VALUES ($1, $2, 1, $3)',
          [record.site, record.epoch, rows.fromVariables(record.site, record.variables)],
        );
        return;
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
