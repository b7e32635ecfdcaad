import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { KubeObject } from '@selvedge/api';
import fc from 'fast-check';
import { manifestChanges } from './manifest-changes.ts';
import { unifiedDiff } from './unified-diff.ts';

const configMap = (name: string, data: Record<string, string>, namespace?: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
  data,
});
const secret = (data: Record<string, string>): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'keys' },
  stringData: data,
});

/** What a patch program makes of the old text and the difference. */
function patched(before: string, diff: string): string {
  if (diff === '') return before;
  const old = before === '' ? [] : before.replace(/\n$/, '').split('\n');
  const result: string[] = [];
  let at = 0;
  for (const line of diff.split('\n')) {
    const hunk = /^@@ -(\d+)(?:,(\d+))? \+/.exec(line);
    if (hunk) {
      const start = Number(hunk[1]) - (hunk[2] === '0' ? 0 : 1);
      while (at < start) result.push(old[at++] ?? '');
    } else if (line.startsWith('+')) result.push(line.slice(1));
    else {
      assert.equal(old[at], line.slice(1));
      if (line.startsWith(' ')) result.push(line.slice(1));
      at += 1;
    }
  }
  result.push(...old.slice(at));
  return result.length === 0 ? '' : `${result.join('\n')}\n`;
}

describe('manifest changes', () => {
  test('objects added, removed, changed and left alone, each with its difference', () => {
    const before = [configMap('page', { a: '1', b: '2' }), configMap('old', {}), configMap('same', {})];
    const after = [
      configMap('same', {}),
      configMap('page', { a: '1', b: '3' }),
      configMap('new', {}, 'other'),
    ];
    const { changes, unchanged } = manifestChanges(before, after, 'shop');
    assert.equal(unchanged, 1);
    assert.deepEqual(
      changes.map(({ change, resource }) => `${change} ${resource}`),
      ['Removed ConfigMap/old', 'Added ConfigMap/other/new', 'Changed ConfigMap/page'],
    );
    assert.equal(
      changes[2]?.diff,
      '@@ -1,7 +1,7 @@\n apiVersion: v1\n data:\n   a: "1"\n-  b: "2"\n+  b: "3"\n kind: ConfigMap\n metadata:\n   name: page',
    );
  });

  test('the order of keys, and the namespace of the application said or left out, are no change', () => {
    const before: KubeObject = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'a' },
      data: { x: '1', y: '2' },
    };
    const after: KubeObject = {
      data: { y: '2', x: '1' },
      metadata: { name: 'a' },
      kind: 'ConfigMap',
      apiVersion: 'v1',
    };
    assert.deepEqual(manifestChanges([before], [after], 'shop'), { changes: [], unchanged: 1 });
  });

  test('values of a Secret are never shown, but which of them change is', () => {
    const { changes } = manifestChanges(
      [secret({ token: 'hunter2', user: 'till' })],
      [secret({ token: 'swordfish', user: 'till', more: 'third' })],
      'shop',
    );
    const diff = changes[0]?.diff ?? '';
    for (const value of ['hunter2', 'swordfish', 'third']) assert.ok(!diff.includes(value), value);
    assert.match(diff, /-  token: masked \(before\)\n(?:.*\n)*\+  token: masked \(after\)/);
    assert.match(diff, /^ {3}user: masked$/m);
    const added = manifestChanges([], [secret({ token: 'hunter2' })], 'shop').changes[0];
    assert.equal(added?.change, 'Added');
    assert.ok(!added?.diff.includes('hunter2'));
  });

  test('what kubectl noted on a Secret is not shown either', () => {
    const noted = secret({ token: 'x' });
    noted.metadata.annotations = { 'kubectl.kubernetes.io/last-applied-configuration': 'hunter2', own: 'y' };
    const diff = manifestChanges([], [noted], 'shop').changes[0]?.diff ?? '';
    assert.ok(!diff.includes('hunter2'));
    assert.match(diff, /own: y/);
  });

  test('a difference that is too long is cut, and says so', () => {
    const data = Object.fromEntries(Array.from({ length: 9_000 }, (_, i) => [`key-${i}`, 'some value']));
    const { changes } = manifestChanges([], [configMap('big', data)], 'shop');
    assert.ok((changes[0]?.diff.length ?? 0) < 66_000);
    assert.match(changes[0]?.diff ?? '', /\(the rest is left out: it is too long\)$/);
  });

  test('a difference applied to the old text gives the new one, and equal texts have none', () => {
    const text = fc
      .array(fc.constantFrom('a', 'b', 'c', ' d', '- e'), { maxLength: 30 })
      .map((lines) => lines.map((line) => `${line}\n`).join(''));
    fc.assert(
      fc.property(text, text, (before, after) => {
        assert.equal(patched(before, unifiedDiff(before, after)), after);
        assert.equal(unifiedDiff(before, before), '');
      }),
    );
  });

  test('two long texts that have nothing in common are told apart in good time', () => {
    const lines = (prefix: string) => Array.from({ length: 5_000 }, (_, i) => `${prefix}${i}\n`).join('');
    const diff = unifiedDiff(lines('a'), lines('b'));
    assert.equal(diff.split('\n').length, 10_001);
  });
});
