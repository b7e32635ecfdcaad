import { StatusError } from '@selvedge/api';
import type { AesGcmCipher } from '../aes-gcm-cipher.ts';
import type { ListQuery, ListResult, ObjectKey, StoredObject, StoreEvent } from '../object-store.ts';
import type { EventRange } from '../watch-fan-out.ts';
import type { Connection, SqlValue } from './connection.ts';
import { inSnapshot } from './snapshot.ts';

export interface Sealing {
  readonly cipher: AesGcmCipher;
  readonly sensitiveResources: ReadonlySet<string>;
}

export interface StateRow {
  readonly revision: number;
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  readonly create_revision: number;
  readonly prev_revision: number;
  readonly body: string | null;
  readonly sealed: Buffer | null;
}

interface EventRow extends StateRow {
  readonly deleted: boolean;
  readonly before_revision: number | null;
  readonly before_prev_revision: number;
  readonly before_body: string | null;
  readonly before_sealed: Buffer | null;
}

export type ObjectChange = StoreEvent & { type: 'put' | 'delete' };

export const stateColumns =
  'l.revision, l.resource, l.namespace, l.name, l.create_revision, l.prev_revision, l.body, l.sealed';
const eventColumns = `${stateColumns}, l.deleted, p.revision AS before_revision, p.prev_revision AS before_prev_revision,
  p.body AS before_body, p.sealed AS before_sealed`;
const eventSource = 'object_log l LEFT JOIN object_log p ON p.revision = l.prev_revision';
const marks = `SELECT (SELECT revision FROM commit_log ORDER BY id DESC LIMIT 1) AS revision,
  (SELECT value FROM setting WHERE name = 'compacted')::bigint AS compacted`;

/** The SQL of the object tables, and the sealing of what they hold. */
export class ObjectLog {
  readonly #sealing: Sealing | undefined;

  constructor(sealing?: Sealing) {
    this.#sealing = sealing;
  }

  async find(connection: Connection, key: ObjectKey): Promise<StoredObject | undefined> {
    const [row] = await connection.query<StateRow>(
      `SELECT ${stateColumns} FROM object_head h JOIN object_log l ON l.revision = h.revision
       WHERE h.resource = $1 AND h.namespace = $2 AND h.name = $3`,
      [key.resource, key.namespace, key.name],
    );
    return row && this.toObject(row);
  }

  /** One snapshot of the database, so objects, revision and count fit together. */
  async list(connection: Connection, query: ListQuery): Promise<ListResult> {
    const { sql, values } =
      query.atRevision === undefined ? livingNow(query) : livingAt(query, query.atRevision);
    const limit = query.limit === undefined ? '' : `LIMIT $${values.length + 1}`;
    const [found, rows, counted] = await inSnapshot(connection, () => [
      connection.query<{ revision: number; compacted: number }>(marks),
      connection.query<StateRow>(
        `SELECT ${stateColumns} FROM (${sql} ORDER BY namespace, name ${limit}) k
         JOIN object_log l ON l.revision = k.revision ORDER BY k.namespace, k.name`,
        query.limit === undefined ? values : [...values, query.limit],
      ),
      query.limit === undefined
        ? Promise.resolve([])
        : connection.query<{ n: number }>(`SELECT count(*) AS n FROM (${sql}) k`, values),
    ]);
    const now = found[0]?.revision ?? 1;
    const revision = query.atRevision ?? now;
    requireKept(revision, { compacted: found[0]?.compacted ?? 1, current: now });
    const objects = rows.map((row) => this.toObject(row));
    return { objects, revision, remaining: Math.max(0, (counted[0]?.n ?? 0) - objects.length) };
  }

  /** Events of one watch; throws `Expired` when some of them are forgotten. */
  async eventsBetween(
    connection: Connection,
    scope: { resource: string; namespace?: string },
    range: EventRange,
  ): Promise<ObjectChange[]> {
    const values: SqlValue[] = [scope.resource, range.after, range.upTo, range.limit];
    const inNamespace = scope.namespace === undefined ? '' : 'AND l.namespace = $5';
    // The mark is read behind the events: what it still allows was there when they were read.
    const [rows, found] = await Promise.all([
      connection.query<EventRow>(
        `SELECT ${eventColumns} FROM ${eventSource}
         WHERE l.resource = $1 AND l.revision > $2 AND l.revision <= $3 ${inNamespace}
         ORDER BY l.revision LIMIT $4`,
        scope.namespace === undefined ? values : [...values, scope.namespace],
      ),
      connection.query<{ revision: number; compacted: number }>(marks),
    ]);
    requireKept(range.after, { compacted: found[0]?.compacted ?? 1, current: found[0]?.revision ?? 1 });
    return rows.map((row) => this.#toEvent(row));
  }

  /** Events of all resources with `after` < revision ≤ `upTo`, opened when asked for: some may be forgotten. */
  async changesBetween(connection: Connection, after: number, upTo: number): Promise<() => ObjectChange[]> {
    const rows = await connection.query<EventRow>(
      `SELECT ${eventColumns} FROM ${eventSource} WHERE l.revision > $1 AND l.revision <= $2 ORDER BY l.revision`,
      [after, upTo],
    );
    return () => rows.map((row) => this.#toEvent(row));
  }

  /** States by their revision; those that are forgotten are missing. */
  async states(connection: Connection, revisions: readonly number[]): Promise<Map<number, StoredObject>> {
    const rows = await connection.query<StateRow>(
      `SELECT ${stateColumns} FROM object_log l WHERE l.revision = ANY ($1::bigint[]) AND NOT l.deleted`,
      [revisions],
    );
    return new Map(rows.map((row) => [row.revision, this.toObject(row)]));
  }

  /** What was written with these revisions, bodies left out. */
  writtenBetween(
    connection: Connection,
    after: number,
    upTo: number,
  ): Promise<Pick<StateRow, 'revision' | 'resource' | 'namespace' | 'name' | 'create_revision'>[]> {
    return connection.query(
      `SELECT l.revision, l.resource, l.namespace, l.name, l.create_revision FROM object_log l
       WHERE l.revision > $1 AND l.revision <= $2`,
      [after, upTo],
    );
  }

  /** The one state of an object that was made elsewhere, for a restore. */
  async insert(connection: Connection, { key, body, revision, createRevision }: StoredObject): Promise<void> {
    const isSealed = this.isSensitive(key.resource);
    await Promise.all([
      connection.query(
        `INSERT INTO object_log (revision, resource, namespace, name, create_revision, prev_revision, deleted, body, sealed)
         VALUES ($1, $2, $3, $4, $5, 0, false, $6, $7)`,
        [
          revision,
          key.resource,
          key.namespace,
          key.name,
          createRevision,
          isSealed ? null : body,
          isSealed ? this.seal(key, 0, body) : null,
        ],
      ),
      connection.query(
        `INSERT INTO object_head (resource, namespace, name, revision, create_revision) VALUES ($1, $2, $3, $4, $5)`,
        [key.resource, key.namespace, key.name, revision, createRevision],
      ),
    ]);
  }

  isSensitive(resource: string): boolean {
    return this.#sealing?.sensitiveResources.has(resource) ?? false;
  }

  seal(key: ObjectKey, previousRevision: number, body: string): Uint8Array {
    if (this.#sealing === undefined) throw new StatusError('InternalError', 'there is no key to seal with');
    return this.#sealing.cipher.seal(body, objectPlace(key, previousRevision));
  }

  toObject(row: StateRow): StoredObject {
    const key = { resource: row.resource, namespace: row.namespace, name: row.name };
    return {
      key,
      body: this.#open(key, row),
      revision: row.revision,
      createRevision: row.create_revision,
    };
  }

  #toEvent(row: EventRow): ObjectChange {
    if (row.prev_revision === 0) return { type: 'put', object: this.toObject(row) };
    const key = { resource: row.resource, namespace: row.namespace, name: row.name };
    const createRevision = row.create_revision;
    const body = this.#open(key, {
      revision: row.prev_revision,
      prev_revision: row.before_prev_revision,
      body: row.before_body,
      sealed: row.before_sealed,
    });
    if (row.deleted) {
      return { type: 'delete', object: { key, body, revision: row.revision, createRevision } };
    }
    const previous = { key, body, revision: row.prev_revision, createRevision };
    return { type: 'put', object: this.toObject(row), previous };
  }

  #open(key: ObjectKey, row: Pick<StateRow, 'revision' | 'prev_revision' | 'body' | 'sealed'>): string {
    if (row.body !== null) return row.body;
    if (row.sealed === null) {
      throw new StatusError(
        'InternalError',
        `the state of ${key.resource} at revision ${row.revision} is missing`,
      );
    }
    if (this.#sealing === undefined) {
      throw new StatusError('InternalError', `${key.resource} are sealed: open the store with its key`);
    }
    return this.#sealing.cipher.open(row.sealed, objectPlace(key, row.prev_revision)).toString('utf8');
  }
}

/** A state's own revision is only known under the lock of all writers; the one before it is known ahead. */
export const objectPlace = (key: ObjectKey, previousRevision: number): string =>
  JSON.stringify(['object after', key.resource, key.namespace, key.name, previousRevision]);

/** Throws `Expired` for what is forgotten and for what is yet to come. */
export function requireKept(revision: number, kept: { compacted: number; current: number }): void {
  if (revision < kept.compacted) {
    throw new StatusError(
      'Expired',
      `revision ${revision} is too old (the oldest kept is ${kept.compacted}): list again`,
    );
  }
  if (revision > kept.current) {
    throw new StatusError(
      'Expired',
      `revision ${revision} is ahead of the store (${kept.current}), which may have been restored from a backup: list again`,
    );
  }
}

function keyRange(query: ListQuery): { sql: string; values: SqlValue[] } {
  const { resource, namespace, after } = query;
  const conditions = ['resource = $1'];
  const values: SqlValue[] = [resource];
  if (namespace !== undefined) {
    values.push(namespace);
    conditions.push(`namespace = $${values.length}`);
  }
  if (after !== undefined) {
    values.push(after.namespace, after.name);
    conditions.push(`(namespace, name) > ($${values.length - 1}, $${values.length})`);
  }
  return { sql: conditions.join(' AND '), values };
}

function livingNow(query: ListQuery): { sql: string; values: SqlValue[] } {
  const range = keyRange(query);
  return {
    sql: `SELECT namespace, name, revision FROM object_head WHERE ${range.sql}`,
    values: range.values,
  };
}

/** Newest states at a revision, deletions left out. */
function livingAt(query: ListQuery, revision: number): { sql: string; values: SqlValue[] } {
  const range = keyRange(query);
  const values = [...range.values, revision];
  return {
    sql: `SELECT namespace, name, revision FROM (
            SELECT DISTINCT ON (namespace, name) namespace, name, revision, deleted FROM object_log
            WHERE ${range.sql} AND revision <= $${values.length}
            ORDER BY namespace, name, revision DESC
          ) newest WHERE NOT deleted`,
    values,
  };
}
