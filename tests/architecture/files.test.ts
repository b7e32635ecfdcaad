import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { packageNames, readSources, repositoryRoot } from './source-files.ts';

const sources = readSources();

describe('files', () => {
  test('no file has more than 400 lines of code, no test more than 800', () => {
    const tooLong = sources
      .map((file) => ({ path: file.path, lines: countCodeLines(file.text) }))
      .filter(
        ({ path, lines }) => lines > (path.endsWith('.test.ts') || path.includes('/testkit/') ? 800 : 400),
      )
      .map(({ path, lines }) => `${path}: ${lines}`);
    assert.deepEqual(tooLong, []);
  });

  test('names are in kebab-case and say what is inside', () => {
    const vague = /(^|\/)(utils?|helpers?|common|misc|types|manager\d*)(\.|\/)/;
    const kebabCase =
      /^[a-z0-9]+(-[a-z0-9]+)*(\.((podman|postgres|kubernetes|machines|slow)\.)?test)?\.(ts|js)$/;
    const bad = sources
      .map((file) => file.path)
      .filter((path) => vague.test(path) || !kebabCase.test(path.split('/').at(-1) ?? ''));
    assert.deepEqual(bad, []);
  });

  test('the door of every package opens with an essay of at most 20 lines', () => {
    const bad = packageNames().filter((name) => {
      const text = readFileSync(join(repositoryRoot, `packages/${name}/src/index.ts`), 'utf8');
      const essay = /^\/\*\*\n([\s\S]*?)\n ?\*\//.exec(text)?.[1] ?? '';
      const lines = essay.split('\n').length;
      return lines < 3 || lines > 20;
    });
    assert.deepEqual(bad, []);
  });

  test('doors name what they export', () => {
    const bad = packageNames()
      .filter((name) => name !== 'api')
      .filter((name) =>
        /^export \*/m.test(readFileSync(join(repositoryRoot, `packages/${name}/src/index.ts`), 'utf8')),
      );
    assert.deepEqual(bad, []);
  });
});

/** Lines that are neither blank nor comment. */
function countCodeLines(text: string): number {
  const withoutBlocks = text.replace(/^\s*\/\*[\s\S]*?\*\/\s*$/gm, '');
  return withoutBlocks.split('\n').filter((line) => line.trim() !== '' && !line.trim().startsWith('//'))
    .length;
}
