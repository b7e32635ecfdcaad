import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../free-port.ts';
import { getTool } from '../require-tool.ts';

export interface GitSshServer {
  /** Address of a repository, by its path on this machine. */
  url(path: string): string;
  readonly port: number;
  /** Line for a known_hosts file. */
  readonly knownHosts: string;
  /** Private key that is let in. */
  readonly identity: string;
  /** The same key under a passphrase. */
  readonly lockedIdentity: string;
  readonly passphrase: string;
  /** What sshd has logged. */
  log(): string;
  close(): Promise<void>;
}

/** A real sshd at a loopback address that lets one key in, as the user who runs the test. */
export async function startGitSshServer(folder: string): Promise<GitSshServer> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const passphrase = 'a passphrase with spaces';
  const makeKey = (name: string, secret = '') =>
    run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', secret, '-C', 'test', '-f', join(folder, name)]);
  makeKey('host');
  makeKey('user');
  makeKey('locked', passphrase);
  const read = (name: string) => readFileSync(join(folder, name), 'utf8');
  const authorized = join(folder, 'authorized_keys');
  writeFileSync(authorized, read('user.pub') + read('locked.pub'));
  chmodSync(authorized, 0o600);
  const port = await freePort();
  const settings = [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${join(folder, 'host')}`,
    `AuthorizedKeysFile ${authorized}`,
    `PidFile ${join(folder, 'sshd.pid')}`,
    'AuthenticationMethods publickey',
    'PermitRootLogin prohibit-password',
    'StrictModes no',
    'UsePAM no',
    'AcceptEnv GIT_PROTOCOL',
    'LogLevel VERBOSE',
  ];
  writeFileSync(join(folder, 'sshd_config'), `${settings.join('\n')}\n`);
  // As Debian's service does; sshd refuses to start as root without it.
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  const log = join(folder, 'log');
  const sshd = spawn(getTool('sshd'), ['-D', '-f', join(folder, 'sshd_config'), '-E', log], {
    stdio: 'ignore',
  });
  await untilListening(port, sshd, log);
  return {
    url: (path) => `ssh://${userInfo().username}@127.0.0.1:${port}${path}`,
    port,
    knownHosts: `[127.0.0.1]:${port} ${read('host.pub')}`,
    identity: read('user'),
    lockedIdentity: read('locked'),
    passphrase,
    log: () => readFileSync(log, 'utf8'),
    close: async () => {
      if (sshd.exitCode !== null) return;
      const ended = new Promise((resolve) => sshd.once('exit', resolve));
      sshd.kill();
      await ended;
    },
  };
}

async function untilListening(port: number, sshd: ChildProcess, log: string): Promise<void> {
  for (let tries = 0; tries < 600; tries += 1) {
    if (sshd.exitCode !== null) throw new Error(`sshd ended: ${readFileSync(log, 'utf8')}`);
    if (await answers(port)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`sshd does not listen: ${readFileSync(log, 'utf8')}`);
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('error', () => resolve(false));
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });
}

function run(tool: string, args: readonly string[]): void {
  const done = spawnSync(getTool(tool), args, { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`${tool}: ${done.stderr}`);
}
