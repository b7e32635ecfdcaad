import { readFile } from 'node:fs/promises';
import { writeFileAtomically } from '@selvedge/api/node';

/** An item that this driver let go of: its pods and Services run on, and nobody looks after them. */
export interface OrphanedItem {
  readonly id: string;
  readonly uid: string;
  /** Of the order. */
  readonly epoch: number;
}

/**
 * Items that were let go. What they left has their labels still; by this list it is told from what the driver keeps, so no later
 * order removes it. An item that is assigned anew comes off the list.
 */
export class OrphanList {
  readonly #path: string;
  readonly #items = new Map<string, OrphanedItem>();

  constructor(path: string) {
    this.#path = path;
  }

  async load(): Promise<void> {
    const text = await readFile(this.#path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '[]';
      throw error;
    });
    for (const item of JSON.parse(text) as OrphanedItem[]) this.#items.set(item.uid, item);
  }

  find(uid: string): OrphanedItem | undefined {
    return this.#items.get(uid);
  }

  /** Durable when it resolves. */
  async add(item: OrphanedItem): Promise<void> {
    if (this.#items.has(item.uid)) return;
    await this.#write([...this.#items.values(), item]);
    this.#items.set(item.uid, item);
  }

  async remove(uid: string): Promise<void> {
    if (!this.#items.has(uid)) return;
    await this.#write([...this.#items.values()].filter((item) => item.uid !== uid));
    this.#items.delete(uid);
  }

  async #write(items: readonly OrphanedItem[]): Promise<void> {
    await writeFileAtomically(this.#path, JSON.stringify(items));
  }
}
