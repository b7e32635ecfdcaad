import type { DeliveryFilter, DeliveryRow, SiteKey } from '../fleet-store.ts';
import type { Connection, SqlValue } from './connection.ts';
import type { DeliveryRecord, FleetRows, SiteFacts, SiteRecord } from './fleet-rows.ts';
import type { FleetNeeds, FleetScope, LoadedFleet } from './fleet-scope.ts';

export const siteKeyColumns = `site, site_uid AS "siteUid", public_key AS "publicKey", fingerprint, token_uid AS "tokenUid",
  enrolled_at AS "enrolledAt"`;

/** The SQL of what is kept per site, and per site and application. */
export class FleetTables {
  readonly #rows: FleetRows;

  constructor(rows: FleetRows) {
    this.#rows = rows;
  }

  async findSite(connection: Connection, site: string): Promise<SiteFacts | undefined> {
    const sql = 'SELECT * FROM site_state WHERE site = $1';
    const [row] = await connection.query<SiteRecord>(sql, [site]);
    return row && this.#rows.toSite(row);
  }

  async epochs(connection: Connection): Promise<Map<string, number>> {
    const rows = await connection.query<Pick<SiteRecord, 'site' | 'epoch'>>(
      'SELECT site, epoch FROM site_state',
    );
    return new Map(rows.map((row) => [row.site, row.epoch]));
  }

  async findKey(connection: Connection, site: string): Promise<SiteKey | undefined> {
    const [key] = await connection.query<SiteKey>(`SELECT ${siteKeyColumns} FROM site_key WHERE site = $1`, [
      site,
    ]);
    return key;
  }

  async list(connection: Connection, filter: DeliveryFilter): Promise<DeliveryRow[]> {
    const { sinceRevision } = filter;
    const conditions: string[] = [];
    const values: SqlValue[] = [];
    const require = (sql: string, value: SqlValue | undefined) => {
      if (value === undefined) return;
      values.push(value);
      conditions.push(`${sql} $${values.length}`);
    };
    require('site =', filter.site);
    require('namespace =', filter.namespace);
    require('application =', filter.application);
    require('revision >', sinceRevision);
    if (sinceRevision === undefined) conditions.push('NOT deleted');
    const order = sinceRevision === undefined ? 'namespace, application, site, application_uid' : 'revision';
    const rows = await connection.query<DeliveryRecord>(
      `SELECT * FROM delivery WHERE ${conditions.join(' AND ')} ORDER BY ${order}`,
      values,
    );
    return rows.map((row) => this.#rows.toDelivery(row));
  }

  /** Rows whose last change is in (after, upTo], in order. */
  async changedBetween(connection: Connection, after: number, upTo: number): Promise<DeliveryRow[]> {
    const rows = await connection.query<DeliveryRecord>(
      'SELECT * FROM delivery WHERE revision > $1 AND revision <= $2 ORDER BY revision',
      [after, upTo],
    );
    return rows.map((row) => this.#rows.toDelivery(row));
  }

  /** Sites whose epoch grew last in a commit of (after, upTo], in order. */
  raisedBetween(
    connection: Connection,
    after: number,
    upTo: number,
  ): Promise<{ site: string; epoch: number; commit_id: number }[]> {
    return connection.query(
      `SELECT site, epoch, commit_id FROM site_state WHERE commit_id > $1 AND commit_id <= $2
       ORDER BY commit_id, site`,
      [after, upTo],
    );
  }

  /** What several writes need, at once. */
  async load(connection: Connection, needs: readonly FleetNeeds[]): Promise<Omit<LoadedFleet, 'revision'>> {
    const sites = [...new Set(needs.flatMap((need) => need.sites ?? []))];
    const rowsOfSites = [...new Set(needs.flatMap((need) => need.rowsOfSites ?? []))];
    const names = needs.flatMap((need) => need.applications ?? []);
    const [siteRecords, keys, ofSites, ofNames] = await Promise.all([
      connection.query<SiteRecord>('SELECT * FROM site_state WHERE site = ANY ($1)', [sites]),
      connection.query<SiteKey>(`SELECT ${siteKeyColumns} FROM site_key WHERE site = ANY ($1)`, [sites]),
      connection.query<DeliveryRecord>('SELECT * FROM delivery WHERE site = ANY ($1)', [rowsOfSites]),
      connection.query<DeliveryRecord>(
        `SELECT d.* FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::text[], $3::text[]) AS u (s, n, a)) w
         JOIN delivery d ON d.site = w.s AND d.namespace = w.n AND d.application = w.a`,
        [names.map((n) => n.site), names.map((n) => n.namespace), names.map((n) => n.application)],
      ),
    ]);
    return {
      sites: new Map(siteRecords.map((row) => [row.site, this.#rows.toSite(row)])),
      keys: new Map(keys.map((key) => [key.site, key])),
      rows: [...ofSites, ...ofNames].map((row) => this.#rows.toDelivery(row)),
    };
  }

  /** Writes back what changed; all statements are sent at once. */
  save(connection: Connection, scope: FleetScope, commitId: number): Promise<unknown>[] {
    return [
      ...this.#saveSites(connection, scope, commitId),
      ...saveKeys(connection, scope),
      ...this.#saveRows(connection, scope),
      ...(scope.forgottenSites.size === 0
        ? []
        : [connection.query('DELETE FROM heartbeat WHERE site = ANY ($1)', [[...scope.forgottenSites]])]),
    ];
  }

  #saveSites(connection: Connection, scope: FleetScope, commitId: number): Promise<unknown>[] {
    const sites = [...scope.savedSites].map(([site, facts]) => this.#rows.fromSite(site, facts));
    if (sites.length === 0) return [];
    return [
      connection.query(
        `INSERT INTO site_state (site, epoch, commit_id, variables, policy)
         SELECT s.site, s.epoch, $1, s.variables, s.policy
         FROM unnest($2::text[], $3::bigint[], $4::bytea[], $5::text[]) AS s (site, epoch, variables, policy)
         ON CONFLICT (site) DO UPDATE SET epoch = excluded.epoch, commit_id = excluded.commit_id,
           variables = excluded.variables, policy = excluded.policy`,
        [
          commitId,
          sites.map((row) => row.site),
          sites.map((row) => row.epoch),
          sites.map((row) => row.variables),
          sites.map((row) => row.policy),
        ],
      ),
    ];
  }

  #saveRows(connection: Connection, scope: FleetScope): Promise<unknown>[] {
    const rows = [...scope.savedRows.values()].map((row) => this.#rows.fromDelivery(row));
    return rows.length === 0 ? [] : [insertDeliveries(connection, rows)];
  }
}

/** New rows, or new states of those that are there. */
export function insertDeliveries(connection: Connection, rows: readonly DeliveryRecord[]): Promise<unknown> {
  const columns = deliveryColumns.map(([name]) => name);
  return connection.query(
    insertDeliveriesSql,
    columns.map((name) => rows.map((row) => row[name])),
  );
}

const deliveryColumns: readonly (readonly [name: keyof DeliveryRecord, type: string])[] = [
  ['site', 'text'],
  ['namespace', 'text'],
  ['application', 'text'],
  ['application_uid', 'text'],
  ['phase', 'text'],
  ['release', 'text'],
  ['digest', 'text'],
  ['epoch', 'bigint'],
  ['assigned_at', 'text'],
  ['deadline_seconds', 'float8'],
  ['terms', 'text'],
  ['removal', 'text'],
  ['rollout', 'text'],
  ['wave', 'text'],
  ['report', 'text'],
  ['report_logs', 'bytea'],
  ['revision', 'bigint'],
  ['create_revision', 'bigint'],
  ['deleted', 'boolean'],
];

const deliveryKey = ['site', 'namespace', 'application', 'application_uid'];

const insertDeliveriesSql = `
  INSERT INTO delivery (${deliveryColumns.map(([name]) => name).join(', ')})
  SELECT * FROM unnest(${deliveryColumns.map(([, type], i) => `$${i + 1}::${type}[]`).join(', ')})
  ON CONFLICT (${deliveryKey.join(', ')}) DO UPDATE SET
  ${deliveryColumns
    .filter(([name]) => !deliveryKey.includes(name))
    .map(([name]) => `${name} = excluded.${name}`)
    .join(', ')}`;

function saveKeys(connection: Connection, scope: FleetScope): Promise<unknown>[] {
  const removed = [...scope.savedKeys].flatMap(([site, key]) => (key === null ? [site] : []));
  const keys = [...scope.savedKeys.values()].filter((key) => key !== null);
  const queries: Promise<unknown>[] = [];
  if (removed.length > 0) {
    queries.push(connection.query('DELETE FROM site_key WHERE site = ANY ($1)', [removed]));
  }
  if (keys.length > 0) {
    queries.push(
      connection.query(
        `INSERT INTO site_key (site, site_uid, public_key, fingerprint, token_uid, enrolled_at)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
         ON CONFLICT (site) DO UPDATE SET site_uid = excluded.site_uid, public_key = excluded.public_key,
           fingerprint = excluded.fingerprint, token_uid = excluded.token_uid, enrolled_at = excluded.enrolled_at`,
        [
          keys.map((key) => key.site),
          keys.map((key) => key.siteUid),
          keys.map((key) => key.publicKey),
          keys.map((key) => key.fingerprint),
          keys.map((key) => key.tokenUid),
          keys.map((key) => key.enrolledAt),
        ],
      ),
    );
  }
  return queries;
}
