import type { AesGcmCipher } from '../aes-gcm-cipher.ts';
import type { Heartbeat, RolloutMember, SiteKey } from '../fleet-store.ts';
import type { StoreRecord } from '../store-record.ts';
import type { Db } from './db.ts';
import { BlobTable } from './blob-table.ts';
import { type Row as DeliveryTableRow, toDelivery } from './delivery-table.ts';
import { openState } from './object-log.ts';
import type { MaybeSealed } from './sealed-text.ts';
import { readSetting } from './settings.ts';
import { type SiteRow, toSiteFacts } from './site-table.ts';

interface ObjectRow {
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  readonly revision: number;
  readonly createRevision: number;
  readonly body: MaybeSealed;
  readonly checksum: number | null;
}

/** Everything that a database holds now, opened. Give it a connection that nobody writes through meanwhile. */
export function* dumpDatabase(db: Db, cipher: AesGcmCipher | undefined): Generator<StoreRecord> {
  let records = 0;
  for (const record of contents(db, cipher)) {
    records += 1;
    yield record;
  }
  yield { type: 'end', records };
}

function* contents(db: Db, cipher: AesGcmCipher | undefined): Generator<StoreRecord> {
  yield { type: 'head', formatVersion: 1, revision: readSetting<number>(db, 'revision') ?? 1 };
  for (const row of db.iterate<ObjectRow>(
    `SELECT l.resource, l.namespace, l.name, l.revision, l.create_revision AS createRevision, l.body, l.checksum
     FROM object_head h CROSS JOIN object_log l ON l.revision = h.revision
     ORDER BY h.resource, h.namespace, h.name`,
  )) {
    const { resource, namespace, name, revision, createRevision } = row;
    const key = { resource, namespace, name };
    const body = openState(cipher, { key, revision, body: row.body, checksum: row.checksum });
    yield { type: 'object', object: { key, body, revision, createRevision } };
  }
  for (const row of db.iterate<SiteRow>('SELECT * FROM site_state ORDER BY site')) {
    yield { type: 'site', site: row.site, ...toSiteFacts(row, cipher) };
  }
  for (const row of db.iterate<SiteKey>(
    `SELECT site, site_uid AS siteUid, public_key AS publicKey, fingerprint, token_uid AS tokenUid,
       enrolled_at AS enrolledAt FROM site_key ORDER BY site`,
  )) {
    yield { type: 'siteKey', key: { ...row } };
  }
  for (const row of db.iterate<DeliveryTableRow>('SELECT * FROM delivery WHERE deleted = 0 ORDER BY id')) {
    yield { type: 'delivery', row: toDelivery(row, cipher) };
  }
  for (const { observedAt, ...heartbeat } of db.iterate<
    Omit<Heartbeat, 'observedAt'> & { observedAt: string | null }
  >(
    `SELECT site, last_seen_at AS lastSeenAt, agent_epoch AS agentEpoch, agent_state_digest AS agentStateDigest,
       observed_at AS observedAt FROM heartbeat ORDER BY site`,
  )) {
    yield { type: 'heartbeat', heartbeat: { ...heartbeat, ...(observedAt === null ? {} : { observedAt }) } };
  }
  for (const { rolloutUid, site, wave } of db.iterate<RolloutMember & { rolloutUid: string }>(
    'SELECT rollout_uid AS rolloutUid, site, wave FROM rollout_member ORDER BY id',
  )) {
    yield { type: 'rolloutMember', rolloutUid, member: { site, wave } };
  }
  const blobs = new BlobTable(db, cipher);
  for (const digest of blobs.digests()) {
    // A copy: what is sent to another thread must not share a pool with other bytes.
    const bytes = new Uint8Array(blobs.find(digest) ?? []);
    yield { type: 'blob', digest, bytes };
  }
}
