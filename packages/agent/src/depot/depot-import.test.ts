import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger, sha256Digest, systemClock } from '@selvedge/api/node';
import { DepotImport } from './depot-import.ts';
import { listDepot } from './list-depot.ts';
import { refusal, request, startDepot } from './testing/depot-under-test.ts';

const kib = 1024;

interface CarriedImage {
  readonly digest: string;
  /** The manifest first. */
  readonly blobs: readonly Buffer[];
}

function imageOf(...layers: readonly Buffer[]): CarriedImage {
  const config = Buffer.from(JSON.stringify({ salt: Math.random() }));
  const part = (bytes: Buffer) => ({ digest: sha256Digest(bytes), size: bytes.length });
  const manifest = Buffer.from(
    JSON.stringify({ schemaVersion: 2, config: part(config), layers: layers.map(part) }),
  );
  return { digest: sha256Digest(manifest), blobs: [manifest, config, ...layers] };
}

async function add(depot: DepotImport, bytes: Buffer): Promise<boolean> {
  const content = (async function* () {
    yield bytes;
  })();
  return await depot.addBlob({ digest: sha256Digest(bytes), sizeBytes: bytes.length }, content);
}

const openImport = (directory: string, reserveBytes = 0) =>
  DepotImport.open({ directory, reserveBytes, clock: systemClock, logger: createLogger({ level: 'error' }) });

test('what is carried makes room for itself within the size of the depot, and nothing that is needed goes for it', async (t) => {
  const { registry, depot, directory, named } = await startDepot(t);
  for (const name of ['needed', 'idle']) {
    registry.addImage(`shop/${name}:1`, [100 * kib]);
    await depot.ensure(named(`shop/${name}:1`), request());
  }
  await depot.setNeeded('till', [named('shop/needed:1')]);
  const image = imageOf(Buffer.alloc(100 * kib, 1));
  const name = `registry.example/shop/till:1@${image.digest}`;
  const carried = await openImport(directory);
  carried.expect([{ name, digest: image.digest }], 230 * kib);
  for (const blob of image.blobs) assert.equal(await add(carried, blob), true);
  assert.equal(await carried.addImage(name, image.digest), true);
  const here = async (one: string) => (await depot.find(one)) !== undefined;
  assert.deepEqual(
    [await here(name), await here(named('shop/needed:1')), await here(named('shop/idle:1'))],
    [true, true, false],
  );
  assert.ok(await depot.ensure(name, request({ namespace: 'any', mayFetch: false })), 'the site may have it');
  for (const blob of image.blobs) assert.equal(await add(carried, blob), false, 'nothing is taken twice');

  const more = imageOf(Buffer.alloc(100 * kib, 2));
  carried.expect([{ name: 'registry.example/shop/more:1', digest: more.digest }], 230 * kib);
  const full = await refusal(Promise.all(more.blobs.map((blob) => add(carried, blob))));
  assert.equal(full.reason, 'StorageFull');
  assert.deepEqual([await here(name), await here(named('shop/needed:1'))], [true, true]);

  const reserving = await openImport(directory, Number.MAX_SAFE_INTEGER);
  assert.equal((await refusal(add(reserving, Buffer.alloc(kib, 3)))).reason, 'StorageFull');
});

test('what is carried belongs to its image as soon as its manifests are here', async (t) => {
  const { directory } = await startDepot(t);
  const [amd, arm] = [imageOf(Buffer.alloc(kib, 1)), imageOf(Buffer.alloc(kib, 2))];
  const index = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      manifests: [
        { digest: amd.digest, size: 1, platform: { os: 'linux', architecture: 'amd64' } },
        { digest: arm.digest, size: 1, platform: { os: 'linux', architecture: 'arm64' } },
      ],
    }),
  );
  const name = 'registry.example/shop/till:1';
  const digest = sha256Digest(index);
  const carried = await openImport(directory);
  carried.expect([{ name, digest }], undefined);
  const manifests = [index, ...[amd, arm].flatMap(({ blobs }) => blobs.slice(0, 1))];
  for (const manifest of manifests) await add(carried, manifest);
  const [known] = (await listDepot(directory)).images;
  const whole = [amd, arm].flatMap(({ blobs }) => blobs).reduce((sum, { length }) => sum + length, 0);
  assert.equal(known?.sizeBytes, whole + index.length, 'all that is still to come is known');
  for (const { blobs } of [amd, arm]) for (const blob of blobs.slice(1)) await add(carried, blob);
  assert.equal(await carried.addImage(name, digest), true);
});
