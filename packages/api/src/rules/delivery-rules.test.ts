import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { KubeObject } from '../object-meta.ts';
import { validateManifests } from '../manifests.ts';
import {
  deliveryRules,
  releaseContent,
  releaseOverrides,
  releaseVariables,
  splitReleaseContent,
} from './delivery-rules.ts';

const manifest: KubeObject = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' } };
const siteSelector = {};

describe('delivery rules', () => {
  test('rules that say nothing add nothing to the content', () => {
    assert.deepEqual(deliveryRules({ placement: { siteSelector } }), {});
    const defaults = deliveryRules({
      apply: { drift: 'Correct', onImmutableChange: 'Refuse', ignoreDifferences: [], health: [] },
      placement: { siteSelector },
    });
    assert.deepEqual(defaults, {});
    assert.deepEqual(releaseContent([manifest], defaults, 'till'), [manifest]);
    assert.deepEqual(splitReleaseContent([manifest]), { manifests: [manifest], rules: {} });
  });

  test('content can be parted into what it was made of', () => {
    const rules = deliveryRules({
      apply: { drift: 'Report', health: [{ apiVersion: 'v1', kind: 'Thing', condition: 'Ready' }] },
      placement: { siteSelector, nodeGroups: ['region', 'edge'] },
    });
    assert.deepEqual(rules.nodeGroups, ['edge', 'region'], 'their order says nothing');
    const content = releaseContent([manifest], rules, 'till');
    assert.equal(content.length, 2);
    assert.deepEqual(splitReleaseContent(content), { manifests: [manifest], rules });
  });

  test('overrides go without their Helm values, and those that change nothing not at all', () => {
    const made = releaseOverrides([
      { name: 'a', siteSelector, replicas: [{ name: 'till', count: 2 }], patches: [] },
      { name: 'b', siteSelector, helmValues: { password: 'secret' } },
      { name: 'c', siteSelector, images: [] },
    ]);
    assert.deepEqual(made, [
      { name: 'a', siteSelector, replicas: [{ name: 'till', count: 2 }] },
      { name: 'b', siteSelector, helm: true },
    ]);
  });

  test('variables take what stands in ConfigMaps; what does not is passed over', () => {
    const key = (name: string, at: string) => ({ configMapKeyRef: { name, key: at } });
    const data = { tax: '19', 'port.ulm': '81', 'port.': '1', 'port.bonn-2': '82', toString: 'x' };
    const made = releaseVariables(
      [
        { name: 'a', from: [key('prices', 'tax'), { siteLabel: 'tax' }], description: 'for people' },
        { name: 'b', from: [key('prices', 'port.${site.name}')], default: 80 },
        { name: 'c', from: [key('none', 'tax'), key('prices', 'constructor'), { siteVariable: 'c' }] },
        { name: 'd' },
      ],
      (name) => (name === 'prices' ? data : undefined),
    );
    assert.deepEqual(made, [
      { name: 'a', from: [{ value: '19' }, { siteLabel: 'tax' }] },
      { name: 'b', from: [{ bySite: { ulm: '81', 'bonn-2': '82' } }], default: 80 },
      { name: 'c', from: [{ siteVariable: 'c' }] },
      { name: 'd' },
    ]);
  });

  test('a manifest cannot pass for the rules', () => {
    const forged = { ...manifest, apiVersion: 'selvedge.dev/v1alpha1', kind: 'DeliveryRules' };
    const [error] = validateManifests([manifest, forged], 'manifests', 'shop');
    assert.equal(error?.field, 'manifests[1].kind');
    assert.match(error.message, /spec\.apply/);
  });
});
