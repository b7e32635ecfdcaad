import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import {
  type DockerRegistry,
  freePort,
  type PodmanTestbed,
  requireTool,
  startDockerRegistry,
  startPodmanTestbed,
  startTcpLink,
} from '@selvedge/testkit';
import type { SiteDepot } from '../../depot/site-depot.ts';
import { openTestDepot } from '../../depot/testing/depot-under-test.ts';
import { eventually, fetchPage, TestSite, webManifests } from './testing/test-site.ts';

const mib = 2 ** 20;

describe('a Podman site with a depot', requireTool('podman', 'nft', 'nsenter', 'docker-registry'), () => {
  let podman: PodmanTestbed;
  let registry: DockerRegistry;
  let directory: string;
  let depot: SiteDepot;
  let site: TestSite;
  let port: number;

  before(async () => {
    podman = await startPodmanTestbed();
    await podman.importBusyboxImage();
    registry = await startDockerRegistry();
    port = await freePort();
  });
  after(async () => {
    await registry?.[Symbol.asyncDispose]();
    await podman?.close();
  });
  beforeEach(async () => {
    directory = join(podman.directory, `depot-${randomBytes(4).toString('hex')}`);
    depot = await openTestDepot({ directory, insecureRegistries: [registry.address] });
    site = await TestSite.open(podman, { depot });
  });
  afterEach(async () => {
    await site.close();
    await depot.close();
    await podman.podman('pod', 'rm', '--all', '--force', '--time', '0');
    await rm(directory, { recursive: true, force: true });
    await registry.start().catch(() => {});
  });

  /** Pushes an image of some megabytes; this machine's Podman keeps nothing of it. @returns its name with its digest. */
  const push = async (tag: string, ballastBytes = mib, at = registry.address): Promise<string> => {
    const context = join(podman.directory, `image-${randomBytes(4).toString('hex')}`);
    await mkdir(context);
    await writeFile(join(context, 'ballast'), randomBytes(ballastBytes));
    await writeFile(join(context, 'Containerfile'), 'FROM localhost/busybox:1\nCOPY ballast /ballast\n');
    const local = `localhost/made:${tag}`;
    await podman.podman('build', '--network', 'none', '--tag', local, context);
    const digestFile = join(context, 'digest');
    const pushed = ['--tls-verify=false', '--digestfile', digestFile, local];
    await podman.podman('push', ...pushed, `${registry.address}/shop/till:${tag}`);
    await podman.podman('rmi', '--force', local);
    return `${at}/shop/till:${tag}@${(await readFile(digestFile, 'utf8')).trim()}`;
  };
  const assign = (release: string, image: string, more: object = {}) =>
    site.assign({ release, manifests: webManifests({ text: release, port, container: { image } }), ...more });
  const names = async () => await podman.podman('images', '--all', '--format', '{{.Repository}}:{{.Tag}}');
  const reopen = async () => {
    await site.stop();
    await depot.close();
    depot = await openTestDepot({ directory, insecureRegistries: [registry.address] });
    site.use({ depot });
    await site.start();
  };

  test('its images come through the depot, and come back from there when all else is gone', async () => {
    const image = await push('1');
    await site.start();
    assign('one', image);
    await site.until('Running');
    assert.equal(await fetchPage(port), 'one\n');
    assert.ok(await depot.find(image), 'the depot keeps it');
    assert.doesNotMatch(await names(), /__/, "no name of the depot's own port stays");
    await registry.stop();
    await site.stop();
    await podman.podman('pod', 'rm', '--all', '--force', '--time', '0');
    await podman.podman('rmi', '--all', '--force');
    await podman.importBusyboxImage();
    await reopen();
    await eventually(
      () => fetchPage(port),
      (page) => page === 'one\n',
      90,
    );
  });

  test('a tag that moves on takes no image away from a release that is named by its digest', async () => {
    const one = await push('2');
    const two = await push('2');
    assert.notEqual(one, two);
    await site.start();
    assign('one', one);
    await site.until('Running', { release: 'one' });
    assign('two', two);
    await site.until('Running', { release: 'two' });
    await registry.stop();
    await rm(join(directory, 'blobs'), { recursive: true });
    assign('one', one);
    await site.until('Running', { release: 'one' });
    assert.equal(await fetchPage(port), 'one\n');
  });

  test('over a link that is cut it says how far it is, goes on where it was, and leaves what runs alone', async () => {
    await using link = await startTcpLink({ target: { port: registry.port } });
    const at = `127.0.0.1:${link.port}`;
    await depot.close();
    depot = await openTestDepot({ directory, insecureRegistries: [at], policy: { bytesPerSecond: 2 * mib } });
    site.use({ depot });
    const first = await push('3', mib, at);
    const second = await push('4', 12 * mib, at);
    await site.start();
    assign('one', first);
    await site.until('Running', { release: 'one' });
    assign('two', second);
    const report = await eventually(
      async () => site.lastReport(),
      (last) => (last?.progress?.doneBytes ?? 0) > mib && last?.release === 'two',
    );
    assert.equal(report?.state, 'Preparing');
    assert.match(report?.progress?.image ?? '', /shop\/till@sha256:/);
    assert.ok((report?.progress?.totalBytes ?? 0) > 12 * mib);
    link.cut();
    assert.equal(await fetchPage(port), 'one\n');
    site.permit({ mayFetch: false });
    link.restore();
    await eventually(
      async () => link.connections,
      (connections) => connections === 0,
    );
    const partial = await readdir(join(directory, 'partial'));
    assert.equal(partial.length, 1, 'what has arrived stays');
    site.permit({ mayFetch: true });
    await site.until('Running', { release: 'two' });
    assert.equal(await fetchPage(port), 'two\n');
  });

  test('an image that the disk damaged in the depot is fetched again', async () => {
    const image = await push('5');
    await depot.ensure(image, {
      mayFetch: true,
      namespace: 'shop',
      signal: new AbortController().signal,
    });
    const blobs = join(directory, 'blobs', 'sha256');
    for (const name of await readdir(blobs)) {
      const bytes = await readFile(join(blobs, name));
      if (bytes.length < mib) continue;
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
      await writeFile(join(blobs, name), bytes);
    }
    await site.start();
    assign('one', image);
    await site.until('Running');
    assert.equal(await fetchPage(port), 'one\n');
  });

  test('an image that is not there is told by its name, and what runs goes on', async () => {
    const image = await push('6');
    await site.start();
    assign('one', image);
    await site.until('Running');
    assign('two', `${registry.address}/shop/none:1`);
    const failed = await site.until('Failed', { release: 'two', reason: 'ImagePullFailed' });
    assert.match(failed.message ?? '', /shop\/none:1 cannot be fetched: .* has no image shop\/none:1/);
    assert.equal(await fetchPage(port), 'one\n');
  });
});
