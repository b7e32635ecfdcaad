import type { Connection } from './connection.ts';

/** Single values of the database, in table `setting`. */
export async function readSetting(connection: Connection, name: string): Promise<string | undefined> {
  const [row] = await connection.query<{ value: string }>('SELECT value FROM setting WHERE name = $1', [
    name,
  ]);
  return row?.value;
}

export async function writeSetting(connection: Connection, name: string, value: string): Promise<void> {
  await connection.query(
    'INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value',
    [name, value],
  );
}
