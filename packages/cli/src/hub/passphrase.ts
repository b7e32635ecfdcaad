import { readFile } from 'node:fs/promises';
import { UsageError } from '../program/exit-code.ts';

export interface PassphraseOptions {
  readonly passphraseFile?: string;
  /** False: given as `--no-passphrase`. */
  readonly passphrase?: boolean;
}

/** The passphrase of a backup; undefined: expressly none. Throws UsageError when neither was said, or both. */
export async function readPassphrase(options: PassphraseOptions): Promise<string | undefined> {
  const isNone = options.passphrase === false;
  if (options.passphraseFile === undefined) {
    if (isNone) return undefined;
    throw new UsageError(
      'a backup holds the hub’s keys and all secrets: give --passphrase-file FILE to seal and open it with, or --no-passphrase',
    );
  }
  if (isNone) throw new UsageError('--passphrase-file and --no-passphrase exclude each other');
  let text: string;
  try {
    text = await readFile(options.passphraseFile, 'utf8');
  } catch (cause) {
    throw new UsageError(`--passphrase-file: ${(cause as Error).message}`, { cause });
  }
  const passphrase = text.replace(/\r?\n$/, '');
  if (passphrase === '') throw new UsageError(`--passphrase-file: ${options.passphraseFile} is empty`);
  return passphrase;
}
