import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { RackImage } from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import { request, startDepot, type StartedDepot } from '../../depot/testing/depot-under-test.ts';
import { DepotArtifacts } from './depot-artifacts.ts';
import type { RackImageLibrary } from './rack-image-library.ts';
import { openLibrary, readDisk, temporaryFolder, until } from './testing/store-under-test.ts';

const mib = 1024 * 1024;

interface Lab extends StartedDepot {
  readonly library: RackImageLibrary;
  /** Pushes a disk. */
  readonly push: (name: string, bytes: Buffer) => RackImage;
}

async function startLab(t: TestContext, changes: Parameters<typeof startDepot>[1] = {}): Promise<Lab> {
  const started = await startDepot(t, changes);
  const { registry, depot, named } = started;
  const library = await openLibrary(t, {
    directory: await temporaryFolder(t),
    artifacts: new DepotArtifacts(depot),
  });
  const push = (name: string, bytes: Buffer): RackImage => ({
    name,
    architecture: 'amd64',
    bootModes: ['UEFI'],
    format: 'Raw',
    confirmation: 'Boot',
    namespace: 'machines',
    reference: `${named(name)}@${registry.addArtifact(`${name}:1`, { 'disk.img': bytes })}`,
    digest: sha256Digest(bytes),
    sizeBytes: bytes.length,
  });
  return { ...started, library, push };
}

function whole(library: RackImageLibrary, image: RackImage) {
  return until(`${image.name} is whole`, () => library.find(image));
}

test('a disk image comes out of its registry once, over a link that breaks, and stays with the registry away', async (t) => {
  const { library, push, registry, depot } = await startLab(t);
  const bytes = randomBytes(6 * mib);
  const image = push('debian', bytes);
  registry.cut = { afterBytes: 2 * mib, times: 2 };
  library.setWanted([image], [], true);
  const disk = await whole(library, image);
  assert.ok(bytes.equals(await readDisk(disk)));
  const ranges = registry.requests.flatMap(({ path, range }) => (path.includes(image.digest) ? [range] : []));
  assert.ok(ranges.length >= 3 && ranges.slice(1).every((range) => range !== undefined), ranges.join());
  assert.ok(registry.blobBytes < 8 * mib, `${registry.blobBytes} bytes`);
  assert.deepEqual(await until('it is noted as needed', async () => (await depot.needed()).get('rack')), [
    image.reference,
  ]);
  registry.isDown = true;
  const other = await openLibrary(t, {
    directory: await temporaryFolder(t),
    artifacts: new DepotArtifacts(depot),
  });
  other.setWanted([image], [], false);
  assert.ok(bytes.equals(await readDisk(await whole(other, image))));
});

test('what a registry sends instead of the image is never unpacked, and what it is to be is said', async (t) => {
  const { library, push, registry } = await startLab(t);
  const bytes = randomBytes(mib);
  const image = push('debian', bytes);
  registry.lies.set(image.digest, randomBytes(mib));
  library.setWanted([image], [], true);
  const fault = await until('it has failed', () => library.fault(image));
  assert.equal(fault.reason, 'ImageMismatch');
  assert.match(fault.message, /is something else/);
  assert.equal(await library.find(image), undefined);
  assert.equal(library.states()[0]?.state, 'Failed');
});

test('a layer that the disk of the depot changed is fetched again', async (t) => {
  const { library, push, depot, directory } = await startLab(t);
  const bytes = randomBytes(mib);
  const image = push('debian', bytes);
  await depot.ensure(image.reference, request({ namespace: 'machines' }));
  const file = await open(join(directory, 'blobs/sha256', image.digest.slice(7)), 'r+');
  await file.write(Buffer.from('spoilt'), 0, 6, 5000);
  await file.close();
  library.setWanted([image], [], true);
  assert.ok(bytes.equals(await readDisk(await whole(library, image))));
});

test('an image of the rack is not given up for others, and is let go when no machine is to have it', async (t) => {
  const { library, push, depot } = await startLab(t, { policy: { maxBytes: 3 * mib } });
  const image = push('debian', randomBytes(2 * mib));
  const large = push('large', randomBytes(2 * mib));
  library.setWanted([image], [], true);
  await whole(library, image);
  await until('it is noted as needed', async () => (await depot.needed()).get('rack'));
  const fetchLarge = () => depot.ensure(large.reference, request({ namespace: 'machines' }));
  await assert.rejects(fetchLarge(), { reason: 'StorageFull' });
  library.setWanted([], [], true);
  await until('it is let go', async () => (await depot.needed()).get('rack') === undefined || undefined);
  assert.ok(await fetchLarge());
  assert.equal(await depot.find(image.reference), undefined);
  // What was unpacked of it is still good.
  assert.ok(await library.find(image));
});

test('boot files are layers of an artifact by their titles', async (t) => {
  const { library, registry, named } = await startLab(t);
  const digest = registry.addArtifact('inspection:1', {
    vmlinuz: randomBytes(1000),
    'initrd.img': randomBytes(2000),
  });
  const system = {
    name: 'inspection',
    architecture: 'amd64',
    reference: `${named('inspection')}@${digest}`,
  } as const;
  library.setWanted([], [system], true);
  await until('it is ready', () => library.states()[0]?.state === 'Ready' || undefined);
  assert.equal(library.states()[0]?.digest, digest);
  assert.ok(await library.findBootFile('amd64', 'vmlinuz'));
  assert.equal(await library.findBootFile('amd64', 'other'), undefined);
});
