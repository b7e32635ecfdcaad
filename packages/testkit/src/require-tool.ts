import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, globSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Where `npm test` and `npm run quickstart` unpack Debian packages that need no installation. */
export const unpackedToolsDir = join(import.meta.dirname, '../../../.selvedge/tools');

/** Both: to some packages of Debian 12 the two are not one folder yet. */
const unpackedBinDirs = [join(unpackedToolsDir, 'usr/bin'), join(unpackedToolsDir, 'bin')];
const systemBinDirs = ['/usr/local/sbin', '/usr/sbin', '/sbin'];
/** Debian keeps the programs of each PostgreSQL version apart and off PATH; the newest one first. */
const postgresBinDirs = () =>
  globSync('/usr/lib/postgresql/*/bin').sort((a, b) => Number(b.split('/')[4]) - Number(a.split('/')[4]));

/**
 * Full path of a program: from its own variable (KUBECTL for kubectl), PATH, the system folders, or what the set-up
 * unpacked.
 */
export function findTool(name: string): string | undefined {
  const chosen = process.env[name.toUpperCase().replaceAll('-', '_')];
  if (chosen !== undefined && isProgram(chosen)) return chosen;
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  for (const folder of [...folders, ...systemBinDirs, ...postgresBinDirs(), ...unpackedBinDirs]) {
    const path = join(folder, name);
    if (isProgram(path)) return path;
  }
  return undefined;
}

/** As `findTool`; throws when the program is missing. */
export function getTool(name: string): string {
  const path = findTool(name);
  if (path === undefined)
    throw new Error(`${name} is missing; "npm test" installs or unpacks what is needed`);
  return path;
}

/**
 * What a test needs of the machine, as options of node:test: `test('…', requireTool('podman', 'root'), …)`. When
 * something is missing the test is skipped with the reason; where CI is set this throws instead. Besides names of
 * programs: `root` (user id 0), `netns` (network namespaces can be made) and
 * full paths of files.
 */
export function requireTool(...names: readonly string[]): { skip: string | false } {
  const missing = names.map(whyMissing).filter((reason) => reason !== undefined);
  if (missing.length === 0) return { skip: false };
  const reason = missing.join('; ');
  if (process.env['CI']) throw new Error(`CI is set, so nothing may be skipped: ${reason}`);
  return { skip: reason };
}

const answers = new Map<string, string | undefined>();

function whyMissing(name: string): string | undefined {
  if (!answers.has(name)) answers.set(name, probe(name));
  return answers.get(name);
}

function probe(name: string): string | undefined {
  if (name === 'root') return process.getuid?.() === 0 ? undefined : 'needs root';
  if (name === 'netns') return probeNetworkNamespaces();
  if (name.startsWith('/')) return existsSync(name) ? undefined : `there is no ${name}`;
  return findTool(name) === undefined ? `${name} is not installed` : undefined;
}

function probeNetworkNamespaces(): string | undefined {
  const script = 'ip link add probe0 type veth peer name probe1';
  const tried = spawnSync('unshare', ['--net', 'sh', '-c', script], {
    encoding: 'utf8',
    env: { ...process.env, PATH: [process.env['PATH'], ...systemBinDirs].join(delimiter) },
  });
  if (tried.status === 0) return undefined;
  return `network namespaces cannot be made here: ${(tried.stderr || String(tried.error)).trim()}`;
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
