import { advisoryLocks } from './advisory-locks.ts';
import type { Connection } from './connection.ts';

type Lock = Exclude<keyof typeof advisoryLocks, 'space'>;

/** Runs work in a transaction that holds the lock; rolls back when it throws. */
export async function inTurn<Value>(
  connection: Connection,
  lock: Lock,
  work: () => Promise<Value>,
): Promise<Value> {
  await connection.exec(
    `BEGIN; SELECT pg_advisory_xact_lock(${advisoryLocks.space}, ${advisoryLocks[lock]})`,
  );
  try {
    const value = await work();
    await connection.exec('COMMIT');
    return value;
  } catch (error) {
    await connection.exec('ROLLBACK').catch(() => connection.destroy());
    throw error;
  }
}
