import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { findTool } from '@selvedge/testkit';

/** How this process can install packages, if at all. `sudo` may ask for a password when a person is there. */
export type Installer = 'root' | 'sudo' | undefined;

export function isDebian(): boolean {
  return findTool('apt-get') !== undefined && findTool('dpkg') !== undefined;
}

export function findInstaller(): Installer {
  if (process.getuid?.() === 0) return 'root';
  if (findTool('sudo') === undefined) return undefined;
  if (process.stdin.isTTY) return 'sudo';
  return spawnSync('sudo', ['--non-interactive', 'true'], { stdio: 'ignore' }).status === 0
    ? 'sudo'
    : undefined;
}

/** Installs packages without questions and without what they only recommend. Throws with apt's words. */
export async function installPackages(
  packages: readonly string[],
  installer: 'root' | 'sudo',
): Promise<void> {
  const install = () =>
    runApt([...patiently, 'install', '--yes', '--quiet', '--no-install-recommends', ...packages], installer);
  await refreshLists(packages, installer);
  try {
    await install();
  } catch {
    // Old lists name versions that the mirrors have no more.
    await updateLists(installer);
    await install();
  }
}

/** Writes a file of the system's configuration, unless it is there. */
export async function writeConfiguration(
  { path, text }: { path: string; text: string },
  installer: 'root' | 'sudo',
): Promise<void> {
  if (existsSync(path)) return;
  const script = 'mkdir -p "$(dirname "$1")" && printf %s "$2" > "$1"';
  const command = ['sh', '-c', script, 'sh', path, text];
  const [program = '', ...rest] = installer === 'root' ? command : ['sudo', ...command];
  await runQuietly(program, rest, '/');
}

/** Fetches package lists when a package is unknown, which is so in fresh containers and images. */
export async function refreshLists(packages: readonly string[], installer: Installer): Promise<void> {
  if (packages.every(isKnown) || installer === undefined) return;
  await updateLists(installer);
}

/** True when apt knows a version of the package that it could install. */
export function isKnown(name: string): boolean {
  const policy = spawnSync('apt-cache', ['policy', name], { encoding: 'utf8', env: plainEnv() });
  return /Candidate: (?!\(none\))\S/.test(policy.stdout ?? '');
}

/** `apt-get download` into a folder; needs no root. */
export async function downloadPackage(name: string, folder: string): Promise<void> {
  await runQuietly('apt-get', ['download', '--quiet', name], folder);
}

export async function unpackPackage(file: string, folder: string): Promise<void> {
  await runQuietly('dpkg', ['-x', file, folder], folder);
}

/** A machine that was just started may be updating itself. */
const patienceSeconds = 300;
const patiently = ['-o', `DPkg::Lock::Timeout=${patienceSeconds}`];

/** `apt-get update` itself does not wait for others to end. */
async function updateLists(installer: 'root' | 'sudo'): Promise<void> {
  for (let waited = 0; ; waited += 5) {
    try {
      return await runApt(['update', '--quiet'], installer);
    } catch (error) {
      const isLocked = error instanceof Error && /could not get lock|unable to lock/i.test(error.message);
      if (!isLocked || waited >= patienceSeconds) throw error;
      await delay(5_000);
    }
  }
}

async function runApt(args: readonly string[], installer: 'root' | 'sudo'): Promise<void> {
  const command = ['apt-get', ...args];
  const [program = '', ...rest] =
    installer === 'root' ? command : ['sudo', 'DEBIAN_FRONTEND=noninteractive', ...command];
  await runQuietly(program, rest, '/');
}

function plainEnv(): NodeJS.ProcessEnv {
  return { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' };
}

/** Shows the program's output only when it fails; stdin stays the terminal, for sudo's question. */
function runQuietly(program: string, args: readonly string[], cwd: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd, env: plainEnv(), stdio: ['inherit', 'pipe', 'pipe'] });
    let output = '';
    const collect = (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-8000);
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`${[program, ...args].join(' ')} ended with ${code}:\n${output.trim()}`));
    });
  });
}
