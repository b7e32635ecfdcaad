import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { freePort, type PodmanTestbed, requireTool, startPodmanTestbed } from '@selvedge/testkit';
import { eventually, fetchPage, hammer, TestSite, webManifests } from './testing/test-site.ts';

describe('a release on its way onto a Podman site', requireTool('podman', 'nft', 'nsenter'), () => {
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
  });

  const podNames = async () =>
    (await podman.podman('pod', 'ps', '--format', '{{.Name}}')).split('\n').filter(Boolean);

  test('a change replaces the pods while every request to the Service is answered', async () => {
    await site.start();
    site.assign({ release: 'one', manifests: webManifests({ text: 'one', port, replicas: 2 }) });
    const first = await site.until('Running');
    assert.deepEqual(first.pods, { wanted: 2, ready: 2 });
    assert.equal(first.runningDigest, first.digest);
    const load = hammer(port);
    site.assign({ release: 'two', manifests: webManifests({ text: 'two', port, replicas: 2 }) });
    await site.until('Running', { release: 'two' });
    await eventually(podNames, (names) => names.length === 3);
    await wait(1000);
    const { failures, answers } = await load.end();
    assert.deepEqual(failures, []);
    assert.equal(answers.at(-1), 'two');
    assert.ok(answers.includes('one'));
  });

  test('a change of the Service alone touches no pod', async () => {
    await site.start();
    const manifests = webManifests({ text: 'same', port });
    site.assign({ release: 'one', manifests });
    await site.until('Running');
    const before = await podman.podman('ps', '--filter', 'name=__c_httpd', '--format', '{{.ID}}');
    const otherPort = await freePort();
    site.assign({ release: 'two', manifests: webManifests({ text: 'same', port: otherPort }) });
    const report = await site.until('Running', { release: 'two' });
    assert.equal(await fetchPage(otherPort), 'same\n');
    assert.equal(report.runningDigest, report.digest);
    assert.equal(await podman.podman('ps', '--filter', 'name=__c_httpd', '--format', '{{.ID}}'), before);
  });

  test('an image that cannot be had yet keeps the release from taking over, and the old one serves', async () => {
    await site.start();
    site.assign({ release: 'one', manifests: webManifests({ text: 'one', port }) });
    await site.until('Running');
    const before = await podNames();
    const container = { image: `127.0.0.1:${await freePort()}/nowhere:1` };
    site.assign({
      release: 'two',
      manifests: webManifests({ text: 'two', port, container }),
      deadlineSeconds: 3,
    });
    const report = await site.until('Preparing', { release: 'two', reason: 'ImagePullFailed' });
    assert.match(report.message ?? '', /nowhere:1 cannot be pulled/);
    assert.notEqual(report.runningDigest, report.digest);
    assert.equal(await fetchPage(port), 'one\n');
    assert.deepEqual(await podNames(), before);
  });

  test('a release that crashes fails with its last words, and the old pods stay', async () => {
    await site.start();
    site.assign({ release: 'one', manifests: webManifests({ text: 'one', port, replicas: 2 }) });
    const first = await site.until('Running');
    const container = { command: ['sh', '-c', 'echo cannot open the till >&2; exit 3'] };
    site.assign({
      release: 'two',
      manifests: webManifests({ text: 'two', port, replicas: 2, container }),
      deadlineSeconds: 8,
    });
    const report = await site.until('Failed', { release: 'two' });
    assert.equal(report.reason, 'CrashLoop');
    assert.match(report.message ?? '', /container httpd ended with code 3/);
    assert.deepEqual(report.logs, ['cannot open the till']);
    assert.equal(report.runningDigest, first.digest);
    assert.equal(await fetchPage(port), 'one\n');
    site.assign({ release: 'three', manifests: webManifests({ text: 'three', port, replicas: 2 }) });
    await site.until('Running', { release: 'three' });
    assert.equal(await fetchPage(port), 'three\n');
  });

  test('a pod gets traffic only when it is ready, and a probe that never passes fails the release', async () => {
    await site.start();
    site.assign({ release: 'one', manifests: webManifests({ text: 'one', port }) });
    await site.until('Running');
    const load = hammer(port);
    const container = { readinessProbe: { httpGet: { path: '/nothing', port: 8080 }, periodSeconds: 1 } };
    site.assign({
      release: 'two',
      manifests: webManifests({ text: 'two', port, container }),
      deadlineSeconds: 8,
    });
    const report = await site.until('Failed', { release: 'two' });
    assert.equal(report.reason, 'ProbeFailed');
    assert.match(report.message ?? '', /readiness probe failed: HTTP 404/);
    const { failures, answers } = await load.end();
    assert.deepEqual(failures, []);
    assert.deepEqual([...new Set(answers)], ['one']);
  });

  test('the old pods that a failed release left come back after a power cut', async () => {
    await site.start();
    const secret = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'key' },
      stringData: { key: 'old key' },
    };
    const pod = { volumes: [{ name: 'key', secret: { secretName: 'key' } }] };
    const container = {
      command: ['sh', '-c', 'cp /key/key /www/index.html; exec httpd -f -p 8080 -h /www'],
      volumeMounts: [{ name: 'key', mountPath: '/key' }],
    };
    site.assign({ release: 'one', manifests: [secret, ...webManifests({ text: '', port, container, pod })] });
    await site.until('Running');
    const broken = { command: ['sh', '-c', 'exit 1'] };
    const manifests = webManifests({ text: '', port, container: broken });
    site.assign({ release: 'two', manifests, deadlineSeconds: 3 });
    await site.until('Failed', { release: 'two' });
    await site.stop();
    await podman.reboot();
    await site.start();
    await eventually(
      () => fetchPage(port),
      (page) => page === 'old key',
    );
    assert.equal(site.lastReport()?.state, 'Failed');
  });

  test('with strategy Recreate the old pod is gone before the new one starts', async () => {
    await site.start();
    const strategy = { type: 'Recreate' };
    site.assign({ release: 'one', manifests: webManifests({ text: 'one', port, strategy }) });
    await site.until('Running');
    site.assign({ release: 'two', manifests: webManifests({ text: 'two', port, strategy }) });
    let most = 0;
    while (site.lastReport()?.release !== 'two' || site.lastReport()?.state !== 'Running') {
      most = Math.max(most, (await podNames()).filter((name) => !name.includes('__svc_')).length);
      await wait(100);
    }
    assert.equal(most, 1);
    assert.equal(await fetchPage(port), 'two\n');
  });

  test('an agent killed at any moment of a replacement leaves a site that serves and that the next one finishes', async () => {
    await site.start();
    site.assign({ release: 'release-0', manifests: webManifests({ text: 'text-0', port, replicas: 2 }) });
    await site.until('Running');
    await site.stop();
    const load = hammer(port);
    for (let round = 1; round <= 5; round++) {
      const release = {
        release: `release-${round}`,
        manifests: webManifests({ text: `text-${round}`, port, replicas: 2 }),
      };
      site.assign(release);
      const program = new URL('./testing/driver-process.ts', import.meta.url).pathname;
      const child = spawn(process.execPath, [program], { stdio: ['pipe', 'ignore', 'ignore'] });
      child.stdin.end(JSON.stringify(site.describeForChild()));
      const gone = new Promise((resolve) => child.once('exit', resolve));
      // From before its first step to after its last.
      await wait(400 + round * 450);
      child.kill('SIGKILL');
      await gone;
    }
    await site.start();
    await site.until('Running', { release: 'release-5' });
    await eventually(podNames, (names) => names.length === 3);
    const { failures } = await load.end();
    assert.deepEqual(failures, []);
    assert.equal(await fetchPage(port), 'text-5\n');
  });
});
