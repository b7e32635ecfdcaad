import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FaultProxy } from '@selvedge/testkit';
import { describeOnClusters } from './testing/driver-suite.ts';
import { eventually } from './testing/kubernetes-test-site.ts';
import { throughProxy } from './testing/through-proxy.ts';
import { claim, configMap, workload } from './testing/sample-manifests.ts';

describeOnClusters('health', {}, (suite) => {
  test('a crash loop fails the release with its reason and the last lines of the log', async () => {
    await using site = await suite().openSite();
    site.assign({ release: 'web-1', manifests: [workload({ image: 'example/crash:1' })] });
    await site.start();
    const report = await site.until('Failed', { reason: 'CrashLoopBackOff' });
    assert.match(report.message ?? '', /Deployment\/web/);
    assert.ok(
      report.logs?.some((line) => line.includes('cannot reach the database')),
      JSON.stringify(report.logs),
    );
  });

  test('an image that cannot be pulled is named', async () => {
    await using site = await suite().openSite();
    site.assign({ release: 'web-1', manifests: [workload({ image: 'example/missing:7' })] });
    await site.start();
    const report = await site.until('Failed');
    assert.match(report.reason ?? '', /ImagePull/);
    assert.match(report.message ?? '', /example\/missing:7/);
  });

  test('a pod that fits nowhere is reported, and Running once a node comes', async () => {
    await using site = await suite().openSite();
    const place = site.namespace;
    site.assign({ release: 'web-1', manifests: [workload({ pod: { nodeSelector: { place } } })] });
    await site.start();
    const report = await site.until('Activating', { reason: 'Unschedulable' });
    assert.match(report.message ?? '', /node affinity/);
    await suite().workloads.setNode({ name: place, labels: { place } });
    await site.until('Running');
  });

  test('what is not ready at its deadline has failed', async () => {
    await using site = await suite().openSite();
    site.assign({
      release: 'web-1',
      manifests: [workload({ image: 'example/never-ready:1' })],
      deadlineSeconds: 3,
    });
    await site.start();
    const report = await site.until('Failed');
    assert.match(report.message ?? '', /Deployment\/web/);
  });

  test('a failed Job fails the release', async () => {
    await using site = await suite().openSite();
    const job = workload({
      kind: 'Job',
      name: 'migrate',
      image: 'example/fail:1',
      spec: { backoffLimit: 0 },
    });
    site.assign({ release: 'web-1', manifests: [job] });
    await site.start();
    const report = await site.until('Failed');
    assert.match(report.message ?? '', /Job\/migrate/);
  });

  test('a claim without a volume keeps the release from Running', async () => {
    await using site = await suite().openSite();
    const unbound = claim('data') as unknown as { spec: object };
    const manifests = [{ ...unbound, spec: { ...unbound.spec, storageClassName: 'missing' } }];
    site.assign({ release: 'web-1', manifests });
    await site.start();
    await eventually(
      async () => site.lastReport(),
      (report) => report?.state === 'Activating' && /data/.test(report.message ?? ''),
      'a word about the claim',
    );
  });

  test('a rule of the application says when an object is healthy', async () => {
    await using site = await suite().openSite();
    const apply = {
      health: [
        { apiVersion: 'v1', kind: 'ConfigMap', current: "has(self.data) && self.data['state'] == 'open'" },
      ],
      ignoreDifferences: [{ apiVersion: 'v1', kind: 'ConfigMap', jsonPointers: ['/data/state'] }],
    };
    site.assign({ release: 'web-1', manifests: [configMap('door', { state: 'shut' })], apply });
    await site.start();
    await site.until('Activating');
    const { configMaps } = await import('@selvedge/api');
    await eventually(
      () => site.find(configMaps, 'door'),
      (object) => object !== undefined,
      'the object',
    );
    await site.patch(configMaps, 'door', { data: { state: 'open' } });
    await site.until('Running');
  });

  test('what was Running and breaks is Degraded, and Running again when it is well', async () => {
    await using site = await suite().openSite();
    const annotations = { 'selvedge.test/ready-after': '1' };
    site.assign({ release: 'web-1', manifests: [workload({ image: 'example/slow:1', annotations })] });
    await site.start();
    await site.until('Running');
    const { pods } = await import('./testing/sample-manifests.ts');
    const [name = ''] = await site.names(pods);
    await site.patch(pods, name, { metadata: { annotations: { 'selvedge.test/ready-after': '100000' } } });
    await site.until('Degraded');
    await site.patch(pods, name, { metadata: { annotations: { 'selvedge.test/ready-after': '1' } } });
    await site.until('Running');
  });

  test('a StatefulSet comes back from a release whose pods crash, and keeps its ready pods', async () => {
    await using site = await suite().openSite();
    const good = {
      release: 'db-1',
      manifests: [workload({ kind: 'StatefulSet', name: 'db', spec: { replicas: 2 } })],
    };
    site.assign(good);
    await site.start();
    await site.until('Running');
    const { pods } = await import('./testing/sample-manifests.ts');
    const uidOf = async (name: string) => (await site.find(pods, name))?.metadata.uid;
    const first = await uidOf('db-0');
    const bad = workload({
      kind: 'StatefulSet',
      name: 'db',
      image: 'example/crash:2',
      spec: { replicas: 2 },
    });
    site.assign({ release: 'db-2', manifests: [bad] });
    await site.until('Failed', { release: 'db-2' });
    site.assign(good);
    await site.until('Running', { release: 'db-1' });
    assert.equal(await uidOf('db-0'), first);
  });

  test('a Job that has ended and was cleared away is not run again by the same release', async () => {
    await using site = await suite().openSite();
    const { configMaps } = await import('@selvedge/api');
    const { jobs } = await import('./testing/sample-manifests.ts');
    const manifests = [workload({ kind: 'Job', name: 'migrate' }), configMap('settings', { a: '1' })];
    site.assign({ release: 'web-1', manifests });
    await site.start();
    await site.until('Running');
    const putsBack = async () => {
      await site.patch(configMaps, 'settings', { data: { a: 'changed' } });
      const find = () => site.find(configMaps, 'settings');
      await eventually(find, (map) => map?.data?.['a'] === '1', 'the drift to be put back');
    };
    await site.client.delete(jobs, { namespace: site.namespace, name: 'migrate' });
    await eventually(
      () => site.find(jobs, 'migrate'),
      (job) => job === undefined,
      'the Job to be gone',
    );
    await putsBack();
    assert.equal(await site.find(jobs, 'migrate'), undefined);
    assert.equal(site.lastReport()?.state, 'Running');
    await site.stop();
    await site.start();
    await putsBack();
    assert.equal(await site.find(jobs, 'migrate'), undefined);
  });

  test('what cannot be read is not called Running, and the rest is looked after', async () => {
    await using site = await suite().openSite();
    const { deployments } = await import('./testing/sample-manifests.ts');
    site.assign({ release: 'web-1', manifests: [workload(), workload({ name: 'api' })] });
    await site.start();
    await site.until('Running');
    await site.stop();
    const proxy = await FaultProxy.start(suite().cluster);
    try {
      proxy.setRule(({ method, path }) =>
        method === 'GET' && path.includes('/deployments/api') ? { answer: 500 } : undefined,
      );
      await site.client.delete(deployments, { namespace: site.namespace, name: 'web' });
      site.reports.length = 0;
      await site.start({ access: throughProxy(suite().cluster, proxy) });
      await site.until('Degraded', { reason: 'Unreadable' });
      await eventually(
        () => site.find(deployments, 'web'),
        (web) => web !== undefined,
        'the deleted object to be put back',
      );
      assert.ok(site.driver.lastLook() !== undefined);
      await site.stop();
    } finally {
      await proxy.close();
    }
  });
});
