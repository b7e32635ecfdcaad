import { findStaticBusybox, findTool, hasMixedCgroups } from '@selvedge/testkit';

/** What runs Selvedge's sites on this machine, and which Debian package brings it. */
export interface Need {
  /** Any of these files or programs fulfils the need. Names without a slash are looked up on PATH. */
  anyOf: readonly string[];
  package: string;
  why: string;
  /** Only an ordinary user's Podman needs it. */
  rootlessOnly?: boolean;
  /** Written before the package is installed, when it is not there: keeps it from starting a service. */
  configuration?: { path: string; text: string };
}

/** A Debian package that is unpacked into .selvedge/tools and not installed: no root, no service. */
export interface UnpackedNeed {
  name: string;
  isThere: () => boolean;
  package: string;
  why: string;
  /** Without it the quickstart does with less. */
  tests?: 'only';
}

export type Purpose = 'quickstart' | 'test';

const helperDirs = ['/usr/lib/podman', '/usr/libexec/podman', '/usr/local/libexec/podman'];

function helper(name: string): string[] {
  return [name, ...helperDirs.map((folder) => `${folder}/${name}`)];
}

const siteNeeds: readonly Need[] = [
  { anyOf: ['podman'], package: 'podman', why: 'runs the containers of every site' },
  { anyOf: ['crun', 'runc'], package: 'crun', why: 'starts containers for Podman' },
  { anyOf: helper('catatonit'), package: 'catatonit', why: 'the first process of every pod' },
  { anyOf: helper('netavark'), package: 'netavark', why: 'networks between pods' },
  { anyOf: helper('aardvark-dns'), package: 'aardvark-dns', why: 'names of Services between pods' },
  { anyOf: ['iptables'], package: 'iptables', why: 'netavark publishes ports with it' },
  { anyOf: ['nft'], package: 'nftables', why: "leads a Service's traffic to its pods" },
  { anyOf: ['nsenter'], package: 'util-linux', why: "reaches into the pods' networks" },
  {
    anyOf: ['newuidmap'],
    package: 'uidmap',
    why: 'rootless Podman maps user ids with it',
    rootlessOnly: true,
  },
  {
    anyOf: ['slirp4netns', 'pasta'],
    package: 'slirp4netns',
    why: 'network of rootless containers',
    rootlessOnly: true,
  },
  {
    anyOf: ['fuse-overlayfs'],
    package: 'fuse-overlayfs',
    why: 'storage of rootless containers',
    rootlessOnly: true,
  },
];

/** Only where cgroups are mixed: crun refuses such a machine. */
const mixedCgroupNeeds: readonly Need[] = [
  { anyOf: ['runc'], package: 'runc', why: 'crun does not run with cgroup v1 and v2 mixed, as here' },
];

/** Boxes that boot: virtual machines, their firmware, what answers them, and what their disks are made with. */
const machineNeeds: readonly Need[] = [
  { anyOf: ['qemu-system-x86_64'], package: 'qemu-system-x86', why: 'boxes that boot, without hardware' },
  { anyOf: ['/usr/share/seabios/bios-256k.bin'], package: 'seabios', why: 'BIOS of those boxes' },
  { anyOf: ['/usr/share/OVMF/OVMF_CODE_4M.fd'], package: 'ovmf', why: 'UEFI firmware of those boxes' },
  {
    anyOf: ['/usr/lib/ipxe/qemu/pxe-virtio.rom'],
    package: 'ipxe-qemu',
    why: 'boot ROM of their network cards',
  },
  { anyOf: ['/usr/lib/ipxe/undionly.kpxe'], package: 'ipxe', why: 'boot loaders that a rack hands out' },
  { anyOf: ['qemu-img'], package: 'qemu-utils', why: 'disk images of another maker' },
  { anyOf: ['dnsmasq'], package: 'dnsmasq-base', why: 'DHCP and TFTP of a rack' },
  { anyOf: ['mcopy'], package: 'mtools', why: 'writes FAT file systems into disk images' },
  { anyOf: ['syslinux'], package: 'syslinux', why: 'boot loader of a small disk image (BIOS)' },
  {
    anyOf: ['/usr/lib/syslinux/mbr/mbr.bin'],
    package: 'syslinux-common',
    why: 'first sector of a small disk image (BIOS)',
  },
  {
    anyOf: ['/usr/lib/systemd/boot/efi/systemd-bootx64.efi'],
    package: 'systemd-boot-efi',
    why: 'boot loader of a small disk image (UEFI)',
  },
  { anyOf: ['sfdisk'], package: 'fdisk', why: 'partitions of disk images' },
  { anyOf: ['sgdisk'], package: 'gdisk', why: 'partitions of disk images' },
  { anyOf: ['mkfs.fat'], package: 'dosfstools', why: 'FAT file systems of disk images' },
  { anyOf: ['mke2fs'], package: 'e2fsprogs', why: 'file systems of disk images' },
  { anyOf: ['zstd'], package: 'zstd', why: 'compressed disk images of another maker' },
  { anyOf: ['xz'], package: 'xz-utils', why: 'compressed disk images' },
  { anyOf: ['ipmitool'], package: 'ipmitool', why: 'switches machines by IPMI' },
  { anyOf: ['ipmi_sim'], package: 'openipmi', why: 'a BMC that speaks IPMI' },
  { anyOf: ['ipmipower'], package: 'freeipmi-tools', why: 'another client of that BMC' },
  { anyOf: ['redfishtool'], package: 'redfishtool', why: 'a client of our Redfish emulator' },
  {
    anyOf: ['/usr/lib/python3/dist-packages/sushy/__init__.py'],
    package: 'python3-sushy',
    why: 'another client of our Redfish emulator',
  },
  { anyOf: ['mmdebstrap'], package: 'mmdebstrap', why: 'makes a disk image of real Debian' },
  { anyOf: ['openssl'], package: 'openssl', why: 'signs boot scripts' },
];

const testNeeds: readonly Need[] = [
  ...machineNeeds,
  { anyOf: ['git'], package: 'git', why: 'repositories that applications come from' },
  { anyOf: ['ssh'], package: 'openssh-client', why: 'repositories that are reached by ssh' },
  {
    anyOf: ['sshd'],
    package: 'openssh-server',
    why: 'a server of git that is reached by ssh; the tests run servers of their own',
    configuration: {
      path: '/etc/ssh/sshd_not_to_be_run',
      text: "Selvedge's tests need the program, not a service. Remove this file to run one.\n",
    },
  },
  { anyOf: ['skopeo'], package: 'skopeo', why: "a client of the hub's registry, beside Podman" },
  { anyOf: ['strip'], package: 'binutils', why: 'makes Node smaller in the image of the agent' },
  { anyOf: ['ip'], package: 'iproute2', why: 'sites in network namespaces whose link is cut' },
  {
    anyOf: ['initdb'],
    package: 'postgresql',
    why: 'several hubs on one database; the tests run servers of their own',
    configuration: {
      path: '/etc/postgresql-common/createcluster.d/no-main-cluster.conf',
      text: "# Selvedge's tests need the programs, not a database that runs all the time.\ncreate_main_cluster = false\n",
    },
  },
];

export const unpackedNeeds: readonly UnpackedNeed[] = [
  {
    name: 'docker-registry',
    isThere: () => findTool('docker-registry') !== undefined,
    package: 'docker-registry',
    why: 'the registry that the image is pulled from',
  },
  {
    name: 'a static busybox',
    isThere: () => findStaticBusybox() !== undefined,
    package: 'busybox-static',
    why: 'the one program in the image that is built',
  },
  {
    name: 'containerd',
    isThere: () => findTool('containerd') !== undefined && findTool('ctr') !== undefined,
    package: 'containerd',
    why: "a client of the hub's registry; the tests run a daemon of their own",
    tests: 'only',
  },
  {
    name: 'kubectl',
    isThere: () => findTool('kubectl') !== undefined,
    package: 'kubernetes-client',
    why: 'there is no kubectl on PATH',
    tests: 'only',
  },
];

export function needsFor(purpose: Purpose, isRoot: boolean): readonly Need[] {
  const needs = [
    ...siteNeeds,
    ...(hasMixedCgroups() ? mixedCgroupNeeds : []),
    ...(purpose === 'test' ? testNeeds : []),
  ];
  // The tests run Podman as an ordinary user too, whoever runs the tests.
  return needs.filter((need) => need.rootlessOnly !== true || !isRoot || purpose === 'test');
}
