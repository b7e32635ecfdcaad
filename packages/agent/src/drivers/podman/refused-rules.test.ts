import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { DeliveryRules, KubeObject } from '@selvedge/api';
import { refusalOfRules } from './refused-rules.ts';

const manifests: KubeObject[] = [{ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'till' } }];
const refusal = (rules: DeliveryRules, nodeGroups: readonly string[] = []) =>
  refusalOfRules(rules, { siteName: 'paris', nodeGroups, manifests });

describe('rules of a release at a Podman site', () => {
  test('what says nothing, or what Podman does anyway, is taken', () => {
    assert.equal(refusal({}), undefined);
    assert.equal(refusal({ apply: { drift: 'Correct' } }), undefined);
    assert.equal(
      refusal({
        apply: {
          onImmutableChange: 'Replace',
          ignoreDifferences: [
            { apiVersion: 'apps/v1', kind: 'Deployment', jsonPointers: ['/spec/replicas'] },
          ],
          health: [{ apiVersion: 'example.com/v1', kind: 'Database', condition: 'Ready' }],
        },
      }),
      undefined,
    );
  });

  test('one node group that the site has is taken, none and several are refused by name', () => {
    assert.equal(refusal({ nodeGroups: ['edge', 'core'] }, ['edge']), undefined);
    assert.deepEqual(refusal({ nodeGroups: ['edge'] }, ['core']), {
      reason: 'NoNodeGroup',
      message: 'site paris has none of the node groups edge; it has core',
    });
    assert.match(refusal({ nodeGroups: ['edge'] })?.message ?? '', /it has none$/);
    const several = refusal({ nodeGroups: ['edge', 'core'] }, ['edge', 'core']);
    assert.equal(several?.reason, 'Unsupported');
    assert.match(several?.message ?? '', /edge, core: a Podman site is one machine/);
  });

  for (const drift of ['Report', 'Ignore'] as const) {
    test(`drift: ${drift} is refused by name`, () => {
      assert.match(refusal({ apply: { drift } })?.message ?? '', new RegExp(`spec.apply.drift: ${drift}`));
    });
  }

  test('a health rule for a kind of the release is refused by name', () => {
    const health = [{ apiVersion: 'apps/v1', kind: 'Deployment', condition: 'Available' }];
    assert.match(refusal({ apply: { health } })?.message ?? '', /spec\.apply\.health: Deployment/);
  });
});
