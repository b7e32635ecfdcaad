import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SourceError } from '../source-reading.ts';
import { BlobSplitter } from './blob-splitter.ts';
import type { ReachingCall } from './git-access.ts';
import { type GitCall, GitFailure, type GitProgram } from './git-program.ts';
import { type TreeEntry, TreeParser } from './git-tree.ts';

export interface RepositoryLimits {
  /** Of one repository as it is kept here. */
  readonly repositoryBytes: number;
  /** Files of one commit that are looked at. */
  readonly files: number;
  readonly fetchSeconds: number;
}

type LocalCall = Pick<GitCall, 'args' | 'input' | 'onOutput'>;

const localSeconds = 60;
const oidPattern = /^[0-9a-f]{40}([0-9a-f]{24})?$/;

/**
 * What was fetched of one repository: commits without their history, and of their files only those that were wanted. Commands that
 * read go by a second repository on the same objects that knows no remote: what is missing is missing, and never fetched unasked.
 * One user at a time.
 */
export class CachedRepository {
  readonly #folder: string;
  readonly #git: GitProgram;
  readonly #limits: RepositoryLimits;

  constructor(folder: string, { git, limits }: { git: GitProgram; limits: RepositoryLimits }) {
    this.#folder = folder;
    this.#git = git;
    this.#limits = limits;
  }

  get #fetching(): string {
    return join(this.#folder, 'fetch.git');
  }

  get #reading(): string {
    return join(this.#folder, 'read.git');
  }

  /** Says that a fetch is under way: who finds it later knows that it was killed, and what is here may be half. */
  get #mark(): string {
    return join(this.#folder, 'unfinished');
  }

  /** Makes the repository where it is missing, and makes it anew where it may be damaged. */
  async prepare(commit: string): Promise<void> {
    if (await isThere(this.#mark)) await this.discard();
    if (await isThere(join(this.#reading, 'HEAD'))) return;
    await this.discard();
    const format = commit.length === 64 ? '\tobjectformat = sha256\n' : '';
    const config = `[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n${format}`;
    for (const folder of [this.#fetching, this.#reading]) {
      await mkdir(join(folder, 'refs'), { recursive: true, mode: 0o700 });
      await mkdir(join(folder, 'objects', 'pack'), { recursive: true });
      await writeFile(join(folder, 'config'), config);
      await writeFile(join(folder, 'HEAD'), 'ref: refs/heads/none\n');
    }
  }

  async discard(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }

  async hasCommit(commit: string, signal: AbortSignal): Promise<boolean> {
    return (await this.#objectSizes([commit], signal)).has(commit);
  }

  /**
   * Fetches one commit with its folders; its files are left to `fetchBlobs`, unless `withFiles`. @param ref asked for instead of the
   * commit, of servers that give out heads only.
   */
  async fetchCommit(
    { commit, ref, withFiles = false }: { commit: string; ref?: string; withFiles?: boolean },
    how: ReachingCall,
    signal: AbortSignal,
  ): Promise<void> {
    const filter = withFiles ? [] : ['--filter=blob:none'];
    const wanted = `+${ref ?? commit}:refs/selvedge/head`;
    await this.#fetch({ args: ['--depth=1', ...filter, 'origin', wanted] }, how, signal);
  }

  async fetchBlobs(oids: readonly string[], how: ReachingCall, signal: AbortSignal): Promise<void> {
    const input = `${oids.join('\n')}\n`;
    // Else the server is told which commits are here, and takes their files for here too.
    const config = [...how.config, 'fetch.negotiationAlgorithm=noop'];
    await this.#fetch(
      { args: ['--filter=blob:none', '--stdin', 'origin'], input },
      { ...how, config },
      signal,
    );
  }

  /** Everything below a path of a commit, or what stands at it; empty when there is nothing. `.` is all of it. */
  async list(commit: string, path: string, signal: AbortSignal): Promise<TreeEntry[]> {
    const parser = new TreeParser(this.#limits.files);
    const args = ['ls-tree', '-r', '-z', '--full-tree', commit, ...(path === '.' ? [] : ['--', path])];
    await this.#local({ args, onOutput: (chunk) => parser.push(chunk) }, signal);
    return parser.entries;
  }

  /** Sizes of those blobs that are here. */
  async blobSizes(oids: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, number>> {
    return this.#objectSizes(oids, signal);
  }

  /** Reads blobs that are here, each once, in order. */
  async readBlobs(
    oids: readonly string[],
    { onBlob, signal }: { onBlob: (oid: string, content: Buffer) => void; signal: AbortSignal },
  ): Promise<void> {
    if (oids.length === 0) return;
    const splitter = new BlobSplitter(onBlob);
    const input = `${oids.join('\n')}\n`;
    await this.#local(
      { args: ['cat-file', '--batch', '--buffer'], input, onOutput: (chunk) => splitter.push(chunk) },
      signal,
    );
    splitter.finish(oids.length);
  }

  /** Bytes on disk. */
  async size(): Promise<number> {
    const folder = join(this.#fetching, 'objects', 'pack');
    let bytes = 0;
    for (const name of await readdir(folder).catch(() => [])) {
      bytes += await stat(join(folder, name)).then(
        (found) => found.size,
        () => 0,
      );
    }
    return bytes;
  }

  /** Each fetch adds a pack; many of them make every look slow. */
  async packs(): Promise<number> {
    const names = await readdir(join(this.#fetching, 'objects', 'pack')).catch(() => []);
    return names.filter((name) => name.endsWith('.pack')).length;
  }

  async #fetch(
    { args, input }: { args: readonly string[]; input?: string },
    how: ReachingCall,
    signal: AbortSignal,
  ): Promise<void> {
    const { repositoryBytes, fetchSeconds } = this.#limits;
    await writeFile(this.#mark, '');
    try {
      await this.#git.run({
        args: ['fetch', ...quietFetch, ...args],
        ...how,
        environment: { ...how.environment, GIT_DIR: this.#fetching },
        folder: this.#fetching,
        ...(input === undefined ? {} : { input }),
        maxFileBytes: repositoryBytes,
        timeoutSeconds: fetchSeconds,
        signal,
      });
    } catch (error) {
      // What reached the limit was ended without a word.
      if ((await this.size()) >= repositoryBytes * 0.9) throw await this.#tooLarge(error);
      // git that ended by itself has put things in order; what was killed has not.
      if (error instanceof GitFailure && error.why === 'failed') await rm(this.#mark, { force: true });
      throw error;
    }
    if ((await this.size()) > repositoryBytes) throw await this.#tooLarge();
    await rm(this.#mark, { force: true });
  }

  async #tooLarge(cause?: unknown): Promise<SourceError> {
    await this.discard();
    const megabytes = Math.round(this.#limits.repositoryBytes / 1024 ** 2);
    const text = `More than ${megabytes} MiB would be fetched: name a smaller path, or keep large files elsewhere.`;
    return new SourceError('LimitExceeded', text, { cause });
  }

  async #objectSizes(oids: readonly string[], signal: AbortSignal): Promise<Map<string, number>> {
    const sizes = new Map<string, number>();
    if (oids.length === 0) return sizes;
    const output = await this.#local(
      { args: ['cat-file', '--batch-check', '--buffer'], input: `${oids.join('\n')}\n` },
      signal,
    );
    for (const line of output.split('\n')) {
      const [oid = '', , size] = line.split(' ');
      if (size !== undefined && oidPattern.test(oid)) sizes.set(oid, Number(size));
    }
    return sizes;
  }

  async #local(call: LocalCall, signal: AbortSignal): Promise<string> {
    return this.#git.run({
      ...call,
      environment: {
        GIT_DIR: this.#reading,
        GIT_OBJECT_DIRECTORY: join(this.#fetching, 'objects'),
      },
      folder: this.#reading,
      timeoutSeconds: localSeconds,
      signal,
    });
  }
}

const quietFetch = [
  '--quiet',
  '--no-tags',
  '--no-write-fetch-head',
  '--no-auto-maintenance',
  '--no-recurse-submodules',
  '--no-show-forced-updates',
];

/** Whether what is kept here is to blame: it is thrown away, and read again. */
export function isDamage(error: unknown): boolean {
  return (
    error instanceof GitFailure &&
    error.why === 'failed' &&
    /corrupt|bad object|missing|unable to read|loose object|packfile|not a tree object|not a valid object/i.test(
      error.stderr,
    )
  );
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
