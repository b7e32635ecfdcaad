import { readFile } from 'node:fs/promises';
import { glob } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { runProgram } from '../debian/run-program.ts';
import { parseElf } from './elf.ts';
import type { FileTree } from './file-tree.ts';

/** A kernel as Debian packs it. */
export interface UnpackedKernel {
  /** `6.1.0-56-cloud-amd64`. */
  readonly release: string;
  readonly vmlinuz: string;
  /** Folder `lib/modules/RELEASE`. */
  readonly modulesDir: string;
}

interface KernelModule {
  readonly name: string;
  /** Below `modulesDir`, without compression: `kernel/drivers/net/virtio_net.ko`. */
  readonly path: string;
  readonly content: Buffer;
  readonly aliases: readonly string[];
  readonly dependencies: readonly string[];
}

/**
 * Adds the modules whose path fits, with all that they need, and the indexes by which busybox's modprobe finds them: what depmod would write, so that
 * neither depmod nor a machine of that architecture is needed.
 */
export async function addKernelModules(
  tree: FileTree,
  kernel: UnpackedKernel,
  isWanted: (path: string) => boolean,
): Promise<void> {
  const paths = new Map<string, string>();
  for await (const path of glob('kernel/**/*.ko{,.xz,.zst}', { cwd: kernel.modulesDir })) {
    paths.set(moduleName(path), path);
  }
  const modules = new Map<string, KernelModule>();
  const queue = [...paths.values()].filter(isWanted).map(moduleName);
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    const path = paths.get(name);
    // Absent: built into the kernel.
    if (path === undefined || modules.has(name)) continue;
    const module = await readModule(kernel, path);
    modules.set(name, module);
    queue.push(...module.dependencies);
  }
  const sorted = [...modules.values()].toSorted((a, b) => (a.path < b.path ? -1 : 1));
  const target = `lib/modules/${kernel.release}`;
  for (const { path, content } of sorted) tree.addFile(`${target}/${path}`, content);
  tree.addFile(`${target}/modules.dep`, sorted.map((module) => dependencyLine(module, modules)).join(''));
  const aliases = sorted.flatMap((module) =>
    module.aliases.map((alias) => `alias ${alias} ${module.name}\n`),
  );
  tree.addFile(`${target}/modules.alias`, aliases.join(''));
  tree.addFile(`${target}/modules.builtin`, await readFile(join(kernel.modulesDir, 'modules.builtin')));
}

async function readModule(kernel: UnpackedKernel, path: string): Promise<KernelModule> {
  const content = await readDecompressed(join(kernel.modulesDir, path));
  const info = parseElf(content)?.moduleInfo;
  if (info === undefined) throw new Error(`${path} is no kernel module`);
  const values = (key: string) => info.filter(([name]) => name === key).map(([, value]) => value);
  const needed = values('depends').flatMap((list) => list.split(','));
  const wished = values('softdep').flatMap((line) => line.split(/\s+/).filter((word) => !word.endsWith(':')));
  return {
    name: moduleName(path),
    path: path.replace(/\.(xz|zst)$/, ''),
    content,
    aliases: values('alias'),
    dependencies: [...needed, ...wished].filter((name) => name !== '').map(normalized),
  };
}

async function readDecompressed(path: string): Promise<Buffer> {
  if (path.endsWith('.ko')) return readFile(path);
  const { zstdDecompressSync } = await import('node:zlib');
  if (path.endsWith('.zst')) return zstdDecompressSync(await readFile(path));
  return Buffer.from(await runProgram(['xz', '-dc', path], { encoding: 'latin1' }), 'latin1');
}

/** The module, then all that must be loaded before it, last the deepest. */
function dependencyLine(module: KernelModule, modules: ReadonlyMap<string, KernelModule>): string {
  const before: string[] = [];
  // Wishes (softdep) may go in a circle.
  const seen = new Set([module]);
  const visit = ({ dependencies }: KernelModule) => {
    for (const name of dependencies) {
      const dependency = modules.get(name);
      if (dependency === undefined || seen.has(dependency)) continue;
      seen.add(dependency);
      visit(dependency);
      before.push(dependency.path);
    }
  };
  visit(module);
  return `${[`${module.path}:`, ...before.toReversed()].join(' ')}\n`;
}

const moduleName = (path: string) => normalized(basename(path).replace(/\.ko(\.xz|\.zst)?$/, ''));

/** The kernel takes `-` and `_` in names as the same. */
const normalized = (name: string) => name.replaceAll('-', '_');
