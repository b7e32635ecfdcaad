import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Paint } from '../program/terminal.ts';
import { formatAge, formatAgo } from './age.ts';
import { renderTable } from './table.ts';

describe('ages', () => {
  const cases: [number, string][] = [
    [-5, '0s'],
    [5.9, '5s'],
    [119, '119s'],
    [120, '2m'],
    [200, '3m20s'],
    [600, '10m'],
    [10_799, '179m'],
    [3 * 3600, '3h'],
    [3 * 3600 + 25 * 60, '3h25m'],
    [8 * 3600 + 1800, '8h'],
    [47 * 3600, '47h'],
    [48 * 3600, '2d'],
    [3 * 86_400 + 3 * 3600, '3d3h'],
    [8 * 86_400 + 3600, '8d'],
    [729 * 86_400, '729d'],
    [(3 * 365 + 12) * 86_400, '3y12d'],
    [9 * 365 * 86_400, '9y'],
  ];
  for (const [seconds, text] of cases) {
    test(`${seconds} s is ${text}`, () => assert.equal(formatAge(seconds), text));
  }

  test('a time that is absent or unreadable says so', () => {
    assert.equal(formatAgo(undefined, new Date(0)), 'never');
    assert.equal(formatAgo('yesterday', new Date(0)), 'at an unknown time');
  });
});

describe('table', () => {
  test('columns are as wide as their widest cell, numbers stand at the right', () => {
    assert.equal(
      renderTable(
        ['NAME', 'COUNT', 'NOTE'],
        [
          ['a', 5, ''],
          ['Zürich 🧵', 1000, 'two\nlines'],
        ],
      ),
      'NAME       COUNT   NOTE\na              5\nZürich 🧵    1000   two lines',
    );
  });

  test('a tone colours the text and not the padding, and does not shift columns', () => {
    const marks: Paint = (tone, text) => (tone === 'strong' ? text : `<${text}>`);
    const rows = [
      [{ text: 'ok', tone: 'good' as const }, 'x'],
      ['longer', 'y'],
    ];
    assert.equal(renderTable(['A', 'B'], rows, marks), 'A        B\n<ok>       x\nlonger   y');
  });

  test('what sites report cannot steer the terminal', () => {
    assert.ok(!renderTable(['A'], [['\u001b[31mred\u0007']]).includes('\u001b'));
  });
});
