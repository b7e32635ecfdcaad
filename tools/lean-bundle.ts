/** How the programs are put together: shared by `npm run build` and the test of what the agent loads. */
import { readFile } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { type BuildOptions, build, type Metafile, type Plugin } from 'esbuild';
import { repositoryRoot } from './testing/test-files.ts';

/**
 * An ES import of a module of Node reads every export of it, also those that load something large when they are first
 * read: node:http alone brings 8 MB of an HTTP client that we do not use. Taken this way, an export is read when it is
 * used.
 */
export const lazyNodeModules: Plugin = {
  name: 'lazy-node-modules',
  setup(bundler) {
    bundler.onResolve({ filter: /^node:/ }, ({ path }) => ({ path, namespace: 'node-module' }));
    bundler.onLoad({ filter: /.*/, namespace: 'node-module' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)});`,
      loader: 'js',
    }));
  },
};

/**
 * The text of a program stays in memory, that of an ES module with two bytes for every character as soon as one of them is not ASCII.
 * esbuild writes such characters as escapes, but not in regular expressions.
 */
export const asciiText: Plugin = {
  name: 'ascii-text',
  setup(bundler) {
    bundler.onLoad({ filter: /\.[cm]?[jt]s$/, namespace: 'file' }, async ({ path }) => {
      const text = await readFile(path, 'utf8');
      const escaped = text.replace(
        /[^\0-\x7f]/g,
        (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
      );
      // What would mean something else with the escape stays as it is.
      if (escaped === text || /\\[^\0-\x7f]|String\.raw/.test(text)) return undefined;
      return { contents: escaped, loader: extname(path).endsWith('ts') ? 'ts' : 'js' };
    });
  },
};

/** Leaves `await import('package')` to the second step, which knows the names that a CommonJS module exports. */
const laterPackages: Plugin = {
  name: 'later-packages',
  setup(bundler) {
    bundler.onResolve({ filter: /^[^.]/ }, async ({ path, kind, resolveDir, pluginData }) => {
      if (kind !== 'dynamic-import' || pluginData === laterPackages || path.startsWith('@selvedge/'))
        return undefined;
      if (path.startsWith('node:')) return { path, external: true };
      const found = await bundler.resolve(path, { kind, resolveDir, pluginData: laterPackages });
      return { path: found.path, external: true, errors: found.errors };
    });
  },
};

/** pino loads it, and with it Node's worker threads, for transports, which no program of ours has. */
const withoutLogTransports: Plugin = {
  name: 'without-log-transports',
  setup(bundler) {
    bundler.onResolve({ filter: /^thread-stream$/ }, ({ path }) => ({ path, namespace: 'left-out' }));
    bundler.onLoad({ filter: /.*/, namespace: 'left-out' }, () => ({
      contents:
        "module.exports = class { constructor() { throw new Error('log transports are left out of this program') } }",
      loader: 'js',
    }));
  },
};

export const bundleOptions: BuildOptions = {
  absWorkingDir: repositoryRoot,
  bundle: true,
  platform: 'node',
  target: 'node24',
  legalComments: 'none',
  logLevel: 'warning',
};

/**
 * The first of two steps: what is loaded later becomes files of their own. Only then esbuild leaves out of all modules
 * what is not used (of the agent a fifth, schemas above all). Returns the file that the second step makes one program
 * of again, and what each file holds.
 */
export async function splitInParts(
  entry: string,
  outdir: string,
): Promise<{ main: string; metafile: Metafile }> {
  const { metafile } = await build({
    ...bundleOptions,
    entryPoints: [entry],
    outdir,
    splitting: true,
    format: 'esm',
    plugins: [laterPackages, lazyNodeModules, withoutLogTransports, asciiText],
    sourcemap: 'inline',
    metafile: true,
  });
  return { main: join(outdir, basename(entry).replace(/ts$/, 'js')), metafile };
}
