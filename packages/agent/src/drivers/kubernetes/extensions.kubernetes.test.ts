import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type ClusterRole,
  clusterRoleBindings,
  clusterRoles,
  configMaps,
  isNotFound,
  type ResourceRef,
  type RoleBinding,
} from '@selvedge/api';
import { loopbackCertificate } from '@selvedge/testkit';
import { describeOnClusters } from './testing/driver-suite.ts';
import { eventually, type KubernetesTestSite } from './testing/kubernetes-test-site.ts';
import { configMap, service, services } from './testing/sample-manifests.ts';
import { WebhookServer } from './testing/webhook-server.ts';

const definitions: ResourceRef = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  plural: 'customresourcedefinitions',
  kind: 'CustomResourceDefinition',
  namespaced: false,
};
const webhooks: ResourceRef = {
  group: 'admissionregistration.k8s.io',
  version: 'v1',
  plural: 'validatingwebhookconfigurations',
  kind: 'ValidatingWebhookConfiguration',
  namespaced: false,
};

/** A kind of its own for each site: CRDs are everybody's. */
function tapOf(site: KubernetesTestSite) {
  const group = `${site.namespace}.example.com`;
  const resource: ResourceRef = { group, version: 'v1', plural: 'taps', kind: 'Tap', namespaced: true };
  const definition = {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `taps.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: { plural: 'taps', singular: 'tap', kind: 'Tap', listKind: 'TapList' },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          subresources: { status: {} },
          schema: {
            openAPIV3Schema: {
              type: 'object',
              properties: {
                spec: { type: 'object', properties: { litres: { type: 'integer', maximum: 10 } } },
                status: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
              },
            },
          },
        },
      ],
    },
  };
  const tap = (litres: number) => ({
    apiVersion: `${group}/v1`,
    kind: 'Tap',
    metadata: { name: 'bar' },
    spec: { litres },
  });
  return { resource, definition, tap, name: `taps.${group}` };
}

describeOnClusters('extensions of Kubernetes', { kinds: ['kube-apiserver'] }, (suite) => {
  test('a definition comes before its objects in one release, and both go again', async () => {
    await using site = await suite().openSite();
    const { resource, definition, tap, name } = tapOf(site);
    site.assign({ release: 'web-1', manifests: [tap(3), definition, configMap('settings', {})] });
    await site.start();
    await site.until('Running');
    assert.equal((await site.find(resource, 'bar'))?.spec?.['litres'], 3);
    site.assign({ release: 'web-2', manifests: [tap(11), definition] });
    const report = await site.until('Refused', { release: 'web-2', reason: 'Invalid' });
    assert.match(report.message ?? '', /Tap\/bar.*spec\.litres/s);
    site.remove();
    await site.until('Removed');
    assert.equal(await site.client.find(definitions, { name }), undefined);
  });

  test('a condition or CEL rule of the application says when a custom object is healthy', async () => {
    await using site = await suite().openSite();
    const { resource, definition, tap } = tapOf(site);
    const health = [{ apiVersion: tap(1).apiVersion, kind: 'Tap', condition: 'Flowing' }];
    site.assign({ release: 'web-1', manifests: [definition, tap(3)], apply: { health } });
    await site.start();
    await eventually(
      () => site.find(resource, 'bar').catch(() => undefined),
      (object) => object !== undefined,
      'the object',
    );
    await site.until('Activating');
    const condition = { type: 'Flowing', status: 'True' };
    const name = { namespace: site.namespace, name: 'bar' };
    await site.client.mergePatch(
      resource,
      name,
      { status: { conditions: [condition] } },
      { subresource: 'status' },
    );
    await site.until('Running');
    site.remove();
    await site.until('Removed');
  });

  test('a definition that is deleted under us comes back with its objects', async () => {
    await using site = await suite().openSite();
    const { resource, definition, tap, name } = tapOf(site);
    site.assign({ release: 'web-1', manifests: [definition, tap(3)] });
    await site.start();
    await site.until('Running');
    const before = await site.client.get(definitions, { name });
    await site.client.delete(definitions, { name });
    await eventually(
      () => site.client.find(definitions, { name }),
      (found) => found !== undefined && found.metadata.uid !== before.metadata.uid,
      'the definition',
    );
    await eventually(
      () =>
        site
          .find(resource, 'bar')
          .catch((error: unknown) => (isNotFound(error) ? undefined : Promise.reject(error))),
      (object) => object !== undefined,
      'the object',
    );
    await site.until('Running');
    site.remove();
    await site.until('Removed');
  });

  test('a webhook that is not ready yet is waited for, and its refusal is told', async () => {
    await using site = await suite().openSite();
    const webhook = await WebhookServer.open(await loopbackCertificate(), (name) =>
      name === 'forbidden' ? 'no such names here' : undefined,
    );
    const configuration = webhook.configuration(site.namespace, site.namespace);
    await site.client.create(webhooks, configuration as never);
    try {
      // The API server learns of the webhook a moment later.
      await eventually(
        () =>
          site.client
            .create(configMaps, {
              ...configMap('probe', {}),
              metadata: { generateName: 'probe-', name: '', namespace: site.namespace },
            } as never)
            .then(
              () => false,
              () => true,
            ),
        Boolean,
        'the webhook',
      );
      site.assign({ release: 'web-1', manifests: [configMap('settings', { a: '1' })] });
      await site.start();
      const waiting = await eventually(
        async () => site.lastReport(),
        (report) => report?.reason === 'WebhookUnavailable',
        'WebhookUnavailable',
      );
      assert.match(waiting?.message ?? '', /gate\.example\.com/);
      await webhook.start();
      await site.until('Running', { release: 'web-1' });
      site.assign({
        release: 'web-2',
        manifests: [configMap('settings', { a: '2' }), configMap('forbidden', {})],
      });
      const refused = await site.until('Refused', { release: 'web-2' });
      assert.match(refused.message ?? '', /no such names here/);
      assert.equal((await site.find(configMaps, 'settings'))?.data?.['a'], '1');
    } finally {
      await site.client.delete(webhooks, { name: site.namespace });
      await webhook.close();
    }
  });

  test('what a ServiceAccount may not do is named, and done when it may', async () => {
    const { cluster } = suite();
    await using site = await suite().openSite();
    const name = site.namespace;
    const rules = (resources: string[]) => [{ apiGroups: ['*'], resources, verbs: ['*'] }];
    const role: ClusterRole = {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name },
      rules: rules(['configmaps', 'namespaces']),
    };
    const binding: RoleBinding = {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name },
      subjects: [{ kind: 'ServiceAccount', name: 'agent', namespace: site.agentNamespace }],
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
    };
    const account = {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'agent', namespace: site.agentNamespace },
    };
    await site.client.create(
      { group: '', version: 'v1', plural: 'serviceaccounts', kind: 'ServiceAccount', namespaced: true },
      account,
    );
    await site.client.create(clusterRoles, role);
    await site.client.create(clusterRoleBindings, binding);
    site.assign({ release: 'web-1', manifests: [configMap('settings', { a: '1' })] });
    await site.start({ access: await cluster.accessForServiceAccount(site.agentNamespace, 'agent') });
    await site.until('Running', { release: 'web-1' });
    site.assign({ release: 'web-2', manifests: [configMap('settings', { a: '2' }), service()] });
    const report = await eventually(
      async () => site.lastReport(),
      (last) => last?.reason === 'Forbidden',
      'Forbidden',
    );
    assert.match(report?.message ?? '', /services/);
    assert.equal((await site.find(configMaps, 'settings'))?.data?.['a'], '1');
    await site.client.mergePatch(clusterRoles, { name }, { rules: rules(['*']) });
    // Assigned again, so that it need not be waited for until the refusal is looked at anew.
    site.assign({ release: 'web-2', manifests: [configMap('settings', { a: '2' }), service()] });
    await site.until('Running', { release: 'web-2' });
    assert.ok(await site.find(services, 'web'));
  });
});
