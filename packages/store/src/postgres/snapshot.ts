import type { Connection } from './connection.ts';

/** Runs reads that see the database at one instant; all are sent at once. */
export async function inSnapshot<const Reads extends readonly Promise<unknown>[]>(
  connection: Connection,
  read: () => Reads,
): Promise<{ -readonly [Index in keyof Reads]: Awaited<Reads[Index]> }> {
  const begun = connection.exec('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  const reads = Promise.all(read());
  const ended = connection.exec('COMMIT');
  const [, results] = await Promise.all([begun, reads, ended]);
  return results as { -readonly [Index in keyof Reads]: Awaited<Reads[Index]> };
}
