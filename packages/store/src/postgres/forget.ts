import type { ConnectionPool } from './connection-pool.ts';
import { readSetting, writeSetting } from './settings-table.ts';
import { inTurn } from './transaction.ts';

const revisionsPerStep = 500;
const rowsPerStep = 500;

/**
 * Forgets superseded states and deletions up to a revision, which is not ahead of the store; step by step, so that
 * nothing is locked for long. Several hubs may do so at once: they take turns and go on from one mark.
 */
export async function forgetStates(pool: ConnectionPool, upTo: number): Promise<void> {
  for (let mark = 0; mark < upTo; ) {
    mark = await pool.run((connection) =>
      inTurn(connection, 'compaction', async () => {
        const from = Number(await readSetting(connection, 'compacted'));
        const to = Math.min(upTo, from + revisionsPerStep);
        if (to <= from) return from;
        await Promise.all([
          connection.query(
            `DELETE FROM object_log WHERE revision IN (
               SELECT prev_revision FROM object_log WHERE revision > $1 AND revision <= $2 AND prev_revision > 0)`,
            [from, to],
          ),
          connection.query('DELETE FROM object_log WHERE revision > $1 AND revision <= $2 AND deleted', [
            from,
            to,
          ]),
          // The newest one stays: its revision is not below any mark.
          connection.query('DELETE FROM commit_log WHERE revision < $1', [to]),
          writeSetting(connection, 'compacted', String(to)),
        ]);
        return to;
      }),
    );
  }
}

/** Forgets deleted delivery rows whose last change is not after the revision. */
export async function forgetDeliveries(pool: ConnectionPool, upTo: number): Promise<void> {
  for (let isDone = false; !isDone; ) {
    isDone = await pool.run((connection) =>
      inTurn(connection, 'compaction', async () => {
        const gone = await connection.query<{ revision: number }>(
          `DELETE FROM delivery WHERE revision IN (
             SELECT revision FROM delivery WHERE deleted AND revision <= $1 ORDER BY revision LIMIT ${rowsPerStep})
           RETURNING revision`,
          [upTo],
        );
        const newest = Math.max(...gone.map((row) => row.revision));
        if (gone.length > 0 && newest > Number(await readSetting(connection, 'deliveries_purged'))) {
          await writeSetting(connection, 'deliveries_purged', String(newest));
        }
        return gone.length < rowsPerStep;
      }),
    );
  }
}
