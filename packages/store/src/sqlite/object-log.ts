import { crc32 } from 'node:zlib';
import { StatusError } from '@selvedge/api';
import type { ListQuery, ObjectKey, StoredObject, StoreEvent } from '../object-store.ts';
import type { AesGcmCipher } from '../aes-gcm-cipher.ts';
import type { EventRange } from '../watch-fan-out.ts';
import type { Db, SqlValue } from './db.ts';
import { openText } from './sealed-text.ts';

export interface Sealing {
  readonly cipher: AesGcmCipher;
  readonly sensitiveResources: ReadonlySet<string>;
}

type Body = string | Uint8Array | null;

interface Row {
  readonly revision: number;
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  readonly create_revision: number;
  readonly body: Body;
  readonly checksum: number | null;
}

interface EventRow extends Row {
  readonly deleted: number;
  readonly prev_revision: number;
  readonly prev_body: Body;
  readonly prev_checksum: number | null;
}

const columns = 'l.revision, l.resource, l.namespace, l.name, l.create_revision, l.body, l.checksum';

/** The SQL of the object tables, and the sealing of what they hold. Knows nothing of transactions or watchers. */
export class ObjectLog {
  readonly #db: Db;
  readonly #sealing: Sealing | undefined;

  constructor(db: Db, sealing?: Sealing) {
    this.#db = db;
    this.#sealing = sealing;
  }

  find(key: ObjectKey): StoredObject | undefined {
    const row = this.#db.get<Row>(
      `SELECT ${columns} FROM object_head h JOIN object_log l ON l.revision = h.revision
       WHERE h.resource = ? AND h.namespace = ? AND h.name = ?`,
      [key.resource, key.namespace, key.name],
    );
    return row && this.#toObject(row);
  }

  /** Of the newest state; `undefined` when the object is not there. */
  findRevision({ resource, namespace, name }: ObjectKey): number | undefined {
    return this.#db.get<{ revision: number }>(
      'SELECT revision FROM object_head WHERE resource = ? AND namespace = ? AND name = ?',
      [resource, namespace, name],
    )?.revision;
  }

  /** Appends a state and makes it the newest. */
  put(object: StoredObject, previous?: StoredObject): void {
    const { key, revision } = object;
    this.#append(object, previous?.revision ?? 0, this.#seal(key, revision, object.body));
    this.#db.run(
      `INSERT INTO object_head (resource, namespace, name, revision) VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET revision = excluded.revision`,
      [key.resource, key.namespace, key.name, revision],
    );
  }

  /** Appends the deletion; `object.revision` is that of the deletion. */
  delete(object: StoredObject, previous: StoredObject): void {
    const { key } = object;
    this.#append(object, previous.revision, null);
    this.#db.run('DELETE FROM object_head WHERE resource = ? AND namespace = ? AND name = ?', [
      key.resource,
      key.namespace,
      key.name,
    ]);
  }

  #append(object: StoredObject, previousRevision: number, body: Body): void {
    const { key, revision, createRevision } = object;
    this.#db.run(
      `INSERT INTO object_log (revision, resource, namespace, name, create_revision, prev_revision, deleted, body,
         checksum)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      [
        revision,
        key.resource,
        key.namespace,
        key.name,
        createRevision,
        previousRevision,
        body === null ? 1 : 0,
        body,
        typeof body === 'string' ? checksumOf(place(key, revision), body) : null,
      ],
    );
  }

  listLatest(query: ListQuery): StoredObject[] {
    const range = keyRange('h', query);
    const rows = this.#db.all<Row>(
      `SELECT ${columns} FROM object_head h CROSS JOIN object_log l ON l.revision = h.revision
       WHERE ${range.sql} ORDER BY h.namespace, h.name LIMIT ?`,
      [...range.values, query.limit ?? -1],
    );
    return rows.map((row) => this.#toObject(row));
  }

  countLatest(query: ListQuery): number {
    const range = keyRange('h', query);
    return (
      this.#db.get<{ n: number }>(`SELECT count(*) AS n FROM object_head h WHERE ${range.sql}`, range.values)
        ?.n ?? 0
    );
  }

  listAt(query: ListQuery, revision: number): StoredObject[] {
    const at = livingAt(query, revision);
    const rows = this.#db.all<Row>(
      `SELECT ${columns} FROM (${at.sql} ORDER BY namespace, name LIMIT ?) k
       CROSS JOIN object_log l ON l.revision = k.newest ORDER BY k.namespace, k.name`,
      [...at.values, query.limit ?? -1],
    );
    return rows.map((row) => this.#toObject(row));
  }

  countAt(query: ListQuery, revision: number): number {
    const at = livingAt(query, revision);
    return this.#db.get<{ n: number }>(`SELECT count(*) AS n FROM (${at.sql})`, at.values)?.n ?? 0;
  }

  /** Events in the range in order; all there are when fewer than its limit come back. */
  eventsBetween(scope: { resource: string; namespace?: string }, range: EventRange): StoreEvent[] {
    const inNamespace = scope.namespace === undefined ? '' : 'AND l.namespace = ?';
    const rows = this.#db.all<EventRow>(
      `SELECT ${columns}, l.deleted, l.prev_revision, p.body AS prev_body,
         p.checksum AS prev_checksum
       FROM object_log l LEFT JOIN object_log p ON p.revision = l.prev_revision
       WHERE l.resource = ? AND l.revision > ? AND l.revision <= ? ${inNamespace} ORDER BY l.revision LIMIT ?`,
      [
        scope.resource,
        range.after,
        range.upTo,
        ...(scope.namespace === undefined ? [] : [scope.namespace]),
        range.limit,
      ],
    );
    return rows.map((row) => this.#toEvent(row));
  }

  /**
   * Forgets the states that were superseded, and the deletions made, by the rows in (from, to]. Doing so step by step
   * from the last compacted revision leaves exactly what lists and watches at `to` or later need.
   */
  forget(from: number, to: number): void {
    this.#db.run(
      `DELETE FROM object_log WHERE revision IN
       (SELECT prev_revision FROM object_log WHERE revision > ? AND revision <= ? AND prev_revision > 0)`,
      [from, to],
    );
    this.#db.run('DELETE FROM object_log WHERE revision > ? AND revision <= ? AND deleted = 1', [from, to]);
  }

  #toObject(row: Row): StoredObject {
    const key = { resource: row.resource, namespace: row.namespace, name: row.name };
    return {
      key,
      body: this.#open(key, row.revision, row),
      revision: row.revision,
      createRevision: row.create_revision,
    };
  }

  #toEvent(row: EventRow): StoreEvent {
    const key = { resource: row.resource, namespace: row.namespace, name: row.name };
    const createRevision = row.create_revision;
    if (row.prev_revision === 0) return { type: 'put', object: this.#toObject(row) };
    const body = this.#open(key, row.prev_revision, { body: row.prev_body, checksum: row.prev_checksum });
    if (row.deleted === 1) {
      return { type: 'delete', object: { key, body, revision: row.revision, createRevision } };
    }
    return {
      type: 'put',
      object: this.#toObject(row),
      previous: { key, body, revision: row.prev_revision, createRevision },
    };
  }

  #seal(key: ObjectKey, revision: number, body: string): Body {
    if (!this.#sealing?.sensitiveResources.has(key.resource)) return body;
    return this.#sealing.cipher.seal(body, place(key, revision));
  }

  #open(key: ObjectKey, revision: number, state: Pick<Row, 'body' | 'checksum'>): string {
    return openState(this.#sealing?.cipher, { ...state, key, revision });
  }
}

/** Body of a stored state. Throws InternalError when it is missing, damaged, or sealed with a key that is not here. */
export function openState(
  cipher: AesGcmCipher | undefined,
  state: Pick<Row, 'body' | 'checksum'> & { key: ObjectKey; revision: number },
): string {
  const { key, revision, body, checksum } = state;
  if (body === null) {
    throw new StatusError('InternalError', `the state of ${key.resource} at revision ${revision} is missing`);
  }
  const expectedPlace = place(key, revision);
  if (typeof body !== 'string') return openText(cipher, body, expectedPlace);
  if (checksum !== null && checksum !== checksumOf(expectedPlace, body)) {
    throw new StatusError(
      'InternalError',
      `the state of ${key.resource} at revision ${revision} is damaged: restore the store from a backup`,
    );
  }
  return body;
}

/** What sealed bytes are bound to. */
export const place = (key: ObjectKey, revision: number): string =>
  JSON.stringify(['object', key.resource, key.namespace, key.name, revision]);

/** SQLite has no checksums of its own: a flipped bit in a text would go unnoticed. */
const checksumOf = (itsPlace: string, body: string) => crc32(body, crc32(itsPlace));

function keyRange(alias: string, query: ListQuery): { sql: string; values: SqlValue[] } {
  const { resource, namespace, after } = query;
  const conditions = [`${alias}.resource = ?`];
  const values: SqlValue[] = [resource];
  if (namespace !== undefined) {
    conditions.push(`${alias}.namespace = ?`);
    values.push(namespace);
  }
  if (after !== undefined && after.namespace === namespace) {
    conditions.push(`${alias}.name > ?`); // as below, but lets SQLite start right there
    values.push(after.name);
  } else if (after !== undefined) {
    conditions.push(`(${alias}.namespace, ${alias}.name) > (?, ?)`);
    values.push(after.namespace, after.name);
  }
  return { sql: conditions.join(' AND '), values };
}

/**
 * Newest states at a revision, deletions left out. `deleted` is that of the row with the maximum (SQLite's bare-column
 * rule). The index holds all that is read here, so no body is touched.
 */
function livingAt(query: ListQuery, revision: number): { sql: string; values: SqlValue[] } {
  const range = keyRange('o', query);
  return {
    sql: `SELECT namespace, name, newest FROM (
            SELECT o.namespace, o.name, max(o.revision) AS newest, o.deleted
            FROM object_log o INDEXED BY object_log_by_key
            WHERE ${range.sql} AND o.revision <= ? GROUP BY o.namespace, o.name
          ) WHERE deleted = 0`,
    values: [...range.values, revision],
  };
}
