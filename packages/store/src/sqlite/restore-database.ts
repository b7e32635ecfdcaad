import { StatusError } from '@selvedge/api';
import type { AesGcmCipher } from '../aes-gcm-cipher.ts';
import { type ContentRecord, readDump } from '../read-dump.ts';
import type { StoreRecord } from '../store-record.ts';
import { BlobTable } from './blob-table.ts';
import type { Db } from './db.ts';
import { DeliveryTable } from './delivery-table.ts';
import { writeHeartbeat } from './heartbeat-batch.ts';
import { ObjectLog, type Sealing } from './object-log.ts';
import { readSetting, writeSetting } from './settings.ts';
import { SiteTable } from './site-table.ts';

/**
 * Fills an empty database in one transaction of its own; see `Store.restore`. Nothing else may use the connection
 * meanwhile: it would see half of it.
 */
export async function restoreDatabase(
  db: Db,
  records: AsyncIterable<StoreRecord>,
  options: { readonly revisionGap: number; readonly sealing: Sealing | undefined },
): Promise<void> {
  const put = writer(db, options.sealing);
  db.exec('BEGIN IMMEDIATE');
  try {
    requireEmpty(db);
    const revision = (await readDump(records, put)) + options.revisionGap;
    for (const name of ['revision', 'compacted', 'deliveries_purged']) writeSetting(db, name, revision);
    db.exec('COMMIT');
  } catch (error) {
    if (db.inTransaction) db.exec('ROLLBACK');
    throw error;
  }
}

function writer(db: Db, sealing: Sealing | undefined): (record: ContentRecord) => void {
  const cipher: AesGcmCipher | undefined = sealing?.cipher;
  const log = new ObjectLog(db, sealing);
  const sites = new SiteTable(db, cipher);
  const deliveries = new DeliveryTable(db, cipher);
  const blobs = new BlobTable(db, cipher);
  return (record) => {
    switch (record.type) {
      case 'object':
        return log.put(record.object);
      case 'site':
        sites.setEpoch(record.site, record.epoch);
        return sites.setSettings(record.site, record);
      case 'siteKey':
        return sites.setKey(record.key);
      case 'delivery':
        return deliveries.save(record.row);
      case 'heartbeat':
        return writeHeartbeat(db, record.heartbeat);
      case 'rolloutMember': {
        const { rolloutUid, member } = record;
        db.run('INSERT INTO rollout_member (rollout_uid, site, wave) VALUES (?, ?, ?)', [
          rolloutUid,
          member.site,
          member.wave,
        ]);
        return;
      }
      case 'blob':
        return blobs.put(record.digest, record.bytes);
    }
  };
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

function requireEmpty(db: Db): void {
  const isUsed =
    readSetting<number>(db, 'revision') !== 1 ||
    contentTables.some((table) => db.get(`SELECT 1 FROM ${table} LIMIT 1`) !== undefined);
  if (isUsed) {
    throw new StatusError(
      'Conflict',
      'a backup is restored into an empty store only, this one holds something',
    );
  }
}
