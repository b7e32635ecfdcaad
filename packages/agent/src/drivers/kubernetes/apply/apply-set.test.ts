import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { applySetOf, applySetParent, readApplySetParent } from './apply-set.ts';

describe('an ApplySet', () => {
  test('has the id that KEP-3659 computes from its parent', () => {
    // printf 'shop.till.selvedge-system.ConfigMap.' | openssl dgst -sha256 -binary | basenc --base64url
    assert.deepEqual(applySetOf('Application/shop/till', 'selvedge-system'), {
      name: 'shop.till',
      namespace: 'selvedge-system',
      id: 'applyset-0S8ko72nqqmt76Na6P6AtbV73rAWMIQV8vFMLQ6tXjs-v1',
    });
  });

  test('a long name is shortened, and another long name to another one', () => {
    const long = (end: string) => applySetOf(`Application/shop/${'a'.repeat(252)}${end}`, 'x');
    assert.ok(long('b').name.length <= 253);
    assert.notEqual(long('b').name, long('c').name);
    assert.ok(long('b').id.length <= 63);
  });

  test('its parent says what may be in the cluster, and can be read again', () => {
    const set = applySetOf('Application/shop/till', 'selvedge-system');
    const memory = {
      itemId: 'Application/shop/till',
      uid: 'u1',
      siteUid: 's1',
      release: 'till-7',
      digest: 'sha256:00',
      succeeded: 'sha256:aa 0123456789abcdef',
      activatedTime: '2026-01-01T00:00:00.000Z',
    };
    const parent = applySetParent(set, memory, [
      { apiVersion: 'v1', kind: 'Service', namespace: 'shop', name: 'a' },
      { apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'shop', name: 'a' },
      { apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'back', name: 'b' },
      { apiVersion: 'v1', kind: 'ConfigMap', namespace: 'selvedge-system', name: 'c' },
      { apiVersion: 'v1', kind: 'Namespace', name: 'back' },
    ]);
    const { annotations, labels } = parent.metadata;
    assert.equal(labels?.['applyset.kubernetes.io/id'], set.id);
    assert.equal(annotations?.['applyset.kubernetes.io/tooling'], 'selvedge/v0.1.0');
    assert.equal(
      annotations?.['applyset.kubernetes.io/contains-group-kinds'],
      'ConfigMap,Deployment.apps,Namespace,Service',
    );
    assert.equal(annotations?.['applyset.kubernetes.io/additional-namespaces'], 'back,shop');
    const { itemId: _, ...rest } = memory;
    assert.deepEqual(readApplySetParent(parent), {
      ...rest,
      groupKinds: ['ConfigMap', 'Deployment.apps', 'Namespace', 'Service'],
      namespaces: ['back', 'shop'],
    });
  });

  test('a ConfigMap of somebody else is no parent of ours', () => {
    const other = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a', annotations: {} } };
    assert.equal(readApplySetParent(other), undefined);
  });
});
