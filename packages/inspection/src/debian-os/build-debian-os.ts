import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { PackageSource } from '../debian/debian-packages.ts';
import { runProgram } from '../debian/run-program.ts';
import { writeBootableDisk } from '../os-image/bootable-disk.ts';

export interface DebianOsOptions {
  /** The disk image, raw and sparse; made or replaced as a whole. */
  readonly outputFile: string;
  /** Boot loaders, shared with the other builders. */
  readonly cacheDir: string;
  /** Default `bookworm`. */
  readonly suite?: string;
  /** Beside what boots, and cloud-init. */
  readonly packages?: readonly string[];
  /** Of the root file system; it grows to its disk at the first boot where cloud-init finds growpart. Default 1,000. */
  readonly rootMebibytes?: number;
  readonly signal?: AbortSignal;
}

const systemPackages = [
  'linux-image-cloud-amd64',
  'initramfs-tools',
  'systemd-sysv',
  'udev',
  'dbus',
  'cloud-init',
  'iproute2',
  'netbase',
  'ca-certificates',
];
const leftOut = ['/usr/share/man/*', '/usr/share/doc/*', '/usr/share/locale/*'];

/**
 * Builds a disk image of real Debian with cloud-init (NoCloud only), for tests and as an example of an image: boots by BIOS and by UEFI, console on ttyS0. amd64 only. The kernel is
 * in the boot partition, so a kernel that the installed system gets later is not the one that boots.
 *
 * Needs on this machine: mmdebstrap, mke2fs and what `buildTinyOs` needs; without root also user namespaces. Takes minutes and about 1 GB.
 */
export async function buildDebianOs(options: DebianOsOptions): Promise<{ sizeBytes: number }> {
  const { outputFile, cacheDir, suite = 'bookworm', packages = [], rootMebibytes = 1000, signal } = options;
  const source: PackageSource = { cacheDir, architecture: 'amd64', ...(signal && { signal }) };
  await mkdir(dirname(outputFile), { recursive: true });
  const work = await mkdtemp(`${outputFile}.debian-`);
  try {
    // Made in the folder's own namespace: only there its files have their owners.
    const [kernel, initrd, root] = ['vmlinuz', 'initrd.img', 'root.img'].map((name) => join(work, name)) as [
      string,
      string,
      string,
    ];
    const hooks = [
      ...Object.entries(systemFiles).map(([path, text]) => writeHook(path, text)),
      'chroot "$1" systemctl --quiet enable systemd-networkd',
      `cp -L "$1/vmlinuz" ${quoted(kernel)}`,
      `cp -L "$1/initrd.img" ${quoted(initrd)}`,
      'rm -rf "$1"/boot/* "$1"/vmlinuz* "$1"/initrd.img* "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/*',
      // Each machine makes its own.
      ': > "$1/etc/machine-id"; rm -f "$1/etc/hostname" "$1/etc/resolv.conf"',
      // Without what is mounted in it.
      `mkdir "$1.plain" && mount --bind "$1" "$1.plain"`,
      `PATH="$PATH:/usr/sbin:/sbin" mke2fs -q -t ext4 -L root -d "$1.plain" ${quoted(root)} ${rootMebibytes}M`,
      'umount "$1.plain" && rmdir "$1.plain"',
    ];
    const command: [string, ...string[]] = [
      'mmdebstrap',
      '--quiet',
      '--variant=minbase',
      '--format=null',
      `--include=${[...systemPackages, ...packages].join(',')}`,
      '--aptopt=Apt::Install-Recommends "false"',
      ...leftOut.map((path) => `--dpkgopt=path-exclude=${path}`),
      ...hooks.map((hook) => `--customize-hook=${hook}`),
      suite,
    ];
    await runProgram(command, { ...(signal && { signal }) });
    return await writeBootableDisk({
      outputFile,
      title: 'Debian',
      kernel,
      initrd,
      root,
      kernelLine: 'root=LABEL=root rw console=tty0 console=ttyS0 panic=10',
      table: 'gpt',
      source,
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

const systemFiles: Readonly<Record<string, string>> = {
  'etc/fstab': 'LABEL=root / ext4 errors=remount-ro 0 1\n',
  'etc/cloud/cloud.cfg.d/90-selvedge.cfg': `datasource_list: [NoCloud, None]
datasource:
  NoCloud:
    fs_label: CIDATA
`,
  // Whatever cloud-init is not told: any card by DHCP.
  'etc/systemd/network/99-dhcp.network': '[Match]\nType=ether\n\n[Network]\nDHCP=yes\n',
  // One card with a cable is enough, and none does not hold up the rest for minutes.
  'etc/systemd/system/systemd-networkd-wait-online.service.d/any.conf':
    '[Service]\nExecStart=\nExecStart=/lib/systemd/systemd-networkd-wait-online --any --timeout=30\n',
};

function writeHook(path: string, text: string): string {
  return `mkdir -p "$1/${dirname(path)}" && printf %s ${quoted(text)} > "$1/${path}"`;
}

/** For a shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
