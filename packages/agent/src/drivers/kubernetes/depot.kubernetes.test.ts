import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { configMaps } from '@selvedge/api';
import { openTestDepot, temporaryDirectory } from '../../depot/testing/depot-under-test.ts';
import { ImageRegistry } from '../../depot/testing/image-registry.ts';
import { describeOnClusters } from './testing/driver-suite.ts';
import { eventually } from './testing/kubernetes-test-site.ts';
import { configMap, workload } from './testing/sample-manifests.ts';

const mib = 2 ** 20;

describeOnClusters('a Kubernetes site with a depot', {}, (suite) => {
  test('a release is prepared when its images are in the depot, which they enter while they may be fetched', async (t) => {
    await using registry = await ImageRegistry.start();
    const depot = await openTestDepot({
      directory: await temporaryDirectory(t),
      insecureRegistries: [registry.address],
    });
    t.after(() => depot.close());
    await using site = await suite().openSite({ depot });
    const { manifestDigest } = registry.addImage('shop/web:1', [8 * mib]);
    registry.addImage('shop/init:1', [mib]);
    const image = `${registry.address}/shop/web:1@${manifestDigest}`;
    const initContainers = [
      { name: 'first', image: `${registry.address}/shop/init:1` },
      { name: 'local', image: 'example/on-the-node:1', imagePullPolicy: 'Never' },
    ];
    site.assign({
      release: 'web-1',
      manifests: [workload({ image, pod: { initContainers } })],
      mayActivate: false,
    });
    site.permit({ mayFetch: false });
    await site.start();
    await site.until('Preparing', { release: 'web-1' });
    await wait(1500);
    assert.equal(site.lastReport()?.state, 'Preparing');
    assert.deepEqual(registry.requests, []);

    registry.pauseMs = 60;
    site.permit({ mayFetch: true });
    const report = await eventually(
      async () => site.lastReport(),
      (last) => (last?.progress?.doneBytes ?? 0) > 0,
      'bytes that are reported',
    );
    assert.equal(report?.state, 'Preparing');
    assert.equal(report?.progress?.total, 2);
    site.permit({ mayFetch: false });
    await wait(1000);
    const sent = registry.blobBytes;
    await wait(1000);
    assert.equal(registry.blobBytes, sent, 'nothing comes while the window is closed');
    assert.equal(site.lastReport()?.state, 'Preparing');

    registry.pauseMs = 0;
    site.permit({ mayFetch: true });
    await site.until('Prepared', { release: 'web-1' });
    assert.ok(await depot.find(image));
    assert.ok(registry.blobBytes < 10 * mib, 'each byte once');
    site.permit({ mayActivate: true });
    await site.until('Running', { release: 'web-1' });
  });

  test('an image that the depot cannot have is left to the nodes, one whose registry is away is waited for', async (t) => {
    await using registry = await ImageRegistry.start();
    const depot = await openTestDepot({
      directory: await temporaryDirectory(t),
      insecureRegistries: [registry.address, '127.0.0.1:1'],
    });
    t.after(() => depot.close());
    await using site = await suite().openSite({ depot });
    const image = `${registry.address}/shop/web:1`;
    site.assign({ release: 'web-1', manifests: [workload({ image }), configMap('of', { release: '1' })] });
    await site.start();
    await site.until('Running', { release: 'web-1' });
    const away = '127.0.0.1:1/shop/web:2';
    site.assign({
      release: 'web-2',
      manifests: [workload({ image: away }), configMap('of', { release: '2' })],
    });
    const waiting = await site.until('Preparing', { release: 'web-2', reason: 'ImagePullFailed' });
    assert.match(waiting.message ?? '', /shop\/web:2 cannot be fetched/);
    assert.equal((await site.find(configMaps, 'of'))?.data?.['release'], '1');
  });

  test('other values of the release that runs do not wait for the depot, which gets its images meanwhile', async (t) => {
    await using registry = await ImageRegistry.start();
    const depot = await openTestDepot({
      directory: await temporaryDirectory(t),
      insecureRegistries: [registry.address],
    });
    t.after(() => depot.close());
    await using site = await suite().openSite({ depot });
    registry.addImage('shop/web:1', [mib]);
    const image = `${registry.address}/shop/web:\${site.variables.v}`;
    const manifests = [workload({ image }), configMap('of', { v: '${site.variables.v}' })];
    site.assign({ release: 'web-1', manifests, variables: { v: '1' } });
    await site.start();
    await site.until('Running');
    registry.isDown = true;
    site.assign({ release: 'web-1', manifests, variables: { v: '2' } });
    await eventually(
      () => site.find(configMaps, 'of'),
      (found) => found?.data?.['v'] === '2',
      'the other value is in force',
    );
    registry.addImage('shop/web:2', [mib]);
    registry.isDown = false;
    await eventually(
      () => depot.find(`${registry.address}/shop/web:2`),
      (found) => found !== undefined,
      'the image comes',
    );
  });
});
