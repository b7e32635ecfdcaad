import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { KubeObject } from '../object-meta.ts';
import { validateManifests } from '../manifests.ts';
import { deliveryRules, releaseContent, splitReleaseContent } from './delivery-rules.ts';

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

  test('a manifest cannot pass for the rules', () => {
    const forged = { ...manifest, apiVersion: 'selvedge.dev/v1alpha1', kind: 'DeliveryRules' };
    const [error] = validateManifests([manifest, forged], 'manifests', 'shop');
    assert.equal(error?.field, 'manifests[1].kind');
    assert.match(error.message, /spec\.apply/);
  });
});
