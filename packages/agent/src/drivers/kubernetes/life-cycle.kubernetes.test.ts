import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configMaps, secrets } from '@selvedge/api';
import { describeOnClusters } from './testing/driver-suite.ts';
import { eventually } from './testing/kubernetes-test-site.ts';
import {
  claim,
  claims,
  configMap,
  daemonSets,
  deployments,
  jobs,
  pods,
  service,
  services,
  statefulSets,
  workload,
} from './testing/sample-manifests.ts';

describeOnClusters('the life of an application', {}, (suite) => {
  test('it is installed in order, labelled as an ApplySet, and Running when all of it is Current', async () => {
    await using site = await suite().openSite();
    site.assign({
      release: 'web-1',
      variables: { greeting: 'moin' },
      manifests: [
        workload({ spec: { replicas: 2 } }),
        service(),
        configMap('settings', { text: '${site.variables.greeting}' }),
      ],
    });
    await site.start();
    const report = await site.until('Running', { release: 'web-1' });
    assert.deepEqual(report.pods, { wanted: 2, ready: 2 });
    const found = await site.find(configMaps, 'settings');
    assert.equal(found?.data?.['text'], 'moin');
    const parent = (
      await site.client.list(configMaps, {
        namespace: site.agentNamespace,
        labelSelector: 'applyset.kubernetes.io/id',
      })
    ).items[0];
    assert.equal(
      found?.metadata.labels?.['applyset.kubernetes.io/part-of'],
      parent?.metadata.labels?.['applyset.kubernetes.io/id'],
    );
    assert.equal(
      parent?.metadata.annotations?.['applyset.kubernetes.io/contains-group-kinds'],
      'ConfigMap,Deployment.apps,Service',
    );
    assert.equal(parent?.metadata.annotations?.['selvedge.dev/release'], 'web-1');
    assert.deepEqual((await site.names(pods, `selvedge.dev/application=web`)).length, 2);
  });

  test('an update changes what differs, prunes exactly what is no more in it, and going back brings it again', async () => {
    await using site = await suite().openSite();
    const old = [workload(), configMap('kept', { a: '1' }), configMap('gone', { a: '1' })];
    site.assign({ release: 'web-1', manifests: old });
    await site.start();
    await site.until('Running', { release: 'web-1' });
    const kept = await site.find(configMaps, 'kept');
    await site.client.create(configMaps, {
      ...configMap('bystander', {}),
      metadata: { name: 'bystander', namespace: site.namespace },
    });
    site.assign({
      release: 'web-2',
      manifests: [workload({ image: 'example/web:2' }), configMap('kept', { a: '1' })],
    });
    await site.until('Running', { release: 'web-2' });
    await eventually(
      () => site.find(configMaps, 'gone'),
      (object) => object === undefined,
      'pruning',
    );
    assert.equal((await site.find(configMaps, 'kept'))?.metadata.uid, kept?.metadata.uid);
    assert.ok(await site.find(configMaps, 'bystander'));
    site.assign({ release: 'web-1', manifests: old });
    await site.until('Running', { release: 'web-1' });
    assert.ok(await site.find(configMaps, 'gone'));
  });

  test('a prepared release changes nothing until it may', async () => {
    await using site = await suite().openSite();
    site.assign({ release: 'web-1', manifests: [configMap('settings', { a: '1' })] });
    await site.start();
    await site.until('Running');
    site.assign({ release: 'web-2', manifests: [configMap('settings', { a: '2' })], mayActivate: false });
    await site.until('Prepared', { release: 'web-2' });
    assert.equal((await site.find(configMaps, 'settings'))?.data?.['a'], '1');
    site.permit({ mayActivate: true });
    await site.until('Running', { release: 'web-2' });
    assert.equal((await site.find(configMaps, 'settings'))?.data?.['a'], '2');
  });

  test('StatefulSets, DaemonSets and Jobs are followed to their end', async () => {
    await using site = await suite().openSite();
    site.assign({
      release: 'web-1',
      manifests: [
        workload({ kind: 'StatefulSet', name: 'db', spec: { replicas: 2 } }),
        workload({ kind: 'DaemonSet', name: 'log' }),
        workload({
          kind: 'Job',
          name: 'migrate',
          image: 'example/slow:1',
          annotations: { 'selvedge.test/ready-after': '2' },
        }),
      ],
    });
    await site.start();
    await site.until('Running');
    assert.equal((await site.find(statefulSets, 'db'))?.status?.['readyReplicas'], 2);
    assert.equal((await site.find(daemonSets, 'log'))?.status?.['numberReady'], 1);
    assert.equal((await site.find(jobs, 'migrate'))?.status?.['succeeded'], 1);
  });

  test('a tombstone deletes everything but volumes, or those too, or nothing', async () => {
    await using site = await suite().openSite();
    const manifests = [workload(), claim('data'), configMap('settings', {})];
    await site.start();
    site.assign({ release: 'web-1', manifests });
    await site.until('Running');
    site.remove('web', 'Delete');
    await site.until('Removed');
    assert.deepEqual(await site.names(deployments), []);
    assert.deepEqual(await site.names(claims), ['data']);
    assert.equal(await site.find(configMaps, 'settings'), undefined);
    site.assign({ release: 'web-1', manifests });
    await site.until('Running');
    site.remove('web', 'Orphan');
    await site.until('Removed');
    const left = await site.find(deployments, 'web');
    assert.equal(left?.metadata.labels?.['applyset.kubernetes.io/part-of'], undefined);
    const parents = { namespace: site.agentNamespace, labelSelector: 'applyset.kubernetes.io/id' };
    assert.deepEqual((await site.client.list(configMaps, parents)).items, []);
    site.assign({ release: 'web-1', manifests });
    await site.until('Running');
    site.remove('web', 'DeleteVolumes');
    await site.until('Removed');
    await eventually(
      () => site.names(claims),
      (names) => names.length === 0,
      'deletion of the volume',
    );
  });

  test('an item that is not in the list any more goes on as it is', async () => {
    await using site = await suite().openSite();
    site.assign({ release: 'web-1', manifests: [workload()] });
    const driver = await site.start();
    await site.until('Running');
    driver.setDesired([]);
    await site.stop();
    await site.start();
    assert.ok(await site.find(deployments, 'web'));
  });

  test('a huge application arrives whole', { timeout: 1_500_000 }, async () => {
    const patienceMs = 600_000;
    await using site = await suite().openSite();
    const manifests = Array.from({ length: 600 }, (_, i) => configMap(`part-${i}`, { index: String(i) }));
    site.assign({ release: 'web-1', manifests });
    await site.start();
    await site.until('Running', { patienceMs });
    const own = (await site.names(configMaps, 'applyset.kubernetes.io/part-of')).length;
    assert.equal(own, 600);
    site.remove();
    await site.until('Removed', { patienceMs });
    assert.deepEqual(await site.names(configMaps, 'applyset.kubernetes.io/part-of'), []);
  });

  test('stringData of a Secret is kept as data and is no drift', async () => {
    await using site = await suite().openSite();
    const secret = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'key' },
      stringData: { word: 'open' },
    };
    site.assign({ release: 'web-1', manifests: [secret, service()], apply: { drift: 'Report' } });
    await site.start();
    const report = await site.until('Running');
    assert.equal(report.drift, undefined);
    assert.equal((await site.find(secrets, 'key'))?.data?.['word'], Buffer.from('open').toString('base64'));
    assert.ok(await site.find(services, 'web'));
  });
});
