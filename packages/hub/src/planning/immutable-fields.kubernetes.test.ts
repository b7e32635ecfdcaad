import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { isStatusError, type KubeObject } from '@selvedge/api';
import { ClusterUnderTest, requireCluster } from '@selvedge/testkit';
import { immutableCases } from './testing/immutable-cases.ts';

type Client = ReturnType<ClusterUnderTest['client']>;

const plurals: Readonly<Record<string, string>> = {
  IngressClass: 'ingressclasses',
  PriorityClass: 'priorityclasses',
  RuntimeClass: 'runtimeclasses',
  StorageClass: 'storageclasses',
};

function pathOf({ apiVersion, kind, metadata }: KubeObject): string {
  const root = apiVersion.includes('/') ? '/apis' : '/api';
  const place = metadata.namespace === undefined ? '' : `/namespaces/${metadata.namespace}`;
  return `${root}/${apiVersion}${place}/${plurals[kind] ?? `${kind.toLowerCase()}s`}/${metadata.name}`;
}

async function apply(client: Client, object: KubeObject, isDryRun = false): Promise<void> {
  await client.request({
    method: 'PATCH',
    path: pathOf(object),
    query: { fieldManager: 'selvedge', ...(isDryRun ? { dryRun: 'All' } : {}) },
    contentType: 'application/apply-patch+yaml',
    body: object,
  });
}

/** An object of its own for every case: what is deleted may stay for a while. */
function named(object: KubeObject, name: string): KubeObject {
  return { ...object, metadata: { ...object.metadata, name } };
}

/** For being changed, not for what it is. */
function isRefusalOfChange(error: unknown): boolean {
  assert.ok(isStatusError(error, 'Invalid'), String(error));
  assert.match(error.message, /immutable|forbidden|may not|cannot change|less than|in tandem/i);
  return true;
}

/** What the table says is what an API server does. */
describe('fields that Kubernetes does not let change', requireCluster('kube-apiserver'), () => {
  let cluster: ClusterUnderTest;
  let client: Client;
  before(async () => {
    cluster = await ClusterUnderTest.start('kube-apiserver');
    client = cluster.client();
    await client
      .request({
        method: 'POST',
        path: '/api/v1/namespaces/default/serviceaccounts',
        body: { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default' } },
      })
      .catch((error: unknown) => {
        if (!isStatusError(error, 'AlreadyExists')) throw error;
      });
  });
  after(() => cluster?.close());

  for (const [n, { what, before: from, after: to, fields }] of immutableCases.entries()) {
    test(`${what}: ${fields.length === 0 ? 'taken' : 'refused'}`, async () => {
      const name = `immutable-case-${n}`;
      await apply(client, named(from, name));
      const change = apply(client, named(to, name), true);
      if (fields.length === 0) await change;
      else await assert.rejects(change, isRefusalOfChange);
    });
  }
});
