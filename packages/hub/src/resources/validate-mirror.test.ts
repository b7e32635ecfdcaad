import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MirrorSource } from '@selvedge/api';
import { validateMirror } from './validate-mirror.ts';

const good: MirrorSource = {
  site: 'cloud',
  namespaces: ['shop'],
  selector: { matchLabels: { edge: 'yes' } },
  kinds: [
    { apiVersion: 'apps/v1', kind: 'Deployment' },
    { apiVersion: 'v1', kind: 'ConfigMap' },
    { apiVersion: 'traefik.io/v1alpha1', kind: 'IngressRoute' },
  ],
  secrets: ['db'],
  settle: '30s',
};

test('a mirror that a site could never carry out is refused by its field', () => {
  assert.deepEqual(validateMirror(undefined, 'm'), []);
  assert.deepEqual(validateMirror(good, 'm'), []);
  const wrong: readonly (readonly [string, Partial<MirrorSource>])[] = [
    ['m.site', { site: 'The Cloud' }],
    ['m.namespaces[1]', { namespaces: ['shop', 'a/b'] }],
    ['m.secrets[0]', { secrets: ['Db!'] }],
    ['m.selector.matchLabels', { selector: { matchLabels: { 'a b': 'c' } } }],
    ['m.kinds[0].kind', { kinds: [{ apiVersion: 'v1', kind: 'Secret' }] }],
    ['m.kinds[0].kind', { kinds: [{ apiVersion: 'v1', kind: 'Namespace' }] }],
    ['m.kinds[0].kind', { kinds: [{ apiVersion: 'v1', kind: 'pods' }] }],
    ['m.kinds[0].apiVersion', { kinds: [{ apiVersion: 'apps', kind: 'Deployment' }] }],
    ['m.kinds[0].apiVersion', { kinds: [{ apiVersion: '../v1', kind: 'Deployment' }] }],
    ['m.settle', { settle: '0s' }],
    ['m.settle', { settle: '1h' }],
    ['m.settle', { settle: 'soon' }],
  ];
  for (const [field, change] of wrong) {
    const errors = validateMirror({ ...good, ...change }, 'm');
    assert.deepEqual(
      errors.map((error) => error.field),
      [field],
      JSON.stringify(change),
    );
  }
});
