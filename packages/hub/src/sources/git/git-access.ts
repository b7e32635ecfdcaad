import { accessSync, constants } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { SourceError } from '../source-reading.ts';
import type { SourceHosts } from '../source-hosts.ts';
import type { GitAddress } from './git-address.ts';
import type { GitCall } from './git-program.ts';
import type { GitSecrets } from './git-secrets.ts';

/** A repository, and what it takes to reach it. */
export interface GitRemote {
  readonly address: GitAddress;
  readonly secrets: GitSecrets;
}

/** What a call of git needs to reach one repository, as its remote `origin`. */
export type ReachingCall = Required<Pick<GitCall, 'config' | 'environment' | 'protocol'>>;

/** Files in memory, where the machine has such a place: gone with a reset, and on no disk. */
const memoryFolder = '/dev/shm';
/** Without an account of their own, forges take a token with any name. */
const tokenUser = 'git';

/**
 * Hands credentials to git and ssh: by files that only the hub's user can read, that live as long as the call, and that arguments and
 * environment name but do not hold.
 */
export class GitAccess {
  readonly #hosts: SourceHosts;
  readonly #home: string;
  readonly #baseFolder: string;
  readonly #prefix: string;

  /** @param home a private folder of the hub; programs can be started from it. */
  constructor({ hosts, home }: { hosts: SourceHosts; home: string }) {
    this.#hosts = hosts;
    this.#home = home;
    this.#baseFolder = isWritable(memoryFolder) ? memoryFolder : home;
    this.#prefix = `selvedge-git-${createHash('sha256').update(home).digest('hex').slice(0, 12)}-`;
  }

  /** Removes what a hub that was killed has left, and lays down what every call needs. */
  async open(): Promise<void> {
    await mkdir(this.#home, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.#baseFolder)) {
      if (name.startsWith(this.#prefix))
        await rm(join(this.#baseFolder, name), { recursive: true, force: true });
    }
    await writeFile(this.#askPass, '#!/bin/sh\nexec cat "$SELVEDGE_PASSPHRASE_FILE"\n', { mode: 0o700 });
    await chmod(this.#askPass, 0o700);
  }

  /** Runs `use` with a way to the repository. Throws SourceError when its host is refused. */
  async reach<T>(remote: GitRemote, use: (call: ReachingCall) => Promise<T>): Promise<T> {
    const addresses = await this.#hosts.resolve(remote.address);
    const folder = await mkdtemp(join(this.#baseFolder, this.#prefix));
    try {
      const { protocol } = remote.address;
      const how =
        protocol === 'ssh'
          ? await this.#bySsh(remote, { folder, address: addresses[0] ?? remote.address.host })
          : await byHttp(remote, { folder, addresses });
      return await use({
        ...how,
        config: [`remote.origin.url=${remote.address.url}`, ...how.config],
        protocol,
      });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  async #bySsh(
    { address, secrets }: GitRemote,
    { folder, address: ip }: { folder: string; address: string },
  ): Promise<Omit<ReachingCall, 'protocol'>> {
    const { host, port } = address;
    const name = port === 22 ? host : `[${host}]:${port}`;
    if (secrets.knownHosts === undefined) {
      throw new SourceError(
        'ReferenceMissing',
        `No host key of ${host} is known, and no unknown host is trusted: put what "ssh-keyscan ${port === 22 ? '' : `-p ${port} `}${host}" says, once it is checked, into known_hosts of the Secret or into knownHosts.`,
      );
    }
    if (secrets.identity === undefined) {
      throw new SourceError(
        'ReferenceMissing',
        `${host} is reached by ssh, for which secretRef has to name a Secret with a private key in "identity".`,
      );
    }
    const identity = await writePrivate(join(folder, 'identity'), `${secrets.identity.trimEnd()}\n`);
    const knownHosts = await writePrivate(join(folder, 'known_hosts'), `${secrets.knownHosts.trimEnd()}\n`);
    const hasPassphrase = secrets.identityPassword !== undefined;
    const options = [
      `HostName=${ip}`,
      `HostKeyAlias=${name}`,
      `IdentityFile=${forSsh(identity)}`,
      `UserKnownHostsFile=${forSsh(knownHosts)}`,
      // Without it ssh asks for the passphrase, by the program below.
      `BatchMode=${hasPassphrase ? 'no' : 'yes'}`,
      ...strictSsh,
    ];
    const command = ['ssh', '-F', '/dev/null', ...options.flatMap((option) => ['-o', option])];
    const environment: Record<string, string> = { GIT_SSH_COMMAND: command.map(forShell).join(' ') };
    if (hasPassphrase) {
      environment['SELVEDGE_PASSPHRASE_FILE'] = await writePrivate(
        join(folder, 'passphrase'),
        `${secrets.identityPassword}\n`,
      );
      environment['SSH_ASKPASS'] = this.#askPass;
      environment['SSH_ASKPASS_REQUIRE'] = 'force';
    }
    return { config: [], environment };
  }

  get #askPass(): string {
    return join(this.#home, 'ask-pass');
  }
}

const strictSsh = [
  'StrictHostKeyChecking=yes',
  'GlobalKnownHostsFile=/dev/null',
  'UpdateHostKeys=no',
  'CheckHostIP=no',
  'VerifyHostKeyDNS=no',
  'IdentitiesOnly=yes',
  'IdentityAgent=none',
  'AddKeysToAgent=no',
  'PreferredAuthentications=publickey',
  'NumberOfPasswordPrompts=1',
  'PermitLocalCommand=no',
  'ProxyCommand=none',
  'CanonicalizeHostname=no',
  'ControlMaster=no',
  'ControlPath=none',
  'ClearAllForwardings=yes',
  'ForwardAgent=no',
  'ForwardX11=no',
  'ConnectTimeout=15',
  'ServerAliveInterval=15',
  'ServerAliveCountMax=2',
  'LogLevel=ERROR',
];

async function byHttp(
  { address, secrets }: GitRemote,
  { folder, addresses }: { folder: string; addresses: readonly string[] },
): Promise<Omit<ReachingCall, 'protocol'>> {
  const config: string[] = [];
  const { host, port } = address;
  if (!addresses.includes(host)) {
    const pinned = addresses.map((ip) => (ip.includes(':') ? `[${ip}]` : ip)).join(',');
    config.push(`http.curloptResolve=${host}:${port}:${pinned}`);
  }
  if (secrets.authorities !== undefined) {
    const file = await writePrivate(join(folder, 'ca.crt'), secrets.authorities);
    config.push(`http.sslCAInfo=${file}`, 'http.sslCAPath=');
  }
  if (secrets.password !== undefined) {
    const user = secrets.username ?? address.user ?? tokenUser;
    const file = await writePrivate(
      join(folder, 'login'),
      `username=${user}\npassword=${secrets.password}\n`,
    );
    config.push(`credential.helper=!f() { test "$1" = get && exec cat ${forShell(file)}; }; f`);
  }
  return { config, environment: {} };
}

async function writePrivate(path: string, text: string): Promise<string> {
  await writeFile(path, text, { mode: 0o600, flag: 'wx' });
  return path;
}

function isWritable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function forShell(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** ssh splits at spaces outside of quotes and knows %-escapes. */
function forSsh(path: string): string {
  return `"${path.replaceAll('%', '%%')}"`;
}
