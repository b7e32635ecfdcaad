import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { packageNames, readManifest, repositoryRoot } from './source-files.ts';

const pages = globSync('{*.md,{docs,examples,packages,quickstart,bench,tests}/**/*.md}', {
  cwd: repositoryRoot,
  exclude: (name) => name === 'node_modules',
});

describe('documents', () => {
  test('a link between documents leads to a file', () => {
    const broken = pages.flatMap((page) => {
      const text = readFileSync(join(repositoryRoot, page), 'utf8').replace(/^```[\s\S]*?^```/gm, '');
      return [...text.matchAll(/\]\(([^)\s]+)\)/g)]
        .map((link) => link[1] ?? '')
        .filter((link) => !/^[a-z]+:|^#/.test(link))
        .filter((link) => !existsSync(join(repositoryRoot, dirname(page), link.replace(/#.*$/, ''))))
        .map((link) => `${page}: ${link}`);
    });
    assert.deepEqual(broken, []);
  });

  test('docs/reference/dependencies.md names every package that we install', () => {
    const text = readFileSync(join(repositoryRoot, 'docs/reference/dependencies.md'), 'utf8');
    const manifests = ['', ...packageNames()].map(readManifest);
    const installed = new Set(
      manifests.flatMap((manifest) => [
        ...Object.keys(manifest.dependencies),
        ...Object.keys(manifest.devDependencies),
        ...Object.keys(manifest.optionalDependencies),
      ]),
    );
    const missing = [...installed].filter(
      (name) => !name.startsWith('@selvedge/') && !text.includes(`\`${name}\``),
    );
    assert.deepEqual(missing, []);
  });
});
