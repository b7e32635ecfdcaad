import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type PackageSource, type UnpackedPackage, unpackPackages } from '../debian/debian-packages.ts';
import { FileTree } from '../image/file-tree.ts';
import { addKernelModules, type UnpackedKernel } from '../image/kernel-modules.ts';
import { getKernelPackage, kernelOf } from '../image/kernel-package.ts';
import { addPrograms } from '../image/programs.ts';
import { addScripts, addSystemFolders, compressInitrd, scriptsDir } from '../image/small-system.ts';
import { writeBootableDisk } from '../os-image/bootable-disk.ts';

export interface TinyOsOptions {
  /** The disk image, raw; made or replaced as a whole. */
  readonly outputFile: string;
  /** Debian packages, shared with `buildInspectionSystem`. */
  readonly cacheDir: string;
  /** Shown on its console; another name makes another image. */
  readonly name: string;
  /** Partition table. Default `dos`. */
  readonly table?: 'dos' | 'gpt';
  readonly signal?: AbortSignal;
}

/**
 * Builds a disk image of the smallest operating system that does what a rack expects of an installed one: boots by BIOS and by UEFI, reads its NoCloud seed (partition
 * CIDATA), confirms itself to the rack, runs user data that is a shell script. For tests and for trying Selvedge out; amd64 only.
 *
 * Needs on this machine: apt-get, dpkg, sfdisk, mkfs.fat, mtools, syslinux. No root. About 20 MiB.
 */
export async function buildTinyOs(options: TinyOsOptions): Promise<{ sizeBytes: number }> {
  const { outputFile, cacheDir, name, signal, table = 'dos' } = options;
  const source: PackageSource = { cacheDir, architecture: 'amd64', ...(signal && { signal }) };
  const kernelPackage = await getKernelPackage('cloud', source);
  const packages = await unpackPackages(['busybox-static', kernelPackage], source);
  const kernel = kernelOf(packages, kernelPackage);
  return writeBootableDisk({
    outputFile,
    title: 'tiny OS',
    kernel: kernel.vmlinuz,
    initrd: await tinyInitrd(name, kernel, packages),
    kernelLine: 'console=tty0 console=ttyS0 panic=10',
    table,
    source,
  });
}

async function tinyInitrd(
  name: string,
  kernel: UnpackedKernel,
  packages: readonly UnpackedPackage[],
): Promise<Buffer> {
  const tree = new FileTree();
  addSystemFolders(tree);
  addPrograms(tree, ['bin/busybox'], packages);
  addScripts(tree, scriptsDir('tiny-os'), 'usr/lib/tiny-os');
  for (const file of ['lib.sh', 'network.sh', 'udhcpc-script']) {
    tree.addFile(`usr/lib/selvedge/${file}`, readFileSync(join(scriptsDir('system'), file)), 0o755);
  }
  tree.addLink('init', 'usr/lib/tiny-os/init');
  tree.addFile('etc/tiny-os', `${name}\n`);
  tree.addFile('etc/acpi/PWRF/00000080', '#!/bin/sh\npoweroff -f\n', 0o755);
  await addKernelModules(tree, kernel, isModuleForTinyOs);
  return compressInitrd(tree);
}

const tinyModules = [
  'drivers/acpi/button',
  'drivers/ata/ahci',
  'drivers/ata/ata_piix',
  'drivers/ata/libahci',
  'drivers/block/virtio_blk',
  'drivers/input/evdev',
  'drivers/net/virtio_net',
  'drivers/scsi/sd_mod',
  'drivers/scsi/virtio_scsi',
  'drivers/virtio/',
  'fs/fat/',
  'fs/nls/nls_ascii',
  'fs/nls/nls_cp437',
  'fs/nls/nls_utf8',
];

const isModuleForTinyOs = (path: string) => tinyModules.some((wanted) => path.startsWith(`kernel/${wanted}`));
