import type { Clock, Logger } from '@selvedge/api';
import type { Heartbeat } from '../fleet-store.ts';
import type { Db } from './db.ts';
import type { GroupCommit } from './group-commit.ts';

const flushIntervalMilliseconds = 1000;

/** Heartbeats live in memory and are written together, at most once a second. */
export class HeartbeatBatch {
  readonly #db: Db;
  readonly #commits: GroupCommit;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #newest = new Map<string, Heartbeat>();
  readonly #unwritten = new Set<string>();
  readonly #closing = new AbortController();
  #flushing: Promise<void> | undefined;

  constructor(options: { db: Db; commits: GroupCommit; clock: Clock; logger: Logger }) {
    this.#db = options.db;
    this.#commits = options.commits;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.reload();
  }

  /** Takes what is stored for the newest. */
  reload(): void {
    const rows = this.#db.all<Omit<Heartbeat, 'observedAt'> & { observedAt: string | null }>(
      `SELECT site, last_seen_at AS lastSeenAt, agent_epoch AS agentEpoch,
         agent_state_digest AS agentStateDigest, observed_at AS observedAt
       FROM heartbeat`,
    );
    this.#newest.clear();
    for (const { observedAt, ...row } of rows) {
      this.#newest.set(row.site, observedAt === null ? row : { ...row, observedAt });
    }
  }

  touch(heartbeat: Heartbeat): void {
    if (this.#closing.signal.aborted) return;
    this.#newest.set(heartbeat.site, heartbeat);
    this.#unwritten.add(heartbeat.site);
    this.#flushing ??= this.#flushUntilWritten();
  }

  all(): Map<string, Heartbeat> {
    return new Map(this.#newest);
  }

  /** Call inside the write that removes the site. */
  removeRow(site: string): void {
    this.#db.run('DELETE FROM heartbeat WHERE site = ?', [site]);
  }

  /** Call after that write. */
  forget(site: string): void {
    this.#newest.delete(site);
    this.#unwritten.delete(site);
  }

  /** Writes what is left. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#flushing;
  }

  async #flushUntilWritten(): Promise<void> {
    let isLastTry = false;
    while (this.#unwritten.size > 0 && !isLastTry) {
      await this.#clock.sleep(flushIntervalMilliseconds, this.#closing.signal);
      isLastTry = this.#closing.signal.aborted;
      await this.flush();
    }
    this.#flushing = undefined;
  }

  /** Writes now what is not written yet; what cannot be written stays in memory for the next try. */
  async flush(): Promise<void> {
    try {
      await this.#commits.write((scope) => {
        const written = [...this.#unwritten].flatMap((site) => this.#newest.get(site) ?? []);
        for (const heartbeat of written) writeHeartbeat(this.#db, heartbeat);
        scope.afterCommit(() => {
          for (const heartbeat of written) {
            if (this.#newest.get(heartbeat.site) === heartbeat) this.#unwritten.delete(heartbeat.site);
          }
        });
      });
    } catch (error) {
      this.#logger.warn('heartbeats not written', { error, sites: this.#unwritten.size });
    }
  }
}

export function writeHeartbeat(db: Db, heartbeat: Heartbeat): void {
  db.run(
    `INSERT INTO heartbeat (site, last_seen_at, agent_epoch, agent_state_digest, observed_at)
     VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (site) DO UPDATE SET last_seen_at = excluded.last_seen_at,
       agent_epoch = excluded.agent_epoch, agent_state_digest = excluded.agent_state_digest,
       observed_at = excluded.observed_at`,
    [
      heartbeat.site,
      heartbeat.lastSeenAt,
      heartbeat.agentEpoch,
      heartbeat.agentStateDigest,
      heartbeat.observedAt ?? null,
    ],
  );
}
