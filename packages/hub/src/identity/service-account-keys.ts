import { join } from 'node:path';
import type { Logger } from '@selvedge/api';
import { writeFileAtomically } from '@selvedge/api/node';
import { generateSigningKeyPem, parseSigningKeys, type SigningKeys } from '@selvedge/apiserver';
import { DataDirectoryError, findPrivateFile } from './private-file.ts';

/**
 * The keys of service account tokens, in DIR/keys/service-account.key: PEM blocks, of which the first signs and all
 * verify. When lost, tokens are void and a new key is made: nothing that lasts depends on it.
 */
export class ServiceAccountKeys {
  readonly path: string;
  readonly #log: Logger;
  #text = '';
  #keys: SigningKeys | undefined;

  constructor(dataDirectory: string, logger: Logger) {
    this.path = join(dataDirectory, 'keys', 'service-account.key');
    this.#log = logger.child({ component: 'identity' });
  }

  get current(): SigningKeys {
    if (!this.#keys) throw new Error('the keys of service accounts are not loaded yet');
    return this.#keys;
  }

  /** Reads the file; makes it when there is none. Throws DataDirectoryError when it is damaged. */
  async load(): Promise<void> {
    let text = await findPrivateFile(this.path);
    if (text === undefined) {
      text = generateSigningKeyPem();
      await writeFileAtomically(this.path, text);
      this.#log.info('service account key made', { path: this.path });
    }
    if (text === this.#text) return;
    try {
      this.#keys = parseSigningKeys(text);
    } catch (cause) {
      throw new DataDirectoryError(
        `${this.path} is damaged (${(cause as Error).message}): restore it from a backup, or delete it: the hub makes a new key, and tokens of service accounts have to be made again`,
        { cause },
      );
    }
    this.#text = text;
  }
}
