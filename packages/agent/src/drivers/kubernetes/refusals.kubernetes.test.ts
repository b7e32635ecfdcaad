import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configMaps, namespaces } from '@selvedge/api';
import { describeOnClusters } from './testing/driver-suite.ts';
import { eventually } from './testing/kubernetes-test-site.ts';
import {
  configMap,
  deployments,
  service,
  workload,
  type WorkloadOptions,
} from './testing/sample-manifests.ts';

const relabelled = (options: WorkloadOptions = {}) => {
  const changed = workload(options) as unknown as {
    spec: { selector: object; template: { metadata: object } };
  };
  changed.spec.selector = { matchLabels: { app: 'other' } };
  changed.spec.template.metadata = { labels: { app: 'other' } };
  return changed;
};

describeOnClusters('what is refused', {}, (suite) => {
  test('a release that the cluster refuses reaches no object, and names the field', async () => {
    await using site = await suite().openSite();
    site.assign({ release: 'web-1', manifests: [configMap('settings', { a: '1' })] });
    await site.start();
    await site.until('Running', { release: 'web-1' });
    const broken = workload({ spec: { replicas: -1 } });
    site.assign({ release: 'web-2', manifests: [configMap('settings', { a: '2' }), broken] });
    const report = await site.until('Refused', { release: 'web-2', reason: 'Invalid' });
    assert.match(report.message ?? '', /Deployment\/web.*spec\.replicas/s);
    assert.equal((await site.find(configMaps, 'settings'))?.data?.['a'], '1');
    assert.equal(await site.find(deployments, 'web'), undefined);
  });

  test('what is wrong in a namespace that is not there yet is found before anything is activated', async () => {
    await using site = await suite().openSite({ withoutNamespace: true });
    const broken = workload({ spec: { replicas: -1 } });
    site.assign({ release: 'web-1', manifests: [configMap('settings', { a: '1' }), broken] });
    await site.start();
    const report = await site.until('Refused', { release: 'web-1', reason: 'Invalid' });
    assert.match(report.message ?? '', /Deployment\/web.*spec\.replicas/s);
    assert.equal(await site.find(configMaps, 'settings'), undefined);
    const made = await site.client.find(namespaces, { name: site.namespace });
    assert.equal(made?.metadata.annotations?.['selvedge.dev/made-by'], undefined);
  });

  test('a namespace of the release is made for its trial as the application’s own, and goes with it', async () => {
    await using site = await suite().openSite({ withoutNamespace: true });
    const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: site.namespace } };
    const manifests = [
      { ...namespace, metadata: { ...namespace.metadata, labels: { tier: 'shop' } } },
      configMap('settings', { a: '1' }),
    ];
    site.assign({ release: 'web-1', manifests, mayActivate: false });
    await site.start();
    await site.until('Prepared', { release: 'web-1' });
    const find = () => site.client.find(namespaces, { name: site.namespace });
    const tried = await find();
    assert.equal(tried?.metadata.annotations?.['selvedge.dev/made-by'], 'uid-of-web');
    assert.equal(tried.metadata.labels?.['tier'], undefined);
    site.permit({ mayActivate: true });
    await site.until('Running');
    assert.equal((await find())?.metadata.labels?.['tier'], 'shop');
    site.remove();
    await site.until('Removed');
    assert.equal(await find(), undefined);
  });

  test('a change of an immutable field is refused with the object and the field', async () => {
    await using site = await suite().openSite();
    site.assign({ release: 'web-1', manifests: [workload()] });
    await site.start();
    await site.until('Running', { release: 'web-1' });
    site.assign({ release: 'web-2', manifests: [relabelled()] });
    const report = await site.until('Refused', { release: 'web-2', reason: 'ImmutableField' });
    assert.match(report.message ?? '', /Deployment\/web.*spec\.selector/s);
  });

  test('a change of an immutable field replaces the object where the application says so', async () => {
    await using site = await suite().openSite();
    const apply = { onImmutableChange: 'Replace' as const };
    site.assign({ release: 'web-1', manifests: [workload()], apply });
    await site.start();
    await site.until('Running', { release: 'web-1' });
    const before = await site.find(deployments, 'web');
    site.assign({ release: 'web-2', manifests: [relabelled()], apply });
    await site.until('Running', { release: 'web-2' });
    const after = await site.find(deployments, 'web');
    assert.notEqual(after?.metadata.uid, before?.metadata.uid);
  });

  test('going back from a release that replaced an object and did not get well replaces it again', async () => {
    await using site = await suite().openSite();
    site.assign({ release: 'web-1', manifests: [workload()] });
    await site.start();
    await site.until('Running', { release: 'web-1' });
    const before = await site.find(deployments, 'web');
    const apply = { onImmutableChange: 'Replace' as const };
    site.assign({ release: 'web-2', manifests: [relabelled({ image: 'example/missing:1' })], apply });
    await eventually(
      () => site.find(deployments, 'web'),
      (live) => live !== undefined && live.metadata.uid !== before?.metadata.uid,
    );
    site.assign({ release: 'web-1', manifests: [workload()] });
    await site.until('Running', { release: 'web-1' });
    // All is well again: from now on only a release that says so may replace.
    site.assign({ release: 'web-3', manifests: [relabelled()] });
    await site.until('Refused', { release: 'web-3', reason: 'ImmutableField' });
  });

  test('what belongs to another application is never taken', async () => {
    await using site = await suite().openSite();
    site.assign({ name: 'first', release: 'first-1', manifests: [configMap('shared', { of: 'first' })] });
    await site.start();
    await site.until('Running', { name: 'first' });
    site.assign({ name: 'second', release: 'second-1', manifests: [configMap('shared', { of: 'second' })] });
    const report = await site.until('Refused', { name: 'second', reason: 'OwnedByAnother' });
    assert.match(report.message ?? '', /ConfigMap\/shared/);
    assert.equal((await site.find(configMaps, 'shared'))?.data?.['of'], 'first');
  });

  test('what somebody made by hand is adopted, unless fields of it are contested', async () => {
    await using site = await suite().openSite();
    const own = (name: string, data: Record<string, string>) => ({
      ...configMap(name, data),
      metadata: { name, namespace: site.namespace },
    });
    await site.client.apply(configMaps, own('same', { a: '1' }), { fieldManager: 'kubectl' });
    await site.client.apply(configMaps, own('other', { a: 'theirs' }), { fieldManager: 'helm' });
    site.assign({ name: 'good', release: 'good-1', manifests: [configMap('same', { a: '1', b: '2' })] });
    site.assign({ name: 'bad', release: 'bad-1', manifests: [configMap('other', { a: 'ours' })] });
    await site.start();
    await site.until('Running', { name: 'good' });
    const report = await site.until('Refused', { name: 'bad', reason: 'Conflict' });
    assert.match(report.message ?? '', /ConfigMap\/other.*data\.a/s);
    assert.match(report.message ?? '', /helm/);
    assert.deepEqual((await site.find(configMaps, 'other'))?.data, { a: 'theirs' });
    assert.equal((await site.find(configMaps, 'same'))?.data?.['b'], '2');
  });

  test('a missing variable and a kind that nobody knows are named', async () => {
    await using site = await suite().openSite();
    site.assign({
      name: 'vars',
      release: 'vars-1',
      manifests: [configMap('a', { x: '${site.variables.city}' })],
    });
    const gadget = { apiVersion: 'example.com/v1', kind: 'Gadget', metadata: { name: 'g' } };
    site.assign({ name: 'kinds', release: 'kinds-1', manifests: [gadget] });
    await site.start();
    const missing = await site.until('Refused', { name: 'vars', reason: 'VariableUndefined' });
    assert.match(missing.message ?? '', /city/);
    const unknown = await eventually(
      async () => site.lastReport('kinds'),
      (report) => report?.reason === 'KindUnknown',
      'KindUnknown',
    );
    assert.match(unknown?.message ?? '', /Gadget/);
  });

  test('what runs goes on as it is when the site lacks from then on what it was made with', async () => {
    await using site = await suite().openSite();
    const manifests = [configMap('a', { x: 'in ${site.variables.city}' })];
    site.assign({ release: 'web-1', variables: { city: 'Ulm' }, manifests });
    await site.start();
    await site.until('Running');
    site.assign({ release: 'web-1', variables: {}, manifests });
    const report = await site.until('Refused', { reason: 'VariableUndefined' });
    assert.match(report.runningDigest ?? '', /^sha256:/);
    // It is still looked after.
    await site.client.delete(configMaps, { name: 'a', namespace: site.namespace });
    await eventually(
      async () => (await site.find(configMaps, 'a'))?.data?.['x'],
      (text) => text === 'in Ulm',
      'the object to be there again',
    );
    assert.equal(site.lastReport()?.reason, 'VariableUndefined');
  });

  test('an agent that may not do it says which permission is missing', async () => {
    const { cluster } = suite();
    await using site = await suite().openSite();
    const access = await cluster.accessFor({ name: 'nobody' });
    site.assign({ release: 'web-1', manifests: [service()] });
    await site.start({ access });
    const report = await eventually(
      async () => site.lastReport(),
      (last) => last?.reason === 'Forbidden',
      'Forbidden',
    );
    assert.match(report?.message ?? '', /services|Service/);
  });
});
