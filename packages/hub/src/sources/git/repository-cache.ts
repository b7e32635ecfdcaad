import { createHash } from 'node:crypto';
import { mkdir, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, KeyedMutex } from '@selvedge/api';
import { CachedRepository, isDamage, type RepositoryLimits } from './cached-repository.ts';
import type { GitRemote } from './git-access.ts';
import type { GitProgram } from './git-program.ts';

export interface RepositoryCacheOptions {
  readonly folder: string;
  readonly git: GitProgram;
  readonly limits: RepositoryLimits;
  /** Of all repositories together. */
  readonly maxBytes: number;
  readonly clock: Clock;
}

interface Kept {
  bytes: number;
  lastUsed: number;
  users: number;
}

const unusedMilliseconds = 7 * 24 * 3_600_000;
const maxPacks = 40;

/**
 * Repositories on disk, one folder for each and for each set of credentials: nobody reads by it what the server would refuse them. All
 * of it can be deleted at any time that no hub runs.
 */
export class RepositoryCache {
  readonly #o: RepositoryCacheOptions;
  readonly #locks = new KeyedMutex();
  readonly #kept = new Map<string, Kept>();

  constructor(options: RepositoryCacheOptions) {
    this.#o = options;
  }

  /** Finds what an earlier hub has left. */
  async open(): Promise<void> {
    const { folder } = this.#o;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    for (const name of await readdir(folder)) {
      const used = await stat(join(folder, name, 'used')).catch(() => undefined);
      if (used === undefined) {
        await rm(join(folder, name), { recursive: true, force: true });
        continue;
      }
      const bytes = await this.#repository(name).size();
      this.#kept.set(name, { bytes, lastUsed: used.mtimeMs, users: 0 });
    }
    await this.#evict();
  }

  /**
   * Runs `work` on the repository, one after the other. What turns out to be damaged is thrown away, and `work` is run once more.
   * @param commit tells the format of the repository.
   */
  async use<T>(
    remote: GitRemote,
    commit: string,
    work: (repository: CachedRepository) => Promise<T>,
  ): Promise<T> {
    const key = keyOf(remote, commit);
    const kept = this.#kept.get(key) ?? { bytes: 0, lastUsed: 0, users: 0 };
    this.#kept.set(key, kept);
    kept.users += 1;
    try {
      return await this.#locks.run(key, () => this.#useLocked(key, { commit, work }));
    } finally {
      kept.users -= 1;
      kept.lastUsed = this.#o.clock.now().getTime();
      kept.bytes = await this.#repository(key).size();
      await this.#evict();
    }
  }

  async #useLocked<T>(
    key: string,
    { commit, work }: { commit: string; work: (repository: CachedRepository) => Promise<T> },
  ): Promise<T> {
    const repository = this.#repository(key);
    if ((await repository.packs()) > maxPacks) await repository.discard();
    await repository.prepare(commit);
    const done = await work(repository).catch(async (error: unknown) => {
      if (!isDamage(error)) throw error;
      await repository.discard();
      await repository.prepare(commit);
      return work(repository);
    });
    // Without it the folder is deleted at the next start: nobody has ended there well.
    await this.#touch(key);
    return done;
  }

  async #touch(key: string): Promise<void> {
    const path = join(this.#o.folder, key, 'used');
    const now = this.#o.clock.now();
    await writeFile(path, '');
    await utimes(path, now, now);
  }

  /** Deletes what was not used for long, then the longest unused until the rest fits. */
  async #evict(): Promise<void> {
    const now = this.#o.clock.now().getTime();
    const idle = [...this.#kept]
      .filter(([, { users }]) => users === 0)
      .toSorted(([, a], [, b]) => a.lastUsed - b.lastUsed);
    let bytes = [...this.#kept.values()].reduce((sum, kept) => sum + kept.bytes, 0);
    for (const [key, kept] of idle) {
      const isOld = now - kept.lastUsed > unusedMilliseconds;
      if (!isOld && bytes <= this.#o.maxBytes) break;
      // Somebody may have come meanwhile.
      if (kept.users > 0) continue;
      this.#kept.delete(key);
      bytes -= kept.bytes;
      await this.#locks.run(key, async () => {
        // Somebody may have come while we waited.
        if (!this.#kept.has(key)) await this.#repository(key).discard();
      });
    }
  }

  #repository(key: string): CachedRepository {
    const { folder, git, limits } = this.#o;
    return new CachedRepository(join(folder, key), { git, limits });
  }
}

function keyOf({ address, secrets }: GitRemote, commit: string): string {
  const text = JSON.stringify([address.url, secrets.cacheScope, commit.length]);
  return createHash('sha256').update(text).digest('hex').slice(0, 40);
}
