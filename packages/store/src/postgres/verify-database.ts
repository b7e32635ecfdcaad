import { isStatusError } from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import { type AesGcmCipher, sealedBy } from '../aes-gcm-cipher.ts';
import type { StoreVerdict } from '../store.ts';
import { type BlobRecord, BlobTable } from './blob-table.ts';
import { Connection, type ConnectionOptions } from './connection.ts';
import { fetchAll } from './fetch-all.ts';
import { type DeliveryRecord, FleetRows, type SiteRecord } from './fleet-rows.ts';
import { ObjectLog, type StateRow, stateColumns } from './object-log.ts';
import { postgresError } from './postgres-error.ts';
import { readSetting } from './settings-table.ts';

const maxProblems = 100;

/** Reads everything as it is at one instant, in a session of its own. */
export async function verifyDatabase(
  connectionOptions: ConnectionOptions,
  { cipher, signal }: { cipher: AesGcmCipher | undefined; signal: AbortSignal },
): Promise<StoreVerdict> {
  let connection: Connection | undefined;
  try {
    connection = await Connection.open({
      ...connectionOptions,
      session: ['idle_in_transaction_session_timeout=0'],
    });
    await connection.exec('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const verification = new Verification(connection, cipher, signal);
    await verification.run();
    return verification.verdict();
  } catch (error) {
    throw postgresError(error);
  } finally {
    await connection?.close();
  }
}

interface StateToVerify extends StateRow {
  readonly deleted: boolean;
  readonly head: number | null;
  readonly before: number | null;
}

class Verification {
  readonly #connection: Connection;
  readonly #cipher: AesGcmCipher | undefined;
  readonly #signal: AbortSignal;
  readonly #problems: string[] = [];
  readonly #counts: Record<string, number> = {};
  readonly #sealedBy: Record<string, number> = {};
  #revision = 0;
  #compacted = 0;

  constructor(connection: Connection, cipher: AesGcmCipher | undefined, signal: AbortSignal) {
    this.#connection = connection;
    this.#cipher = cipher;
    this.#signal = signal;
  }

  async run(): Promise<void> {
    await this.#sequence();
    await this.#states();
    await this.#heads();
    await this.#sites();
    await this.#deliveries();
    await this.#blobs();
    for (const [name, table] of Object.entries({
      objects: 'object_head',
      siteKeys: 'site_key',
      heartbeats: 'heartbeat',
      rolloutMembers: 'rollout_member',
    })) {
      this.#counts[name] = await this.#number(`SELECT count(*) AS n FROM ${table}`);
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

  /** What throws is a finding. */
  #try(what: string, check: () => void): void {
    try {
      check();
    } catch (error) {
      if (!isStatusError(error) && !(error instanceof SyntaxError)) throw error;
      this.#found(`${what}: ${error instanceof SyntaxError ? 'is no JSON' : error.message}`);
    }
  }

  async #number(sql: string): Promise<number> {
    const [row] = await this.#connection.query<{ n: number | null }>(sql);
    return row?.n ?? 0;
  }

  async #sequence(): Promise<void> {
    this.#revision = await this.#number('SELECT revision AS n FROM commit_log ORDER BY id DESC LIMIT 1');
    this.#compacted = Number(await readSetting(this.#connection, 'compacted'));
    const purged = Number(await readSetting(this.#connection, 'deliveries_purged'));
    if (this.#compacted > this.#revision)
      this.#found(`compacted up to ${this.#compacted}, beyond the newest revision`);
    if (purged > this.#revision)
      this.#found(`deliveries forgotten up to ${purged}, beyond the newest revision`);
    const holes = await this.#number('SELECT max(id) - min(id) + 1 - count(*) AS n FROM commit_log');
    if (holes > 0) this.#found(`${holes} commits are missing in the log`);
    const unordered = await this.#number(
      `SELECT count(*) AS n FROM commit_log a JOIN commit_log b ON b.id = a.id + 1 WHERE b.revision < a.revision`,
    );
    if (unordered > 0) this.#found('revisions of the commits go back');
    const newest = await this.#number(
      `SELECT greatest((SELECT max(revision) FROM object_log), (SELECT max(revision) FROM delivery)) AS n`,
    );
    if (newest > this.#revision)
      this.#found(`a row has revision ${newest}, the newest one is ${this.#revision}`);
    const check = await readSetting(this.#connection, 'key_check');
    const cipher = this.#cipher;
    if (check === undefined || cipher === undefined) return;
    this.#try('key', () => cipher.open(Buffer.from(check, 'base64'), 'key check'));
  }

  #noteSeal(bytes: Uint8Array): void {
    const id = sealedBy(bytes);
    this.#sealedBy[id] = (this.#sealedBy[id] ?? 0) + 1;
  }

  async #states(): Promise<void> {
    const log = new ObjectLog(this.#cipher && { cipher: this.#cipher, sensitiveResources: new Set() });
    let states = 0;
    for await (const row of fetchAll<StateToVerify>(
      this.#connection,
      `SELECT ${stateColumns}, l.deleted, h.revision AS head, p.revision AS before
       FROM object_log l LEFT JOIN object_head h USING (resource, namespace, name)
       LEFT JOIN object_log p ON p.revision = l.prev_revision ORDER BY l.revision`,
    )) {
      if (this.#signal.aborted) return;
      states += 1;
      const what = `${row.resource} ${row.namespace === '' ? '' : `${row.namespace}/`}${row.name} at revision ${row.revision}`;
      this.#try(what, () => {
        if (row.sealed !== null) this.#noteSeal(row.sealed);
        if (row.prev_revision >= row.revision || row.create_revision > row.revision) {
          this.#found(`${what}: its revisions are not in order`);
        }
        if (row.revision > this.#compacted && row.prev_revision !== 0 && row.before === null) {
          this.#found(`${what}: the state before it, ${row.prev_revision}, is missing`);
        }
        if (!row.deleted) JSON.parse(log.toObject(row).body);
      });
      const isNewest = row.head === row.revision;
      if (row.revision <= this.#compacted && row.deleted) this.#found(`${what}: was to be forgotten`);
      if (row.head !== null && row.revision > row.head && !isNewest) {
        this.#found(`${what}: is newer than what the object is said to be`);
      }
    }
    this.#counts['states'] = states;
  }

  async #heads(): Promise<void> {
    const lost = await this.#number(
      `SELECT count(*) AS n FROM object_head h LEFT JOIN object_log l ON l.revision = h.revision
         AND l.resource = h.resource AND l.namespace = h.namespace AND l.name = h.name AND NOT l.deleted
         AND l.create_revision = h.create_revision
       WHERE l.revision IS NULL`,
    );
    if (lost > 0) this.#found(`the newest state of ${lost} objects is missing`);
  }

  async #sites(): Promise<void> {
    const rows = new FleetRows(this.#cipher);
    let sites = 0;
    for await (const row of fetchAll<SiteRecord>(
      this.#connection,
      'SELECT * FROM site_state ORDER BY site',
    )) {
      if (this.#signal.aborted) return;
      sites += 1;
      this.#try(`variables and policy of site ${row.site}`, () => {
        if (rows.isSealed(row.variables)) this.#noteSeal(row.variables);
        rows.toSite(row);
      });
    }
    this.#counts['sites'] = sites;
  }

  async #deliveries(): Promise<void> {
    const rows = new FleetRows(this.#cipher);
    let deliveries = 0;
    for await (const row of fetchAll<DeliveryRecord & { site_epoch: number | null }>(
      this.#connection,
      `SELECT d.*, s.epoch AS site_epoch FROM delivery d LEFT JOIN site_state s USING (site) ORDER BY d.revision`,
    )) {
      if (this.#signal.aborted) return;
      deliveries += 1;
      const what = `delivery of ${row.namespace}/${row.application} at site ${row.site}`;
      this.#try(what, () => {
        if (row.report_logs !== null && rows.isSealed(row.report_logs)) this.#noteSeal(row.report_logs);
        rows.toDelivery(row);
      });
      if (row.epoch > (row.site_epoch ?? 0)) this.#found(`${what}: is of a later epoch than its site`);
    }
    this.#counts['deliveries'] = deliveries;
  }

  async #blobs(): Promise<void> {
    const blobs = new BlobTable(this.#cipher);
    let count = 0;
    const sql = 'SELECT digest, is_sealed, bytes FROM blob ORDER BY digest';
    for await (const row of fetchAll<BlobRecord>(this.#connection, sql, 4)) {
      if (this.#signal.aborted) return;
      count += 1;
      this.#try(`content ${row.digest}`, () => {
        if (row.is_sealed) this.#noteSeal(row.bytes);
        if (sha256Digest(blobs.open(row)) !== row.digest)
          this.#found(`content ${row.digest} has other bytes`);
      });
    }
    this.#counts['blobs'] = count;
  }
}
