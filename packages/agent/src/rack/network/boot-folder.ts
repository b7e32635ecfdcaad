import { randomBytes } from 'node:crypto';
import { chmod, copyFile, mkdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { bootLoaderFiles, type MachineArchitecture } from '@selvedge/api';
import type { ImageLibrary } from '../images/image-library.ts';

/** The folder that TFTP serves: the boot loaders and nothing else, copied out of the image library, each whole or not there. */
export class BootFolder {
  readonly path: string;
  readonly #library: Pick<ImageLibrary, 'findBootFile'>;
  readonly #copied = new Map<string, string>();

  constructor(path: string, library: Pick<ImageLibrary, 'findBootFile'>) {
    this.path = path;
    this.#library = library;
  }

  /** @returns loaders that the library does not have. */
  async refresh(): Promise<readonly string[]> {
    await mkdir(this.path, { recursive: true });
    const missing: string[] = [];
    for (const file of bootLoaderFiles) {
      if (!(await this.#refreshFile(file))) missing.push(file);
    }
    return missing;
  }

  async #refreshFile(file: string): Promise<boolean> {
    const [architecture, name] = file.split('/') as [MachineArchitecture, string];
    const target = join(this.path, file);
    const source = await this.#library.findBootFile(architecture, name);
    if (source === undefined) {
      // A loader that is there goes on being served: the library may only be fetching its next one.
      return this.#copied.has(file);
    }
    const { size, mtimeMs } = await stat(source);
    const version = `${source} ${size} ${mtimeMs}`;
    if (this.#copied.get(file) === version) return true;
    const temporary = `${target}.${randomBytes(6).toString('hex')}.tmp`;
    await makeReadable(dirname(target));
    try {
      await copyFile(source, temporary);
      // dnsmasq reads as a user without rights.
      await chmod(temporary, 0o644);
      await rename(temporary, target);
    } finally {
      await rm(temporary, { force: true });
    }
    this.#copied.set(file, version);
    return true;
  }
}

/** Makes a folder that every user may read in, whatever the umask is. */
export async function makeReadable(path: string): Promise<void> {
  await mkdir(path, { recursive: true });
  await chmod(path, 0o755);
}
