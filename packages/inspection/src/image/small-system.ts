import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { constants, zstdCompress } from 'node:zlib';
import { formatCpio } from './cpio.ts';
import type { FileTree } from './file-tree.ts';

/** Folder with scripts that run on a box: in this package, or beside the one file that the program was bundled to. */
export function scriptsDir(name: 'system' | 'tiny-os'): string {
  const inPackage = join(import.meta.dirname, '../..', name);
  return existsSync(inPackage) ? inPackage : join(import.meta.dirname, 'inspection', name);
}

/** Folders, links and files that each of our small systems has. */
export function addSystemFolders(tree: FileTree): void {
  for (const folder of ['dev', 'proc', 'sys', 'run', 'tmp', 'mnt', 'root', 'sbin', 'var/log']) {
    tree.addDirectory(folder);
  }
  tree.addCharacterDevice('dev/console', [5, 1]);
  tree.addFile('etc/passwd', 'root:x:0:0:root:/root:/bin/sh\n');
  tree.addFile('etc/group', 'root:x:0:\n');
  tree.addFile('etc/shells', '/bin/sh\n/bin/bash\n');
  tree.addLink('bin/sh', 'busybox');
}

/** Adds the folder with all that is in it; files without an extension are programs. */
export function addScripts(tree: FileTree, from: string, to: string): void {
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [path, target] = [join(from, entry.name), `${to}/${entry.name}`];
    if (entry.isDirectory()) addScripts(tree, path, target);
    else if (!entry.name.endsWith('.test.ts')) {
      tree.addFile(target, readFileSync(path), entry.name.includes('.') ? 0o644 : 0o755);
    }
  }
}

/** initrd of a tree: zstd, which Debian's kernels unpack fastest. */
export async function compressInitrd(tree: FileTree): Promise<Buffer> {
  return promisify(zstdCompress)(formatCpio(tree), {
    params: { [constants.ZSTD_c_compressionLevel]: 12 },
  });
}
