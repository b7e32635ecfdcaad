import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { freePort, type PodmanTestbed, requireTool, startPodmanTestbed } from '@selvedge/testkit';
import { fetchPage, TestSite, webManifests } from './testing/test-site.ts';

describe('what a Podman site lets go of', requireTool('podman', 'nft', 'nsenter'), () => {
  let podman: PodmanTestbed;
  let site: TestSite;
  let port: number;

  before(async () => {
    podman = await startPodmanTestbed();
    await podman.importBusyboxImage();
  });
  after(async () => {
    await podman?.close();
  });
  beforeEach(async () => {
    site = await TestSite.open(podman);
    port = await freePort();
  });
  afterEach(async () => {
    await site.close();
    await podman.podman('pod', 'rm', '--all', '--force', '--time', '0');
    await podman.podman('volume', 'rm', '--all', '--force');
  });

  const pods = async () =>
    (await podman.podman('ps', '--no-trunc', '--format', '{{.ID}}')).split('\n').filter(Boolean).sort();
  const volumes = async () =>
    (await podman.podman('volume', 'ls', '--format', '{{.Name}}')).split('\n').filter(Boolean);

  test('an orphan runs on, is not removed by later orders, and keeps its port and names', async () => {
    await site.start();
    site.assign({ release: 'one', manifests: webManifests({ text: 'one', port, replicas: 2 }) });
    await site.until('Running');
    const before = await pods();
    site.remove('web', 'Orphan');
    const report = await site.until('Removed', { reason: 'Orphaned' });
    assert.match(report.message ?? '', /left as they are: pods selvedge-.*; nobody looks after them/);
    // The same order again after a restart, and another one that would remove.
    await site.stop();
    await site.start();
    site.remove('web', 'Orphan');
    await site.until('Removed', { reason: 'Orphaned' });
    site.remove('web', 'DeleteVolumes');
    await wait(1500);
    assert.equal(await fetchPage(port), 'one\n');
    assert.deepEqual(await pods(), before);

    site.assign({ name: 'next', release: 'one', manifests: webManifests({ text: 'next', port }) });
    const taken = await site.until('Failed', { name: 'next', reason: 'NameInUse' });
    assert.match(
      taken.message ?? '',
      /belongs to Application\/shop\/web, left here as an orphan; remove it with podman pod rm/,
    );
    const renamed = JSON.parse(
      JSON.stringify(webManifests({ text: 'next', port })).replaceAll('"web"', '"next"'),
    ) as object[];
    site.assign({ name: 'next', release: 'two', manifests: renamed });
    await site.until('Failed', { name: 'next', release: 'two', reason: 'PortInUse' });
    assert.deepEqual(await pods(), before);
  });

  test('an orphan that is assigned anew is kept again, without a pod being touched', async () => {
    await site.start();
    const manifests = webManifests({ text: 'one', port });
    site.assign({ release: 'one', manifests });
    await site.until('Running');
    const before = await pods();
    site.remove('web', 'Orphan');
    await site.until('Removed', { reason: 'Orphaned' });
    site.assign({ release: 'one', manifests });
    await site.until('Running');
    assert.deepEqual(await pods(), before);
    site.remove();
    await site.until('Removed');
    assert.deepEqual(await pods(), []);
  });

  test('data stays unless the order says so, also data that an application before it made', async () => {
    const own = [
      { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name: 'data' }, spec: {} },
      ...webManifests({
        text: 'one',
        port,
        container: { volumeMounts: [{ name: 'data', mountPath: '/data' }] },
        pod: { volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }] },
      }),
    ];
    await site.start();
    site.assign({ release: 'one', manifests: own });
    await site.until('Running');
    site.remove();
    await site.until('Removed', { reason: 'VolumesKept' });
    assert.equal((await volumes()).length, 1);

    site.assign({ name: 'again', release: 'one', manifests: own });
    await site.until('Running', { name: 'again' });
    await site.stop();
    await site.start();
    site.remove('again', 'DeleteVolumes');
    const report = await site.until('Removed', { name: 'again' });
    assert.equal(report.reason, undefined);
    assert.deepEqual(await volumes(), []);
  });

  test('data that another application uses stays although the order says otherwise', async () => {
    const claim = { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name: 'data' }, spec: {} };
    const runWithData = async (name: string) => {
      const manifests = webManifests({
        text: name,
        port: await freePort(),
        container: { volumeMounts: [{ name: 'data', mountPath: '/data' }] },
        pod: { volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }] },
      });
      const text = JSON.stringify([claim, ...manifests]).replaceAll('"web"', `"${name}"`);
      site.assign({ name, release: 'one', manifests: JSON.parse(text) as object[] });
      await site.until('Running', { name });
    };
    await site.start();
    await runWithData('first');
    await runWithData('second');
    site.remove('first', 'DeleteVolumes');
    const report = await site.until('Removed', { name: 'first', reason: 'VolumesKept' });
    assert.match(report.message ?? '', /others use them/);
    assert.equal((await volumes()).length, 1);
  });
});
