import assert from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { partialName } from './blob-files.ts';
import type { DepotProgress } from './depot.ts';
import type { SiteDepot } from './site-depot.ts';
import {
  type DepotChanges,
  openTestDepot,
  refusal,
  request,
  temporaryDirectory,
} from './testing/depot-under-test.ts';
import { ImageRegistry } from './testing/image-registry.ts';

const kib = 1024;
const mib = 1024 * kib;

describe('the depot of a site', () => {
  let registry: ImageRegistry;
  let directory: string;
  let depot: SiteDepot;
  const cleanups: (() => Promise<void>)[] = [];

  beforeEach(async () => {
    registry = await ImageRegistry.start();
    directory = await temporaryDirectory({ after: (work) => void cleanups.push(work) });
    depot = await open();
  });
  afterEach(async () => {
    await depot.close();
    await registry[Symbol.asyncDispose]();
    for (const cleanup of cleanups.splice(0)) await cleanup();
  });

  const open = (changes: DepotChanges = {}) =>
    openTestDepot({ directory, insecureRegistries: [registry.address], ...changes });
  const reopen = async (changes: DepotChanges = {}) => {
    await depot.close();
    depot = await open(changes);
  };
  const named = (name: string) => `${registry.address}/${name}`;
  const blobsHere = async () => (await readdir(join(directory, 'blobs', 'sha256'))).length;

  test('an image is fetched once, whoever asks, and found again after a restart with its registry gone', async () => {
    const { layers } = registry.addImage('shop/till:1', [300 * kib, 20 * kib]);
    const all = await Promise.all([1, 2, 3].map(() => depot.ensure(named('shop/till:1'), request())));
    assert.equal(new Set(all.map((image) => image?.digest)).size, 1);
    assert.equal(registry.asked('/blobs/').length, 3, 'a configuration and two layers');
    assert.ok(registry.blobBytes < 321 * kib, 'the bytes of the image, once');
    registry.isDown = true;
    await reopen();
    const image = await depot.find(named('shop/till:1'));
    assert.equal(image?.digest, all[0]?.digest);
    assert.ok((image?.sizeBytes ?? 0) > layers.reduce((sum, layer) => sum + layer.length, 0));
    assert.deepEqual(await depot.ensure(named('shop/till:1'), request()), image);
  });

  test('layers that another image brought are not fetched again', async () => {
    const first = registry.addImage('shop/till:1', [200 * kib, 10 * kib]);
    registry.addImage('shop/kiosk:1', [...first.layers, 5 * kib]);
    await depot.ensure(named('shop/till:1'), request());
    registry.requests.length = 0;
    await depot.ensure(named('shop/kiosk:1'), request());
    assert.equal(registry.asked('/blobs/').length, 2, 'its own configuration and one layer');
  });

  test('a fetch that is cut off goes on where it was', async () => {
    const { layers } = registry.addImage('shop/till:1', [mib]);
    registry.cut = { afterBytes: 600 * kib, times: 1 };
    await depot.ensure(named('shop/till:1'), request());
    const ranges = registry.requests.flatMap(({ range }) => range ?? []);
    assert.equal(ranges.length, 1);
    assert.ok(
      registry.blobBytes < (layers[0]?.length ?? 0) + 100 * kib,
      `${registry.blobBytes} bytes were sent`,
    );
  });

  test('a registry that sends from the beginning after a cut is taken as it is', async () => {
    registry.addImage('shop/till:1', [mib]);
    registry.cut = { afterBytes: 600 * kib, times: 1 };
    registry.ignoresRange = true;
    const image = await depot.ensure(named('shop/till:1'), request());
    assert.ok(image);
  });

  test('what has arrived outlives a restart, also when it was damaged', async () => {
    registry.addImage('shop/till:1', [2 * mib]);
    registry.pauseMs = 20;
    const stop = new AbortController();
    const fetching = depot.ensure(named('shop/till:1'), request({ signal: stop.signal }));
    while (registry.blobBytes < 900 * kib) await wait(5);
    stop.abort();
    await assert.rejects(fetching, { name: 'AbortError' });
    registry.pauseMs = 0;
    const sent = registry.blobBytes;
    await reopen();
    await depot.ensure(named('shop/till:1'), request());
    assert.ok(registry.blobBytes - sent < 1.5 * mib, 'the rest was fetched');

    const other = registry.addImage('shop/till:2', [mib]);
    const layer = (await layerDigests(registry, other.manifestDigest))[0] ?? '';
    const part = partialName(layer, registry.address);
    await writeFile(join(directory, 'partial', part), Buffer.alloc(500 * kib));
    await depot.ensure(named('shop/till:2'), request());
    assert.deepEqual(await readdir(join(directory, 'partial')), []);
  });

  test('a registry that lies about a layer is told from a link that breaks', async () => {
    const { manifestDigest, layers } = registry.addImage('shop/till:1', [200 * kib]);
    const [layer = ''] = await layerDigests(registry, manifestDigest);
    registry.lies.set(layer, Buffer.alloc(layers[0]?.length ?? 0, 1));
    const wrongBytes = await refusal(depot.ensure(named('shop/till:1'), request()));
    assert.equal(wrongBytes.reason, 'DigestMismatch');
    assert.match(wrongBytes.message, /is something else/);
    registry.lies.set(layer, Buffer.alloc(300 * kib, 1));
    assert.equal((await refusal(depot.ensure(named('shop/till:1'), request()))).reason, 'DigestMismatch');
    assert.equal(await depot.find(named('shop/till:1')), undefined);
    registry.lies.clear();
    assert.ok(await depot.ensure(named('shop/till:1'), request()));
  });

  test('a registry that lies about a manifest is found out', async () => {
    const { manifestDigest } = registry.addImage('shop/till:1', [kib]);
    registry.lies.set(manifestDigest, Buffer.from('{"schemaVersion":2}'));
    const image = `${named('shop/till')}@${manifestDigest}`;
    assert.equal((await refusal(depot.ensure(image, request()))).reason, 'DigestMismatch');
    assert.equal((await refusal(depot.ensure(named('shop/till:1'), request()))).reason, 'DigestMismatch');
    registry.addManifest(
      'shop/odd:1',
      Buffer.from('{"layers":[{"digest":"sha256:../../etc","size":1}],"config":{}}'),
    );
    assert.equal((await refusal(depot.ensure(named('shop/odd:1'), request()))).reason, 'Invalid');
    assert.equal((await refusal(depot.ensure('No Image', request()))).reason, 'Invalid');
  });

  test('nothing goes over the link while nothing may be fetched; what is whole counts', async () => {
    registry.addImage('shop/till:1', [kib]);
    assert.equal(await depot.ensure(named('shop/till:1'), request({ mayFetch: false })), undefined);
    assert.equal(registry.requests.length, 0);
    await depot.ensure(named('shop/till:1'), request());
    assert.ok(await depot.ensure(named('shop/till:1'), request({ mayFetch: false })));
  });

  test('a tag that moved is looked up when asked to, and leads to the image of before until the new one is whole', async () => {
    const before = registry.addImage('shop/till:1', [kib]);
    await depot.ensure(named('shop/till:1'), request());
    const after = registry.addImage('shop/till:1', [mib]);
    assert.equal((await depot.ensure(named('shop/till:1'), request()))?.digest, before.manifestDigest);
    registry.cut = { afterBytes: kib, times: 100 };
    registry.ignoresRange = true;
    const isFresh = true;
    const giveUp = AbortSignal.timeout(1500);
    await assert.rejects(depot.ensure(named('shop/till:1'), request({ isFresh, signal: giveUp })));
    assert.equal((await depot.find(named('shop/till:1')))?.digest, before.manifestDigest);
    registry.cut = undefined;
    assert.equal(
      (await depot.ensure(named('shop/till:1'), request({ isFresh })))?.digest,
      after.manifestDigest,
    );
  });

  test('of an image for several machines those that the site has are brought', async () => {
    const amd = registry.addImage('shop/till:amd', [kib]);
    const arm = registry.addImage('shop/till:arm', [2 * kib], 'arm64');
    const other = registry.addImage('shop/till:s390x', [3 * kib], 's390x');
    const index = registry.addIndex('shop/till:1', { amd64: amd, arm64: arm, s390x: other });
    const architectures = ['amd64', 'arm64'];
    const image = await depot.ensure(`${named('shop/till')}:1@${index}`, request({ architectures }));
    assert.equal(image?.digest, index);
    assert.equal(await blobsHere(), 7, 'the index, two manifests, two configurations, two layers');
    const missing = await refusal(
      depot.ensure(named('shop/till:1'), request({ architectures: ['riscv64'] })),
    );
    assert.equal(missing.reason, 'NotFound');
    assert.match(missing.message, /not for riscv64, only for: amd64, arm64, s390x/);
  });

  test('logins are given as the registry wants them, and asked for anew when it refuses them', async () => {
    registry.addImage('shop/till:1', [kib]);
    const good = { username: 'site', password: 'good' };
    const asked: boolean[] = [];
    const logins = {
      find: async ({ isRefused = false }: { isRefused?: boolean }) => {
        asked.push(isRefused);
        return isRefused ? good : { ...good, password: 'expired' };
      },
    };
    for (const scheme of ['Bearer', 'Basic'] as const) {
      registry.login = { scheme, ...good };
      await reopen({ surroundings: { logins } });
      asked.length = 0;
      assert.ok(await depot.ensure(named('shop/till:1'), request({ isFresh: true })));
      assert.deepEqual(asked, [false, true], scheme);
    }
    await reopen();
    registry.addImage('shop/till:2', [kib]);
    const none = await refusal(depot.ensure(named('shop/till:2'), request()));
    assert.equal(none.reason, 'Denied');
    assert.match(none.message, /make a RegistryCredential/);
    const own = await depot.ensure(named('shop/till:2'), request({ login: good }));
    assert.ok(own, 'the login of the pod counts');
  });

  test('a token that expires in mid-fetch is renewed', async () => {
    registry.addImage('shop/till:1', [mib, mib, mib, mib, mib]);
    registry.login = { scheme: 'Bearer', username: 'site', password: 'good' };
    registry.pauseMs = 5;
    await reopen({
      surroundings: { logins: { find: async () => ({ username: 'site', password: 'good' }) } },
    });
    const fetching = depot.ensure(named('shop/till:1'), request());
    while (registry.blobBytes < mib) await wait(5);
    registry.token = 'token-2';
    assert.ok(await fetching);
    assert.equal(registry.asked('/token').length, 2);
  });

  test('blobs that lie elsewhere are fetched there, and the login does not go along', async () => {
    await using store = await ImageRegistry.start();
    const image = registry.addImage('shop/till:1', [100 * kib]);
    store.addImage('shop/till:1', image.layers);
    const login = { username: 'site', password: 'good' };
    registry.login = { scheme: 'Basic', ...login };
    registry.redirectsTo = `http://${store.address}`;
    const error = await refusal(depot.ensure(named('shop/till:1'), request({ login })));
    assert.equal(error.reason, 'NotFound', 'the configuration is not there');
    assert.ok(store.requests.length > 0);
    assert.deepEqual(
      store.requests.filter(({ authorization }) => authorization !== undefined),
      [],
    );
  });

  test('images that are missing, or whose registry is away, are told apart', async () => {
    const missing = await refusal(depot.ensure(named('shop/none:1'), request()));
    assert.deepEqual([missing.reason, missing.isLasting], ['NotFound', true]);
    registry.isDown = true;
    const away = await refusal(depot.ensure(named('shop/none:1'), request()));
    assert.deepEqual([away.reason, away.isLasting], ['Unavailable', false]);
  });

  test('it says how far it is, and when it should be done', async () => {
    registry.addImage('shop/till:1', [3 * mib]);
    registry.pauseMs = 60;
    const said: DepotProgress[] = [];
    await depot.ensure(named('shop/till:1'), request({ onProgress: (progress) => said.push(progress) }));
    const middle = said.find(({ doneBytes, totalBytes }) => doneBytes > 0 && doneBytes < totalBytes);
    assert.ok(middle, 'something between nothing and all was said');
    assert.ok(said.some(({ doneAt }) => doneAt !== undefined));
    const last = said.at(-1);
    assert.equal(last?.doneBytes, last?.totalBytes);
  });

  test('what a broken disk has changed is found, and fetched again', async () => {
    const { manifestDigest } = registry.addImage('shop/till:1', [100 * kib]);
    const image = `${named('shop/till')}@${manifestDigest}`;
    await depot.ensure(image, request());
    assert.equal(await depot.doubt(image), false);
    const [layer = ''] = await layerDigests(registry, manifestDigest);
    await writeFile(join(directory, 'blobs', 'sha256', layer.slice(7)), Buffer.alloc(100 * kib));
    assert.equal(await depot.doubt(image), true);
    assert.equal(await depot.find(image), undefined);
    assert.ok(await depot.ensure(image, request()));
    assert.equal(await depot.doubt(image), false);
  });

  test('for space the image that was not used for longest goes, never one that is needed', async () => {
    const policy = { maxBytes: 900 * kib };
    await reopen({ policy });
    for (const name of ['needed', 'old', 'young']) {
      registry.addImage(`shop/${name}:1`, [250 * kib]);
      await depot.ensure(named(`shop/${name}:1`), request());
      await wait(20);
    }
    await depot.setNeeded('till', [named('shop/needed:1')]);
    await reopen({ policy });
    registry.addImage('shop/new:1', [250 * kib]);
    await depot.ensure(named('shop/new:1'), request());
    const here = async (name: string) => (await depot.find(named(`shop/${name}:1`))) !== undefined;
    assert.deepEqual(
      [await here('needed'), await here('old'), await here('young'), await here('new')],
      [true, false, true, true],
    );
    await depot.setNeeded('kiosk', [named('shop/young:1'), named('shop/new:1')]);
    registry.addImage('shop/much:1', [400 * kib]);
    registry.requests.length = 0;
    const full = await refusal(depot.ensure(named('shop/much:1'), request()));
    assert.equal(full.reason, 'StorageFull');
    assert.match(full.message, /Site\.spec\.depot\.size/);
    assert.equal(registry.asked('/blobs/').length, 0, 'nothing was fetched for it');
    assert.deepEqual([await here('needed'), await here('young'), await here('new')], [true, true, true]);
    await depot.setNeeded('kiosk', []);
    assert.ok(await depot.ensure(named('shop/much:1'), request()));
  });

  test('a second agent does not get the same folder', async () => {
    await assert.rejects(open(), /another agent has its depot/);
  });
});

async function layerDigests(registry: ImageRegistry, manifestDigest: string): Promise<string[]> {
  const answer = await fetch(`http://${registry.address}/v2/shop/till/manifests/${manifestDigest}`);
  const manifest = (await answer.json()) as { layers: { digest: string }[] };
  registry.requests.length = 0;
  return manifest.layers.map(({ digest }) => digest);
}
