import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

export const repositoryRoot = join(import.meta.dirname, '../..');

/** One `import` or `export … from`. */
export interface Import {
  specifier: string;
  /** Vanishes when types are stripped. */
  typeOnly: boolean;
}

export interface SourceFile {
  /** From the root of the repository, as in packages/api/src/index.ts. */
  path: string;
  text: string;
  imports: readonly Import[];
}

export interface PackageManifest {
  name: string;
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
  optionalDependencies: Record<string, string>;
}

/** All TypeScript and JavaScript of ours. */
export function readSources(): SourceFile[] {
  return globSync('{packages,tools,tests,quickstart,bench}/**/*.{ts,js}', {
    cwd: repositoryRoot,
    exclude: (name) => name === 'node_modules' || name === 'dist',
  })
    .sort()
    .map((path) => {
      const text = readFileSync(join(repositoryRoot, path), 'utf8');
      return { path, text, imports: findImports(text) };
    });
}

/**
 * Imports by their text. Statements start a line in formatted code, so what stands in comments and template strings
 * is not taken for one.
 */
export function findImports(text: string): Import[] {
  const statements = /^(?:import|export)\s+(type\s)?[^'";]*?\bfrom\s*['"]([^'"]+)['"]/gm;
  const sideEffects = /^import\s*['"]([^'"]+)['"]/gm;
  const lazy = /\bimport\(\s*['"]([^'"]+)['"]\s*\)/g;
  return [
    ...[...text.matchAll(statements)].map((m) => ({ specifier: m[2] ?? '', typeOnly: m[1] !== undefined })),
    ...[...text.matchAll(sideEffects)].map((m) => ({ specifier: m[1] ?? '', typeOnly: false })),
    ...[...text.matchAll(lazy)].map((m) => ({ specifier: m[1] ?? '', typeOnly: true })),
  ];
}

export function packageNames(): string[] {
  return globSync('packages/*/package.json', { cwd: repositoryRoot })
    .map((path) => path.split('/')[1] ?? '')
    .sort();
}

/** Of packages/NAME, or of the repository with ''. */
export function readManifest(name: string): PackageManifest {
  const file = name === '' ? 'package.json' : `packages/${name}/package.json`;
  const content = JSON.parse(readFileSync(join(repositoryRoot, file), 'utf8')) as Partial<PackageManifest>;
  return {
    name: content.name ?? '',
    dependencies: content.dependencies ?? {},
    devDependencies: content.devDependencies ?? {},
    optionalDependencies: content.optionalDependencies ?? {},
  };
}

/** What other packages may import of packages/NAME: the keys of its `exports`. */
export function readDoors(name: string): string[] {
  const manifest = JSON.parse(
    readFileSync(join(repositoryRoot, `packages/${name}/package.json`), 'utf8'),
  ) as {
    name: string;
    exports?: Record<string, string>;
  };
  return Object.keys(manifest.exports ?? {}).map((door) => manifest.name + door.slice(1));
}

/** The package of ours that the file belongs to, or undefined for tools, tests, quickstart, bench. */
export function packageOf(file: SourceFile): string | undefined {
  return /^packages\/([^/]+)\//.exec(file.path)?.[1];
}

export function isTest(file: SourceFile): boolean {
  return /\.test\.ts$|^packages\/testkit\/|\/testing\//.test(file.path);
}

/** Path of the file that a relative import names. */
export function resolveRelative(file: SourceFile, specifier: string): string {
  return relative(repositoryRoot, join(repositoryRoot, dirname(file.path), specifier));
}

/** `@scope/name` or `name`, without what follows. */
export function dependencyName(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}
