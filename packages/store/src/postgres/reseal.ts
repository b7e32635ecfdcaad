import { type AesGcmCipher, sealedKeyId } from '../aes-gcm-cipher.ts';
import { blobPlace } from './blob-table.ts';
import type { Connection, SqlValue } from './connection.ts';
import type { ConnectionPool } from './connection-pool.ts';
import { reportPlace, variablesPlace } from './fleet-rows.ts';
import { isResealDue, noteResealed } from './key-check.ts';
import { objectPlace } from './object-log.ts';

export interface ResealOptions {
  readonly cipher: AesGcmCipher | undefined;
  readonly sensitiveResources: ReadonlySet<string>;
  readonly signal: AbortSignal;
}

/** Rows looked at in one step, each a transaction. */
const stepRows = 200;

interface SealedTable {
  /** One step behind `after`: locks the rows that are due, seals them anew, and tells how far it came. */
  readonly step: (connection: Connection, after: SqlValue) => Promise<ResealStep>;
  readonly first: SqlValue;
}

interface ResealStep {
  readonly next: SqlValue | undefined;
  readonly sealed: number;
}

/**
 * Seals with the active key what another key sealed, or none. Several hubs may do so at once: they wait for each
 * other's rows and find them done.
 */
export async function resealDatabase(pool: ConnectionPool, options: ResealOptions): Promise<number> {
  const { cipher, signal } = options;
  if (cipher === undefined || !(await pool.run(isResealDue))) return 0;
  let sealed = 0;
  for (const { first, step } of sealedTables(cipher, options.sensitiveResources)) {
    for (let after: SqlValue | undefined = first; after !== undefined; ) {
      if (signal.aborted) return sealed;
      const from: SqlValue = after;
      const done: ResealStep = await pool.run((connection) =>
        inTransaction(connection, () => step(connection, from)),
      );
      sealed += done.sealed;
      after = done.next;
    }
  }
  await pool.run((connection) => noteResealed(connection, cipher));
  return sealed;
}

async function inTransaction<Value>(connection: Connection, work: () => Promise<Value>): Promise<Value> {
  await connection.exec('BEGIN');
  try {
    const value = await work();
    await connection.exec('COMMIT');
    return value;
  } catch (error) {
    await connection.exec('ROLLBACK').catch(() => connection.destroy());
    throw error;
  }
}

interface SealedSource<Row> {
  readonly table: string;
  /** Orders the rows; a column, or several joined to one text. */
  readonly cursor: string;
  readonly cursorType: 'bigint' | 'text';
  readonly first: SqlValue;
  /** SQL that holds for a row that has to be sealed anew; $3 is the active key's id. */
  readonly due: string;
  readonly dueValues?: readonly SqlValue[];
  readonly columns: string;
  readonly reseal: (connection: Connection, row: Row) => Promise<unknown>;
}

function sealedTables(cipher: AesGcmCipher, sensitiveResources: ReadonlySet<string>): readonly SealedTable[] {
  return [
    sealedTable(cipher, objectStates(cipher, sensitiveResources)),
    sealedTable(cipher, blobs(cipher)),
    sealedTable(cipher, variables(cipher)),
    sealedTable(cipher, logs(cipher)),
  ];
}

function sealedTable<Row>(cipher: AesGcmCipher, source: SealedSource<Row>): SealedTable {
  const { table, cursor, cursorType, due, columns, first } = source;
  return {
    first,
    step: async (connection, after) => {
      const [edge] = await connection.query<{ rows: number; last: SqlValue }>(
        `SELECT count(*) AS rows, max(c) AS last FROM (
           SELECT ${cursor} AS c FROM ${table} WHERE ${cursor} > $1::${cursorType} ORDER BY ${cursor} LIMIT ${stepRows}) p`,
        [after],
      );
      if (edge === undefined || edge.rows === 0) return { next: undefined, sealed: 0 };
      const rows = await connection.query<Row>(
        `SELECT ${columns} FROM ${table}
         WHERE ${cursor} > $1::${cursorType} AND ${cursor} <= $2::${cursorType} AND ${due} FOR UPDATE`,
        [after, edge.last, Buffer.from(cipher.activeKeyId, 'hex'), ...(source.dueValues ?? [])],
      );
      for (const row of rows) await source.reseal(connection, row);
      return { next: edge.rows < stepRows ? undefined : edge.last, sealed: rows.length };
    },
  };
}

const isOfOtherKey = (column: string) =>
  `substring(${column} FROM ${sealedKeyId.start} FOR ${sealedKeyId.length}) <> $3::bytea`;
/** JSON as it is begins so; sealed bytes do not. */
const isPlain = (column: string) => `get_byte(${column}, 0) IN (${'{'.charCodeAt(0)}, ${'['.charCodeAt(0)})`;

interface StateRow {
  readonly revision: number;
  readonly prev_revision: number;
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  readonly body: string | null;
  readonly sealed: Uint8Array | null;
}

function objectStates(cipher: AesGcmCipher, sensitiveResources: ReadonlySet<string>): SealedSource<StateRow> {
  return {
    table: 'object_log',
    cursor: 'revision',
    cursorType: 'bigint',
    first: 0,
    due: `(sealed IS NOT NULL AND ${isOfOtherKey('sealed')} OR body IS NOT NULL AND resource = ANY ($4::text[]))`,
    dueValues: [[...sensitiveResources]],
    columns: 'revision, prev_revision, resource, namespace, name, body, sealed',
    reseal: (connection, { revision, prev_revision, body, sealed, ...key }) => {
      const at = objectPlace(key, prev_revision);
      const plain = sealed === null ? (body ?? '') : cipher.open(sealed, at);
      return connection.query('UPDATE object_log SET body = NULL, sealed = $1 WHERE revision = $2', [
        cipher.seal(plain, at),
        revision,
      ]);
    },
  };
}

function blobs(
  cipher: AesGcmCipher,
): SealedSource<{ digest: string; is_sealed: boolean; bytes: Uint8Array }> {
  return {
    table: 'blob',
    cursor: 'digest',
    cursorType: 'text',
    first: '',
    due: `(NOT is_sealed OR ${isOfOtherKey('bytes')})`,
    columns: 'digest, is_sealed, bytes',
    reseal: (connection, { digest, is_sealed, bytes }) => {
      const plain = is_sealed ? cipher.open(bytes, blobPlace(digest)) : bytes;
      return connection.query('UPDATE blob SET is_sealed = true, bytes = $1 WHERE digest = $2', [
        cipher.seal(plain, blobPlace(digest)),
        digest,
      ]);
    },
  };
}

function variables(
  cipher: AesGcmCipher,
): SealedSource<{ site: string; variables: Uint8Array; plain: boolean }> {
  return {
    table: 'site_state',
    cursor: 'site',
    cursorType: 'text',
    first: '',
    due: `variables <> '{}'::bytea AND (${isPlain('variables')} OR ${isOfOtherKey('variables')})`,
    columns: `site, variables, ${isPlain('variables')} AS plain`,
    reseal: (connection, { site, variables: bytes, plain }) => {
      const text = plain ? bytes : cipher.open(bytes, variablesPlace(site));
      return connection.query('UPDATE site_state SET variables = $1 WHERE site = $2', [
        cipher.seal(text, variablesPlace(site)),
        site,
      ]);
    },
  };
}

interface LogsRow {
  readonly site: string;
  readonly namespace: string;
  readonly application: string;
  readonly application_uid: string;
  readonly report_logs: Uint8Array;
  readonly plain: boolean;
}

function logs(cipher: AesGcmCipher): SealedSource<LogsRow> {
  return {
    table: 'delivery',
    cursor: 'revision',
    cursorType: 'bigint',
    first: 0,
    due: `report_logs IS NOT NULL AND (${isPlain('report_logs')} OR ${isOfOtherKey('report_logs')})`,
    columns: `site, namespace, application, application_uid, report_logs, ${isPlain('report_logs')} AS plain`,
    reseal: (connection, row) => {
      const at = reportPlace(row, row.application_uid);
      const text = row.plain ? row.report_logs : cipher.open(row.report_logs, at);
      return connection.query(
        `UPDATE delivery SET report_logs = $1
         WHERE site = $2 AND namespace = $3 AND application = $4 AND application_uid = $5`,
        [cipher.seal(text, at), row.site, row.namespace, row.application, row.application_uid],
      );
    },
  };
}
