import { randomUUID } from 'node:crypto';
import type { Connection } from './connection.ts';
import { readSetting, writeSetting } from './settings-table.ts';
import { inTurn } from './transaction.ts';

/**
 * See `Store.instance`: the first hub that opens the database names it, and again the first one after it was copied into
 * another database or server (`pg_dump`). A copy of the whole server's files keeps the name.
 */
export async function adoptInstance(connection: Connection): Promise<string> {
  const place = await databasePlace(connection);
  return inTurn(connection, 'migration', async () => {
    const instance = await readSetting(connection, 'instance');
    const isHere = (await readSetting(connection, 'instance_place')) === place;
    if (instance !== undefined && isHere) return instance;
    await writeSetting(connection, 'instance_place', place);
    return renewInstance(connection);
  });
}

/** For the transaction that fills the store. */
export async function renewInstance(connection: Connection): Promise<string> {
  const instance = randomUUID();
  await writeSetting(connection, 'instance', instance);
  return instance;
}

/** Tells a database from every other one, as far as the server says which one it is. */
async function databasePlace(connection: Connection): Promise<string> {
  const sql = 'SELECT oid::text AS oid FROM pg_database WHERE datname = current_database()';
  const [database] = await connection.query<{ oid: string }>(sql);
  const server = await connection
    .query<{ id: string }>('SELECT system_identifier::text AS id FROM pg_control_system()')
    .catch(() => []); // some providers do not let one ask
  return `${server[0]?.id ?? ''}/${database?.oid ?? ''}`;
}
