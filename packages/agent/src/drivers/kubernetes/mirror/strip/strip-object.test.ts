import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { KubeObject } from '@selvedge/api';
import fc from 'fast-check';
import { commonManifests, furtherManifests } from '../testing/mirrored-manifests.ts';
import { whyLeftOut } from './left-out.ts';
import { stripObject } from './strip-object.ts';

const ofCluster = {
  uid: '6b9d7f44-0a55-4d0f-9e7b-3c1f4a0f3f0a',
  resourceVersion: '4711',
  generation: 12,
  creationTimestamp: '2026-01-01T00:00:00Z',
  selfLink: '/apis/apps/v1/namespaces/shop/deployments/web',
  namespace: 'shop',
  finalizers: ['foregroundDeletion'],
  managedFields: [],
};

/** As objects look in clusters of clouds and of those who bring things there. */
const foreign = {
  annotations: {
    'kubectl.kubernetes.io/last-applied-configuration': '{}',
    'kubectl.kubernetes.io/restartedAt': '2026-01-01T00:00:00Z',
    'kubernetes.io/change-cause': 'kubectl set image',
    'deployment.kubernetes.io/revision': '7',
    'deployment.kubernetes.io/desired-replicas': '3',
    'deprecated.daemonset.template.generation': '3',
    'autoscaling.alpha.kubernetes.io/conditions': '[]',
    'pv.kubernetes.io/bind-completed': 'yes',
    'pv.kubernetes.io/bound-by-controller': 'yes',
    'volume.kubernetes.io/storage-provisioner': 'ebs.csi.aws.com',
    'volume.beta.kubernetes.io/storage-provisioner': 'ebs.csi.aws.com',
    'volume.kubernetes.io/selected-node': 'ip-10-0-0-1',
    'meta.helm.sh/release-name': 'web',
    'meta.helm.sh/release-namespace': 'shop',
    'argocd.argoproj.io/tracking-id': 'web:apps/Deployment:shop/web',
    'kustomize.toolkit.fluxcd.io/checksum': 'abc',
    'objectset.rio.cattle.io/id': 'helm-app',
    'field.cattle.io/publicEndpoints': '[]',
    'cloud.google.com/neg-status': '{}',
    'ingress.kubernetes.io/backends': '{}',
    'control-plane.alpha.kubernetes.io/leader': '{}',
    'selvedge.dev/health': 'off',
  },
  labels: {
    'applyset.kubernetes.io/part-of': 'applyset-of-another-tool-v1',
    'argocd.argoproj.io/instance': 'web',
    'kustomize.toolkit.fluxcd.io/name': 'web',
    'helm.toolkit.fluxcd.io/name': 'web',
    'objectset.rio.cattle.io/hash': 'abc',
    'addonmanager.kubernetes.io/mode': 'Reconcile',
    'selvedge.dev/application': 'web',
  },
};
const kept = {
  annotations: { 'example.com/owner': 'till', 'nginx.ingress.kubernetes.io/rewrite-target': '/' },
  labels: { app: 'web', 'app.kubernetes.io/name': 'web', 'selvedge.dev/edge': 'yes' },
};

const written: readonly KubeObject[] = [...commonManifests, ...furtherManifests];

describe('what is stripped of an object', () => {
  test('is all metadata but name, labels and annotations, and of those what programs wrote', () => {
    for (const manifest of written) {
      const live = {
        ...manifest,
        metadata: {
          ...ofCluster,
          ...manifest.metadata,
          annotations: { ...kept.annotations, ...foreign.annotations },
          labels: { ...kept.labels, ...foreign.labels },
        },
        status: { observedGeneration: 12 },
      } as unknown as KubeObject;
      const { metadata, ...fields } = stripObject(live);
      assert.deepEqual(metadata, { name: manifest.metadata.name, ...kept }, manifest.kind);
      assert.deepEqual({ ...fields, metadata: manifest.metadata }, manifest);
      assert.equal(stripObject(live, 'stock').metadata.namespace, 'stock');
    }
  });

  test('is nothing of a kind that nobody knows but metadata and status', () => {
    const spec = {
      clusterIP: '10.0.0.1',
      nodeName: 'a',
      template: { spec: { dnsPolicy: 'ClusterFirst' } },
      none: null,
    };
    const object = {
      apiVersion: 'example.com/v1',
      kind: 'Widget',
      metadata: { name: 'w', ...ofCluster },
      spec,
      status: {},
    };
    const { apiVersion, kind } = object;
    assert.deepEqual(stripObject(object as unknown as KubeObject), {
      apiVersion,
      kind,
      metadata: { name: 'w' },
      spec,
    });
  });

  test('of a Service is its address, not that it has none', () => {
    const service = (spec: object): KubeObject => ({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 's' },
      spec,
    });
    const given = {
      clusterIP: '10.96.0.7',
      clusterIPs: ['10.96.0.7'],
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
      internalTrafficPolicy: 'Cluster',
      sessionAffinity: 'None',
      healthCheckNodePort: 31_000,
      loadBalancerIP: '203.0.113.7',
      loadBalancerClass: 'service.k8s.aws/nlb',
      externalIPs: ['192.0.2.1'],
      allocateLoadBalancerNodePorts: true,
      type: 'LoadBalancer',
      ports: [{ port: 80, targetPort: 80, protocol: 'TCP', nodePort: 30_080 }],
    };
    assert.deepEqual(stripObject(service(given))['spec'], { type: 'LoadBalancer', ports: [{ port: 80 }] });
    const headless = {
      clusterIP: 'None',
      clusterIPs: ['None'],
      type: 'ClusterIP',
      ipFamilyPolicy: 'PreferDualStack',
    };
    assert.deepEqual(stripObject(service(headless))['spec'], {
      clusterIP: 'None',
      ipFamilyPolicy: 'PreferDualStack',
    });
  });

  test('of a Pod is its node and what admission put into it', () => {
    const token = {
      name: 'kube-api-access-x7k2p',
      mountPath: '/var/run/secrets/kubernetes.io/serviceaccount',
      readOnly: true,
    };
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p' },
      spec: {
        nodeName: 'node-1',
        priority: 0,
        serviceAccount: 'default',
        serviceAccountName: 'default',
        preemptionPolicy: 'PreemptLowerPriority',
        enableServiceLinks: true,
        tolerations: ['not-ready', 'unreachable'].map((taint) => ({
          key: `node.kubernetes.io/${taint}`,
          operator: 'Exists',
          effect: 'NoExecute',
          tolerationSeconds: 300,
        })),
        containers: [{ name: 'main', image: 'a:1', imagePullPolicy: 'IfNotPresent', volumeMounts: [token] }],
        volumes: [{ name: token.name, projected: { sources: [], defaultMode: 420 } }],
      },
    };
    assert.deepEqual(stripObject(pod)['spec'], { containers: [{ name: 'main', image: 'a:1' }] });
  });

  test('of the labels that a selector goes by is none', () => {
    const labels = { 'argocd.argoproj.io/instance': 'web', app: 'web' };
    const object = {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'web' },
      spec: {
        selector: { matchLabels: labels },
        template: { metadata: { labels, creationTimestamp: null }, spec: { containers: [] } },
      },
    } as unknown as KubeObject;
    assert.deepEqual(stripObject(object)['spec'], {
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [] } },
    });
  });

  test('is gone: to strip it once more changes nothing, whatever is in it', () => {
    const json = fc.jsonValue({ maxDepth: 3 });
    const change = fc.record({ at: fc.nat(), value: json });
    fc.assert(
      fc.property(fc.constantFrom(...written), fc.array(change, { maxLength: 4 }), (manifest, changes) => {
        const live = structuredClone(manifest);
        for (const { at, value } of changes) put(live, at, value);
        const once = stripObject(live);
        assert.deepEqual(stripObject(once), once);
      }),
      { numRuns: 300 },
    );
  });
});

/** Puts the value in the place of some field below the object's name and kind. */
function put(object: KubeObject, at: number, value: unknown): void {
  const places: [Record<string, unknown>, string][] = [];
  const visit = (one: unknown) => {
    if (typeof one !== 'object' || one === null) return;
    for (const [name, field] of Object.entries(one)) {
      places.push([one as Record<string, unknown>, name]);
      visit(field);
    }
  };
  for (const [name, field] of Object.entries(object)) {
    if (!['apiVersion', 'kind', 'metadata'].includes(name)) visit(field);
  }
  const place = places[at % Math.max(1, places.length)];
  if (place) place[0][place[1]] = value;
}

describe('what is left out', () => {
  const object = (metadata: object, more: object = {}): KubeObject => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'a', namespace: 'shop', ...metadata },
    ...more,
  });
  const owner = { apiVersion: 'apps/v1', kind: 'X', name: 'x', uid: 'u' };
  const partOf = { labels: { 'applyset.kubernetes.io/part-of': 'applyset-x-v1' } };
  const by = (manager: string, operation: 'Apply' | 'Update') => ({
    managedFields: [{ manager, operation, apiVersion: 'v1', fieldsType: 'FieldsV1', fieldsV1: {} }],
  });

  test('has a reason; all else is mirrored', () => {
    assert.equal(whyLeftOut(object({})), undefined);
    assert.equal(whyLeftOut(object({ deletionTimestamp: 'now' })), 'Going');
    assert.equal(whyLeftOut(object({ ownerReferences: [{ ...owner, controller: true }] })), 'Owned');
    assert.equal(whyLeftOut(object({ ownerReferences: [owner] })), undefined);
    assert.equal(whyLeftOut(object({ name: 'kube-root-ca.crt' })), 'OfCluster');
    assert.equal(whyLeftOut(object({ name: 'default' }, { kind: 'ServiceAccount' })), 'OfCluster');
    const kubernetes = { name: 'kubernetes', namespace: 'default' };
    assert.equal(whyLeftOut(object(kubernetes, { kind: 'Service' })), 'OfCluster');
    const token = { kind: 'Secret', type: 'kubernetes.io/service-account-token' };
    assert.equal(whyLeftOut(object({}, token)), 'OfCluster');
    assert.equal(whyLeftOut(object({}, { kind: 'Secret', type: 'Opaque' })), undefined);
  });

  test('is what Selvedge applied, not what other tools with ApplySets did, nor what was let go', () => {
    assert.equal(whyLeftOut(object({ ...partOf, ...by('selvedge', 'Apply') })), 'OfSelvedge');
    assert.equal(whyLeftOut(object({ ...partOf, ...by('kubectl', 'Apply') })), undefined);
    assert.equal(whyLeftOut(object({ ...partOf, ...by('selvedge', 'Update') })), undefined);
    assert.equal(whyLeftOut(object(by('selvedge', 'Apply'))), undefined);
  });
});
