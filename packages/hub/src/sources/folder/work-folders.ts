import { mkdir, mkdtemp, realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** Folders for one reading each, in a folder of their own that is emptied when the first is wanted: a crash leaves nothing for long. */
export class WorkFolders {
  readonly #parent: string;
  #ready: Promise<void> | undefined;

  constructor(parent: string) {
    this.#parent = parent;
  }

  /** The folder is empty, its path a real one; it is deleted at the end. */
  async use<T>(work: (folder: string) => Promise<T>): Promise<T> {
    this.#ready ??= this.#prepare();
    await this.#ready;
    const folder = await realpath(await mkdtemp(join(this.#parent, 'read-')));
    try {
      return await work(folder);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  async #prepare(): Promise<void> {
    await rm(this.#parent, { recursive: true, force: true });
    await mkdir(this.#parent, { recursive: true, mode: 0o700 });
  }
}
