import { SourceError, type SourceFault } from '../source-reading.ts';
import type { GitRemote } from './git-access.ts';
import { GitFailure } from './git-program.ts';
import { withoutSecrets } from './git-secrets.ts';

interface Words {
  readonly pattern: RegExp;
  readonly fault: SourceFault;
  /** What to do, for people; `host` is the repository's. */
  readonly say: (host: string) => string;
}

/** What git, curl and ssh say under LC_ALL=C; the first that fits counts. */
const knownWords: readonly Words[] = [
  {
    pattern: /ssh: (command )?not found|cannot run ssh|'remote-https?' is not a git command/,
    fault: 'ProgramMissing',
    say: () =>
      'this hub lacks a program for it: install ssh for ssh:// repositories, and all of git for https://',
  },
  {
    pattern: /Host key verification failed|HOST IDENTIFICATION HAS CHANGED|No \S+ host key is known/i,
    fault: 'AuthenticationFailed',
    say: (host) =>
      `the ssh host key of ${host} is none of those in known_hosts: find out whether it was changed rightly, and put the new one there`,
  },
  {
    pattern: /error in libcrypto|invalid format|incorrect passphrase|bad passphrase|Load key .*:/i,
    fault: 'AuthenticationFailed',
    say: () =>
      'the private key in "identity" of the Secret cannot be read: is it whole, and is its passphrase in "identity.password"?',
  },
  {
    pattern: /Permission denied \(/,
    fault: 'AuthenticationFailed',
    say: (host) =>
      `${host} does not take the ssh key of the Secret: add its public key to the account or as a deploy key`,
  },
  {
    pattern:
      /Authentication failed|could not read Username|could not read Password|error: 401|error: 403|HTTP 40[13]/i,
    fault: 'AuthenticationFailed',
    say: (host) =>
      `${host} refuses the credentials, or wants some: check username and password (or token) of the Secret, and that they may read this repository`,
  },
  {
    pattern:
      /certificate (problem|verif|signer|has expired)|SSL certificate|unable to get local issuer|self.signed/i,
    fault: 'SourceUnavailable',
    say: (host) =>
      `the certificate of ${host} is not believed: put the authority that issued it into "ca.crt" of the Secret`,
  },
  {
    pattern: /error: 30[1-8]|unable to update url base from redirection/i,
    fault: 'NotFound',
    say: (host) => `${host} answers that the repository moved, and no redirect is followed: give its new URL`,
  },
  {
    pattern:
      /repository '.*' not found|error: 404|does not appear to be a git repository|not valid: is this a git repository|Repository not found|project you were looking for could not be found/i,
    fault: 'NotFound',
    say: (host) => `${host} has no such repository, or does not show it to these credentials`,
  },
  {
    pattern:
      /couldn't find remote ref|not our ref|no such remote ref|unadvertised object|Server does not allow request/i,
    fault: 'NotFound',
    say: () =>
      'the repository has no such commit, or its server gives out only the heads of branches and tags',
  },
  {
    pattern: /signal 25|File too large|signal of 25|File size limit/i,
    fault: 'LimitExceeded',
    say: () => 'the repository is larger than this hub takes',
  },
  {
    pattern: /out of memory|memory exhausted|Cannot allocate memory/i,
    fault: 'LimitExceeded',
    say: () => 'the repository takes more memory than this hub gives',
  },
  {
    pattern: /dumb http transport/i,
    fault: 'RenderFailed',
    say: (host) =>
      `${host} serves the repository as plain files, which is not supported: it needs git's smart protocol`,
  },
];

const reasons: Readonly<Record<Exclude<GitFailure['why'], 'failed'>, [SourceFault, string]>> = {
  missing: [
    'ProgramMissing',
    'git is not on this hub: install git 2.37 or newer, and ssh for ssh:// repositories',
  ],
  late: ['LimitExceeded', 'it takes longer than this hub waits'],
  stopped: ['SourceUnavailable', 'The hub stopped reading'],
  tooMuch: ['LimitExceeded', 'git tells more than this hub takes'],
};

/** Every error of reading a repository as a SourceError, in words that hold no credential and cannot steer a terminal. */
export function sourceErrorOf(error: unknown, { address, secrets }: GitRemote): SourceError {
  if (error instanceof SourceError) return error;
  const { host } = address;
  if (!(error instanceof GitFailure)) {
    return new SourceError('SourceUnavailable', `Reading from ${host} failed at this hub: see its log.`, {
      cause: error,
    });
  }
  if (error.why !== 'failed') {
    const [fault, text] = reasons[error.why];
    return new SourceError(fault, `${address.url}: ${text}.`);
  }
  const words = shownWords(withoutSecrets(error.stderr, secrets));
  const known = knownWords.find(({ pattern }) => pattern.test(error.stderr));
  if (known === undefined) {
    return new SourceError(
      'SourceUnavailable',
      `${address.url} cannot be read: ${words || 'git says no more'}.`,
    );
  }
  return new SourceError(
    known.fault,
    `${address.url}: ${known.say(host)}${words === '' ? '' : ` (${words})`}.`,
  );
}

const maxWords = 300;

/** The last lines say what it was; the rest is progress. One line, without what could steer a terminal. */
function shownWords(stderr: string): string {
  const lines = stderr
    .split(/[\r\n]+/)
    .map((line) => line.replace(/\p{C}/gu, '').trim())
    .filter((line) => line !== '' && !line.startsWith('hint:') && !line.startsWith('@@@'));
  const text = [...new Set(lines.slice(-4))].join('; ');
  return text.length > maxWords ? `${text.slice(0, maxWords)}…` : text;
}
