import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { KubeObject } from '@selvedge/api';
import { buildApp } from './desired-app.ts';

interface Given {
  spec?: object;
  secret?: string;
  uid?: string;
  services?: object[];
}

function build({ spec = {}, secret = 'a', uid = 'uid', services = [] }: Given = {}) {
  const container = {
    name: 'main',
    image: 'web:1',
    env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 's', key: 'k' } } }],
  };
  const manifests = [
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'web' },
      spec: {
        template: { metadata: { labels: { app: 'web' } }, spec: { containers: [container] } },
        ...spec,
      },
    },
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' }, stringData: { k: secret } },
    ...services,
  ];
  return buildApp(manifests as unknown as KubeObject[], { namespace: 'shop', uid });
}
const hashOf = (given: Given = {}) => build(given).workloads[0]?.hash;
const strategyOf = (spec: object) => build({ spec }).workloads[0]?.strategy;

describe('the desired application', () => {
  test('pods stay when only their number changes, and are others when a Secret that they read changes', () => {
    assert.equal(hashOf(), hashOf({ spec: { replicas: 5 } }));
    assert.notEqual(hashOf(), hashOf({ secret: 'b' }));
    assert.notEqual(hashOf(), hashOf({ uid: 'another' }));
  });

  test('counts of a rolling update are those of Kubernetes', () => {
    assert.deepEqual(strategyOf({ replicas: 1 }), { type: 'RollingUpdate', maxSurge: 1, maxUnavailable: 0 });
    assert.deepEqual(strategyOf({ replicas: 10 }), { type: 'RollingUpdate', maxSurge: 3, maxUnavailable: 2 });
    const none = { rollingUpdate: { maxSurge: 0, maxUnavailable: '10%' } };
    assert.deepEqual(strategyOf({ replicas: 3, strategy: none }), {
      type: 'RollingUpdate',
      maxSurge: 0,
      maxUnavailable: 1,
    });
  });

  test('a LoadBalancer publishes its ports, a NodePort its node ports, a ClusterIP nothing', () => {
    const ports = [{ port: 80, nodePort: 30080, targetPort: 'http' }];
    const publishedOf = (type: string) =>
      build({
        services: [{ apiVersion: 'v1', kind: 'Service', metadata: { name: 'x' }, spec: { type, ports } }],
      }).services[0]?.published.map((p) => p.hostPort);
    assert.deepEqual(publishedOf('LoadBalancer'), [80, 30080]);
    assert.deepEqual(publishedOf('NodePort'), [30080]);
    assert.deepEqual(publishedOf('ClusterIP'), []);
  });
});
