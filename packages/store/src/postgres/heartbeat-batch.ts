import type { Clock, Logger } from '@selvedge/api';
import type { Heartbeat } from '../fleet-store.ts';
import type { ConnectionPool } from './connection-pool.ts';

export interface HeartbeatRecord {
  readonly site: string;
  readonly last_seen_at: string;
  readonly agent_epoch: number;
  readonly agent_state_digest: string;
  readonly observed_at: string | null;
}

const flushIntervalMilliseconds = 1000;

/**
 * Heartbeats of sites that spoke to this hub live in memory and are written together, at most once a second; the newest
 * one of each site counts, whichever hub it was told.
 */
export class HeartbeatBatch {
  readonly #pool: ConnectionPool;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #unwritten = new Map<string, Heartbeat>();
  readonly #closing = new AbortController();
  #flushing: Promise<void> | undefined;

  constructor(options: { pool: ConnectionPool; clock: Clock; logger: Logger }) {
    this.#pool = options.pool;
    this.#clock = options.clock;
    this.#logger = options.logger;
  }

  touch(heartbeat: Heartbeat): void {
    if (this.#closing.signal.aborted) return;
    this.#unwritten.set(heartbeat.site, heartbeat);
    this.#flushing ??= this.#flushUntilWritten();
  }

  async all(): Promise<Map<string, Heartbeat>> {
    const rows = await this.#pool.run((connection) =>
      connection.query<HeartbeatRecord>('SELECT * FROM heartbeat'),
    );
    const newest = new Map(rows.map((row) => [row.site, toHeartbeat(row)]));
    for (const heartbeat of this.#unwritten.values()) {
      const written = newest.get(heartbeat.site);
      if (written === undefined || written.lastSeenAt <= heartbeat.lastSeenAt) {
        newest.set(heartbeat.site, heartbeat);
      }
    }
    return newest;
  }

  /** After the write that removes the site's row. */
  forget(site: string): void {
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

  /** Writes what is there now; when the database is away it stays in memory. */
  async flush(): Promise<void> {
    // In one order on every hub, so that no two wait for each other.
    const written = [...this.#unwritten.values()].sort((a, b) => (a.site < b.site ? -1 : 1));
    if (written.length === 0) return;
    try {
      await this.#pool.run((connection) => connection.query(saveHeartbeats, columnsOf(written)));
      for (const heartbeat of written) {
        if (this.#unwritten.get(heartbeat.site) === heartbeat) this.#unwritten.delete(heartbeat.site);
      }
    } catch (error) {
      this.#logger.warn('heartbeats not written', { error, sites: written.length });
    }
  }
}

/** Older ones change nothing. */
export const saveHeartbeats = `
  INSERT INTO heartbeat AS h (site, last_seen_at, agent_epoch, agent_state_digest, observed_at)
  SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[])
  ON CONFLICT (site) DO UPDATE SET last_seen_at = excluded.last_seen_at, agent_epoch = excluded.agent_epoch,
    agent_state_digest = excluded.agent_state_digest, observed_at = excluded.observed_at
  WHERE h.last_seen_at <= excluded.last_seen_at`;

export function columnsOf(heartbeats: readonly Heartbeat[]): (string | number | null)[][] {
  return [
    heartbeats.map((heartbeat) => heartbeat.site),
    heartbeats.map((heartbeat) => heartbeat.lastSeenAt),
    heartbeats.map((heartbeat) => heartbeat.agentEpoch),
    heartbeats.map((heartbeat) => heartbeat.agentStateDigest),
    heartbeats.map((heartbeat) => heartbeat.observedAt ?? null),
  ];
}

export function toHeartbeat(row: HeartbeatRecord): Heartbeat {
  return {
    site: row.site,
    lastSeenAt: row.last_seen_at,
    agentEpoch: row.agent_epoch,
    agentStateDigest: row.agent_state_digest,
    ...(row.observed_at === null ? {} : { observedAt: row.observed_at }),
  };
}
