import { readFile } from 'node:fs/promises';
import { type Clock, StatusError } from '@selvedge/api';

/** Kubelet and others replace the token in the file long before it expires; client-go looks as often. */
const rereadMilliseconds = 60_000;

/** A bearer token in a file that somebody else renews. */
export class TokenFile {
  readonly #path: string;
  readonly #clock: Clock;
  #token: { readonly text: string; readonly readAtMs: number } | undefined;

  constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
  }

  /** What stands in the file, at most a minute old. Throws ServiceUnavailable while it cannot be read. */
  async get(): Promise<string> {
    const nowMs = this.#clock.now().getTime();
    // A clock that was set back must not keep an old token.
    const ageMs = this.#token === undefined ? Infinity : Math.abs(nowMs - this.#token.readAtMs);
    if (this.#token !== undefined && ageMs < rereadMilliseconds) return this.#token.text;
    let text: string;
    try {
      text = (await readFile(this.#path, 'utf8')).trim();
    } catch (cause) {
      throw unavailable(this.#path, 'cannot be read', cause);
    }
    if (text === '') throw unavailable(this.#path, 'is empty');
    this.#token = { text, readAtMs: nowMs };
    return text;
  }

  /** The next `get` reads the file. */
  forget(): void {
    this.#token = undefined;
  }
}

function unavailable(path: string, what: string, cause?: unknown): StatusError {
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  return new StatusError(
    'ServiceUnavailable',
    `the file with the token for the Kubernetes API, ${path}, ${what}${code === undefined ? '' : ` (${code})`}`,
    { cause },
  );
}
