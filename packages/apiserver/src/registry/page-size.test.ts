import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StoredObject } from '@selvedge/store';
import { nextPageSize } from './page-size.ts';

const limits = { objects: 500, characters: 1000 };
const page = (...lengths: number[]) =>
  lengths.map((length) => ({ body: 'x'.repeat(length) })) as unknown as StoredObject[];

test('a page has as many objects as fit, by what was on the last one', () => {
  assert.equal(nextPageSize(limits), 50);
  assert.equal(nextPageSize({ objects: 7, characters: 1000 }), 7);
  assert.equal(nextPageSize(limits, page(100, 300)), 5);
  assert.equal(nextPageSize(limits, page(1, 1, 1)), 12);
  assert.equal(nextPageSize(limits, page(...Array.from({ length: 200 }, () => 1))), 500);
  assert.equal(nextPageSize(limits, page(5000)), 1);
});
