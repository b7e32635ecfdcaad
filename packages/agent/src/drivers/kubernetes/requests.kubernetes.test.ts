import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configMaps, type KubeObject } from '@selvedge/api';
import { createLogger, systemClock } from '@selvedge/api/node';
import { FaultProxy } from '@selvedge/testkit';
import { createKubeApi } from './api/http-kube-api.ts';
import { AppliedObjects } from './apply/applied-objects.ts';
import { applySetOf } from './apply/apply-set.ts';
import { Cluster } from './apply/cluster.ts';
import { ObjectApplier } from './apply/object-applier.ts';
import { partOfLabel } from './release/plan-release.ts';
import type { PlannedObject } from './release/planned-object.ts';
import { describeOnClusters, type DriverSuite } from './testing/driver-suite.ts';
import type { KubernetesTestSite } from './testing/kubernetes-test-site.ts';
import { configMap, pods, workload } from './testing/sample-manifests.ts';
import { throughProxy } from './testing/through-proxy.ts';

/** The parent of the ApplySet, the namespace, kinds and their watches. */
const fixedCost = 30;
const count = 60;

describeOnClusters('requests of a release', {}, (suite) => {
  test('an object costs two requests when it is new, and none when an update leaves it as it is', async () => {
    await using proxy = await openProxy(suite().cluster);
    await using site = await suite().openSite();
    site.assign({ release: 'web-1', manifests: parts('1') });
    await site.start({ access: throughProxy(suite().cluster, proxy) });
    await site.until('Running', { release: 'web-1' });
    const installed = proxy.requests.length;
    assert.ok(installed <= 2 * count + fixedCost, `${installed} requests for ${count} new objects`);
    site.assign({
      release: 'web-2',
      manifests: [...parts('1').slice(1), configMap('part-0', { value: '2' })],
    });
    await site.until('Running', { release: 'web-2' });
    const updated = proxy.requests.length - installed;
    assert.ok(updated <= 2 + fixedCost, `${updated} requests for one changed object`);
    assert.equal((await site.find(configMaps, 'part-0'))?.data?.['value'], '2');
  });

  test('what others changed since is applied again by an update that leaves it as it is', async () => {
    await using site = await suite().openSite();
    const apply = { drift: 'Ignore' as const };
    site.assign({ release: 'web-1', manifests: parts('1'), apply });
    await site.start();
    await site.until('Running', { release: 'web-1' });
    await site.patch(configMaps, 'part-7', { data: { value: 'theirs' } });
    await site.patch(configMaps, 'part-8', {
      metadata: { labels: { 'applyset.kubernetes.io/part-of': null } },
    });
    await site.client.delete(configMaps, { namespace: site.namespace, name: 'part-9' });
    site.assign({ release: 'web-2', manifests: [...parts('1'), configMap('more', {})], apply });
    await site.until('Running', { release: 'web-2' });
    assert.equal((await site.find(configMaps, 'part-7'))?.data?.['value'], '1');
    const label = (await site.find(configMaps, 'part-8'))?.metadata.labels?.[
      'applyset.kubernetes.io/part-of'
    ];
    assert.match(label ?? '', /^applyset-/);
    assert.equal((await site.find(configMaps, 'part-9'))?.data?.['value'], '1');
  });

  test('what somebody else takes after it was listed is not taken back by force', async () => {
    const { cluster } = suite();
    await using site = await suite().openSite();
    const api = createKubeApi({ access: cluster.access, clock: systemClock, logger });
    const planned = (value: string) => parts(value).map((object) => plannedIn(site, object));
    const applier = (objects: readonly PlannedObject[]) =>
      new ObjectApplier(
        {
          cluster: new Cluster(api, () => true),
          clock: systemClock,
          set: applySetOf(`Application/${site.namespace}/web`, site.agentNamespace),
          itemUid: 'uid-of-web',
          namespace: site.namespace,
          rules: {},
          objects,
          applied: new AppliedObjects(),
          signal: new AbortController().signal,
        },
        objects,
      );
    const old = applier(planned('1'));
    for (const one of planned('1')) await old.apply(one, { dryRun: false });
    const next = applier(planned('2'));
    const [first, changed, taken] = planned('2');
    assert.ok(first && changed && taken);
    await next.apply(first, { dryRun: false });
    await site.patch(configMaps, changed.ref.name, { data: { more: 'theirs' } });
    await site.patch(configMaps, taken.ref.name, {
      metadata: { labels: { [partOfLabel]: 'applyset-other' } },
    });
    await next.apply(changed, { dryRun: false });
    await assert.rejects(next.apply(taken, { dryRun: false }), { reason: 'OwnedByAnother' });
    assert.deepEqual((await site.find(configMaps, changed.ref.name))?.data, { value: '2', more: 'theirs' });
    assert.deepEqual((await site.find(configMaps, taken.ref.name))?.data, { value: '1' });
    api.close();
  });

  test('Removed is said when the pods have ended too; until then it is said which have not', async () => {
    await using site = await suite().openSite();
    site.assign({ release: 'web-1', manifests: [workload()] });
    await site.start();
    await site.until('Running');
    const [pod = ''] = await site.names(pods, 'selvedge.dev/application=web');
    await site.patch(pods, pod, { metadata: { finalizers: ['example.com/hold'] } });
    site.remove();
    const report = await site.until('Removing', { reason: 'Terminating' });
    assert.match(report.message ?? '', new RegExp(`Pod/${pod} \\(example\\.com/hold\\)`));
    await site.patch(pods, pod, { metadata: { finalizers: null } });
    await site.until('Removed');
    assert.deepEqual(await site.names(pods, 'selvedge.dev/application=web'), []);
  });
});

const logger = createLogger({ level: 'silent' });

function plannedIn({ namespace, agentNamespace }: KubernetesTestSite, manifest: KubeObject): PlannedObject {
  const { apiVersion, kind, metadata } = manifest;
  const { id } = applySetOf(`Application/${namespace}/web`, agentNamespace);
  const labels = { [partOfLabel]: id };
  return {
    ref: { apiVersion, kind, namespace, name: metadata.name },
    object: { ...manifest, metadata: { ...metadata, namespace, labels } },
  };
}

function parts(value: string) {
  return Array.from({ length: count }, (_, index) => configMap(`part-${index}`, { value }));
}

async function openProxy(cluster: DriverSuite['cluster']): Promise<FaultProxy & AsyncDisposable> {
  const proxy = await FaultProxy.start(cluster);
  return Object.assign(proxy, { [Symbol.asyncDispose]: () => proxy.close() });
}
