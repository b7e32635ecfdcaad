import { type FSWatcher, mkdirSync, watch } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * How a command tells the agent beside it that it wrote into the database: it touches a file in a folder that nothing else
 * writes to, so a quiet agent costs nothing. Where files cannot be watched, `isWatching` is false and the agent has to look.
 */
export class LocalBell {
  readonly #watcher: FSWatcher | undefined;
  #isWatching = false;

  constructor(stateDir: string, onRing: () => void) {
    try {
      mkdirSync(folderOf(stateDir), { recursive: true, mode: 0o700 });
      this.#watcher = watch(folderOf(stateDir), { persistent: false }, onRing);
      this.#isWatching = true;
      this.#watcher.on('error', () => {
        this.#isWatching = false;
      });
    } catch {
      // A full disk, or no inotify: the agent looks by itself.
    }
  }

  get isWatching(): boolean {
    return this.#isWatching;
  }

  close(): void {
    this.#watcher?.close();
  }
}

/** To be called when what was written is durable. Without an agent nobody hears it. */
export async function ringLocalBell(stateDir: string): Promise<void> {
  await writeFile(join(folderOf(stateDir), 'ring'), '', { mode: 0o600 }).catch(() => {
    // The agent looks by itself within a minute.
  });
}

function folderOf(stateDir: string): string {
  return join(stateDir, 'local');
}
