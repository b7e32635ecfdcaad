import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { requireTool, startTestPostgres } from '@selvedge/testkit';
import { RegistryLab } from './testing/registry-lab.ts';
import { blobOf, imageOf } from './testing/test-image.ts';

test(
  'hubs on one database have one registry where they have one storage, and none where they do not',
  requireTool('postgres', 'initdb', 'psql'),
  async (t) => {
    const postgres = await startTestPostgres();
    t.after(() => postgres.remove());
    const { url: store } = await postgres.createDatabase();
    const folders = ['one', 'two', 'three', 'images', 'others'].map((name) =>
      mkdtempSync(join(tmpdir(), `selvedge-${name}-`)),
    );
    t.after(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));
    const [one = '', two = '', three = '', images = '', others = ''] = folders;
    const shared = { store, registryStorage: `file://${images}` };
    const first = await RegistryLab.start(t, { ...shared, data: one });
    for (const data of [two, three]) cpSync(join(one, 'keys'), join(data, 'keys'), { recursive: true });
    const second = await RegistryLab.start(t, { ...shared, data: two });

    const blob = blobOf('a layer that is sent to two hubs');
    const begun = await first.ask({
      method: 'POST',
      path: '/v2/shop/till/blobs/uploads/',
      headers: { 'content-length': 0 },
    });
    const path = begun.headers.location ?? '';
    await first.ask({ method: 'PATCH', path, body: blob.bytes.subarray(0, 10) });
    const rest = blob.bytes.subarray(10);
    const ended = await second.ask({ method: 'PUT', path: `${path}?digest=${blob.digest}`, body: rest });
    assert.equal(ended.status, 201, ended.bytes.toString('utf8'));
    const image = imageOf(['layer']);
    await second.push('shop/till', '1', image);
    const found = await first.ask({ path: '/v2/shop/till/manifests/1' });
    assert.equal(found.headers['docker-content-digest'], image.manifest.digest);

    const apart = { store, registryStorage: `file://${others}`, data: three };
    const stranger = await RegistryLab.start(t, apart);
    const refused = await stranger.ask({ path: '/v2/' });
    assert.deepEqual([refused.status, refused.code], [503, 'UNAVAILABLE']);
    assert.match(refused.bytes.toString('utf8'), /same --registry-storage/);
    await stranger.hub.stop();
    const without = await RegistryLab.start(t, { store, data: three });
    assert.match((await without.ask({ path: '/v2/' })).bytes.toString('utf8'), /one place for the content/);
    // Hubs end before their database.
    for (const lab of [first, second, without]) await lab.hub.stop();
  },
);
