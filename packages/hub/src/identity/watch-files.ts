import { stat } from 'node:fs/promises';
import type { Clock, Logger } from '@selvedge/api';

/** Files that are read again when somebody changes them. */
export interface WatchedFiles {
  readonly paths: readonly string[];
  /**
   * Reads them and puts them to use; throws when they cannot be used, and then what was in use stays. Called at the
   * start too, and again for files that have not changed.
   */
  reload(): Promise<void>;
}

const lookEveryMilliseconds = 5_000;

/**
 * Looks at files every few seconds, which also works on network drives and for mounted Secrets whose links are swapped.
 * Files that cannot be used are spoken of once in the log and tried again. Never rejects.
 */
export async function watchFiles(options: {
  readonly watched: readonly WatchedFiles[];
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { clock, random, signal } = options;
  const looks = options.watched.map((files) => new Look(files, options.logger));
  while (!signal.aborted) {
    for (const look of looks) await look.again();
    await clock.sleep(lookEveryMilliseconds * (0.9 + 0.2 * random()), signal);
  }
}

class Look {
  readonly #files: WatchedFiles;
  readonly #log: Logger;
  /** State of the files that are in use. */
  #inUse: string | undefined;
  #complaint: string | undefined;

  constructor(files: WatchedFiles, logger: Logger) {
    this.#files = files;
    this.#log = logger;
  }

  async again(): Promise<void> {
    const { paths } = this.#files;
    try {
      // Before reading: a change in between is seen the next time.
      const state = (await Promise.all(paths.map(stateOf))).join('\n');
      if (state === this.#inUse) return;
      await this.#files.reload();
      this.#inUse = state;
      this.#complaint = undefined;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (reason === this.#complaint) return;
      this.#complaint = reason;
      this.#log.error('changed files are not used, what was in use stays', { files: paths, reason });
    }
  }
}

async function stateOf(path: string): Promise<string> {
  try {
    const { ino, mtimeMs, size } = await stat(path);
    return `${ino} ${mtimeMs} ${size}`;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'none';
    throw error;
  }
}
