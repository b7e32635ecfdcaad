import type { LocalAct } from '@selvedge/api';
import type { AgentDatabase } from '../state/agent-database.ts';
import { findMeta, putMeta } from '../state/enrolment-record.ts';

export type UnnumberedAct = Omit<LocalAct, 'seq'>;

/** What `status` shows of an act. */
export interface RecordedAct extends LocalAct {
  /** The hub has it durably. */
  readonly isTold: boolean;
}

const longestBatch = 50;
/** Of those that the hub has; the others stay. */
const keptTold = 20;
/** A site that is away for years must not fill its disk with them. */
const longestUntold = 1000;

/**
 * What was done at the site, in order, until the hub has it. Written by the agent and by the commands beside it, so every
 * number is taken from the database.
 */
export class LocalActs {
  readonly #database: AgentDatabase;

  constructor(database: AgentDatabase) {
    this.#database = database;
  }

  /** Durable when it returned. */
  append(act: UnnumberedAct): LocalAct {
    return this.#database.transaction(() => {
      const seq = this.#lastSeq() + 1;
      const whole: LocalAct = { seq, ...clip(act) };
      this.#insert(whole);
      putMeta(this.#database, 'lastAct', String(seq));
      this.#database.run('DELETE FROM acts WHERE told = 0 AND seq <= ?', seq - longestUntold);
      return whole;
    });
  }

  /** Those that the hub does not have, oldest first, as many as one request takes. */
  untold(): LocalAct[] {
    return this.#database
      .all('SELECT body FROM acts WHERE told = 0 ORDER BY seq LIMIT ?', longestBatch)
      .map(({ body }) => JSON.parse(body as string) as LocalAct);
  }

  hasUntold(): boolean {
    return this.#database.find('SELECT 1 FROM acts WHERE told = 0 LIMIT 1') !== undefined;
  }

  /**
   * The hub has all up to `ackSeq`. When that is more than this agent ever counted, its disk is an older copy: it counts on
   * from there, or the hub would take new acts for known ones.
   */
  acknowledge(ackSeq: number): void {
    const last = this.#lastSeq();
    if (ackSeq <= last) {
      if (this.hasUntold()) this.#markTold(ackSeq);
      return;
    }
    this.#database.transaction(() => {
      const acts = this.#database.all('SELECT body FROM acts WHERE told = 0 ORDER BY seq');
      this.#database.run('DELETE FROM acts WHERE told = 0');
      let seq = ackSeq;
      for (const { body } of acts) {
        seq += 1;
        this.#insert({ ...(JSON.parse(body as string) as LocalAct), seq });
      }
      putMeta(this.#database, 'lastAct', String(seq));
    });
  }

  /** The newest last. */
  recent(count: number): RecordedAct[] {
    return this.#database
      .all('SELECT told, body FROM acts ORDER BY seq DESC LIMIT ?', count)
      .map(({ told, body }) => ({ ...(JSON.parse(body as string) as LocalAct), isTold: told === 1 }))
      .toReversed();
  }

  /** True when the very same was said last of this item: it is not said again. */
  isRepeated(act: Pick<LocalAct, 'kind' | 'item' | 'message'>): boolean {
    return this.recent(keptTold).some(
      (one) => one.kind === act.kind && one.item === act.item && one.message === act.message,
    );
  }

  #markTold(ackSeq: number): void {
    this.#database.transaction(() => {
      this.#database.run('UPDATE acts SET told = 1 WHERE told = 0 AND seq <= ?', ackSeq);
      this.#database.run(
        'DELETE FROM acts WHERE told = 1 AND seq NOT IN (SELECT seq FROM acts ORDER BY seq DESC LIMIT ?)',
        keptTold,
      );
    });
  }

  #insert(act: LocalAct): void {
    this.#database.run('INSERT INTO acts (seq, told, body) VALUES (?, 0, ?)', act.seq, JSON.stringify(act));
  }

  #lastSeq(): number {
    return Number(findMeta(this.#database, 'lastAct') ?? 0);
  }
}

/** What the hub takes (sync-protocol.ts). */
function clip(act: UnnumberedAct): UnnumberedAct {
  return {
    ...act,
    ...(act.by === undefined ? {} : { by: act.by.slice(0, 200) }),
    ...(act.reason === undefined ? {} : { reason: act.reason.slice(0, 1000) }),
    message: act.message.slice(0, 8000),
  };
}
