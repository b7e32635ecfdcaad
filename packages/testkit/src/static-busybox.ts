import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { unpackedToolsDir } from './require-tool.ts';

const places = [
  join(unpackedToolsDir, 'bin/busybox'),
  join(unpackedToolsDir, 'usr/bin/busybox'),
  '/bin/busybox',
  '/usr/bin/busybox',
];

/** A busybox that needs no library, so that it can be the only program of an image. */
export function findStaticBusybox(): string | undefined {
  return places.find((path) => existsSync(path) && isStatic(path));
}

/** A dynamic ELF program names its loader in its first page. */
function isStatic(path: string): boolean {
  return !readFileSync(path).subarray(0, 4096).includes('/ld-');
}
