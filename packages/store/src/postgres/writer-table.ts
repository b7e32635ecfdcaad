import type { Connection } from './connection.ts';

/** Notes the session as one that writes and returns its number. The rows of sessions that are over go away. */
export async function registerWriter(
  connection: Connection,
  hub: string,
  keyIds: readonly string[],
): Promise<number> {
  const [row] = await connection.query<{ id: number }>(
    `INSERT INTO writer (hub, key_ids, pid, started_at)
     SELECT $1, $2, pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid() RETURNING id`,
    [hub, keyIds],
  );
  await connection.query(
    `DELETE FROM writer w WHERE NOT EXISTS (
       SELECT FROM pg_stat_activity a WHERE a.pid = w.pid AND a.backend_start = w.started_at)`,
  );
  if (row === undefined) throw new Error('the server does not show this session in pg_stat_activity');
  return row.id;
}

/** From then on the session writes no more. */
export async function removeWriter(connection: Connection, id: number): Promise<void> {
  await connection.query('DELETE FROM writer WHERE id = $1', [id]);
}

export async function noteWriterKeys(
  connection: Connection,
  hub: string,
  keyIds: readonly string[],
): Promise<void> {
  await connection.query('UPDATE writer SET key_ids = $2 WHERE hub = $1', [hub, keyIds]);
}

/** Keys of the hubs that are connected now, by hub; those that they seal with first. */
export async function writerKeys(connection: Connection): Promise<Map<string, string[]>> {
  const rows = await connection.query<{ hub: string; key_ids: string[] }>(
    `SELECT w.hub, w.key_ids FROM writer w
     JOIN pg_stat_activity a ON a.pid = w.pid AND a.backend_start = w.started_at
     WHERE cardinality(w.key_ids) > 0`,
  );
  return new Map(rows.map((row) => [row.hub, row.key_ids]));
}
