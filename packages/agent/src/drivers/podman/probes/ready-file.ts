import { readFile } from 'node:fs/promises';
import { writeFileAtomically } from '@selvedge/api/node';

/** Remembers across restarts of the agent which containers were ready. */
export class ReadyFile {
  readonly #path: string;
  #written = '';

  constructor(path: string) {
    this.#path = path;
  }

  async read(): Promise<string[]> {
    const text = await readFile(this.#path, 'utf8').catch(() => '[]');
    this.#written = text;
    return JSON.parse(text) as string[];
  }

  /** Writes only what changed. */
  async save(containerIds: readonly string[]): Promise<void> {
    const text = JSON.stringify(containerIds);
    if (text === this.#written) return;
    await writeFileAtomically(this.#path, text);
    this.#written = text;
  }
}
