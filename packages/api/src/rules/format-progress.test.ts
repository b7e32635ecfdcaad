import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatProgress } from './format-progress.ts';

const now = new Date(2026, 10, 22, 1, 30);

test('how far an image is, and when it should be there, in one line', () => {
  const progress = {
    done: 1,
    total: 3,
    doneBytes: 31_200_000,
    totalBytes: 50_000_000,
    image: `registry.example:5000/shop/till:1.2@sha256:${'a'.repeat(64)}`,
    doneAt: new Date(2026, 10, 22, 2, 40).toISOString(),
  };
  assert.equal(
    formatProgress(progress, now),
    '1 of 3 images, till:1.2 62 % (31.2 of 50.0 MB), done at 02:40',
  );
  const later = { ...progress, doneAt: new Date(2026, 10, 24, 2, 40).toISOString() };
  assert.match(formatProgress(later, now), /done at 2026-11-24 02:40$/);
});

test('what is not known is not said', () => {
  assert.equal(formatProgress({ done: 0, total: 1 }, now), '0 of 1 image');
  assert.equal(
    formatProgress({ done: 2, total: 2, doneBytes: 5_000_000, totalBytes: 5_000_000 }, now),
    '2 of 2 images, 5.0 of 5.0 MB',
  );
  const image = `registry.example/shop/till@sha256:${'b'.repeat(64)}`;
  assert.equal(
    formatProgress({ done: 0, total: 1, doneBytes: 0, totalBytes: 0, image }, now),
    '0 of 1 image, till@sha256:bbbbbbbb 100 % (0.0 of 0.0 MB)',
  );
});
