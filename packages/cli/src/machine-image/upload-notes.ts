import { createHash } from 'node:crypto';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomically } from '@selvedge/api/node';

/** Uploads that were begun, so that a later run of the command goes on with them. Nice to have: what cannot be kept is begun again. */
export class UploadNotes {
  readonly #folder: string | undefined;

  constructor(folder: string | undefined) {
    this.#folder = folder;
  }

  async find(key: string): Promise<string | undefined> {
    const path = this.#pathOf(key);
    if (path === undefined) return undefined;
    const text = await readFile(path, 'utf8').catch(() => '');
    return text.trim() || undefined;
  }

  async note(key: string, location: string): Promise<void> {
    const path = this.#pathOf(key);
    if (path === undefined || this.#folder === undefined) return;
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      await writeFileAtomically(path, `${location}\n`, { durable: false });
    } catch {
      // As if there were no folder.
    }
  }

  async remove(key: string): Promise<void> {
    const path = this.#pathOf(key);
    if (path !== undefined) await rm(path, { force: true }).catch(() => {});
  }

  #pathOf(key: string): string | undefined {
    if (this.#folder === undefined) return undefined;
    return join(this.#folder, createHash('sha256').update(key).digest('hex'));
  }
}
