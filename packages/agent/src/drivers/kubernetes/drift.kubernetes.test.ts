import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { configMaps } from '@selvedge/api';
import { describeOnClusters } from './testing/driver-suite.ts';
import { eventually, type KubernetesTestSite } from './testing/kubernetes-test-site.ts';
import { autoscalers, configMap, deployments, workload } from './testing/sample-manifests.ts';

const replicasOf = async (site: KubernetesTestSite) =>
  (await site.find(deployments, 'web'))?.spec?.['replicas'];
/** Long enough for a driver that would put something back to have done so. */
const settled = () => wait(2_500);

describeOnClusters('drift', {}, (suite) => {
  test('Correct puts back what others change or delete', async () => {
    await using site = await suite().openSite();
    site.assign({
      release: 'web-1',
      manifests: [workload({ spec: { replicas: 1 } }), configMap('settings', { a: '1' })],
    });
    await site.start();
    await site.until('Running');
    await site.patch(configMaps, 'settings', { data: { a: '2', theirs: 'x' } });
    await eventually(
      () => site.find(configMaps, 'settings'),
      (o) => o?.data?.['a'] === '1',
      'correction',
    );
    assert.equal((await site.find(configMaps, 'settings'))?.data?.['theirs'], 'x');
    await site.client.delete(deployments, { namespace: site.namespace, name: 'web' });
    await eventually(
      () => site.find(deployments, 'web'),
      (o) => o?.metadata.deletionTimestamp === undefined && o !== undefined,
      'remaking',
    );
    await site.until('Running');
  });

  test('a bare kubectl scale is drift', async () => {
    await using site = await suite().openSite();
    site.assign({ release: 'web-1', manifests: [workload({ spec: { replicas: 1 } })] });
    await site.start();
    await site.until('Running');
    await site.scale(deployments, 'web', 3);
    await eventually(
      () => replicasOf(site),
      (replicas) => replicas === 1,
      'correction',
    );
  });

  test('Report says what differs and leaves it; when it is put right, it says no more', async () => {
    await using site = await suite().openSite();
    site.assign({
      release: 'web-1',
      manifests: [configMap('settings', { a: '1' })],
      apply: { drift: 'Report' },
    });
    await site.start();
    await site.until('Running');
    await site.patch(configMaps, 'settings', { data: { a: '2' } });
    const report = await eventually(
      async () => site.lastReport(),
      (last) => last?.drift !== undefined,
      'report of drift',
    );
    assert.equal(report?.state, 'Running');
    assert.match(report?.drift?.[0] ?? '', /ConfigMap\/settings: .*a/);
    assert.equal((await site.find(configMaps, 'settings'))?.data?.['a'], '2');
    await site.patch(configMaps, 'settings', { data: { a: '1' } });
    await eventually(
      async () => site.lastReport(),
      (last) => last?.drift === undefined,
      'end of drift',
    );
  });

  test('Ignore does neither', async () => {
    await using site = await suite().openSite();
    site.assign({
      release: 'web-1',
      manifests: [configMap('settings', { a: '1' })],
      apply: { drift: 'Ignore' },
    });
    await site.start();
    await site.until('Running');
    await site.patch(configMaps, 'settings', { data: { a: '2' } });
    await settled();
    assert.equal((await site.find(configMaps, 'settings'))?.data?.['a'], '2');
    assert.equal(site.lastReport()?.drift, undefined);
  });

  test('ignored fields are given once and then left to others, also by the next release', async () => {
    await using site = await suite().openSite();
    const apply = {
      ignoreDifferences: [{ apiVersion: 'v1', kind: 'ConfigMap', jsonPointers: ['/data/a'] }],
    };
    site.assign({ release: 'web-1', manifests: [configMap('settings', { a: '1', b: '1' })], apply });
    await site.start();
    await site.until('Running');
    assert.equal((await site.find(configMaps, 'settings'))?.data?.['a'], '1');
    await site.patch(configMaps, 'settings', { data: { a: 'theirs' } });
    await settled();
    site.assign({ release: 'web-2', manifests: [configMap('settings', { a: '1', b: '2' })], apply });
    await site.until('Running', { release: 'web-2' });
    assert.deepEqual((await site.find(configMaps, 'settings'))?.data, { a: 'theirs', b: '2' });
  });

  test('replicas belong to the autoscaler once it has set them', async () => {
    await using site = await suite().openSite();
    const autoscaler = {
      apiVersion: 'autoscaling/v2',
      kind: 'HorizontalPodAutoscaler',
      metadata: { name: 'web' },
      spec: {
        minReplicas: 1,
        maxReplicas: 5,
        scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' },
      },
    };
    const manifests = (image: string) => [workload({ image, spec: { replicas: 1 } }), autoscaler];
    site.assign({
      release: 'web-1',
      manifests: manifests('example/web:1'),
      apply: { health: [{ apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler', current: 'true' }] },
    });
    await site.start();
    await site.until('Running');
    assert.ok(await site.find(autoscalers, 'web'));
    await site.scale(deployments, 'web', 4);
    await settled();
    assert.equal(await replicasOf(site), 4);
    site.assign({
      release: 'web-2',
      manifests: manifests('example/web:2'),
      apply: { health: [{ apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler', current: 'true' }] },
    });
    await site.until('Running', { release: 'web-2' });
    assert.equal(await replicasOf(site), 4);
  });
});
