import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  getDependency,
  type PackageSource,
  rootOf,
  type UnpackedPackage,
} from '../debian/debian-packages.ts';
import type { UnpackedKernel } from './kernel-modules.ts';

/** `cloud`: virtual machines only, small. `generic`: the drivers of real hardware too. */
export type KernelFlavour = 'cloud' | 'generic';

/** Name of Debian's present kernel package of this flavour: `linux-image-6.1.0-56-cloud-amd64`. */
export function getKernelPackage(flavour: KernelFlavour, source: PackageSource): Promise<string> {
  const { architecture } = source;
  const name = flavour === 'cloud' ? `linux-image-cloud-${architecture}` : `linux-image-${architecture}`;
  return getDependency(name, /^linux-image-\d/, source);
}

/** The kernel in a package that was unpacked. */
export function kernelOf(packages: readonly UnpackedPackage[], name: string): UnpackedKernel {
  const root = rootOf(packages, name) ?? '';
  const release = name.replace('linux-image-', '');
  const modulesDir = [`lib/modules/${release}`, `usr/lib/modules/${release}`]
    .map((path) => join(root, path))
    .find((path) => existsSync(path));
  if (modulesDir === undefined) throw new Error(`${name} holds no kernel modules`);
  return { release, vmlinuz: join(root, `boot/vmlinuz-${release}`), modulesDir };
}
