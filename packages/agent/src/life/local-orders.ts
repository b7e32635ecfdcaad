import type { AgentDatabase } from '../state/agent-database.ts';
import type { ItemName } from './memory-store.ts';

/** Taking back what is active, as a person at the site ordered it. */
export interface RollbackOrder {
  readonly item: ItemName;
  readonly by: string;
  readonly reason: string;
}

/** What a command has written down for the agent to do; taken up within seconds, or at the next start. */
export class LocalOrders {
  readonly #database: AgentDatabase;

  constructor(database: AgentDatabase) {
    this.#database = database;
  }

  put(order: RollbackOrder): number {
    return this.#database.transaction(() => {
      const body = JSON.stringify(order);
      this.#database.run('INSERT INTO orders (body) VALUES (?)', body);
      return Number(this.#database.find('SELECT max(number) AS number FROM orders')?.['number']);
    });
  }

  open(): { readonly number: number; readonly order: RollbackOrder }[] {
    return this.#database.all('SELECT number, body FROM orders ORDER BY number').map(({ number, body }) => ({
      number: Number(number),
      order: JSON.parse(body as string) as RollbackOrder,
    }));
  }

  remove(number: number): void {
    this.#database.run('DELETE FROM orders WHERE number = ?', number);
  }
}
