import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configMaps, namespaces } from '@selvedge/api';
import { describeOnClusters } from './testing/driver-suite.ts';
import { eventually } from './testing/kubernetes-test-site.ts';
import { claim, claims, configMap, deployments, workload } from './testing/sample-manifests.ts';

describeOnClusters('what is others’ stays', {}, (suite) => {
  test('an agent that lost its disk takes nothing for its own that a controller made, and overrides no drift that is ignored', async () => {
    await using site = await suite().openSite();
    const apply = { drift: 'Ignore' as const };
    site.assign({ release: 'web-1', manifests: [workload(), configMap('settings', { a: '1' })], apply });
    await site.start();
    await site.until('Running');
    const owner = await site.find(deployments, 'web');
    const labels = (await site.find(configMaps, 'settings'))?.metadata.labels ?? {};
    const { uid = '' } = owner?.metadata ?? {};
    await site.client.create(configMaps, {
      ...configMap('made', {}),
      metadata: {
        name: 'made',
        namespace: site.namespace,
        labels,
        ownerReferences: [{ apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', uid, controller: true }],
      },
    });
    await site.patch(configMaps, 'settings', { data: { a: 'by hand' } });
    await site.stop();
    await site.loseState();
    site.reports.length = 0;
    await site.start();
    const report = await site.until('Running');
    assert.match(report.runningDigest ?? '', /^sha256:/);
    assert.ok(await site.find(configMaps, 'made'));
    assert.equal((await site.find(configMaps, 'settings'))?.data?.['a'], 'by hand');
  });

  test('a namespace with a claim of somebody else stays, also when volumes are to be deleted', async () => {
    await using site = await suite().openSite();
    const name = `${site.namespace}-data`;
    const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name } };
    site.assign({ release: 'web-1', manifests: [namespace] });
    await site.start();
    await site.until('Running');
    const theirs = claim('theirs');
    await site.client.create(claims, { ...theirs, metadata: { ...theirs.metadata, namespace: name } });
    site.remove('web', 'DeleteVolumes');
    const report = await site.until('Removed', { reason: 'ObjectsKept' });
    assert.match(report.message ?? '', new RegExp(`Namespace/${name}`));
    const kept = await site.client.find(namespaces, { name });
    assert.equal(kept?.metadata.deletionTimestamp, undefined);
    await site.client.delete(namespaces, { name });
  });

  test('of two applications that bring one object, one gets it', async () => {
    await using site = await suite().openSite();
    site.assign({ name: 'one', release: 'one-1', manifests: [configMap('shared', { of: 'one' })] });
    site.assign({ name: 'two', release: 'two-1', manifests: [configMap('shared', { of: 'two' })] });
    await site.start();
    const reports = await eventually(
      async () => ['one', 'two'].map((name) => site.lastReport(name)),
      (found) =>
        found.some((report) => report?.state === 'Running') &&
        found.some((report) => report?.reason === 'OwnedByAnother'),
      'one of them to run',
    );
    const winner = reports[0]?.state === 'Running' ? 'one' : 'two';
    assert.equal((await site.find(configMaps, 'shared'))?.data?.['of'], winner);
  });
});
