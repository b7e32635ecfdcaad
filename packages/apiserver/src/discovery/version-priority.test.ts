import assert from 'node:assert/strict';
import { test } from 'node:test';
import { byPriority } from './version-priority.ts';

test('versions stand in the order in which clients should prefer them', () => {
  const versions = ['v1alpha1', 'foo', 'v10', 'v1beta2', 'v2', 'v1', 'v1beta1', 'v11alpha2', 'bar'];
  assert.deepEqual(versions.sort(byPriority), [
    'v10',
    'v2',
    'v1',
    'v1beta2',
    'v1beta1',
    'v11alpha2',
    'v1alpha1',
    'bar',
    'foo',
  ]);
});
