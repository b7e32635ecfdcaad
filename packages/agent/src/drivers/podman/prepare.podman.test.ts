import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { freePort, type PodmanTestbed, requireTool, startPodmanTestbed } from '@selvedge/testkit';
import { TestRegistry } from './testing/test-registry.ts';
import { eventually, fetchPage, hammer, TestSite, webManifests } from './testing/test-site.ts';

describe('a release that is prepared on a Podman site', requireTool('podman', 'nft', 'nsenter'), () => {
  let podman: PodmanTestbed;
  let registry: TestRegistry;
  let site: TestSite;
  let port: number;
  let folder: string;
  let digest: string;

  before(async () => {
    podman = await startPodmanTestbed();
    await podman.importBusyboxImage();
    registry = await TestRegistry.start();
    folder = join(podman.directory, 'ballast-image');
    await saveBallastImage(podman, folder);
    digest = await registry.add('ballast', folder);
  });
  after(async () => {
    await registry?.[Symbol.asyncDispose]();
    await podman?.close();
  });
  beforeEach(async () => {
    registry.pauseMs = 0;
    registry.isDown = false;
    registry.requests.length = 0;
    site = await TestSite.open(podman, { insecureRegistries: [registry.address] });
    port = await freePort();
  });
  afterEach(async () => {
    await site.close();
    await podman.podman('pod', 'rm', '--all', '--force', '--time', '0');
    await podman.podman('rmi', '--force', '--ignore', imageName());
  });

  const imageName = () => `${registry.address}/ballast:1`;
  const pods = async () =>
    (await podman.podman('ps', '--all', '--no-trunc', '--format', '{{.ID}} {{.Names}}')).split('\n').sort();
  const fetched = (text: string, change: object = {}) =>
    webManifests({ text, port, container: { image: imageName(), ...change } });
  const runOne = async () => {
    await site.start();
    site.assign({ release: 'one', manifests: webManifests({ text: 'one', port }) });
    await site.until('Running');
  };

  test('it waits, over restarts too, touches nothing, and takes over at once when it may', async () => {
    await runOne();
    const before = await pods();
    site.assign({ release: 'two', manifests: fetched('two'), mayActivate: false });
    const report = await site.until('Prepared', { release: 'two' });
    assert.equal(report.progress?.done, 1);
    assert.equal(report.progress?.total, 1);
    assert.ok((report.progress?.doneBytes ?? 0) > ballastBytes);
    assert.deepEqual(report.images, [{ name: imageName(), sizeBytes: report.progress?.totalBytes }]);
    assert.equal(report.activatedTime, undefined);
    assert.notEqual(report.runningDigest, report.digest);
    await site.stop();
    registry.isDown = true;
    const count = site.reports.length;
    await site.start();
    const again = await eventually(
      async () => site.reports.slice(count),
      (reports) => reports.length > 0,
    );
    assert.deepEqual(
      again.map(({ state }) => state),
      ['Prepared'],
    );
    assert.deepEqual(await pods(), before);
    const load = hammer(port);
    const from = new Date().toISOString();
    site.permit({ mayActivate: true });
    const running = await site.until('Running', { release: 'two' });
    assert.ok((running.activatedTime ?? '') >= from);
    assert.equal(running.progress, undefined);
    assert.deepEqual(running.images, report.images);
    assert.equal(await fetchPage(port), 'two\n');
    assert.deepEqual((await load.end()).failures, []);
  });

  test('without leave to fetch it asks nobody; a window that closes breaks off what is on its way', async () => {
    await runOne();
    site.assign({ release: 'two', manifests: fetched('two'), mayActivate: false, mayFetch: false });
    const report = await site.until('Preparing', { release: 'two' });
    await wait(1500);
    assert.deepEqual(site.lastReport()?.state, 'Preparing');
    assert.equal(report.reason, undefined);
    assert.deepEqual(registry.requests, []);
    registry.pauseMs = 200;
    site.permit({ mayFetch: true });
    await eventually(async () => registry.requests.filter((url) => url.includes('/blobs/')).length, Boolean);
    site.permit({ mayFetch: false });
    await wait(1000);
    const asked = registry.requests.length;
    await wait(1500);
    assert.equal(registry.requests.length, asked);
    assert.equal(site.lastReport()?.state, 'Preparing');
    assert.equal(site.lastReport()?.reason, undefined);
    registry.pauseMs = 0;
    site.permit({ mayFetch: true });
    await site.until('Prepared', { release: 'two' });
  });

  test('an image that somebody removes is noticed and fetched again', async () => {
    await site.start();
    const manifests = webManifests({
      text: 'one',
      port,
      container: { image: `${registry.address}/ballast@${digest}` },
    });
    site.assign({ release: 'one', manifests, mayActivate: false });
    const before = await site.until('Prepared');
    registry.isDown = true;
    const count = site.reports.length;
    await podman.podman('rmi', '--force', `${registry.address}/ballast@${digest}`);
    await eventually(
      async () => site.reports.slice(count).map(({ state }) => state),
      (states) => states.includes('Preparing'),
    );
    registry.isDown = false;
    const after = await site.until('Prepared', { seconds: 90 });
    assert.deepEqual(after.images, before.images);
    site.permit({ mayActivate: true });
    await site.until('Running');
    assert.equal(await fetchPage(port), 'one\n');
  });

  test('what is superseded while it is prepared never runs', async () => {
    await runOne();
    const seen = new Set<string>();
    site.assign({ release: 'two', manifests: fetched('two'), mayActivate: false });
    await site.until('Prepared', { release: 'two' });
    const load = hammer(port);
    site.assign({ release: 'three', manifests: webManifests({ text: 'three', port }) });
    await site.until('Running', { release: 'three' });
    const { answers, failures } = await load.end();
    for (const answer of answers) seen.add(answer);
    assert.deepEqual(failures, []);
    assert.ok(!seen.has('two'));
    assert.equal(await fetchPage(port), 'three\n');
  });

  test('a release that crashes is replaced by the one before, from what is here, while requests are answered', async () => {
    await site.start();
    const image = { imagePullPolicy: 'Always' };
    site.assign({ release: 'one', manifests: fetched('one', image) });
    await site.until('Running');
    registry.isDown = true;
    const load = hammer(port);
    const broken = { command: ['sh', '-c', 'exit 3'] };
    site.assign({ release: 'two', manifests: webManifests({ text: 'two', port, container: broken }) });
    await site.until('Failed', { release: 'two', reason: 'CrashLoop' });
    site.assign({ release: 'one', manifests: fetched('one', image) });
    const back = await site.until('Running', { release: 'one' });
    assert.equal(back.runningDigest, back.digest);
    await eventually(
      async () => (await pods()).filter((name) => name.includes('__c_')),
      (names) => names.length === 1,
    );
    const { answers, failures } = await load.end();
    assert.deepEqual(failures, []);
    assert.deepEqual([...new Set(answers)], ['one']);
  });

  test('what runs keeps its image when the name leads to another one', async () => {
    await site.start();
    site.assign({ release: 'one', manifests: fetched('one') });
    await site.until('Running');
    const imageOf = async () =>
      await podman.podman('ps', '--no-trunc', '--filter', 'name=__c_', '--format', '{{.ImageID}} {{.ID}}');
    const [image = '', container = ''] = (await imageOf()).trim().split(' ');
    await podman.podman('tag', 'localhost/busybox:1', imageName());
    await podman.podman('kill', '--signal', 'KILL', container);
    const again = await eventually(imageOf, (said) => said.trim() !== '' && !said.includes(container));
    assert.equal(again.trim().split(' ')[0], image);
    await site.until('Running');
  });

  test('a port that is taken, a folder that is missing and a root user are found before anything is touched', async () => {
    await runOne();
    const before = await pods();
    const other = await freePort();
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(other, '127.0.0.1', resolve));
    site.assign({
      release: 'two',
      manifests: webManifests({ text: 'two', port: other }),
      mayActivate: false,
    });
    await site.until('Failed', { release: 'two', reason: 'PortInUse' });
    await new Promise((resolve) => holder.close(resolve));
    await site.until('Prepared', { release: 'two' });
    const missing = { volumes: [{ name: 'f', hostPath: { path: '/nowhere/at/all', type: 'Directory' } }] };
    site.assign({
      release: 'three',
      manifests: webManifests({ text: 'x', port, pod: missing }),
      mayActivate: false,
    });
    const third = await site.until('Failed', { release: 'three', reason: 'CannotStart' });
    assert.equal(third.message, 'hostPath /nowhere/at/all does not exist on this machine');
    const root = { securityContext: { runAsNonRoot: true } };
    site.assign({
      release: 'four',
      manifests: webManifests({ text: 'x', port, pod: root }),
      mayActivate: false,
    });
    const fourth = await site.until('Failed', { release: 'four', reason: 'CannotStart' });
    assert.match(fourth.message ?? '', /must not run as root/);
    assert.deepEqual(await pods(), before);
    assert.equal(fourth.activatedTime, undefined);
  });

  test('an image is not fetched into the reserve of the disk, and what runs goes on', async () => {
    await site.close();
    site = await TestSite.open(podman, {
      insecureRegistries: [registry.address],
      imageReserveBytes: 2 ** 50,
    });
    await runOne();
    site.assign({ release: 'two', manifests: fetched('two') });
    const report = await site.until('Failed', { release: 'two', reason: 'InsufficientSpace' });
    assert.match(
      report.message ?? '',
      /ballast:1 does not fit: .*iB are free below .*1024 TiB of it stay in reserve/,
    );
    assert.deepEqual(registry.requests, []);
    assert.equal(await fetchPage(port), 'one\n');
  });
});

const ballastBytes = 8 * 2 ** 20;

/** An image with busybox and some megabytes that do not shrink. */
async function saveBallastImage(podman: PodmanTestbed, folder: string): Promise<void> {
  const context = join(podman.directory, 'ballast');
  await mkdir(context);
  await writeFile(join(context, 'ballast'), randomBytes(ballastBytes));
  await writeFile(join(context, 'Containerfile'), 'FROM localhost/busybox:1\nCOPY ballast /ballast\n');
  await podman.podman('build', '--network', 'none', '--tag', 'localhost/ballast:1', context);
  await podman.podman('save', '--format', 'oci-dir', '--output', folder, 'localhost/ballast:1');
  await podman.podman('rmi', '--force', 'localhost/ballast:1');
}
