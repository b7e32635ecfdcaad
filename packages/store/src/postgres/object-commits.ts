import { alreadyExists, conflict, notFound, StatusError } from '@selvedge/api';
import type { ObjectKey, StoredObject, WriteCondition } from '../object-store.ts';
import type { BatchId, BatchWriter, CommitRow, Job } from './commit-loop.ts';
import type { CommitFollower, OwnCommit } from './commit-follower.ts';
import type { Connection } from './connection.ts';
import type { ConnectionPool } from './connection-pool.ts';
import type { ObjectChange, ObjectLog } from './object-log.ts';

const kinds = { create: 1, update: 2, delete: 3 } as const;

/** One object to be written. */
export interface ObjectWrite {
  readonly kind: keyof typeof kinds;
  readonly key: ObjectKey;
  /** '' for a deletion. */
  readonly body: string;
  /** 0 for a new object. */
  readonly expectedRevision: number;
  readonly condition?: WriteCondition;
}

export interface ObjectJob extends Job, ObjectWrite {
  resolve(object: StoredObject): void;
}

interface Outcome {
  readonly outcome: number;
  readonly revision: number;
  readonly create_revision: number;
  readonly commit_id: number;
}

type Written = { readonly job: ObjectJob; readonly revision: number; readonly createRevision: number };

/** Writes objects by `write_objects`: one round trip for all that wait, whatever their number. */
export class ObjectCommits implements BatchWriter<ObjectJob> {
  readonly #log: ObjectLog;
  readonly #pool: ConnectionPool;
  readonly #follower: CommitFollower;
  readonly #answering = new Set<Promise<void>>();

  constructor(log: ObjectLog, pool: ConnectionPool, follower: CommitFollower) {
    this.#log = log;
    this.#pool = pool;
    this.#follower = follower;
  }

  /** No two of one object, and none that depends on an object that the same batch writes. */
  take(queue: ObjectJob[], limit: number): ObjectJob[] {
    const taken: ObjectJob[] = [];
    const left: ObjectJob[] = [];
    const written = new Set<string>();
    for (const job of queue) {
      const names = [job.key, ...(job.condition ? [job.condition.key] : [])].map(nameOf);
      if (taken.length < limit && !names.some((name) => written.has(name))) {
        taken.push(job);
        written.add(nameOf(job.key));
      } else {
        left.push(job);
      }
    }
    queue.splice(0, queue.length, ...left);
    return taken;
  }

  async commit(connection: Connection, id: BatchId, jobs: readonly ObjectJob[]): Promise<void> {
    // A state never changes once it is written, so what will be superseded can be read at the same time.
    const previous = this.#readPrevious(jobs);
    const outcomes = await connection.query<Outcome>(
      `SELECT * FROM write_objects($1, $2, $3::smallint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[],
         $9::bigint[], $10::text[], $11::text[], $12::text[], $13::bigint[])`,
      [id.writer, id.batch, ...this.#columns(jobs)],
    );
    const written: Written[] = [];
    for (const [i, job] of jobs.entries()) {
      const { outcome, revision, create_revision: createRevision } = outcomes[i] as Outcome;
      if (outcome === 0) written.push({ job, revision, createRevision });
      else job.reject(refusal(job, outcome));
    }
    const last = written.at(-1);
    if (last === undefined) return;
    this.#answerLater({ id: outcomes[0]?.commit_id ?? 0, revision: last.revision }, written, previous);
  }

  async recover(connection: Connection, row: CommitRow, jobs: readonly ObjectJob[]): Promise<ObjectJob[]> {
    const rows = await this.#log.writtenBetween(connection, row.before, row.revision);
    const found = new Map(rows.map((state) => [nameOf(state), state]));
    const written: Written[] = [];
    const left: ObjectJob[] = [];
    for (const job of jobs) {
      const state = found.get(nameOf(job.key));
      if (state === undefined) left.push(job);
      else written.push({ job, revision: state.revision, createRevision: state.create_revision });
    }
    written.sort((a, b) => a.revision - b.revision);
    this.#answerLater({ id: row.id, revision: row.revision }, written, this.#readPrevious(jobs));
    return left;
  }

  /** Resolves when nobody waits for an answer any more. */
  async drain(): Promise<void> {
    await Promise.all(this.#answering);
  }

  #columns(jobs: readonly ObjectJob[]) {
    const isSealed = (job: ObjectJob) => job.kind !== 'delete' && this.#log.isSensitive(job.key.resource);
    return [
      jobs.map((job) => kinds[job.kind]),
      jobs.map((job) => job.key.resource),
      jobs.map((job) => job.key.namespace),
      jobs.map((job) => job.key.name),
      jobs.map((job) => (job.kind === 'delete' || isSealed(job) ? null : job.body)),
      jobs.map((job) => (isSealed(job) ? this.#log.seal(job.key, job.expectedRevision, job.body) : null)),
      jobs.map((job) => job.expectedRevision),
      jobs.map((job) => job.condition?.key.resource ?? null),
      jobs.map((job) => job.condition?.key.namespace ?? null),
      jobs.map((job) => job.condition?.key.name ?? null),
      jobs.map((job) => job.condition?.revision ?? null),
    ] as const;
  }

  /** `undefined` when it failed: the log has them, too. */
  #readPrevious(jobs: readonly ObjectJob[]): Promise<Map<number, StoredObject> | undefined> {
    const revisions = jobs.filter((job) => job.kind !== 'create').map((job) => job.expectedRevision);
    if (revisions.length === 0) return Promise.resolve(new Map());
    return this.#pool.run((connection) => this.#log.states(connection, revisions)).catch(() => undefined);
  }

  #answerLater(
    commit: Pick<OwnCommit, 'id' | 'revision'>,
    written: readonly Written[],
    previous: Promise<Map<number, StoredObject> | undefined>,
  ): void {
    const answering = previous
      .then((states) => this.#answer(commit, written, states))
      .finally(() => this.#answering.delete(answering));
    this.#answering.add(answering);
  }

  async #answer(
    commit: Pick<OwnCommit, 'id' | 'revision'>,
    written: readonly Written[],
    previous: Map<number, StoredObject> | undefined,
  ): Promise<void> {
    const events = written.map((write) => eventOf(write, previous));
    const changes = events.flatMap((event) =>
      event === undefined ? [] : { kind: 'object' as const, event },
    );
    const isWhole = changes.length === events.length;
    await this.#follower.publishOwn(isWhole ? { ...commit, changes } : commit);
    for (const [i, { job, revision, createRevision }] of written.entries()) {
      const object = events[i]?.object;
      if (object !== undefined) job.resolve(object);
      else if (job.kind !== 'delete') job.resolve({ key: job.key, body: job.body, revision, createRevision });
      else job.reject(deletedUnread(job));
    }
  }
}

function eventOf(
  { job, revision, createRevision }: Written,
  previous: ReadonlyMap<number, StoredObject> | undefined,
): ObjectChange | undefined {
  const { resource, namespace, name } = job.key;
  const key = { resource, namespace, name };
  if (job.kind === 'create')
    return { type: 'put', object: { key, body: job.body, revision, createRevision } };
  const before = previous?.get(job.expectedRevision);
  if (before === undefined) return undefined;
  if (job.kind === 'delete') return { type: 'delete', object: { ...before, revision } };
  return { type: 'put', object: { key, body: job.body, revision, createRevision }, previous: before };
}

function refusal({ key, condition }: ObjectWrite, outcome: number): StatusError {
  if (outcome === 1) return alreadyExists(named(key), key.name);
  if (outcome === 2) return notFound(named(key), key.name);
  if (outcome === 4 && condition !== undefined) {
    return conflict(
      named(key),
      key.name,
      `${condition.key.resource} "${condition.key.name}" has changed since it was looked at`,
    );
  }
  return conflict(
    named(key),
    key.name,
    'the object has been modified; please apply your changes to the latest version and try again',
  );
}

function deletedUnread({ key }: ObjectWrite): StatusError {
  const message = `${key.resource} "${key.name}" is deleted, but the database went away before its last state could be read`;
  return new StatusError('Timeout', message);
}

const nameOf = ({ resource, namespace, name }: ObjectKey): string => `${resource}\n${namespace}\n${name}`;

/** `sites.selvedge.dev` as the error constructors want it. */
function named(key: ObjectKey): { plural: string; group: string } {
  const [plural = '', ...group] = key.resource.split('.');
  return { plural, group: group.join('.') };
}
