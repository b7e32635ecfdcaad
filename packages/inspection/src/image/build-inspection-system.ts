import { globSync, readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { MachineArchitecture } from '@selvedge/api';
import {
  type PackageSource,
  rootOf,
  type UnpackedPackage,
  unpackPackages,
} from '../debian/debian-packages.ts';
import { FileTree } from './file-tree.ts';
import { addKernelModules } from './kernel-modules.ts';
import { getKernelPackage, type KernelFlavour, kernelOf } from './kernel-package.ts';
import { addPrograms } from './programs.ts';
import { addScripts, addSystemFolders, compressInitrd, scriptsDir } from './small-system.ts';
import { isModuleForInspection } from './wanted-modules.ts';

export interface BuildOptions {
  readonly architecture: MachineArchitecture;
  readonly kernel: KernelFlavour;
  /** Made or replaced as a whole. */
  readonly outputDir: string;
  /** Debian packages, kept for the next build. */
  readonly cacheDir: string;
  readonly signal?: AbortSignal;
}

export interface BuiltSystem {
  /** Name (the title in the OCI artifact) and path of each file: `vmlinuz`, `initrd.img`, `packages.txt`, boot loaders where Debian has them. */
  readonly files: readonly { readonly name: string; readonly path: string; readonly sizeBytes: number }[];
  readonly kernelRelease: string;
}

const programs = [
  'bin/busybox',
  'bin/bash',
  'usr/sbin/sfdisk',
  'usr/sbin/blkdiscard',
  'usr/sbin/blkid',
  'usr/sbin/mkfs.fat',
  'usr/sbin/mke2fs',
  'usr/sbin/e2fsck',
  'usr/bin/mtools',
  'usr/sbin/hdparm',
  'usr/sbin/nvme',
  'usr/sbin/smartctl',
  'usr/sbin/memtester',
  'usr/sbin/dropbear',
];

const programPackages = [
  'busybox-static',
  'bash',
  'fdisk',
  'util-linux',
  'dosfstools',
  'e2fsprogs',
  'mtools',
  'hdparm',
  'nvme-cli',
  'smartmontools',
  'memtester',
  'dropbear-bin',
];

const libraryPackages = [
  'libblkid1',
  'libc6',
  'libcap-ng0',
  'libcap2',
  'libcom-err2',
  'libcrypt1',
  'libdbus-1-3',
  'libext2fs2',
  'libfdisk1',
  'libgcc-s1',
  'libgcrypt20',
  'libgmp10',
  'libgpg-error0',
  'libjson-c5',
  'liblz4-1',
  'liblzma5',
  'libnvme1',
  'libpcre2-8-0',
  'libreadline8',
  'libselinux1',
  'libsmartcols1',
  'libssl3',
  'libstdc++6',
  'libsystemd0',
  'libtinfo6',
  'libtomcrypt1',
  'libtommath1',
  'libuuid1',
  'libzstd1',
  'zlib1g',
];

/** Debian 12 has iPXE for amd64 alone. */
const loaderPackages: Readonly<Record<MachineArchitecture, readonly string[]>> = {
  amd64: ['ipxe'],
  arm64: [],
};

/** Builds the inspection system without root: needs apt-get and dpkg of Debian 12 or a kin of it, and nothing else. */
export async function buildInspectionSystem(options: BuildOptions): Promise<BuiltSystem> {
  const { architecture, kernel, cacheDir, signal } = options;
  const source: PackageSource = { cacheDir, architecture, ...(signal && { signal }) };
  const kernelPackage = await getKernelPackage(kernel, source);
  const packages = await unpackPackages(
    [...programPackages, ...libraryPackages, ...loaderPackages[architecture], 'pci.ids', kernelPackage],
    source,
  );
  const unpackedKernel = kernelOf(packages, kernelPackage);

  const tree = new FileTree();
  addSystemFolders(tree);
  addPrograms(tree, programs, packages);
  addScripts(tree, scriptsDir('system'), 'usr/lib/selvedge');
  tree.addLink('init', 'usr/lib/selvedge/init');
  addNames(tree, packages);
  addCodePage(tree, packages);
  await addKernelModules(tree, unpackedKernel, isModuleForInspection);
  const manifest = packages
    .map(({ name, version }) => `${name} ${version}\n`)
    .toSorted()
    .join('');
  tree.addFile('etc/selvedge-packages', manifest);

  const files = [
    { name: 'vmlinuz', content: readFileSync(unpackedKernel.vmlinuz) },
    { name: 'initrd.img', content: await compressInitrd(tree) },
    { name: 'packages.txt', content: Buffer.from(manifest) },
    ...bootLoaders(packages),
  ];
  await replaceDirectory(options.outputDir, files);
  return {
    kernelRelease: unpackedKernel.release,
    files: files.map(({ name, content }) => ({
      name,
      path: join(options.outputDir, name),
      sizeBytes: content.byteLength,
    })),
  };
}

function bootLoaders(packages: readonly UnpackedPackage[]): { name: string; content: Buffer }[] {
  const root = rootOf(packages, 'ipxe');
  if (root === undefined) return [];
  return ['undionly.kpxe', 'snponly.efi'].map((name) => ({
    name,
    content: readFileSync(join(root, 'usr/lib/ipxe', name)),
  }));
}

/** Vendor and device names of PCI, without the subsystems: a quarter of the size. Each line stands for itself: `8086 Intel`, `8086100e 82540EM`. */
function addNames(tree: FileTree, packages: readonly UnpackedPackage[]): void {
  const root = rootOf(packages, 'pci.ids');
  if (root === undefined) return;
  const text = readFileSync(join(root, 'usr/share/misc/pci.ids'), 'utf8');
  let vendor = '';
  const names = text
    .slice(0, text.indexOf('\nC 00'))
    .split('\n')
    .flatMap((line) => {
      const [, tab, id = '', name = ''] = /^(\t?)([0-9a-f]{4}) +(.+)$/.exec(line) ?? [];
      if (tab === undefined) return [];
      if (tab === '') vendor = id;
      return [`${tab === '' ? '' : vendor}${id} ${name}\n`];
    });
  tree.addFile('usr/share/misc/pci-names', names.join(''));
}

/** mtools asks libc for the code page of FAT (850), and does not work without. */
function addCodePage(tree: FileTree, packages: readonly UnpackedPackage[]): void {
  const libc = rootOf(packages, 'libc6') ?? '';
  for (const path of globSync('usr/lib/*/gconv/IBM850.so', { cwd: libc })) {
    tree.addFile(path, readFileSync(join(libc, path)), 0o755);
    const index = [
      'alias CP850// IBM850//',
      'module IBM850// INTERNAL IBM850 1',
      'module INTERNAL IBM850// IBM850 1',
    ];
    tree.addFile(join(dirname(path), 'gconv-modules'), `${index.join('\n')}\n`);
  }
}

async function replaceDirectory(
  directory: string,
  files: readonly { name: string; content: Uint8Array }[],
): Promise<void> {
  await mkdir(dirname(directory), { recursive: true });
  const fresh = await mkdtemp(`${directory}.new-`);
  await chmod(fresh, 0o755);
  for (const { name, content } of files) await writeFile(join(fresh, name), content);
  await rm(directory, { recursive: true, force: true });
  await rename(fresh, directory);
}
