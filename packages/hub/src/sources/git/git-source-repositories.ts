import { mkdir } from 'node:fs/promises';
import { join, posix } from 'node:path';
import type { Clock, GitSource, Logger, ObjectClient } from '@selvedge/api';
import type { GitCommit, GitRepositories, GitRequest } from '../git-repositories.ts';
import { SourceError } from '../source-reading.ts';
import type { SourceHosts } from '../source-hosts.ts';
import { Checkout, type CheckoutLimits } from './checkout.ts';
import { CommitFinder } from './commit-finder.ts';
import { GitAccess, type GitRemote } from './git-access.ts';
import { parseGitAddress } from './git-address.ts';
import { GitFailure, GitProgram } from './git-program.ts';
import { revisionText, type WantedRef, wantedRef } from './git-ref.ts';
import { readGitSecrets } from './git-secrets.ts';
import { HostTurns } from './host-turns.ts';
import type { RepositoryLimits } from './cached-repository.ts';
import { RepositoryCache } from './repository-cache.ts';

export interface GitLimits extends RepositoryLimits, CheckoutLimits {
  /** Of all repositories that are kept. */
  readonly cacheBytes: number;
  /** How long a server may take to say where its refs are. */
  readonly listSeconds: number;
}

export const defaultGitLimits: GitLimits = {
  files: 20_000,
  checkoutBytes: 64 * 1024 ** 2,
  repositoryBytes: 512 * 1024 ** 2,
  cacheBytes: 2 * 1024 ** 3,
  listSeconds: 30,
  fetchSeconds: 120,
};

export interface GitRepositoriesOptions {
  /** What is kept here can be thrown away while no hub runs. */
  readonly cacheDirectory: string;
  readonly client: Pick<ObjectClient, 'find'>;
  readonly hosts: SourceHosts;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly limits?: Partial<GitLimits>;
}

/** Before it, git connects to what a name means now, not to what was checked. */
const leastVersion = [2, 37] as const;

/** Repositories of git, read by the git program. Touches no disk and starts nothing before its first use. */
export function openGitRepositories(options: GitRepositoriesOptions): GitRepositories {
  return new GitProgramRepositories(options);
}

interface Parts {
  readonly git: GitProgram;
  readonly access: GitAccess;
  readonly cache: RepositoryCache;
  readonly finder: CommitFinder;
}

class GitProgramRepositories implements GitRepositories {
  readonly #o: GitRepositoriesOptions;
  readonly #limits: GitLimits;
  readonly #turns = new HostTurns();
  #parts: Promise<Parts> | undefined;

  constructor(options: GitRepositoriesOptions) {
    this.#o = options;
    this.#limits = { ...defaultGitLimits, ...options.limits };
  }

  async findCommit(request: GitRequest): Promise<GitCommit> {
    const { source, signal, askedTime } = request;
    const ref = refOf(source);
    if (ref.kind === 'commit') return { commit: ref.commit, revision: revisionText(ref.commit) };
    const remote = await this.#remote(request);
    const { finder } = await this.#open();
    const askedAt = Date.parse(askedTime ?? '') || 0;
    return finder.find(remote, ref, { askedAt, signal });
  }

  async checkOut(request: GitRequest & { readonly commit: string; readonly folder: string }): Promise<void> {
    const { source, commit, folder, signal } = request;
    const ref = refOf(source);
    const remote = await this.#remote(request);
    const { cache, access, git } = await this.#open();
    const tools = { cache, access, git, limits: this.#limits };
    const withSubmodules = source.submodules === true;
    const checkout = new Checkout(tools, { folder, withSubmodules, signal });
    const path = innerPath(source.path ?? '.');
    const fullName =
      'fullName' in ref ? { ref: ref.fullName } : ref.kind === 'default' ? { ref: 'HEAD' } : {};
    await this.#turns.run(remote, () => checkout.write({ remote, commit, path, ...fullName }));
    this.#o.logger.debug('commit read', { repository: remote.address.url, commit, path });
  }

  async #remote({ source, namespace }: GitRequest): Promise<GitRemote> {
    try {
      const address = parseGitAddress(source.url);
      return { address, secrets: await readGitSecrets(this.#o.client, { source, namespace }) };
    } catch (error) {
      throw error instanceof SourceError ? error : refused(error);
    }
  }

  #open(): Promise<Parts> {
    this.#parts ??= this.#start().catch((error: unknown) => {
      // git may be installed, or the disk have room, the next time.
      this.#parts = undefined;
      throw error;
    });
    return this.#parts;
  }

  async #start(): Promise<Parts> {
    const { cacheDirectory, hosts, clock } = this.#o;
    const home = join(cacheDirectory, 'home');
    const programs = join(cacheDirectory, 'access');
    await mkdir(home, { recursive: true, mode: 0o700 });
    const git = new GitProgram({ home });
    await checkVersion(git, home);
    const access = new GitAccess({ hosts, home: programs });
    await access.open();
    const limits = this.#limits;
    const folder = join(cacheDirectory, 'repositories');
    const cache = new RepositoryCache({ folder, git, limits, maxBytes: limits.cacheBytes, clock });
    await cache.open();
    const finder = new CommitFinder({
      git,
      access,
      turns: this.#turns,
      folder: home,
      clock,
      seconds: limits.listSeconds,
    });
    return { git, access, cache, finder };
  }
}

async function checkVersion(git: GitProgram, folder: string): Promise<void> {
  const text = await git
    .run({ args: ['version'], folder, timeoutSeconds: 30, signal: new AbortController().signal })
    .catch((cause: unknown) => {
      const why =
        cause instanceof GitFailure && cause.why === 'missing' ? 'is not on this hub' : 'does not start';
      throw new SourceError(
        'ProgramMissing',
        `git ${why}: install git 2.37 or newer (and ssh for ssh:// repositories).`,
        {
          cause,
        },
      );
    });
  const [major = 0, minor = 0] = (/(\d+)\.(\d+)/.exec(text) ?? []).slice(1).map(Number);
  if (major > leastVersion[0] || (major === leastVersion[0] && minor >= leastVersion[1])) return;
  throw new SourceError(
    'ProgramMissing',
    `${text.trim()} of this hub is too old: install git 2.37 or newer.`,
  );
}

function refOf(source: GitSource): WantedRef {
  try {
    return wantedRef(source);
  } catch (error) {
    throw refused(error);
  }
}

/** A folder in the repository, without steps back. Throws SourceError. */
function innerPath(text: string): string {
  const path = posix.normalize(text).replace(/\/+$/, '');
  if (path === '' || path === '.') return '.';
  if (path.startsWith('/') || path === '..' || path.startsWith('../') || path.includes('\0')) {
    throw new SourceError('RenderFailed', `Path "${text}" leads out of the repository: give a folder in it.`);
  }
  return path;
}

function refused(error: unknown): SourceError {
  const { message } = error as Error;
  // The same words stand behind a field's path where the door refuses them.
  const sentence = `${message.charAt(0).toUpperCase()}${message.slice(1)}.`;
  return new SourceError('RenderFailed', sentence, { cause: error });
}
