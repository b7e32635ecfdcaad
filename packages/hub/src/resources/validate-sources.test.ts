import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Application } from '@selvedge/api';
import { validateSources } from './validate-sources.ts';

type Source = Application['spec']['source'];
const fieldsOf = (source: Source) =>
  validateSources(source).map(({ field }) => field.replace('spec.source.', ''));
const helm = (fields: Partial<NonNullable<Source['helm']>>): Source => ({
  helm: { repository: 'https://charts.example/stable', chart: 'till', ...fields },
});

test('sources that can be read pass', () => {
  const good: Source[] = [
    { kustomize: { kustomization: {}, files: { 'base/till.yaml': '' } } },
    helm({ interval: '10s', releaseName: 'till', valuesFrom: [{ secretKeyRef: { name: 'a', key: 'b' } }] }),
    helm({ repository: 'oci://registry.example:5000/charts' }),
    { oci: { reference: 'registry.example:5000/shop/till:1.2', path: 'overlays/store', interval: '1h' } },
    { oci: { reference: `oci://registry.example/till@sha256:${'0'.repeat(64)}` } },
  ];
  for (const source of good) assert.deepEqual(fieldsOf(source), []);
});

test('those that cannot are refused by field', () => {
  const files = { '../x.yaml': '', '/x.yaml': '', 'kustomization.yaml': '', 'a/../b.yaml': '' };
  assert.deepEqual(
    fieldsOf({ kustomize: { kustomization: {}, files } }),
    Object.keys(files).map((name) => `kustomize.files[${name}]`),
  );
  assert.deepEqual(fieldsOf(helm({ interval: '1s', repository: 'ftp://charts.example/x' })), [
    'helm.interval',
    'helm.repository',
  ]);
  assert.deepEqual(fieldsOf(helm({ releaseName: '-x', valuesFrom: [{}] })), [
    'helm.releaseName',
    'helm.valuesFrom[0]',
  ]);
  for (const reference of [
    'till:1.2',
    'registry.example/till@sha256:short',
    'registry.example/till:1 2',
    'a b/c',
  ]) {
    assert.deepEqual(fieldsOf({ oci: { reference } }), ['oci.reference'], reference);
  }
  assert.deepEqual(
    fieldsOf({ oci: { reference: 'registry.example/till', path: '../x', interval: 'soon' } }),
    ['oci.interval', 'oci.path'],
  );
});

test('credentials in an address are refused, and not repeated', () => {
  const errors = validateSources(helm({ repository: 'https://kim:hunter22@charts.example/stable' }));
  assert.equal(errors.length, 1);
  assert.ok(!JSON.stringify(errors).includes('hunter22'));
});
