import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runProgram } from './run-program.ts';

/** A Debian package that was fetched and unpacked; nothing is installed and nothing of it runs. */
export interface UnpackedPackage {
  readonly name: string;
  readonly version: string;
  /** Folder with its files. */
  readonly root: string;
}

/** Where packages come from and where they are kept: safe to share between programs that build at the same time. */
export interface PackageSource {
  readonly cacheDir: string;
  /** `amd64`, `arm64`. */
  readonly architecture: string;
  readonly signal?: AbortSignal;
}

/**
 * Fetches packages with apt-get of this machine (its sources and keys, without root) and unpacks them. What is in the cache already is not fetched again, so
 * the same version can be built with no network.
 */
export async function unpackPackages(
  names: readonly string[],
  source: PackageSource,
): Promise<UnpackedPackage[]> {
  const wanted = await findPackages(names, source);
  const archives = join(source.cacheDir, 'archives');
  const missing = wanted.filter(({ file }) => !existsSync(join(archives, file)));
  if (missing.length > 0) await download(missing, archives, source);
  const unpacked: UnpackedPackage[] = [];
  for (const { name, version, file } of wanted) {
    const root = join(source.cacheDir, 'unpacked', file.replace(/\.deb$/, ''));
    if (!existsSync(root)) await unpack(join(archives, file), root, source);
    unpacked.push({ name, version, root });
  }
  const found = new Set(unpacked.map(({ name }) => name));
  const lost = names.filter((name) => !found.has(name));
  if (lost.length > 0) throw new Error(`apt-get knows no package ${lost.join(', ')}; run apt-get update`);
  return unpacked;
}

/** Folder of one of the packages; undefined when it is not among them. */
export function rootOf(packages: readonly UnpackedPackage[], name: string): string | undefined {
  return packages.find((it) => it.name === name)?.root;
}

/** The package that `name`, a package without content, stands for today: `linux-image-amd64` → `linux-image-6.1.0-56-amd64`. */
export async function getDependency(name: string, pattern: RegExp, source: PackageSource): Promise<string> {
  const output = await runProgram(
    ['apt-cache', ...(await aptOptions(source)), 'depends', name],
    signalOf(source),
  );
  const found = [...output.matchAll(/Depends: (\S+)/g)]
    .map(([, dependency = '']) => dependency.replace(/:.*/, ''))
    .find((dependency) => pattern.test(dependency));
  if (found === undefined) {
    throw new Error(`apt-cache knows no package ${name} that depends on one like ${pattern.source}`);
  }
  return found;
}

async function findPackages(names: readonly string[], source: PackageSource): Promise<PackageFile[]> {
  await mkdir(source.cacheDir, { recursive: true });
  // An empty folder: apt-get says nothing of files that lie there already.
  const empty = await mkdtemp(join(source.cacheDir, 'ask-'));
  try {
    const output = await apt(['download', '--print-uris', ...names], source, empty);
    return parseUris(output);
  } finally {
    await rm(empty, { recursive: true, force: true });
  }
}

interface PackageFile {
  readonly name: string;
  readonly version: string;
  readonly file: string;
}

/** `'URL' FILE SIZE DIGEST`, one a line. */
function parseUris(output: string): PackageFile[] {
  return [...output.matchAll(/^'[^']+' (\S+\.deb) \d+/gm)].map(([, file = '']) => {
    const [name = '', version = ''] = file.split('_');
    return { name, version: decodeURIComponent(version), file };
  });
}

async function download(
  packages: readonly PackageFile[],
  archives: string,
  source: PackageSource,
): Promise<void> {
  await mkdir(archives, { recursive: true });
  const temporary = await mkdtemp(join(source.cacheDir, 'download-'));
  try {
    const exact = packages.map(({ name, version }) => `${name}=${version}`);
    await apt(['download', ...exact], source, temporary).catch(async (error: unknown) => {
      // The lists may name what the mirror has replaced since: the next build fetches them anew.
      await rm(join(aptState(source), 'updated'), { force: true });
      throw error;
    });
    const came = await readdir(temporary);
    for (const { file } of packages) {
      // apt escapes a different set of characters on disk than it prints.
      const onDisk = came.find((name) => decodeURIComponent(name) === decodeURIComponent(file));
      if (onDisk === undefined) throw new Error(`apt-get did not bring ${file}`);
      await rename(join(temporary, onDisk), join(archives, file));
    }
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

async function unpack(archive: string, root: string, source: PackageSource): Promise<void> {
  await mkdir(join(source.cacheDir, 'unpacked'), { recursive: true });
  const temporary = await mkdtemp(join(source.cacheDir, 'unpack-'));
  try {
    await runProgram(['dpkg', '-x', archive, join(temporary, 'root')], signalOf(source));
    await rename(join(temporary, 'root'), root).catch((error: unknown) => {
      // Another build was faster.
      if (!existsSync(root)) throw error;
    });
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

async function apt(args: readonly string[], source: PackageSource, cwd?: string): Promise<string> {
  return runProgram(['apt-get', '-q', ...(await aptOptions(source)), ...args], {
    ...signalOf(source),
    ...(cwd !== undefined && { cwd }),
  });
}

/**
 * For the architecture of this machine its own lists of packages. For another one lists in the cache, fetched once from the same sources: nothing of this machine's apt is
 * changed.
 */
async function aptOptions(source: PackageSource): Promise<string[]> {
  const asRoot = ['-o', 'APT::Sandbox::User=root'];
  const own = (await runProgram(['dpkg', '--print-architecture'], signalOf(source))).trim();
  if (own === source.architecture) return asRoot;
  const state = aptState(source);
  const settings = {
    'APT::Architecture': source.architecture,
    'APT::Architectures::': source.architecture,
    'Dir::State::status': join(state, 'status'),
    'Dir::State::Lists': join(state, 'lists'),
    'Dir::Cache': join(state, 'cache'),
  };
  const options = [
    ...asRoot,
    ...Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]),
  ];
  if (!existsSync(join(state, 'updated'))) {
    await mkdir(join(state, 'lists/partial'), { recursive: true });
    await mkdir(join(state, 'cache/archives/partial'), { recursive: true });
    await writeFile(join(state, 'status'), '');
    await runProgram(['apt-get', '-q', ...options, 'update'], signalOf(source));
    await writeFile(join(state, 'updated'), '');
  }
  return options;
}

const aptState = ({ cacheDir, architecture }: PackageSource) => join(cacheDir, `apt-${architecture}`);

const signalOf = ({ signal }: PackageSource) => (signal === undefined ? {} : { signal });
