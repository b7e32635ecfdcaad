import { unlessStorageFull } from '../../state/agent-database.ts';
import type { MachineKeeper } from './machine-keeper.ts';
import type { MachineRecord } from './machine-record.ts';

/** Whose disk may be written now: many at once would be slow for all of them, and for the site's wire. */
export class WriteTurns {
  readonly #keeper: MachineKeeper;
  readonly #writing: Set<string>;

  constructor(keeper: MachineKeeper) {
    this.#keeper = keeper;
    this.#writing = new Set(
      keeper
        .all()
        .filter(isWriting)
        .map(({ key }) => key),
    );
    keeper.onChange((key) => this.#note(key));
  }

  /** What comes before this machine's disk is written; undefined: nothing. @param atOnce so many are written at the same time. */
  findReason(key: string, atOnce: number): string | undefined {
    const others = this.#writing.size - (this.#writing.has(key) ? 1 : 0);
    if (others < atOnce) return undefined;
    return `its turn to be written comes: the site writes ${atOnce} at once (spec.rack.writesAtOnce)`;
  }

  #note(key: string): void {
    const record = this.#keeper.find(key);
    if (record !== undefined && isWriting(record)) {
      this.#writing.add(key);
      return;
    }
    if (!this.#writing.delete(key)) return;
    for (const other of this.#keeper.all()) {
      // That there is no space for another one is no trouble of this one: its box asks for its task again soon, and is planned then.
      if (isIdle(other)) unlessStorageFull(() => this.#keeper.review(other.key));
    }
  }
}

function isWriting({ session, job }: MachineRecord): boolean {
  return session !== undefined && job?.task?.task.task === 'write';
}

/** Its system runs and waits for a task. */
function isIdle({ session, job }: MachineRecord): boolean {
  return session !== undefined && job?.stage === 'System' && job.task === undefined;
}
