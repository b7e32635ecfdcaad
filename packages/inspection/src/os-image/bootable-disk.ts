import {
  copyFile,
  mkdir,
  mkdtemp,
  open,
  readFile,
  rename,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type PackageSource, unpackPackages } from '../debian/debian-packages.ts';
import { runProgram } from '../debian/run-program.ts';

export interface BootableDiskOptions {
  /** Raw; made or replaced as a whole. */
  readonly outputFile: string;
  /** In the menu of the boot loader. */
  readonly title: string;
  /** A file of this machine. */
  readonly kernel: string;
  /** A file of this machine, or its bytes. */
  readonly initrd: string | Uint8Array;
  readonly kernelLine: string;
  readonly table: 'dos' | 'gpt';
  /** Image of a file system for a second partition; a whole number of MiB. */
  readonly root?: string;
  readonly source: PackageSource;
}

const mebibyte = 1024 * 1024;

/**
 * Makes a disk image that boots by BIOS (syslinux) and by UEFI (systemd-boot): kernel and initrd in a FAT partition, and perhaps a root file system behind it.
 *
 * Needs on this machine: apt-get, dpkg, sfdisk, mkfs.fat, mtools, syslinux. No root.
 */
export async function writeBootableDisk(options: BootableDiskOptions): Promise<{ sizeBytes: number }> {
  const { outputFile, table, root, source } = options;
  const { signal } = source;
  const run = (command: readonly [string, ...string[]]) => runProgram(command, { ...(signal && { signal }) });
  const boot = await unpackPackages(['systemd-boot-efi', 'syslinux-common'], source);
  const rootOf = (name: string) => boot.find((it) => it.name === name)?.root ?? '';
  await mkdir(dirname(outputFile), { recursive: true });
  const work = await mkdtemp(`${outputFile}.new-`);
  try {
    const loader = join(rootOf('systemd-boot-efi'), 'usr/lib/systemd/boot/efi/systemd-bootx64.efi');
    const { fileSystem, bytes: bootBytes } = await makeBootPartition(options, { work, loader, run });
    const rootBytes = root === undefined ? 0 : (await stat(root)).size;
    const disk = join(work, 'disk.img');
    await writeFile(disk, '');
    // The first and the last MiB are the partition table's.
    const sizeBytes = bootBytes + rootBytes + 2 * mebibyte;
    await truncate(disk, sizeBytes);
    await writeFile(join(work, 'table'), partitionTable(table, bootBytes / 512, rootBytes / 512));
    await run(['sh', '-c', 'sfdisk --quiet "$0" < "$1"', disk, join(work, 'table')]);
    const put = (file: string, offset: number) =>
      run([
        'dd',
        `if=${file}`,
        `of=${disk}`,
        'bs=1M',
        `seek=${offset / mebibyte}`,
        'conv=notrunc,sparse',
        'status=none',
      ]);
    await put(fileSystem, mebibyte);
    if (root !== undefined) await put(root, mebibyte + bootBytes);
    const bootCode = await readFile(
      join(rootOf('syslinux-common'), 'usr/lib/syslinux/mbr', table === 'gpt' ? 'gptmbr.bin' : 'mbr.bin'),
    );
    const file = await open(disk, 'r+');
    await file.write(bootCode, 0, Math.min(bootCode.length, 440), 0);
    await file.close();
    await rename(disk, outputFile);
    return { sizeBytes };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function makeBootPartition(
  { title, kernel, initrd, kernelLine }: BootableDiskOptions,
  tools: {
    readonly work: string;
    readonly loader: string;
    readonly run: (command: readonly [string, ...string[]]) => Promise<string>;
  },
): Promise<{ fileSystem: string; bytes: number }> {
  const { work, loader, run } = tools;
  await copyFile(kernel, join(work, 'vmlinuz'));
  const bootInitrd = join(work, 'initrd.img');
  if (typeof initrd === 'string') await copyFile(initrd, bootInitrd);
  else await writeFile(bootInitrd, initrd);
  await writeFile(join(work, 'syslinux.cfg'), syslinuxConfiguration(kernelLine));
  await writeFile(join(work, 'system.conf'), systemdBootEntry(title, kernelLine));
  const contentBytes = (await stat(kernel)).size + (await stat(bootInitrd)).size;
  const bytes = Math.ceil((contentBytes + 2 * mebibyte) / mebibyte) * mebibyte;
  const fileSystem = join(work, 'boot.img');
  await writeFile(fileSystem, '');
  await truncate(fileSystem, bytes);
  await run(['mkfs.fat', '-F', '16', '-n', 'BOOT', '-i', '53454c56', '--invariant', fileSystem]);
  await run(['mmd', '-i', fileSystem, '::/EFI', '::/EFI/BOOT', '::/loader', '::/loader/entries']);
  await run(['mcopy', '-i', fileSystem, loader, '::/EFI/BOOT/BOOTX64.EFI']);
  await run(['mcopy', '-i', fileSystem, join(work, 'system.conf'), '::/loader/entries/']);
  for (const name of ['vmlinuz', 'initrd.img', 'syslinux.cfg']) {
    await run(['mcopy', '-i', fileSystem, join(work, name), '::/']);
  }
  await run(['syslinux', '--install', fileSystem]);
  return { fileSystem, bytes };
}

function syslinuxConfiguration(kernelLine: string): string {
  return `DEFAULT system
PROMPT 0
TIMEOUT 1
LABEL system
  LINUX /vmlinuz
  INITRD /initrd.img
  APPEND ${kernelLine}
`;
}

function systemdBootEntry(title: string, kernelLine: string): string {
  return `title ${title}
linux /vmlinuz
initrd /initrd.img
options ${kernelLine}
`;
}

/** The first partition starts at the first MiB: for a BIOS active, for UEFI an EFI system partition. */
function partitionTable(table: 'dos' | 'gpt', bootSectors: number, rootSectors: number): string {
  const boot =
    table === 'gpt'
      ? `start=2048, size=${bootSectors}, type=U, attrs=LegacyBIOSBootable, name=boot`
      : `start=2048, size=${bootSectors}, type=ef, bootable`;
  const root = rootSectors === 0 ? '' : `start=${2048 + bootSectors}, size=${rootSectors}, type=L\n`;
  return `label: ${table}\n${boot}\n${root}`;
}
