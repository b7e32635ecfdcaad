import type { Clock } from '@selvedge/api';
import { SourceError } from '../source-reading.ts';
import type { GitAccess, GitRemote } from './git-access.ts';
import type { GitProgram } from './git-program.ts';
import { isCommit, revisionText, type WantedRef } from './git-ref.ts';
import { sourceErrorOf } from './git-faults.ts';
import type { HostTurns } from './host-turns.ts';
import type { GitCommit } from '../git-repositories.ts';

export interface CommitFinderOptions {
  readonly git: GitProgram;
  readonly access: GitAccess;
  readonly turns: HostTurns;
  readonly folder: string;
  readonly clock: Clock;
  readonly seconds: number;
}

interface Answer {
  readonly commit: Promise<GitCommit>;
  readonly startedAt: number;
  /** The newest wish that it was asked for. */
  readonly askedAt: number;
  /** Stops it when nobody waits any more. */
  readonly stop: AbortController;
  waiting: number;
}

/** An answer is good for all who ask within this time. */
const freshMilliseconds = 10_000;
/** Hubs' clocks differ by less. */
const clockSkewMilliseconds = 5_000;
const maxRemembered = 1000;

/** Asks servers where their refs are; whoever asks for the same at the same time shares one answer. */
export class CommitFinder {
  readonly #o: CommitFinderOptions;
  readonly #answers = new Map<string, Answer>();

  constructor(options: CommitFinderOptions) {
    this.#o = options;
  }

  /** @param askedAt an answer that was asked for before this moment is too old, in milliseconds since 1970. */
  async find(
    remote: GitRemote,
    ref: Exclude<WantedRef, { kind: 'commit' }>,
    { askedAt, signal }: { askedAt: number; signal: AbortSignal },
  ): Promise<GitCommit> {
    signal.throwIfAborted();
    const name = ref.kind === 'default' ? 'HEAD' : ref.fullName;
    const key = JSON.stringify([remote.address.url, remote.secrets.cacheScope, name]);
    const known = this.#answers.get(key);
    const answer =
      known !== undefined && this.#isGood(known, askedAt) ? known : this.#ask(key, { remote, ref, askedAt });
    answer.waiting += 1;
    const { promise: stopped, reject } = Promise.withResolvers<never>();
    const onAbort = () => reject(new SourceError('SourceUnavailable', 'The hub stopped reading.'));
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await Promise.race([answer.commit, stopped]);
    } finally {
      signal.removeEventListener('abort', onAbort);
      answer.waiting -= 1;
      if (answer.waiting === 0 && signal.aborted) answer.stop.abort();
    }
  }

  #isGood({ startedAt, askedAt: served, stop }: Answer, askedAt: number): boolean {
    const age = this.#o.clock.now().getTime() - startedAt;
    const isNewEnough = askedAt <= served || startedAt >= askedAt + clockSkewMilliseconds;
    return !stop.signal.aborted && age >= 0 && age < freshMilliseconds && isNewEnough;
  }

  #ask(
    key: string,
    {
      remote,
      ref,
      askedAt,
    }: { remote: GitRemote; ref: Exclude<WantedRef, { kind: 'commit' }>; askedAt: number },
  ): Answer {
    const stop = new AbortController();
    const startedAt = this.#o.clock.now().getTime();
    const commit = this.#list(remote, ref, stop.signal);
    const answer: Answer = { commit, startedAt, askedAt, stop, waiting: 0 };
    this.#answers.delete(key);
    this.#answers.set(key, answer);
    const [oldest] = this.#answers.keys();
    if (this.#answers.size > maxRemembered && oldest !== undefined) this.#answers.delete(oldest);
    commit.catch(() => {
      // A refusal is not remembered: what it names may be put right at once.
      if (this.#answers.get(key) === answer) this.#answers.delete(key);
    });
    return answer;
  }

  async #list(
    remote: GitRemote,
    ref: Exclude<WantedRef, { kind: 'commit' }>,
    signal: AbortSignal,
  ): Promise<GitCommit> {
    const { git, access, turns, folder, seconds } = this.#o;
    // Of an annotated tag the commit that it stands for is wanted.
    const names = ref.kind === 'default' ? ['HEAD'] : [ref.fullName, `${ref.fullName}^{}`];
    try {
      const args = ['ls-remote', '--symref', 'origin', ...names];
      const output = await turns.run(remote, () =>
        access.reach(remote, (how) => git.run({ args, ...how, folder, timeoutSeconds: seconds, signal })),
      );
      return commitIn(output, ref, remote);
    } catch (error) {
      throw sourceErrorOf(error, remote);
    }
  }
}

function commitIn(
  output: string,
  ref: Exclude<WantedRef, { kind: 'commit' }>,
  { address }: GitRemote,
): GitCommit {
  const found = new Map<string, string>();
  let head: string | undefined;
  for (const line of output.split('\n')) {
    const [value = '', name = ''] = line.split('\t');
    if (isCommit(value)) found.set(name, value);
    else if (name === 'HEAD' && value.startsWith('ref: refs/heads/'))
      head = value.slice('ref: refs/heads/'.length);
  }
  if (ref.kind === 'default') {
    const commit = found.get('HEAD');
    if (commit !== undefined) return { commit, revision: revisionText(commit, head ?? 'HEAD') };
    throw new SourceError(
      'NotFound',
      `${address.url} has no default branch, or nothing in it: name a branch in ref.`,
    );
  }
  const commit = found.get(`${ref.fullName}^{}`) ?? found.get(ref.fullName);
  if (commit !== undefined) return { commit, revision: revisionText(commit, ref.name) };
  throw new SourceError(
    'NotFound',
    `${address.url} has no ${ref.kind} ${JSON.stringify(ref.name)}: check ref.`,
  );
}
