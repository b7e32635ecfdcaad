import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { layers } from './layers.ts';
import {
  dependencyName,
  findImports,
  isTest,
  packageNames,
  packageOf,
  readDoors,
  readManifest,
  readSources,
  resolveRelative,
} from './source-files.ts';

const sources = readSources();
const production = sources.filter((file) => !isTest(file));

describe('packages', () => {
  test('the import scanner sees every form of import', () => {
    const text = [
      "import { a } from './a.ts';",
      "import type { B } from './b.ts';",
      "import './c.ts';",
      "export { d,\n  e } from './d.ts';",
      "export * from './e.ts';",
      "const f = await import('./f.ts');",
      "// import { g } from './g.ts';",
      " * import { h } from './h.ts';",
    ].join('\n');
    assert.deepEqual(
      findImports(text)
        .map((found) => found.specifier)
        .sort(),
      ['./a.ts', './b.ts', './c.ts', './d.ts', './e.ts', './f.ts'],
    );
  });

  test('every package stands in the layer table', () => {
    assert.deepEqual(packageNames(), Object.keys(layers).sort());
  });

  test('a package imports only packages that the layer table allows it', () => {
    const broken = production.flatMap((file) => {
      const own = packageOf(file);
      if (own === undefined) return [];
      return file.imports
        .map((found) => /^@selvedge\/([^/]+)/.exec(found.specifier)?.[1])
        .filter((other) => other !== undefined && other !== own && !layers[own]?.includes(other))
        .map((other) => `${file.path} imports ${other}`);
    });
    assert.deepEqual(broken, []);
  });

  test('only tests, quickstart and bench import testkit', () => {
    const broken = production
      .filter((file) => packageOf(file) !== undefined)
      .filter((file) => file.imports.some((found) => found.specifier.startsWith('@selvedge/testkit')));
    assert.deepEqual(
      broken.map((file) => file.path),
      [],
    );
  });

  test('nothing reaches into another package past its door', () => {
    const doors = new Set(packageNames().flatMap(readDoors));
    const broken = sources.flatMap((file) =>
      file.imports
        .filter(({ specifier }) => {
          if (specifier.startsWith('@selvedge/')) return !doors.has(specifier);
          if (!specifier.startsWith('.')) return false;
          const target = /^packages\/([^/]+)\//.exec(resolveRelative(file, specifier))?.[1];
          return target !== undefined && target !== packageOf(file);
        })
        .map(({ specifier }) => `${file.path} imports ${specifier}`),
    );
    assert.deepEqual(broken, []);
  });

  test('controllers reach objects through a client, never through the API server', () => {
    const broken = production
      .filter((file) => file.path.startsWith('packages/hub/src/controllers/'))
      .filter((file) =>
        file.imports.some(({ specifier }) => /^@selvedge\/apiserver|\/(server|gateway)\//.test(specifier)),
      );
    assert.deepEqual(
      broken.map((file) => file.path),
      [],
    );
  });

  test('what a package imports and what its package.json declares are the same', () => {
    const problems = packageNames().flatMap((name) => {
      const manifest = readManifest(name);
      const files = sources.filter(
        (file) => packageOf(file) === name && (name === 'testkit' || !isTest(file)),
      );
      const imported = new Set(
        files
          .flatMap((file) => file.imports.map((found) => found.specifier))
          .filter((specifier) => !specifier.startsWith('.') && !specifier.startsWith('node:'))
          .map(dependencyName)
          .filter((dependency) => dependency !== manifest.name),
      );
      const declared = new Set(Object.keys(manifest.dependencies));
      return [
        ...[...imported]
          .filter((found) => !declared.has(found))
          .map((found) => `${name} does not declare ${found}`),
        ...[...declared]
          .filter((found) => !imported.has(found))
          .map((found) => `${name} declares ${found} in vain`),
      ];
    });
    assert.deepEqual(problems, []);
  });

  test('there is no import cycle', () => {
    const byPath = new Map(production.map((file) => [file.path, file]));
    const state = new Map<string, 'open' | 'done'>();
    const cycles: string[] = [];
    const visit = (path: string, trail: readonly string[]): void => {
      if (state.get(path) === 'done') return;
      if (state.get(path) === 'open') {
        cycles.push([...trail.slice(trail.indexOf(path)), path].join(' → '));
        return;
      }
      state.set(path, 'open');
      const file = byPath.get(path);
      for (const found of file?.imports ?? []) {
        if (found.typeOnly || !found.specifier.startsWith('.') || file === undefined) continue;
        visit(resolveRelative(file, found.specifier), [...trail, path]);
      }
      state.set(path, 'done');
    };
    for (const file of production) visit(file.path, []);
    assert.deepEqual(cycles, []);
  });
});
