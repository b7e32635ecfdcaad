import { randomBytes } from 'node:crypto';
import { rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * A little space that is kept for one purpose: SQLite needs some to open its database, and an agent that starts on a full
 * disk has to read what it is to run.
 */
export class SpaceReserve {
  readonly #path: string;

  constructor(stateDir: string) {
    this.#path = join(stateDir, 'reserve');
  }

  release(): void {
    rmSync(this.#path, { force: true });
  }

  /** No change when it is there; nothing when there is no space for it. */
  keep(): void {
    if (statSync(this.#path, { throwIfNoEntry: false })?.size === reserveBytes) return;
    try {
      // Random, as file systems may leave zeros out or compress them.
      writeFileSync(this.#path, randomBytes(reserveBytes), { mode: 0o600 });
    } catch {
      rmSync(this.#path, { force: true });
    }
  }
}

const reserveBytes = 256 * 1024;
