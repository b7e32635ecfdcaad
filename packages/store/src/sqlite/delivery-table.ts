import { StatusError } from '@selvedge/api';
import type { AesGcmCipher } from '../aes-gcm-cipher.ts';
import type { DeliveryFilter, DeliveryRow } from '../fleet-store.ts';
import type { Db, SqlValue } from './db.ts';
import { type MaybeSealed, openText, sealText } from './sealed-text.ts';
import { readSetting, writeSetting } from './settings.ts';

type Report = NonNullable<DeliveryRow['report']>;

export interface Row {
  readonly site: string;
  readonly namespace: string;
  readonly application: string;
  readonly application_uid: string;
  readonly phase: DeliveryRow['phase'];
  readonly release: string;
  readonly digest: string;
  readonly epoch: number;
  readonly assigned_at: string;
  readonly deadline_seconds: number;
  readonly terms: string;
  readonly removal: DeliveryRow['removal'];
  readonly rollout: string;
  readonly wave: string;
  readonly report: string | null;
  readonly logs: MaybeSealed | null;
  readonly revision: number;
  readonly create_revision: number;
  readonly deleted: number;
}

export type ApplicationName = {
  readonly site: string;
  readonly namespace: string;
  readonly application: string;
};

const byName = 'site = ? AND namespace = ? AND application = ?';

/** The SQL of delivery rows, and the sealing of the log lines in them. Knows nothing of transactions or listeners. */
export class DeliveryTable {
  readonly #db: Db;
  readonly #cipher: AesGcmCipher | undefined;

  constructor(db: Db, cipher?: AesGcmCipher) {
    this.#db = db;
    this.#cipher = cipher;
  }

  find(name: ApplicationName, applicationUid: string): DeliveryRow | undefined {
    const row = this.#db.get<Row>(`SELECT * FROM delivery WHERE ${byName} AND application_uid = ?`, [
      name.site,
      name.namespace,
      name.application,
      applicationUid,
    ]);
    return row && toDelivery(row, this.#cipher);
  }

  findWanted(name: ApplicationName): DeliveryRow | undefined {
    const row = this.#db.get<Row>(
      `SELECT * FROM delivery WHERE ${byName} AND phase = 'Wanted' AND deleted = 0`,
      [name.site, name.namespace, name.application],
    );
    return row && toDelivery(row, this.#cipher);
  }

  /** Rows of the site that are not deleted. */
  ofSite(site: string): DeliveryRow[] {
    return this.list({ site });
  }

  list(filter: DeliveryFilter): DeliveryRow[] {
    const { sinceRevision } = filter;
    const conditions: string[] = [];
    const values: SqlValue[] = [];
    const require = (sql: string, value: SqlValue | undefined) => {
      if (value === undefined) return;
      conditions.push(sql);
      values.push(value);
    };
    require('site = ?', filter.site);
    require('namespace = ?', filter.namespace);
    require('application = ?', filter.application);
    require('revision > ?', sinceRevision);
    if (sinceRevision === undefined) conditions.push('deleted = 0');
    else this.#requireKept(sinceRevision);
    const order = sinceRevision === undefined ? 'namespace, application, site, application_uid' : 'revision';
    return this.#db
      .all<Row>(`SELECT * FROM delivery WHERE ${conditions.join(' AND ')} ORDER BY ${order}`, values)
      .map((row) => toDelivery(row, this.#cipher));
  }

  save(row: DeliveryRow): void {
    const { logs, ...report } = row.report ?? {};
    this.#db.run(
      `INSERT INTO delivery (site, namespace, application, application_uid, phase, release, digest, epoch,
         assigned_at, deadline_seconds, terms, removal, rollout, wave, report, logs, revision, create_revision,
         deleted)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (site, namespace, application, application_uid) DO UPDATE SET
         phase = excluded.phase, release = excluded.release, digest = excluded.digest, epoch = excluded.epoch,
         assigned_at = excluded.assigned_at, deadline_seconds = excluded.deadline_seconds,
         terms = excluded.terms, removal = excluded.removal,
         rollout = excluded.rollout, wave = excluded.wave, report = excluded.report, logs = excluded.logs,
         revision = excluded.revision, create_revision = excluded.create_revision, deleted = excluded.deleted`,
      [
        row.site,
        row.namespace,
        row.application,
        row.applicationUid,
        row.phase,
        row.release,
        row.digest,
        row.epoch,
        row.assignedAt,
        row.deadlineSeconds,
        JSON.stringify(row.terms),
        row.removal,
        row.rollout,
        row.wave,
        row.report === undefined ? null : JSON.stringify(report),
        logs === undefined ? null : sealText(this.#cipher, JSON.stringify(logs), placeOfLogs(row)),
        row.revision,
        row.createRevision,
        row.deleted ? 1 : 0,
      ],
    );
  }

  /** Forgets deleted rows whose last change is not after `revision`, at most `limit`; returns how many. */
  purgeDeleted(revision: number, limit: number): number {
    const rows = this.#db.all<{ id: number; revision: number }>(
      'SELECT id, revision FROM delivery WHERE deleted = 1 AND revision <= ? ORDER BY revision LIMIT ?',
      [revision, limit],
    );
    const last = rows.at(-1);
    if (last === undefined) return 0;
    writeSetting(this.#db, 'deliveries_purged', last.revision);
    for (const row of rows) this.#db.run('DELETE FROM delivery WHERE id = ?', [row.id]);
    return rows.length;
  }

  #requireKept(revision: number): void {
    const purged = readSetting<number>(this.#db, 'deliveries_purged') ?? 1;
    if (revision < purged) {
      throw new StatusError(
        'Expired',
        `deliveries since revision ${revision} are no longer known (kept since ${purged}): list again`,
      );
    }
  }
}

/** Where sealed log lines belong. */
export function placeOfLogs(
  row: Pick<DeliveryRow, 'site' | 'namespace' | 'application' | 'applicationUid'>,
): string {
  return JSON.stringify(['logs', row.site, row.namespace, row.application, row.applicationUid]);
}

export function toDelivery(row: Row, cipher: AesGcmCipher | undefined): DeliveryRow {
  const delivery = withoutLogs(row);
  if (delivery.report === undefined || row.logs === null) return delivery;
  const logs = JSON.parse(openText(cipher, row.logs, placeOfLogs(delivery))) as string[];
  return { ...delivery, report: { ...delivery.report, logs } };
}

function withoutLogs(row: Row): DeliveryRow {
  return {
    site: row.site,
    namespace: row.namespace,
    application: row.application,
    applicationUid: row.application_uid,
    phase: row.phase,
    release: row.release,
    digest: row.digest,
    epoch: row.epoch,
    assignedAt: row.assigned_at,
    deadlineSeconds: row.deadline_seconds,
    terms: JSON.parse(row.terms) as DeliveryRow['terms'],
    removal: row.removal,
    rollout: row.rollout,
    wave: row.wave,
    ...(row.report === null ? {} : { report: JSON.parse(row.report) as Report }),
    revision: row.revision,
    createRevision: row.create_revision,
    deleted: row.deleted === 1,
  };
}
