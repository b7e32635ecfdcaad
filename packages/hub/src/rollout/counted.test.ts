import assert from 'node:assert/strict';
import { test } from 'node:test';
import { counted } from './counted.ts';

test('a count and its noun agree', () => {
  assert.deepEqual(
    [0, 1, 2].map((count) => counted(count, 'site')),
    ['no sites', '1 site', '2 sites'],
  );
});
