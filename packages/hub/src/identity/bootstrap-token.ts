import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '@selvedge/api';
import { writeFileAtomically } from '@selvedge/api/node';
import { DataDirectoryError, findPrivateFile } from './private-file.ts';

/** A token of 32 random bytes for a first administrator who cannot use a client certificate, in DIR/bootstrap-token. */
export class BootstrapToken {
  readonly path: string;
  readonly #log: Logger;
  #token: string | undefined;

  constructor(dataDirectory: string, logger: Logger) {
    this.path = join(dataDirectory, 'bootstrap-token');
    this.#log = logger.child({ component: 'identity' });
  }

  /** What is accepted now; `undefined`: nothing. */
  get current(): string | undefined {
    return this.#token;
  }

  /** Reads the file, and makes it when there is none. Throws DataDirectoryError for a token that is too easy to guess. */
  async load(): Promise<void> {
    let token = (await findPrivateFile(this.path))?.trim();
    if (token === undefined) {
      token = randomBytes(32).toString('base64url');
      await writeFileAtomically(this.path, `${token}\n`);
      this.#log.info('bootstrap token made', { path: this.path });
    }
    if (!/^[\x21-\x7e]{32,1024}$/.test(token)) {
      // Who emptied the file did not mean the old one to go on.
      this.#token = undefined;
      throw new DataDirectoryError(
        `${this.path} must hold one token of at least 32 printable characters: delete the file, and the hub makes a new one`,
      );
    }
    this.#token = token;
  }

  /** Ends it for good. */
  async remove(): Promise<void> {
    this.#token = undefined;
    if (await removed(this.path)) this.#log.info('bootstrap token removed', { path: this.path });
  }
}

async function removed(path: string): Promise<boolean> {
  try {
    await rm(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
