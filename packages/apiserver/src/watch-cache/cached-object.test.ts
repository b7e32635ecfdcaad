import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import type { StoredObject } from '@selvedge/store';
import { encode } from '../registry/object-codec.ts';
import type { Resource } from '../registry/resource-catalog.ts';
import { CachedObject } from './cached-object.ts';

const resource = { apiVersion: 'v1', ref: { kind: 'ConfigMap' } } as Resource;

function stored(text: string, revision = 7): StoredObject {
  const metadata = { name: 'x', namespace: 'n', uid: 'u', labels: { color: 'rouge é' } };
  return {
    key: { resource: 'configmaps', namespace: 'n', name: 'x' },
    revision,
    body: encode({ apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { text } } as never),
  } as StoredObject;
}

for (const [what, text, isPacked] of [
  ['a short text', 'é', false],
  ['a long one', 'pci é '.repeat(10_000), true],
  ['a long one that does not get shorter', randomBytes(200_000).toString('latin1'), undefined],
] as const) {
  test(`${what} comes back as it was`, () => {
    const sent = CachedObject.of(resource, stored(text));
    const kept = CachedObject.toKeep(resource, stored(text));
    assert.ok(kept.json.equals(sent.json));
    assert.equal(kept.length, kept.json.length);
    assert.equal(kept.parse().metadata.resourceVersion, '7');
    assert.deepEqual(kept.labels, { color: 'rouge é' });
    assert.deepEqual(kept.parse(), sent.parse());
    if (isPacked !== undefined) assert.equal(kept.keptBytes < kept.length / 4, isPacked);
    assert.ok(kept.keptBytes <= kept.length);
  });

  test(`${what} is told under another revision`, () => {
    const later = CachedObject.toKeep(resource, stored(text)).at(resource, 1234);
    assert.equal(later.revision, 1234);
    assert.ok(later.json.equals(CachedObject.of(resource, stored(text, 1234)).json));
  });
}
