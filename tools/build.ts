/**
 * `npm run build`: one file per program, dist/selvedge.mjs and dist/selvedge-agent.cjs, with source maps beside them.
 * They need Node 24 and nothing else; selvedge.mjs also needs dist/selvedge-store-worker.mjs beside it.
 */
import { chmod, mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { build, type Plugin } from 'esbuild';
import { repositoryRoot } from './testing/test-files.ts';

interface Program {
  outfile: string;
  entry: string;
  format: 'esm' | 'cjs';
  banner: string;
}

const programs: readonly Program[] = [
  {
    outfile: 'dist/selvedge.mjs',
    entry: 'packages/cli/src/main.ts',
    format: 'esm',
    // CommonJS dependencies inside the bundle call require for Node's own modules.
    banner:
      "#!/usr/bin/env node\nimport { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
  {
    // The second thread of the store, which selvedge.mjs starts from the file beside it.
    outfile: 'dist/selvedge-store-worker.mjs',
    entry: 'packages/store/src/sqlite/store-worker.ts',
    format: 'esm',
    banner: '',
  },
  {
    outfile: 'dist/selvedge-agent.cjs',
    entry: 'packages/agent/src/main.ts',
    // Less memory than as an ES module, and what single executables are made of.
    format: 'cjs',
    // Memory is dearer at a site than speed: no compiler, a small young generation.
    banner: '#!/usr/bin/env -S node --jitless --optimize-for-size --max-semi-space-size=1',
  },
];

/**
 * An ES import of a module of Node reads every export of it, also those that load something large when they are first
 * read: node:http alone brings 8 MB of an HTTP client that we do not use. Taken this way, an export is read when it is
 * used.
 */
const lazyNodeModules: Plugin = {
  name: 'lazy-node-modules',
  setup(bundler) {
    bundler.onResolve({ filter: /^node:/ }, ({ path }) => ({ path, namespace: 'node-module' }));
    bundler.onLoad({ filter: /.*/, namespace: 'node-module' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)});`,
      loader: 'js',
    }));
  },
};

await rm(join(repositoryRoot, 'dist'), { recursive: true, force: true });
await mkdir(join(repositoryRoot, 'dist'));
for (const { outfile, entry, format, banner } of programs) {
  const file = join(repositoryRoot, outfile);
  await build({
    absWorkingDir: repositoryRoot,
    entryPoints: [entry],
    outfile: file,
    bundle: true,
    plugins: [lazyNodeModules],
    platform: 'node',
    target: 'node24',
    format,
    sourcemap: 'external',
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: 'none',
    logLevel: 'warning',
    banner: { js: banner },
  });
  await chmod(file, 0o755);
  console.log(`${outfile}  ${((await stat(file)).size / 1024).toFixed(0)} KiB`);
}
