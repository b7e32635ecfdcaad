import type { Connection } from './connection.ts';

const rowsPerFetch = 200;

/** Rows of a query, some at a time; in a transaction, one such query at a time. */
export async function* fetchAll<Row>(
  connection: Connection,
  sql: string,
  count: number = rowsPerFetch,
): AsyncGenerator<Row> {
  await connection.exec(`DECLARE all_rows NO SCROLL CURSOR FOR ${sql}`);
  for (;;) {
    const rows = await connection.fetch<Row>(`FETCH ${count} FROM all_rows`);
    yield* rows;
    if (rows.length < count) break;
  }
  await connection.exec('CLOSE all_rows');
}
