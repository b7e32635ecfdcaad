import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultItemTerms, type DeliveryRules, type KubeObject, releaseContent } from '@selvedge/api';
import { resolveForSite } from './resolve-for-site.ts';

const item = {
  id: 'Application/shop/till',
  uid: 'u1',
  epoch: 1,
  release: 'till-7',
  digest: 'sha256:00',
  deadlineSeconds: 600,
  terms: defaultItemTerms,
};
const page: KubeObject = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'page' },
  data: {
    text: '${application.namespace}/${application.name} ${release.name} at ${site.name} in ${site.labels.city}',
  },
};
const resolve = (rules: DeliveryRules, labels: Record<string, string>) =>
  resolveForSite(releaseContent([page], rules, 'till'), { item, siteName: 'ulm-1', variables: {}, labels });

test('a site applies a release by its own labels, variables and names', () => {
  const patch = { target: { kind: 'ConfigMap' }, mergePatch: { data: { size: 'L' } } };
  const rules = {
    overrides: [{ name: 'l', siteSelector: { matchLabels: { size: 'l' } }, patches: [patch] }],
  };
  const resolved = resolve(rules, { city: 'Ulm', size: 'l' });
  assert.ok(!resolved.refusal);
  assert.deepEqual(resolved.manifests[0]?.['data'], { text: 'shop/till till-7 at ulm-1 in Ulm', size: 'L' });
});

test('what cannot be resolved is refused, with its reason and what to do', () => {
  const reasonOf = (rules: DeliveryRules, labels: Record<string, string>) => {
    const { refusal } = resolve(rules, labels);
    return [refusal?.reason, refusal?.message];
  };
  const all = { matchLabels: {} };
  assert.deepEqual(reasonOf({}, {}), [
    'VariableUndefined',
    "site ulm-1 has no site.labels.city; set it in the Site's spec.variables or labels, or give it a default",
  ]);
  const scaled = { overrides: [{ name: 'a', siteSelector: all, replicas: [{ name: 'none', count: 1 }] }] };
  assert.deepEqual(reasonOf(scaled, { city: 'Ulm' }), [
    'OverrideInvalid',
    'overrides[a].replicas[0]: there is no Deployment, StatefulSet or ReplicaSet none',
  ]);
  const helm = { overrides: [{ name: 'a', siteSelector: all, helm: true as const }] };
  assert.equal(reasonOf(helm, { city: 'Ulm' })[0], 'NotRendered');
});
