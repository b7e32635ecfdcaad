import type { Logger } from '@selvedge/api';
import type { AgentDatabase } from '../state/agent-database.ts';
import type { ContentStore } from '../state/content-store.ts';
import { emptyMemory, type ItemMemory } from './item-memory.ts';

/** An item by what names it for good. */
export interface ItemName {
  readonly id: string;
  readonly uid: string;
}

/**
 * The memories of all items, on disk. Each row is sealed with the agent's own key: what is driven after a restart is what this agent
 * decided, or it is not driven.
 */
export class MemoryStore {
  readonly #database: AgentDatabase;
  readonly #content: ContentStore;

  constructor(database: AgentDatabase, content: ContentStore) {
    this.#database = database;
    this.#content = content;
  }

  /** Leaves out, and logs, what does not verify. */
  loadAll(logger: Logger): (ItemName & { readonly memory: ItemMemory })[] {
    return this.#database.all('SELECT id, uid, body, seal FROM memories').flatMap((row) => {
      const item = { id: String(row['id']), uid: String(row['uid']) };
      const body = String(row['body']);
      if (row['seal'] !== this.#seal(item, body)) {
        logger.error('what was remembered of an item does not verify and is not used', { item: item.id });
        return [];
      }
      return [{ ...item, memory: { ...emptyMemory, ...(JSON.parse(body) as Partial<ItemMemory>) } }];
    });
  }

  put(item: ItemName, memory: ItemMemory): void {
    const body = JSON.stringify(memory);
    this.#database.run(
      'INSERT OR REPLACE INTO memories (id, uid, body, seal) VALUES (?, ?, ?, ?)',
      item.id,
      item.uid,
      body,
      this.#seal(item, body),
    );
  }

  remove(item: ItemName): void {
    this.#database.run('DELETE FROM memories WHERE id = ? AND uid = ?', item.id, item.uid);
  }

  #seal({ id, uid }: ItemName, body: string): string {
    return this.#content.seal(JSON.stringify(['memory', id, uid, body]));
  }
}
