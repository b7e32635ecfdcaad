import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Results } from './results.ts';

/** Runs test files with the given texts through runPhase, in a process that is not itself a test. */
function runFiles(folder: string, texts: readonly string[]): { results: Results; output: string } {
  const files = texts.map((text, index) => {
    const file = join(folder, `case-${index}.test.mjs`);
    writeFileSync(file, `import { test, describe, before } from 'node:test';\n${text}\n`);
    return file;
  });
  const saved = join(folder, 'results.json');
  const script = `
    import { writeFileSync } from 'node:fs';
    import { runPhase } from ${JSON.stringify(join(import.meta.dirname, 'run-phase.ts'))};
    const phase = { name: 'unit', files: ${JSON.stringify(files)}, concurrency: 2, timeoutMinutes: 1 };
    const results = await runPhase(phase, new AbortController().signal);
    writeFileSync(${JSON.stringify(saved)}, JSON.stringify(results));
  `;
  const program = join(folder, 'program.mjs');
  writeFileSync(program, script);
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const { stdout } = spawnSync(process.execPath, [program], { env, encoding: 'utf8' });
  return { results: JSON.parse(readFileSync(saved, 'utf8')) as Results, output: stdout };
}

describe('a phase of tests', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'svg-run-phase-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  test('counts tests, not suites, and prints the message of a failure', () => {
    const { results, output } = runFiles(folder, [
      `describe('s', () => { test('a', () => {}); test('b', () => { throw new Error('the reason'); }); });`,
    ]);
    assert.equal(results.passed, 1);
    assert.equal(results.failed, 1);
    assert.equal(results.failures.length, 1);
    assert.match(output, /the reason/);
  });

  test('counts a skipped test and a skipped suite with their reasons', () => {
    const { results } = runFiles(folder, [
      `test('a', { skip: 'no podman' }, () => {}); describe('s', { skip: 'no kubectl' }, () => { test('b', () => {}); });`,
    ]);
    assert.deepEqual(
      results.skips.map(({ reason }) => reason),
      ['no podman', 'no kubectl'],
    );
    assert.equal(results.failed, 0);
  });

  test('a file that ends before its tests have run is a failure, though it exits with 0', () => {
    const { results } = runFiles(folder, [`test('a', () => {}); test('b', () => process.exit(0));`]);
    assert.equal(results.failed, 1);
    assert.match(results.failures[0] ?? '', /ended before all of its tests had run/);
  });

  test('a file that cannot be loaded is a failure, and what it wrote is shown', () => {
    const { results, output } = runFiles(folder, [`throw new Error('cannot load');`]);
    assert.equal(results.failed, 1);
    assert.match(output, /cannot load/);
  });

  test('a hook that throws is a failure', () => {
    const { results } = runFiles(folder, [
      `describe('s', () => { before(() => { throw new Error('hook'); }); test('a', () => {}); });`,
    ]);
    assert.ok(results.failed > 0);
    assert.equal(results.passed, 0);
  });
});
