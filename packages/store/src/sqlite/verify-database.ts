import { isStatusError } from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import { type AesGcmCipher, sealedBy } from '../aes-gcm-cipher.ts';
import type { StoreVerdict } from '../store.ts';
import { placeOfBlob } from './blob-table.ts';
import type { Db } from './db.ts';
import { type Row as DeliveryTableRow, placeOfLogs, toDelivery } from './delivery-table.ts';
import { newestVersion, schemaVersion } from './migrate.ts';
import { openState } from './object-log.ts';
import { type MaybeSealed, openText } from './sealed-text.ts';
import { readSetting } from './settings.ts';
import { type SiteRow, toSiteFacts } from './site-table.ts';

const maxProblems = 100;

/**
 * Reads everything at one moment: the file's own structure, every row and what it holds, and what rows say of each
 * other. Only reads, and keeps no writer waiting; for a large database takes seconds, so not on the event loop.
 */
export function verifyDatabase(db: Db, cipher: AesGcmCipher | undefined): StoreVerdict {
  const verification = new Verification(db, cipher);
  db.exec('BEGIN');
  try {
    verification.run();
  } finally {
    if (db.inTransaction) db.exec('ROLLBACK');
  }
  return verification.verdict();
}

class Verification {
  readonly #db: Db;
  readonly #cipher: AesGcmCipher | undefined;
  readonly #problems: string[] = [];
  readonly #counts: Record<string, number> = {};
  readonly #sealedBy: Record<string, number> = {};
  #revision = 0;
  #compacted = 0;

  constructor(db: Db, cipher: AesGcmCipher | undefined) {
    this.#db = db;
    this.#cipher = cipher;
  }

  run(): void {
    if (!this.#try('schema', () => this.#schema())) return;
    this.#try('file structure', () => this.#structure());
    this.#try('settings', () => this.#settings());
    this.#try('object states', () => this.#states());
    this.#try('object heads', () => this.#heads());
    this.#try('revisions', () => this.#revisions());
    this.#try('deliveries', () => this.#deliveries());
    this.#try('sites', () => this.#sites());
    this.#try('content', () => this.#blobs());
    for (const [name, table] of Object.entries({
      objects: 'object_head',
      siteKeys: 'site_key',
      heartbeats: 'heartbeat',
      rolloutMembers: 'rollout_member',
    })) {
      this.#try(name, () => {
        this.#counts[name] = this.#number(`SELECT count(*) AS n FROM ${table}`);
      });
    }
  }

  verdict(): StoreVerdict {
    return {
      revision: this.#revision,
      compactedRevision: this.#compacted,
      counts: this.#counts,
      sealedBy: this.#sealedBy,
      problems: this.#problems,
    };
  }

  #found(problem: string): void {
    if (this.#problems.length < maxProblems) this.#problems.push(problem);
  }

  /** What throws is a finding too; false then. */
  #try(what: string, check: () => void): boolean {
    try {
      check();
      return true;
    } catch (error) {
      if (!isStatusError(error) && !(error instanceof SyntaxError)) throw error;
      this.#found(`${what}: ${error instanceof SyntaxError ? 'is no JSON' : error.message}`);
      return false;
    }
  }

  #number(sql: string): number {
    return this.#db.get<{ n: number }>(sql)?.n ?? 0;
  }

  #schema(): void {
    const version = schemaVersion(this.#db);
    if (version !== newestVersion) {
      this.#found(
        `the schema has version ${version}, this program writes ${newestVersion}: start the hub once, or use its version`,
      );
    }
  }

  #structure(): void {
    for (const row of this.#db.all<{ integrity_check: string }>(`PRAGMA integrity_check(${maxProblems})`)) {
      if (row.integrity_check !== 'ok') this.#found(`file structure: ${row.integrity_check}`);
    }
  }

  #settings(): void {
    this.#revision = readSetting<number>(this.#db, 'revision') ?? 0;
    this.#compacted = readSetting<number>(this.#db, 'compacted') ?? 0;
    const purged = readSetting<number>(this.#db, 'deliveries_purged') ?? 0;
    if (!Number.isSafeInteger(this.#revision) || this.#revision < 1)
      this.#found('the newest revision is not known');
    if (this.#compacted > this.#revision)
      this.#found(`compacted up to ${this.#compacted}, beyond the newest revision`);
    if (purged > this.#revision)
      this.#found(`deliveries forgotten up to ${purged}, beyond the newest revision`);
    const check = readSetting<Uint8Array>(this.#db, 'key_check');
    if (check !== undefined && this.#cipher !== undefined) this.#cipher.open(check, 'key check');
  }

  #noteSeal(value: unknown): void {
    if (!(value instanceof Uint8Array)) return;
    const id = sealedBy(value);
    this.#sealedBy[id] = (this.#sealedBy[id] ?? 0) + 1;
  }

  #states(): void {
    let states = 0;
    for (const row of this.#db.iterate<{
      revision: number;
      resource: string;
      namespace: string;
      name: string;
      create_revision: number;
      prev_revision: number;
      deleted: number;
      body: MaybeSealed | null;
      checksum: number | null;
    }>('SELECT * FROM object_log ORDER BY revision')) {
      states += 1;
      const { revision, create_revision, prev_revision, deleted, body } = row;
      const what = `${row.resource} ${row.namespace === '' ? '' : `${row.namespace}/`}${row.name} at revision ${revision}`;
      const isNew = prev_revision === 0;
      if (create_revision > revision || prev_revision >= revision)
        this.#found(`${what}: its revisions are not in order`);
      if (deleted === 1 && (body !== null || isNew))
        this.#found(`${what}: a deletion with a state, or of nothing`);
      if (deleted === 1) continue;
      this.#try(what, () => {
        this.#noteSeal(body);
        JSON.parse(openState(this.#cipher, { ...row, key: row }));
      });
    }
    this.#counts['states'] = states;
  }

  /** Each living object's newest state, and nothing else, is its head; what compaction kept still hangs together. */
  #heads(): void {
    const names = `resource || ' ' || namespace || '/' || name`;
    const complaints: [string, string][] = [
      [
        `SELECT ${names} AS what FROM object_head h WHERE NOT EXISTS (SELECT 1 FROM object_log l
           WHERE l.revision = h.revision AND l.deleted = 0
             AND (l.resource, l.namespace, l.name) = (h.resource, h.namespace, h.name))`,
        'its newest state is missing',
      ],
      [
        `SELECT ${names} AS what FROM (
           SELECT resource, namespace, name, max(revision) AS newest, deleted FROM object_log GROUP BY 1, 2, 3
         ) l WHERE deleted = 0 AND NOT EXISTS (SELECT 1 FROM object_head h WHERE h.revision = l.newest
             AND (h.resource, h.namespace, h.name) = (l.resource, l.namespace, l.name))`,
        'the list of objects does not point to its newest state',
      ],
      [
        `SELECT l.resource || ' ' || l.namespace || '/' || l.name || ' at revision ' || l.revision AS what
         FROM object_log l LEFT JOIN object_log p ON p.revision = l.prev_revision
         WHERE l.prev_revision > 0 AND l.revision > ${this.#compacted} AND (p.revision IS NULL OR p.deleted = 1
           OR (p.resource, p.namespace, p.name, p.create_revision)
              <> (l.resource, l.namespace, l.name, l.create_revision))`,
        'the state before it is missing or is another object’s',
      ],
    ];
    for (const [sql, problem] of complaints) {
      for (const { what } of this.#db.all<{ what: string }>(`${sql} LIMIT ${maxProblems}`)) {
        this.#found(`${what}: ${problem}`);
      }
    }
  }

  #revisions(): void {
    for (const { revision } of this.#db.all<{ revision: number }>(
      `SELECT revision FROM object_log INTERSECT SELECT revision FROM delivery LIMIT ${maxProblems}`,
    )) {
      this.#found(`revision ${revision} was given out twice`);
    }
    const newest = this.#number(
      'SELECT max(coalesce((SELECT max(revision) FROM object_log), 0), coalesce((SELECT max(revision) FROM delivery), 0)) AS n',
    );
    if (newest > this.#revision) {
      this.#found(`a row has revision ${newest}, but the newest given out is ${this.#revision}`);
    }
  }

  #deliveries(): void {
    let deliveries = 0;
    const wanted = new Set<string>();
    for (const row of this.#db.iterate<DeliveryTableRow & { site_epoch: number | null }>(
      'SELECT d.*, s.epoch AS site_epoch FROM delivery d LEFT JOIN site_state s ON s.site = d.site ORDER BY d.id',
    )) {
      deliveries += 1;
      const name = JSON.stringify([row.site, row.namespace, row.application]);
      const what = `delivery of ${row.namespace}/${row.application} to ${row.site}`;
      if (!['Wanted', 'Removing', 'Removed'].includes(row.phase))
        this.#found(`${what}: unknown phase ${row.phase}`);
      if (row.site_epoch === null || row.epoch > row.site_epoch) {
        this.#found(`${what}: its epoch ${row.epoch} is not one of the site's (${row.site_epoch ?? 'none'})`);
      }
      if (row.create_revision > row.revision) this.#found(`${what}: its revisions are not in order`);
      if (row.phase === 'Wanted' && row.deleted === 0) {
        if (wanted.has(name)) this.#found(`${what}: wanted twice`);
        wanted.add(name);
      }
      this.#try(what, () => {
        this.#noteSeal(row.logs);
        toDelivery(row, this.#cipher);
        if (row.logs !== null) JSON.parse(openText(this.#cipher, row.logs, placeOfLogs(toPlace(row))));
      });
    }
    this.#counts['deliveries'] = deliveries;
  }

  #sites(): void {
    let sites = 0;
    for (const row of this.#db.iterate<SiteRow>('SELECT * FROM site_state')) {
      sites += 1;
      if (!(row.epoch >= 1)) this.#found(`site ${row.site}: epoch ${row.epoch}`);
      this.#try(`variables and policy of site ${row.site}`, () => {
        this.#noteSeal(row.variables);
        toSiteFacts(row, this.#cipher);
      });
    }
    this.#counts['sites'] = sites;
  }

  #blobs(): void {
    let blobs = 0;
    for (const { digest, sealed, bytes } of this.#db.iterate<{
      digest: string;
      sealed: number;
      bytes: Uint8Array;
    }>('SELECT digest, sealed, bytes FROM blob')) {
      blobs += 1;
      this.#try(`content ${digest}`, () => {
        if (sealed === 1) this.#noteSeal(bytes);
        const plain = sealed === 1 ? this.#cipher?.open(bytes, placeOfBlob(digest)) : bytes;
        if (plain === undefined) this.#found(`content ${digest}: is sealed, and no key was given`);
        else if (sha256Digest(plain) !== digest) this.#found(`content ${digest}: has other bytes`);
      });
    }
    this.#counts['blobs'] = blobs;
  }
}

const toPlace = (row: DeliveryTableRow) => ({
  site: row.site,
  namespace: row.namespace,
  application: row.application,
  applicationUid: row.application_uid,
});
