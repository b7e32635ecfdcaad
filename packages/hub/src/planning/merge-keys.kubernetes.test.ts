import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { isObject, type JsonObject } from '@selvedge/api';
import { kubernetesMergeSchema, type MergeSchema } from '@selvedge/api/patch';
import { ClusterUnderTest, requireCluster } from '@selvedge/testkit';

/** Kinds that applications are made of. Others have no list with a key but in `metadata`, or are none that people write. */
const kinds = [
  ['v1', 'Pod'],
  ['v1', 'PodTemplate'],
  ['v1', 'ReplicationController'],
  ['v1', 'Service'],
  ['v1', 'ServiceAccount'],
  ['v1', 'ConfigMap'],
  ['v1', 'Secret'],
  ['v1', 'PersistentVolumeClaim'],
  ['apps/v1', 'DaemonSet'],
  ['apps/v1', 'Deployment'],
  ['apps/v1', 'ReplicaSet'],
  ['apps/v1', 'StatefulSet'],
  ['batch/v1', 'Job'],
  ['batch/v1', 'CronJob'],
  ['autoscaling/v2', 'HorizontalPodAutoscaler'],
  ['policy/v1', 'PodDisruptionBudget'],
  ['networking.k8s.io/v1', 'Ingress'],
  ['networking.k8s.io/v1', 'NetworkPolicy'],
  ['rbac.authorization.k8s.io/v1', 'Role'],
  ['admissionregistration.k8s.io/v1', 'MutatingWebhookConfiguration'],
  ['admissionregistration.k8s.io/v1', 'ValidatingWebhookConfiguration'],
] as const;

type Definitions = Readonly<Record<string, JsonObject>>;

/** `path → key` of every list that a strategic merge merges; '' for a set. `status` is written by nobody. */
function mergeKeysIn(definitions: Definitions, schema: JsonObject, path = ''): Map<string, string> {
  const name = typeof schema['$ref'] === 'string' ? schema['$ref'].replace('#/definitions/', '') : undefined;
  const named = name === undefined ? schema : (definitions[name] ?? {});
  const found = new Map<string, string>();
  // These define themselves by themselves.
  if (name?.endsWith('JSONSchemaProps') === true) return found;
  for (const [field, value] of Object.entries((named['properties'] ?? {}) as Record<string, JsonObject>)) {
    const at = `${path}.${field}`;
    if (at === '.status' || field === 'managedFields') continue;
    const { 'x-kubernetes-patch-strategy': strategy, 'x-kubernetes-patch-merge-key': key } = value;
    if (typeof strategy === 'string' && strategy.includes('merge') && 'items' in value) {
      found.set(at, typeof key === 'string' ? key : '');
    } else if ('items' in value) {
      // It is replaced as a whole, whatever stands in it.
      continue;
    }
    const inner = isObject(value['items']) ? value['items'] : value;
    for (const [below, key] of mergeKeysIn(definitions, inner, at)) found.set(below, key);
  }
  return found;
}

function keysOf(schema: MergeSchema, path = ''): Map<string, string> {
  const found = new Map<string, string>();
  for (const [field, value] of schema.properties) {
    const at = `${path}.${field}`;
    if (value.listType !== 'atomic') found.set(at, value.listMapKeys[0] ?? '');
    for (const [below, key] of keysOf(value.items ?? value, at)) found.set(below, key);
  }
  return found;
}

describe('lists that a strategic merge knows by a key', requireCluster('kube-apiserver'), () => {
  let cluster: ClusterUnderTest;
  let definitions: Definitions;
  before(async () => {
    cluster = await ClusterUnderTest.start('kube-apiserver');
    const openapi = await cluster
      .client()
      .request<{ definitions: Definitions }>({ method: 'GET', path: '/openapi/v2' });
    ({ definitions } = openapi);
  });
  after(() => cluster?.close());

  for (const [apiVersion, kind] of kinds) {
    test(`of ${apiVersion} ${kind} are those of Kubernetes`, () => {
      const [group = '', version = group] = apiVersion.includes('/')
        ? apiVersion.split('/')
        : ['', apiVersion];
      const definition = Object.values(definitions).find((each) =>
        ((each['x-kubernetes-group-version-kind'] ?? []) as JsonObject[]).some(
          (gvk) => gvk['group'] === group && gvk['version'] === version && gvk['kind'] === kind,
        ),
      );
      assert.ok(definition, 'the API server has the kind');
      const schema = kubernetesMergeSchema(apiVersion, kind);
      assert.ok(schema);
      assert.deepEqual(
        Object.fromEntries(keysOf(schema)),
        Object.fromEntries(mergeKeysIn(definitions, definition)),
      );
    });
  }
});
