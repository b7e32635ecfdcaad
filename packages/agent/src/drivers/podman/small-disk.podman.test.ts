import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { freePort, requireTool, startPodmanTestbed } from '@selvedge/testkit';
import { TestRegistry } from './testing/test-registry.ts';
import { fetchPage, TestSite, webManifests } from './testing/test-site.ts';

const mebibyte = 2 ** 20;
const reserveBytes = 24 * mebibyte;
const isRoot = process.getuid?.() === 0;

describe('a Podman site with a small disk', requireTool('podman', 'nft', 'nsenter'), () => {
  test('an image that turns out too large is given up before the disk is full', {
    skip: !isRoot,
  }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'svg-small-'));
    const disk = join(folder, 'disk');
    await mkdir(disk);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', disk]);
    const podman = await startPodmanTestbed({ directory: join(disk, 'podman') });
    const registry = await TestRegistry.start();
    const site = await TestSite.open(podman, {
      insecureRegistries: [registry.address],
      imageReserveBytes: reserveBytes,
    });
    try {
      await podman.importBusyboxImage();
      const image = join(folder, 'image');
      await writeLayeredImage(image, 36);
      await registry.add('large', image);
      const port = await freePort();
      await site.start();
      site.assign({ release: 'one', manifests: webManifests({ text: 'one', port }) });
      await site.until('Running');
      registry.pauseMs = 150;
      const container = { image: `${registry.address}/large:1` };
      site.assign({ release: 'two', manifests: webManifests({ text: 'two', port, container }) });
      const report = await site.until('Failed', { release: 'two', reason: 'InsufficientSpace' });
      assert.match(
        report.message ?? '',
        /large:1 of at least .* does not fit: .* are free below .*24 MiB of it stay/,
      );
      assert.ok((await freeBytes(disk)) > reserveBytes / 3, 'the disk was not filled');
      assert.equal(await fetchPage(port), 'one\n');
      const asked = registry.requests.length;
      await wait(4000);
      assert.equal(registry.requests.length, asked, 'it is not begun again without more room');
    } finally {
      await site.close();
      await registry[Symbol.asyncDispose]();
      await podman.close();
      execFileSync('umount', ['-l', disk]);
      await rm(folder, { recursive: true, force: true });
    }
  });
});

async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

/** An image of some layers of 2 MiB, of which Podman fetches six at a time, as `podman save --format oci-dir` writes one. Nothing in it can run. */
async function writeLayeredImage(folder: string, count: number): Promise<void> {
  await mkdir(join(folder, 'blobs/sha256'), { recursive: true });
  const add = async (content: Buffer, mediaType: string) => {
    const hash = createHash('sha256').update(content).digest('hex');
    await writeFile(join(folder, 'blobs/sha256', hash), content);
    return {
      mediaType: `application/vnd.oci.image.${mediaType}`,
      digest: `sha256:${hash}`,
      size: content.length,
    };
  };
  const json = (value: unknown) => Buffer.from(JSON.stringify(value));
  const layers = [];
  for (let layer = 0; layer < count; layer++) {
    await writeFile(join(folder, `file-${layer}`), randomBytes(2 * mebibyte));
    const tar = execFileSync('tar', ['-C', folder, '-c', `file-${layer}`], { maxBuffer: 16 * mebibyte });
    layers.push(await add(tar, 'layer.v1.tar'));
  }
  const config = await add(
    json({
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      os: 'linux',
      rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
    }),
    'config.v1+json',
  );
  const manifest = await add(
    json({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.manifest.v1+json', config, layers }),
    'manifest.v1+json',
  );
  await writeFile(join(folder, 'index.json'), json({ schemaVersion: 2, manifests: [manifest] }));
}
