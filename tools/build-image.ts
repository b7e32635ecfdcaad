/**
 * `npm run image [-- --tag NAME] [-- --context FOLDER]`: the container image of the agent, built by Podman from nothing but this repository, Node's own
 * binary and Debian's C libraries. Needs Podman, apt-get and dpkg-deb; no root, no base image. The same input gives the
 * same layers: names are sorted and times are fixed. With --context only what it is built from is laid out there.
 */
import { execFileSync } from 'node:child_process';
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { repositoryRoot } from './testing/test-files.ts';

/** What `ldd node` names, by the packages that hold it; the list of authorities. */
const packages = ['libc6', 'libgcc-s1', 'libstdc++6', 'ca-certificates'];
const libraries =
  /^(ld-linux-.*|lib(c|m|dl|pthread|rt|resolv|nss_dns|nss_files|gcc_s|stdc\+\+))\.so(\.[0-9.]+)?$/;
const triplets: Record<string, string> = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' };
/** The loader's name is in Node's binary. */
const loaders: Record<string, string> = {
  x64: 'lib64/ld-linux-x86-64.so.2',
  arm64: 'lib/ld-linux-aarch64.so.1',
};

const { values } = parseArgs({ options: { tag: { type: 'string' }, context: { type: 'string' } } });
const { version } = JSON.parse(await readFile(join(repositoryRoot, 'package.json'), 'utf8')) as {
  version: string;
};
const tag = values.tag ?? `localhost/selvedge-agent:${version}`;
const triplet = triplets[process.arch];
const loader = loaders[process.arch];
if (triplet === undefined || loader === undefined) throw new Error(`no image for ${process.arch}`);

const work = await mkdtemp(join(tmpdir(), 'selvedge-image-'));
try {
  const context = values.context ?? join(work, 'context');
  await layOut(join(context, 'rootfs'));
  if (values.context === undefined) {
    const file = join(repositoryRoot, 'deploy/image/Containerfile');
    run('podman', ['build', '--quiet', '--timestamp', '0', '--tag', tag, '--file', file, context]);
    const bytes = Number(run('podman', ['image', 'inspect', '--format', '{{.Size}}', tag]));
    console.log(`${tag}  ${(bytes / 1024 / 1024).toFixed(0)} MiB`);
  }
} finally {
  await rm(work, { recursive: true, force: true });
}

async function layOut(rootfs: string): Promise<void> {
  run(process.execPath, [join(repositoryRoot, 'tools/build.ts')]);
  const unpacked = await unpackPackages();
  const library = join(rootfs, 'usr/lib', triplet as string);
  await mkdir(library, { recursive: true });
  for (const folder of ['lib', 'usr/lib']) {
    await copyLibraries(join(unpacked, folder, triplet as string), library);
  }
  await symlink('usr/lib', join(rootfs, 'lib'));
  await linkLoader(rootfs);
  await copyLicences(unpacked, rootfs);
  await writeAuthorities(unpacked, rootfs);
  await writeSystemFiles(rootfs);
  await mkdir(join(rootfs, 'usr/bin'), { recursive: true });
  await mkdir(join(rootfs, 'usr/lib/selvedge'), { recursive: true });
  await cp(process.execPath, join(rootfs, 'usr/bin/node'));
  // Symbols are a seventh of it, and nobody debugs Node here.
  run('strip', ['--strip-all', join(rootfs, 'usr/bin/node')]);
  const agent = join(rootfs, 'usr/lib/selvedge/selvedge-agent.cjs');
  await cp(join(repositoryRoot, 'dist/selvedge-agent.cjs'), agent);
  await chmod(agent, 0o644);
  // Mounted over in a cluster; here for who runs the image by hand.
  await mkdir(join(rootfs, 'var/lib/selvedge'), { recursive: true });
  await mkdir(join(rootfs, 'tmp'), { recursive: true });
  for (const folder of ['var/lib/selvedge', 'tmp']) await chmod(join(rootfs, folder), 0o1777);
}

/** Downloads the packages with apt, which checks their signatures, and unpacks them. */
async function unpackPackages(): Promise<string> {
  const downloads = join(work, 'packages');
  const unpacked = join(work, 'unpacked');
  await mkdir(downloads);
  run('apt-get', ['download', '--quiet', ...packages], downloads);
  for (const name of (await readdir(downloads)).sort()) {
    run('dpkg-deb', ['--extract', join(downloads, name), unpacked]);
  }
  return unpacked;
}

async function copyLibraries(from: string, to: string): Promise<void> {
  for (const name of await readdir(from).catch(() => [])) {
    if (libraries.test(name)) await cp(join(from, name), join(to, name), { verbatimSymlinks: true });
  }
}

async function linkLoader(rootfs: string): Promise<void> {
  const name = (loader as string).slice((loader as string).lastIndexOf('/') + 1);
  if (process.arch === 'x64') {
    await mkdir(join(rootfs, 'lib64'));
    await symlink(`../usr/lib/${triplet}/${name}`, join(rootfs, loader as string));
  } else {
    await symlink(`${triplet}/${name}`, join(rootfs, 'usr/lib', name));
  }
}

async function copyLicences(unpacked: string, rootfs: string): Promise<void> {
  for (const name of packages) {
    const from = join(unpacked, 'usr/share/doc', name, 'copyright');
    const folder = join(rootfs, 'usr/share/doc', name);
    await mkdir(folder, { recursive: true });
    // That of libgcc and libstdc++ is a link to the one of their common base.
    await cp(from, join(folder, 'copyright'), { dereference: true }).catch(() => undefined);
  }
  await mkdir(join(rootfs, 'usr/share/doc/selvedge'), { recursive: true });
  await cp(join(repositoryRoot, 'LICENSE'), join(rootfs, 'usr/share/doc/selvedge/LICENSE'));
}

async function writeAuthorities(unpacked: string, rootfs: string): Promise<void> {
  const from = join(unpacked, 'usr/share/ca-certificates/mozilla');
  const names = (await readdir(from)).filter((name) => name.endsWith('.crt')).sort();
  const texts = await Promise.all(names.map((name) => readFile(join(from, name), 'utf8')));
  await mkdir(join(rootfs, 'etc/ssl/certs'), { recursive: true });
  await writeFile(join(rootfs, 'etc/ssl/certs/ca-certificates.crt'), texts.join(''));
}

async function writeSystemFiles(rootfs: string): Promise<void> {
  const etc = join(rootfs, 'etc');
  await writeFile(join(etc, 'passwd'), 'root:x:0:0::/:/\nselvedge:x:65532:65532::/var/lib/selvedge:/\n');
  await writeFile(join(etc, 'group'), 'root:x:0:\nselvedge:x:65532:\n');
  await writeFile(join(etc, 'nsswitch.conf'), 'hosts: files dns\n');
  await writeFile(join(etc, 'os-release'), 'ID=selvedge\nPRETTY_NAME="Selvedge agent image"\n');
}

function run(program: string, args: readonly string[], cwd = repositoryRoot): string {
  return execFileSync(program, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
}
