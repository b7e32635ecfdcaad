import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeObject } from '@selvedge/api';
import { CachedObject } from '../watch-cache/cached-object.ts';
import { treesOf } from './list.ts';

const mebibyte = 1024 * 1024;

function configMap(name: string, bytes: number): CachedObject {
  const object = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name },
    data: { text: 'x'.repeat(bytes) },
  };
  return new CachedObject({ namespace: '', name, revision: 1 }, Buffer.from(JSON.stringify(object)));
}

/** How many objects each batch had. */
async function batchesOf(isDecorated: boolean, objects: readonly CachedObject[]): Promise<number[]> {
  const sizes: number[] = [];
  const decorate = (batch: readonly KubeObject[]) => {
    sizes.push(batch.length);
    return Promise.resolve(batch);
  };
  const names: string[] = [];
  for await (const trees of treesOf({ decorate, isDecorated }, objects)) {
    names.push(...trees.map(({ metadata }) => metadata.name));
  }
  assert.deepEqual(
    names,
    objects.map(({ name }) => name),
  );
  return sizes;
}

test('few trees of large objects are there at a time, and what decorates them is asked seldom', async () => {
  const large = Array.from({ length: 40 }, (_, i) => configMap(`c${i}`, mebibyte / 2));
  assert.deepEqual(await batchesOf(false, large), Array(20).fill(2));
  assert.deepEqual(await batchesOf(true, large), [16, 16, 8]);
  const small = Array.from({ length: 450 }, (_, i) => configMap(`c${i}`, 10));
  assert.deepEqual(await batchesOf(false, small), [450]);
});
