import type { StatusError } from '@selvedge/api';
import type { BatchId, BatchWriter, CommitRow, Job } from './commit-loop.ts';
import type { CommitFollower, OwnCommit } from './commit-follower.ts';
import type { Connection } from './connection.ts';
import { changesChannel } from './changes-channel.ts';
import { type FleetNeeds, FleetScope } from './fleet-scope.ts';
import type { FleetTables } from './fleet-tables.ts';

export interface FleetJob extends Job {
  readonly needs: FleetNeeds;
  /** May throw a StatusError, and may run a second time after a transaction that was lost. */
  readonly work: (scope: FleetScope) => unknown;
  resolve(value: unknown): void;
}

type Outcome = { readonly value: unknown } | { readonly error: unknown };

interface Attempt {
  readonly outcomes: readonly Outcome[];
  readonly scope: FleetScope;
}

/** Rows and names that one transaction loads at most, one job excepted. */
const maxNeeds = 2000;

/**
 * Writes fleet rows: under the lock of all writers what the jobs need is loaded, they run in memory one after another,
 * and what they changed is written back. Two round trips, whatever their number.
 */
export class FleetCommits implements BatchWriter<FleetJob> {
  readonly #tables: FleetTables;
  readonly #follower: CommitFollower;
  readonly #answering = new Set<Promise<void>>();
  /** Of the transaction under way, for `recover`. */
  #attempt: Attempt | undefined;

  constructor(tables: FleetTables, follower: CommitFollower) {
    this.#tables = tables;
    this.#follower = follower;
  }

  take(queue: FleetJob[], limit: number): FleetJob[] {
    let size = 0;
    let count = 0;
    for (const { needs } of queue) {
      size += (needs.sites?.length ?? 0) + (needs.applications?.length ?? 0);
      if (count === limit || (count > 0 && size > maxNeeds)) break;
      count += 1;
    }
    return queue.splice(0, count);
  }

  async commit(connection: Connection, id: BatchId, jobs: readonly FleetJob[]): Promise<void> {
    this.#attempt = undefined;
    const [, [last], loaded] = await allOf(connection, [
      connection.exec('BEGIN'),
      connection.query<OwnCommit>('SELECT id, revision FROM begin_commit($1)', [id.writer]),
      this.#tables.load(
        connection,
        jobs.map((job) => job.needs),
      ),
    ]);
    const { id: lastId = 0, revision = 0 } = last ?? {};
    const scope = new FleetScope({ ...loaded, revision });
    const outcomes = jobs.map((job) => attempt(scope, job));
    this.#attempt = { outcomes, scope };
    if (!scope.hasChanged) {
      await connection.exec('ROLLBACK');
      settle(jobs, outcomes);
      return;
    }
    const commit = { id: lastId + 1, revision: scope.revision };
    await allOf(connection, [
      ...this.#tables.save(connection, scope, commit.id),
      connection.query('INSERT INTO commit_log (id, revision, writer, batch) VALUES ($1, $2, $3, $4)', [
        commit.id,
        commit.revision,
        id.writer,
        id.batch,
      ]),
      connection.query(`SELECT pg_notify('${changesChannel}', $1)`, [`${commit.id} ${id.writer}`]),
      connection.exec('COMMIT'),
    ]);
    this.#answerLater(commit, jobs, this.#attempt);
  }

  async recover(_: Connection, row: CommitRow, jobs: readonly FleetJob[]): Promise<FleetJob[]> {
    // A transaction in the log had its jobs run.
    if (this.#attempt !== undefined) this.#answerLater(row, jobs, this.#attempt);
    return [];
  }

  async drain(): Promise<void> {
    await Promise.all(this.#answering);
  }

  #answerLater(commit: OwnCommit, jobs: readonly FleetJob[], { outcomes, scope }: Attempt): void {
    const { id, revision } = commit;
    const answering = this.#follower
      .publishOwn({ id, revision, changes: scope.changes })
      .then(() => settle(jobs, outcomes))
      .finally(() => this.#answering.delete(answering));
    this.#answering.add(answering);
  }
}

function attempt(scope: FleetScope, job: FleetJob): Outcome {
  try {
    return { value: scope.run(job.work) };
  } catch (error) {
    return { error };
  }
}

function settle(jobs: readonly FleetJob[], outcomes: readonly Outcome[]): void {
  for (const [i, job] of jobs.entries()) {
    const outcome = outcomes[i] as Outcome;
    if ('error' in outcome) job.reject(outcome.error as StatusError);
    else job.resolve(outcome.value);
  }
}

/** All of a flight of statements; when one fails the transaction is rolled back, and its error is thrown. */
async function allOf<const Queries extends readonly Promise<unknown>[]>(
  connection: Connection,
  queries: Queries,
): Promise<{ -readonly [Index in keyof Queries]: Awaited<Queries[Index]> }> {
  try {
    return await Promise.all(queries);
  } catch (error) {
    await Promise.allSettled(queries);
    if (!connection.isLost) await connection.exec('ROLLBACK').catch(() => connection.destroy());
    throw error;
  }
}
