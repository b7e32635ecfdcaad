import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { UnpackedPackage } from '../debian/debian-packages.ts';
import { parseElf } from './elf.ts';
import type { FileTree } from './file-tree.ts';

/**
 * Adds programs (`usr/sbin/sfdisk`, as they stand in their packages) with the libraries that they need. A library that none of the packages holds is an error
 * that names it.
 */
export function addPrograms(
  tree: FileTree,
  programs: readonly string[],
  packages: readonly UnpackedPackage[],
): void {
  for (const program of programs) {
    const path = findFile(packages, [program, program.replace(/^usr\//, '')]);
    if (path === undefined) throw new Error(`no package holds ${program}`);
    const bytes = readFileSync(path);
    tree.addFile(program, bytes, 0o755);
    addLibraries(tree, { path: program, bytes }, packages);
  }
}

interface Binary {
  readonly path: string;
  readonly bytes: Buffer;
}

function addLibraries(tree: FileTree, binary: Binary, packages: readonly UnpackedPackage[]): void {
  const facts = parseElf(binary.bytes);
  if (facts === undefined) return;
  const { interpreter } = facts;
  // The loader goes where programs look for it, the libraries where the loader does.
  if (interpreter !== undefined) {
    addLibrary(tree, {
      name: basename(interpreter),
      target: interpreter.slice(1),
      packages,
      by: binary.path,
    });
  }
  for (const name of facts.libraries) {
    addLibrary(tree, { name, target: `usr/lib/${name}`, packages, by: binary.path });
  }
}

function addLibrary(
  tree: FileTree,
  library: { name: string; target: string; packages: readonly UnpackedPackage[]; by: string },
): void {
  const { name, target, packages, by } = library;
  if (tree.has(target) || /^ld-linux.*\.so/.test(name) === target.startsWith('usr/lib/')) return;
  const triplets = ['x86_64-linux-gnu', 'aarch64-linux-gnu'];
  const folders = ['lib', 'lib64', 'usr/lib', ...triplets.flatMap((it) => [`lib/${it}`, `usr/lib/${it}`])];
  const path = findFile(
    packages,
    folders.map((folder) => `${folder}/${name}`),
  );
  if (path === undefined) throw new Error(`${by} needs ${name}, which none of the packages holds`);
  const bytes = readFileSync(path);
  tree.addFile(target, bytes, 0o755);
  addLibraries(tree, { path: name, bytes }, packages);
}

function findFile(packages: readonly UnpackedPackage[], paths: readonly string[]): string | undefined {
  return packages
    .flatMap(({ root }) => paths.map((path) => join(root, path)))
    .find((path) => existsSync(path));
}
