import type { AesGcmCipher } from '../aes-gcm-cipher.ts';
import type { SiteKey } from '../fleet-store.ts';
import type { StoreRecord } from '../store-record.ts';
import { type BlobRecord, BlobTable } from './blob-table.ts';
import { Connection, type ConnectionOptions } from './connection.ts';
import { fetchAll } from './fetch-all.ts';
import { type DeliveryRecord, FleetRows, type SiteRecord } from './fleet-rows.ts';
import { siteKeyColumns } from './fleet-tables.ts';
import { type HeartbeatRecord, toHeartbeat } from './heartbeat-batch.ts';
import { type ObjectLog, type StateRow, stateColumns } from './object-log.ts';
import { postgresError } from './postgres-error.ts';

export interface DumpOptions {
  readonly cipher: AesGcmCipher | undefined;
  readonly log: ObjectLog;
  readonly signal: AbortSignal;
}

const blobsPerFetch = 4;

/** Everything as it is at one instant, opened, in a session of its own. Ends early when the signal fires. */
export async function* dumpDatabase(
  connectionOptions: ConnectionOptions,
  options: DumpOptions,
): AsyncGenerator<StoreRecord> {
  let connection: Connection | undefined;
  try {
    connection = await Connection.open({
      ...connectionOptions,
      // Whoever takes the dump may be slow.
      session: ['idle_in_transaction_session_timeout=0'],
    });
    await connection.exec('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    let records = 0;
    for await (const record of contents(connection, options)) {
      if (options.signal.aborted) return;
      records += 1;
      yield record;
    }
    yield { type: 'end', records };
  } catch (error) {
    throw postgresError(error);
  } finally {
    await connection?.close();
  }
}

async function* contents(connection: Connection, { cipher, log }: DumpOptions): AsyncGenerator<StoreRecord> {
  const rows = new FleetRows(cipher);
  const blobs = new BlobTable(cipher);
  const [newest] = await connection.query<{ revision: number }>(
    'SELECT revision FROM commit_log ORDER BY id DESC LIMIT 1',
  );
  yield { type: 'head', formatVersion: 1, revision: newest?.revision ?? 1 };
  for await (const row of fetchAll<StateRow>(
    connection,
    `SELECT ${stateColumns} FROM object_head h JOIN object_log l ON l.revision = h.revision
     ORDER BY h.resource, h.namespace, h.name`,
  )) {
    yield { type: 'object', object: log.toObject(row) };
  }
  for await (const row of fetchAll<SiteRecord>(connection, 'SELECT * FROM site_state ORDER BY site')) {
    yield { type: 'site', site: row.site, ...rows.toSite(row) };
  }
  for await (const key of fetchAll<SiteKey>(
    connection,
    `SELECT ${siteKeyColumns} FROM site_key ORDER BY site`,
  )) {
    yield { type: 'siteKey', key };
  }
  for await (const row of fetchAll<DeliveryRecord>(
    connection,
    'SELECT * FROM delivery WHERE NOT deleted ORDER BY revision',
  )) {
    yield { type: 'delivery', row: rows.toDelivery(row) };
  }
  for await (const row of fetchAll<HeartbeatRecord>(connection, 'SELECT * FROM heartbeat ORDER BY site')) {
    yield { type: 'heartbeat', heartbeat: toHeartbeat(row) };
  }
  for await (const { rolloutUid, site, wave } of fetchAll<{ rolloutUid: string; site: string; wave: string }>(
    connection,
    'SELECT rollout_uid AS "rolloutUid", site, wave FROM rollout_member ORDER BY id',
  )) {
    yield { type: 'rolloutMember', rolloutUid, member: { site, wave } };
  }
  for await (const row of fetchAll<BlobRecord>(
    connection,
    'SELECT digest, is_sealed, bytes FROM blob ORDER BY digest',
    blobsPerFetch,
  )) {
    yield { type: 'blob', digest: row.digest, bytes: blobs.open(row) };
  }
}
