import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { KubeObject } from '@selvedge/api';
import fc from 'fast-check';
import { manifestChanges, rulesChange } from './manifest-changes.ts';
import { type DiffBudget, unifiedDiff } from './unified-diff.ts';

const ample = (): DiffBudget => ({ comparisons: 1_000_000 });

const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';
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
  test('objects added, removed, changed and left alone, each with its difference', async () => {
    const before = [configMap('page', { a: '1', b: '2' }), configMap('old', {}), configMap('same', {})];
    const after = [
      configMap('same', {}),
      configMap('page', { a: '1', b: '3' }),
      configMap('new', {}, 'other'),
    ];
    const { changes, unchanged } = await manifestChanges(before, after, 'shop');
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

  test('the order of keys, and the namespace of the application said or left out, are no change', async () => {
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
    assert.deepEqual(await manifestChanges([before], [after], 'shop'), { changes: [], unchanged: 1 });
  });

  test('values of a Secret are never shown, but which of them change is', async () => {
    const { changes } = await manifestChanges(
      [secret({ token: 'hunter2', user: 'till' })],
      [secret({ token: 'swordfish', user: 'till', more: 'third' })],
      'shop',
    );
    const diff = changes[0]?.diff ?? '';
    for (const value of ['hunter2', 'swordfish', 'third']) assert.ok(!diff.includes(value), value);
    assert.match(diff, /-  token: masked \(before\)\n(?:.*\n)*\+  token: masked \(after\)/);
    assert.match(diff, /^ {3}user: masked$/m);
    const added = (await manifestChanges([], [secret({ token: 'hunter2' })], 'shop')).changes[0];
    assert.equal(added?.change, 'Added');
    assert.ok(!added?.diff.includes('hunter2'));
  });

  test('what kubectl noted on a Secret is not shown either', async () => {
    const noted = secret({ token: 'x' });
    noted.metadata.annotations = { [lastApplied]: 'hunter2', own: 'y' };
    const diff = (await manifestChanges([], [noted], 'shop')).changes[0]?.diff ?? '';
    assert.ok(!diff.includes('hunter2'));
    assert.match(diff, /own: y/);
  });

  test('a difference that is too long is cut, and says so', async () => {
    const data = Object.fromEntries(Array.from({ length: 9_000 }, (_, i) => [`key-${i}`, 'some value']));
    const { changes } = await manifestChanges([], [configMap('big', data)], 'shop');
    assert.ok((changes[0]?.diff.length ?? 0) < 66_000);
    assert.match(changes[0]?.diff ?? '', /\(the rest is left out: it is too long\)$/);
  });

  test('a difference applied to the old text gives the new one, and equal texts have none', () => {
    const text = fc
      .array(fc.constantFrom('a', 'b', 'c', ' d', '- e'), { maxLength: 30 })
      .map((lines) => lines.map((line) => `${line}\n`).join(''));
    fc.assert(
      fc.property(text, text, (before, after) => {
        assert.equal(patched(before, unifiedDiff(before, after, ample())), after);
        assert.equal(unifiedDiff(before, before, ample()), '');
      }),
    );
  });

  test('two texts that have nothing in common are replaced as a whole when the budget runs out', () => {
    const lines = (prefix: string) => Array.from({ length: 5_000 }, (_, i) => `${prefix}${i}\n`).join('');
    const budget = ample();
    const diff = unifiedDiff(lines('a'), lines('b'), budget);
    assert.equal(diff.split('\n').length, 10_001);
    assert.ok(budget.comparisons <= 0);
    assert.equal(patched(lines('a'), diff), lines('b'));
  });

  test('with any budget a difference applied to the old text gives the new one', () => {
    const text = fc
      .array(fc.constantFrom('a', 'b', 'c'), { maxLength: 30 })
      .map((all) => `${all.join('\n')}\n`);
    fc.assert(
      fc.property(text, text, fc.nat(200), (before, after, comparisons) => {
        const budget = { comparisons };
        assert.equal(patched(before, unifiedDiff(before, after, budget)), after);
        assert.ok(budget.comparisons >= -31, 'it is not overdrawn by more than one text');
      }),
    );
  });

  test('many manifests that all differ cost no more than the budget, and let others work between two', async () => {
    const data = (prefix: string) =>
      Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`k${i}`, `${prefix}${i}`]));
    const all = (prefix: string) =>
      Array.from({ length: 60 }, (_, i) => configMap(`page-${i}`, data(prefix)));
    let turns = 0;
    let isDone = false;
    const count = () => {
      turns += 1;
      if (!isDone) setImmediate(count);
    };
    setImmediate(count);
    const { changes } = await manifestChanges(all('a'), all('b'), 'shop');
    isDone = true;
    assert.equal(changes.length, 60);
    assert.ok(turns >= 60, `${turns} turns`);
    assert.ok(changes.every(({ diff }) => diff !== ''));
  });

  test('a manifest of very many values is told to have changed, without its difference', async () => {
    const many = (value: number): KubeObject => ({
      ...configMap('many', {}),
      list: Array(300_000).fill(value),
    });
    const { changes } = await manifestChanges([many(0)], [many(1), configMap('page', { a: '1' })], 'shop');
    assert.deepEqual(changes[0], {
      change: 'Changed',
      resource: 'ConfigMap/many',
      diff: '(the rest is left out: it is too long)',
    });
    assert.match(changes[1]?.diff ?? '', /a: "1"/, 'those after it are shown');
  });

  test('one text of very many lines is no trouble', async () => {
    const { changes } = await manifestChanges([], [configMap('big', { a: 'x\n'.repeat(300_000) })], 'shop');
    assert.match(changes[0]?.diff ?? '', /it is too long\)$/);
  });

  test('Secrets within lists and other objects are masked too', async () => {
    const list = (kind: string, items: unknown[]): KubeObject => ({
      apiVersion: 'v1',
      kind,
      metadata: { name: 'all', annotations: { [lastApplied]: 'hunter2' } },
      items,
    });
    const { kind: _, apiVersion: _version, ...bare } = secret({ token: 'hunter2' });
    for (const manifest of [
      list('List', [secret({ token: 'hunter2' })]),
      list('SecretList', [bare]),
      list('List', [list('List', [secret({ token: 'hunter2' })])]),
      { ...list('Bundle', []), spec: { template: { ...secret({ token: 'hunter2' }) } } },
    ]) {
      const [added] = (await manifestChanges([], [manifest], 'shop')).changes;
      assert.ok(!added?.diff.includes('hunter2'), added?.diff);
      assert.match(added?.diff ?? '', /token: masked/);
    }
    const { changes } = await manifestChanges(
      [list('List', [secret({ token: 'hunter2', user: 'till' })])],
      [list('List', [configMap('a', {}), secret({ token: 'swordfish', user: 'till' })])],
      'shop',
    );
    assert.match(changes[0]?.diff ?? '', /-\s+token: masked \(before\)[^]*\+\s+token: masked \(after\)/);
    assert.match(changes[0]?.diff ?? '', / user: masked$/m);
    assert.ok(!/hunter2|swordfish/.test(changes[0]?.diff ?? ''));
  });
});

test('of rules the values in patches that may be for Secrets are masked, and whether they are others is told', () => {
  const siteSelector = {};
  const rules = (pin: string, text: string) => ({
    overrides: [
      {
        name: 'de',
        siteSelector,
        patches: [
          { target: { kind: 'Secret' }, mergePatch: { stringData: { pin, other: 'same value' } } },
          { target: { name: 'keys' }, jsonPatch: [{ op: 'add', path: '/data/pin', value: pin }] },
          { target: { kind: 'ConfigMap' }, mergePatch: { data: { text } } },
        ],
      },
    ],
    variants: [
      {
        overrides: ['at'],
        set: [{ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'keys' }, stringData: { pin } }],
        removed: [],
      },
    ],
  });
  const diff = rulesChange(rules('old pin', 'one'), rules('new pin', 'two')) ?? '';
  assert.doesNotMatch(diff, /old pin|new pin|same value/);
  assert.match(diff, /-\s+text: one\n\+\s+text: two/);
  assert.equal(diff.match(/^\+.*masked \(after\)/gm)?.length, 3);
  assert.equal(rulesChange(rules('a', 'b'), rules('a', 'b')), undefined);
  assert.doesNotMatch(rulesChange({}, rules('new pin', 'two')) ?? '', /new pin/);
});
