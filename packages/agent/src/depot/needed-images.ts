import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { writeFileAtomically } from '@selvedge/api/node';
import { findFile, removeLeftovers } from '../state/atomic-file.ts';

/** Which images are needed, and by whom. Kept over restarts. */
export class NeededImages {
  readonly #path: string;
  #holders: ReadonlyMap<string, readonly string[]> = new Map();
  #turn: Promise<void> = Promise.resolve();

  constructor(directory: string) {
    this.#path = join(directory, 'needed.json');
  }

  /** To be called before the first `set`, by the one that sets. */
  async load(): Promise<void> {
    await removeLeftovers(dirname(this.#path)).catch(() => {});
    await this.read();
  }

  /** A damaged file is worth nothing: everything is said anew by its holders. */
  async read(): Promise<void> {
    const text = (await findFile(this.#path))?.toString('utf8') ?? '{}';
    try {
      const value = JSON.parse(text) as Record<string, unknown>;
      const entries = Object.entries(value).filter((entry): entry is [string, string[]] => isNames(entry[1]));
      this.#holders = new Map(entries);
    } catch {
      this.#holders = new Map();
    }
  }

  get byHolder(): ReadonlyMap<string, readonly string[]> {
    return this.#holders;
  }

  /** Images that somebody needs, as they were named. */
  get names(): readonly string[] {
    return [...this.#holders.values()].flat();
  }

  /** In force at once; durable when it resolves. */
  async set(holder: string, images: readonly string[]): Promise<void> {
    const before = this.#holders.get(holder) ?? [];
    const now = [...new Set(images)].sort();
    if (before.join(' ') === now.join(' ')) return;
    const next = new Map(this.#holders);
    if (now.length === 0) next.delete(holder);
    else next.set(holder, now);
    this.#holders = next;
    // Small, and alone in its file: what a crash leaves out is said again at the next start.
    const written = this.#turn.then(async () => {
      await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
      await writeFileAtomically(this.#path, `${JSON.stringify(Object.fromEntries(this.#holders))}\n`);
    });
    this.#turn = written.catch(() => {});
    await written;
  }
}

function isNames(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string');
}
