/**
 * `npm run build`: one file per program, dist/selvedge.mjs and dist/selvedge-agent.cjs, with source maps beside them.
 * They need Node 24 and nothing else; selvedge.mjs also needs the files dist/selvedge-*-worker.mjs beside it, and to build the inspection
 * system dist/inspection.
 */
import { chmod, cp, mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import { asciiText, bundleOptions, lazyNodeModules, splitInParts } from './lean-bundle.ts';
import { repositoryRoot } from './testing/test-files.ts';

interface Program {
  outfile: string;
  entry: string;
  format: 'esm' | 'cjs';
  banner: string;
  /** Built in two steps, so that it holds and loads less. */
  isLean?: true;
}

/** CommonJS dependencies inside a bundle call require for Node's own modules. */
const requireInBundle =
  "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);";

const programs: readonly Program[] = [
  {
    outfile: 'dist/selvedge.mjs',
    entry: 'packages/cli/src/main.ts',
    format: 'esm',
    // Of the C library two heaps for all threads: the hub has a dozen, and each would keep its own.
    banner: `#!/usr/bin/env -S MALLOC_ARENA_MAX=2 node\n${requireInBundle}`,
  },
  {
    // The second thread of the store, which selvedge.mjs starts from the file beside it.
    outfile: 'dist/selvedge-store-worker.mjs',
    entry: 'packages/store/src/sqlite/store-worker.ts',
    format: 'esm',
    banner: '',
  },
  {
    // The thread in which the hub reads YAML of others.
    outfile: 'dist/selvedge-manifest-worker.mjs',
    entry: 'packages/hub/src/sources/manifests/manifest-worker.ts',
    format: 'esm',
    banner: requireInBundle,
  },
  {
    outfile: 'dist/selvedge-agent.cjs',
    entry: 'packages/agent/src/main.ts',
    // Less memory than as an ES module, and what single executables are made of.
    format: 'cjs',
    isLean: true,
    // Memory is dearer at a site than speed: no compiler, a small young generation, no threads for V8; of
    // the C library one heap for all threads, which gives back what is free.
    banner:
      '#!/usr/bin/env -S MALLOC_ARENA_MAX=1 MALLOC_TRIM_THRESHOLD_=65536 MALLOC_MMAP_THRESHOLD_=65536 node --jitless --optimize-for-size --max-semi-space-size=1 --v8-pool-size=0',
  },
];

await rm(join(repositoryRoot, 'dist'), { recursive: true, force: true });
await mkdir(join(repositoryRoot, 'dist'));
for (const { outfile, entry, format, banner, isLean } of programs) {
  const file = join(repositoryRoot, outfile);
  const parts = join(repositoryRoot, 'dist/parts');
  await build({
    ...bundleOptions,
    entryPoints: [isLean === true ? (await splitInParts(entry, parts)).main : entry],
    outfile: file,
    plugins: [lazyNodeModules, asciiText],
    format,
    sourcemap: 'external',
    minifyWhitespace: true,
    minifySyntax: true,
    // The text of the program stays in memory; dist/*.map gives the names back.
    minifyIdentifiers: isLean === true,
    banner: { js: banner },
  });
  await rm(parts, { recursive: true, force: true });
  await chmod(file, 0o755);
  console.log(`${outfile}  ${((await stat(file)).size / 1024).toFixed(0)} KiB`);
}
for (const scripts of ['system', 'tiny-os']) {
  const target = join(repositoryRoot, 'dist/inspection', scripts);
  await cp(join(repositoryRoot, 'packages/inspection', scripts), target, { recursive: true });
}
