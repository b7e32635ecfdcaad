import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRange } from './content-endpoint.ts';

test('one range is honoured, clipped to what there is', () => {
  assert.deepEqual(parseRange('bytes=0-0', 10), { start: 0, end: 0 });
  assert.deepEqual(parseRange('bytes=4-', 10), { start: 4, end: 9 });
  assert.deepEqual(parseRange('bytes=4-99', 10), { start: 4, end: 9 });
  assert.deepEqual(parseRange('bytes=-3', 10), { start: 7, end: 9 });
  assert.deepEqual(parseRange('bytes=-30', 10), { start: 0, end: 9 });
});

test('a range behind the end cannot be satisfied', () => {
  assert.equal(parseRange('bytes=10-', 10), 'unsatisfiable');
  assert.equal(parseRange('bytes=-0', 10), 'unsatisfiable');
  assert.equal(parseRange('bytes=0-', 0), 'unsatisfiable');
});

test('no range, several ranges and nonsense mean everything', () => {
  for (const header of [undefined, '', 'bytes=-', 'bytes=1-2,4-5', 'bytes=5-2', 'lines=1-2', 'bytes=a-b']) {
    assert.equal(parseRange(header, 10), undefined, String(header));
  }
});
