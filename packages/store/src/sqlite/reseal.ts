import { type AesGcmCipher, sealedKeyId } from '../aes-gcm-cipher.ts';
import { placeOfBlob } from './blob-table.ts';
import type { Db, SqlValue } from './db.ts';
import { placeOfLogs } from './delivery-table.ts';
import { openState, place } from './object-log.ts';
import { type MaybeSealed, openText } from './sealed-text.ts';
import { placeOfVariables } from './site-table.ts';

/** Rows looked at in one step: some milliseconds. */
const stepRows = 200;

export interface ResealStep {
  /** Where the next step begins; undefined: this table is done. */
  readonly next: SqlValue | undefined;
  readonly sealed: number;
}

/** A table that holds sealed values. */
export interface Resealer {
  readonly table: string;
  readonly first: SqlValue;
  /** Looks at the next rows behind `after` and seals anew what the active key did not seal. Call in a transaction. */
  step(after: SqlValue): ResealStep;
}

interface SealedTable<Row> {
  readonly table: string;
  /** Orders the rows. */
  readonly cursor: string;
  readonly first: SqlValue;
  /** SQL that is 1 for a row that has to be sealed anew. */
  readonly due: string;
  readonly dueValues: readonly SqlValue[];
  /** What `reseal` needs of a row. */
  readonly columns: string;
  readonly reseal: (row: Row) => void;
}

export function resealers(
  db: Db,
  cipher: AesGcmCipher,
  sensitiveResources: ReadonlySet<string>,
): readonly Resealer[] {
  return [
    resealer(db, objectStates(db, cipher, sensitiveResources)),
    resealer(db, blobs(db, cipher)),
    resealer(db, variables(db, cipher)),
    resealer(db, logs(db, cipher)),
  ];
}

function resealer<Row>(db: Db, source: SealedTable<Row>): Resealer {
  const { table, cursor, due, columns, first } = source;
  const page = `SELECT ${cursor} FROM ${table} WHERE ${cursor} > ? ORDER BY ${cursor} LIMIT ${stepRows}`;
  return {
    table,
    first,
    step: (after) => {
      const edge = db.get<{ rows: number; last: SqlValue }>(
        `SELECT count(*) AS rows, max(${cursor}) AS last FROM (${page})`,
        [after],
      );
      if (edge === undefined || edge.rows === 0) return { next: undefined, sealed: 0 };
      const rows = db.all<Row>(
        `SELECT ${columns} FROM ${table} WHERE ${cursor} > ? AND ${cursor} <= ? AND ${due}`,
        [after, edge.last, ...source.dueValues],
      );
      for (const row of rows) source.reseal(row);
      return { next: edge.rows < stepRows ? undefined : edge.last, sealed: rows.length };
    },
  };
}

const isOfOtherKey = (column: string) =>
  `substr(${column}, ${sealedKeyId.start}, ${sealedKeyId.length}) <> ?`;
const activeKeyId = (cipher: AesGcmCipher) => Buffer.from(cipher.activeKeyId, 'hex');

interface StateRow {
  readonly revision: number;
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  readonly body: MaybeSealed;
  readonly checksum: number | null;
}

function objectStates(
  db: Db,
  cipher: AesGcmCipher,
  sensitiveResources: ReadonlySet<string>,
): SealedTable<StateRow> {
  return {
    table: 'object_log',
    cursor: 'revision',
    first: 0,
    due: `(typeof(body) = 'blob' AND ${isOfOtherKey('body')}
      OR typeof(body) = 'text' AND resource IN (SELECT value FROM json_each(?)))`,
    dueValues: [activeKeyId(cipher), JSON.stringify([...sensitiveResources])],
    columns: 'revision, resource, namespace, name, body, checksum',
    reseal: ({ revision, body, checksum, ...key }) => {
      const text = openState(cipher, { key, revision, body, checksum });
      const sealed = cipher.seal(text, place(key, revision));
      db.run('UPDATE object_log SET body = ?, checksum = NULL WHERE revision = ?', [sealed, revision]);
    },
  };
}

function blobs(
  db: Db,
  cipher: AesGcmCipher,
): SealedTable<{ id: number; digest: string; sealed: number; bytes: Uint8Array }> {
  return {
    table: 'blob',
    cursor: 'id',
    first: 0,
    due: `(sealed = 0 OR ${isOfOtherKey('bytes')})`,
    dueValues: [activeKeyId(cipher)],
    columns: 'id, digest, sealed, bytes',
    reseal: ({ id, digest, sealed, bytes }) => {
      const plain = sealed === 1 ? cipher.open(bytes, placeOfBlob(digest)) : bytes;
      const again = cipher.seal(plain, placeOfBlob(digest));
      db.run('UPDATE blob SET sealed = 1, bytes = ? WHERE id = ?', [again, id]);
    },
  };
}

function variables(db: Db, cipher: AesGcmCipher): SealedTable<{ site: string; variables: MaybeSealed }> {
  return {
    table: 'site_state',
    cursor: 'site',
    first: '',
    due: `variables <> '{}' AND (typeof(variables) = 'text' OR ${isOfOtherKey('variables')})`,
    dueValues: [activeKeyId(cipher)],
    columns: 'site, variables',
    reseal: ({ site, variables: value }) => {
      const text = openText(cipher, value, placeOfVariables(site));
      const sealed = cipher.seal(text, placeOfVariables(site));
      db.run('UPDATE site_state SET variables = ? WHERE site = ?', [sealed, site]);
    },
  };
}

interface LogsRow {
  readonly id: number;
  readonly site: string;
  readonly namespace: string;
  readonly application: string;
  readonly applicationUid: string;
  readonly logs: MaybeSealed;
}

function logs(db: Db, cipher: AesGcmCipher): SealedTable<LogsRow> {
  return {
    table: 'delivery',
    cursor: 'id',
    first: 0,
    due: `logs IS NOT NULL AND (typeof(logs) = 'text' OR ${isOfOtherKey('logs')})`,
    dueValues: [activeKeyId(cipher)],
    columns: 'id, site, namespace, application, application_uid AS applicationUid, logs',
    reseal: ({ id, logs: value, ...row }) => {
      const text = openText(cipher, value, placeOfLogs(row));
      db.run('UPDATE delivery SET logs = ? WHERE id = ?', [cipher.seal(text, placeOfLogs(row)), id]);
    },
  };
}
