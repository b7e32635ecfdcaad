import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomically } from '@selvedge/api/node';
import { removeLeftovers } from '../state/atomic-file.ts';

/** What a driver remembers of its items: one small file per item, replaced atomically. */
export class RecordFiles<T extends { readonly uid: string }> {
  readonly #folder: string;
  /** By uid: what the file holds. */
  readonly #written = new Map<string, string>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  async loadAll(): Promise<T[]> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await removeLeftovers(this.#folder);
    const names = (await readdir(this.#folder)).filter((name) => name.endsWith('.json'));
    const records: T[] = [];
    for (const name of names) {
      const text = await readFile(join(this.#folder, name), 'utf8');
      const record = JSON.parse(text) as T;
      this.#written.set(record.uid, text);
      records.push(record);
    }
    return records;
  }

  /** Writes only what changed. */
  async save(record: T): Promise<void> {
    const text = JSON.stringify(record);
    if (this.#written.get(record.uid) === text) return;
    const path = this.#pathOf(record.uid);
    await writeFileAtomically(path, text);
    this.#written.set(record.uid, text);
  }

  async remove(uid: string): Promise<void> {
    this.#written.delete(uid);
    await rm(this.#pathOf(uid), { force: true });
  }

  #pathOf(uid: string): string {
    return join(this.#folder, `${createHash('sha256').update(uid).digest('hex').slice(0, 16)}.json`);
  }
}
