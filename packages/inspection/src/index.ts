/**
 * The inspection system: a Debian kernel with busybox and our scripts (`system/`), built here without root. It takes the inventory of a machine, tests it, writes and erases
 * its disks, at the word of the rack. Beside it the tiny operating system (`tiny-os/`), which stands for an installed one where a rack is tried out.
 *
 * What it says to the rack, and hears, stands in `inspection-wire.ts` of the API package.
 */
export { buildDebianOs, type DebianOsOptions } from './debian-os/build-debian-os.ts';
export {
  type BuildOptions,
  type BuiltSystem,
  buildInspectionSystem,
} from './image/build-inspection-system.ts';
export type { KernelFlavour } from './image/kernel-package.ts';
export { buildTinyOs, type TinyOsOptions } from './tiny-os/build-tiny-os.ts';
