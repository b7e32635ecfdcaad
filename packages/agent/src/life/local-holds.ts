import type { LocalHold } from '@selvedge/api';
import type { AgentDatabase } from '../state/agent-database.ts';

/** Holds that a person at the site has set: on disk, in force until a person releases them. */
export class LocalHolds {
  readonly #database: AgentDatabase;

  constructor(database: AgentDatabase) {
    this.#database = database;
  }

  /** That of the whole site first. */
  all(): LocalHold[] {
    return this.#database
      .all('SELECT body FROM holds ORDER BY item')
      .map(({ body }) => JSON.parse(body as string) as LocalHold);
  }

  put(hold: LocalHold): void {
    const item = hold.item ?? '';
    this.#database.run('INSERT OR REPLACE INTO holds (item, body) VALUES (?, ?)', item, JSON.stringify(hold));
  }

  /** Of the whole site without `item`. */
  remove(item: string | undefined): void {
    this.#database.run('DELETE FROM holds WHERE item = ?', item ?? '');
  }
}

/** The hold that binds this item: its own or that of the whole site. */
export function findLocalHold(holds: readonly LocalHold[], item: string): LocalHold | undefined {
  return holds.find((hold) => hold.item === undefined || hold.item === item);
}
