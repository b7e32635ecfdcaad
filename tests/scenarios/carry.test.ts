import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { ImageRegistry, importSite, openDepotForImport, openTestDepot } from '@selvedge/agent/testing';
import { type KubeObject, type ResourceRef, type Secret, secrets, type Site, sites } from '@selvedge/api';
import { createLogger, sha256Digest } from '@selvedge/api/node';
import { resourcePath } from '@selvedge/kube';
import { FleetLab, hours, minutes } from './fleet-lab.ts';

const events: ResourceRef = { group: '', version: 'v1', plural: 'events', kind: 'Event', namespaced: true };

/** What the hub sends for a site, as a file on a stick. */
async function exportSite(
  lab: FleetLab,
  site: string,
  request: { images?: boolean; have?: readonly string[] } = { images: false },
): Promise<Buffer> {
  const archive = lab.client.download({
    method: 'POST',
    path: resourcePath(sites, { name: site, subresource: 'export' }),
    body: { apiVersion: 'selvedge.dev/v1alpha1', kind: 'SiteExportRequest', ...request },
    idleMilliseconds: 60_000,
    signal: AbortSignal.timeout(60_000),
  });
  return Buffer.concat(await Array.fromAsync(archive));
}

async function importAt(
  lab: FleetLab,
  site: string,
  stick: { readonly archive: Buffer; readonly depot?: string },
): Promise<string> {
  const { archive } = stick;
  const { stateDir } = lab.site(site);
  const images = await openDepotForImport({
    stateDir,
    depot: stick.depot,
    clock: lab.clock,
    logger: createLogger({ level: 'error' }),
  });
  const file = join(stateDir, 'stick.tar');
  await writeFile(file, archive);
  return importSite({
    stateDir,
    file,
    input: Readable.from([]),
    by: 'anna',
    clock: lab.clock,
    tell: () => {},
    ...(images === undefined ? {} : { images }),
    signal: new AbortController().signal,
  });
}

test('a shop that is cut off follows what was carried to it, and is in step when its link comes back', async () => {
  await using lab = await FleetLab.start();
  await lab.addSites(['shop-0', 'shop-1']);
  await lab.apply('till', { version: '1' });
  await lab.rolloutReaches('till-1', 'Completed');

  lab.cut('shop-1');
  await lab.apply('till', { version: '2', rollout: { waves: [{ name: 'all', percent: 100 }] } });
  await lab.untilWithin(hours(1), 'shop-0 runs it', async () => lab.versionAt('shop-0', 'till') === '2');
  assert.equal(lab.versionAt('shop-1', 'till'), '1');

  const archive = await exportSite(lab, 'shop-1');
  await assert.rejects(
    importAt(lab, 'shop-0', { archive }),
    /is for site "shop-1", and this is site "shop-0"/,
  );
  assert.match(await importAt(lab, 'shop-1', { archive }), /The running agent follows this state now/);
  await lab.until('shop-1 runs it', async () => lab.versionAt('shop-1', 'till') === '2');

  lab.restore('shop-1');
  await lab.untilWithin(hours(2), 'the hub knows that it runs there', async () => {
    const delivery = await lab.findDelivery('till', 'shop-1');
    return delivery?.status.state === 'Running' && delivery.status.runningRelease === delivery.spec.release;
  });
  const site = await lab.client.get<Site>(sites, { name: 'shop-1' });
  const behind = site.status?.conditions?.find(({ type }) => type === 'HubBehind');
  assert.notEqual(behind?.status, 'True');
  await lab.untilWithin(minutes(60), 'an Event tells who carried it', async () => {
    const { items } = await lab.client.list<KubeObject & { reason?: string; message?: string }>(events);
    return items.some(
      ({ reason, message }) => reason === 'StateImported' && message?.includes('anna') === true,
    );
  });

  // What was carried before is no way back.
  await lab.apply('till', { version: '3', rollout: { waves: [{ name: 'all', percent: 100 }] } });
  await lab.untilWithin(
    hours(1),
    'shop-1 runs the next',
    async () => lab.versionAt('shop-1', 'till') === '3',
  );
  await assert.rejects(importAt(lab, 'shop-1', { archive }), /nothing goes back in time; export it anew/);
  assert.equal(lab.versionAt('shop-1', 'till'), '3');
});

test('a Secret is carried sealed: it can be read at its site, and nowhere on the way', async () => {
  await using lab = await FleetLab.start();
  await lab.addSites(['shop-0']);
  await lab.apply('till', { version: '1' });
  await lab.rolloutReaches('till-1', 'Completed');
  lab.cut('shop-0');
  await lab.client.create<Secret>(secrets, {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'cash', namespace: 'shop' },
    type: 'Opaque',
    data: { key: Buffer.from('the very secret value').toString('base64') },
  } as Secret);
  await lab.apply('till', {
    version: '2',
    rollout: { waves: [{ name: 'all', percent: 100 }] },
    spec: { secrets: [{ name: 'cash' }] },
  });
  let archive: Buffer = Buffer.alloc(0);
  await lab.untilWithin(hours(1), 'it is wanted there, with its Secret', async () => {
    archive = await exportSite(lab, 'shop-0');
    return archive.includes('Secret/shop/cash') && archive.includes('sealed/0');
  });
  assert.ok(!archive.includes('the very secret value'));
  assert.ok(!archive.includes(Buffer.from('the very secret value').toString('base64')));
  assert.match(await importAt(lab, 'shop-0', { archive }), /1 sealed value/);
  await lab.until('it runs', async () => lab.versionAt('shop-0', 'till') === '2');
  const [running] = [...lab.site('shop-0').agent.driver.running.values()];
  assert.ok(running);
});

test('who may not export, and what cannot be exported, is told so', async () => {
  await using lab = await FleetLab.start();
  await lab.client.create<Site>(sites, {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Site',
    metadata: { name: 'empty' },
  });
  await assert.rejects(exportSite(lab, 'empty'), /site "empty" has no agent yet.*enrol it first/);
  await assert.rejects(exportSite(lab, 'nowhere'), /nowhere/);
  await lab.addSites(['shop-0']).catch(() => undefined);
  const wrong = (body: unknown) =>
    lab.client.request({
      method: 'POST',
      path: resourcePath(sites, { name: 'shop-0', subresource: 'export' }),
      body,
    });
  await assert.rejects(wrong({ have: ['sha256:x'] }), /have\[0\]: must be a digest/);
  await assert.rejects(wrong({ images: 'no' }), /images: must be true or false/);
  await assert.rejects(
    lab.client.request({
      method: 'GET',
      path: resourcePath(sites, { name: 'shop-0', subresource: 'export' }),
    }),
    /an export takes POST/,
  );
});

test('images are carried too: the depot has them whole, with the registry gone; what is there already is left out', async () => {
  await using registry = await ImageRegistry.start();
  const { address } = registry;
  const made = registry.addImage('shop/till:1', [50_000, 70_000]);
  registry.addIndex('shop/index:1', {
    amd64: made,
    s390x: registry.addImage('shop/other:1', [60_000], 's390x'),
  });
  await using lab = await FleetLab.start({ hub: { insecureRegistry: [address] } });
  await lab.addSites(['shop-0']);
  const images = [`${address}/shop/till:1`, `${address}/shop/index:1`, `${address}/shop/missing:1`];
  const containers = images.map((image, at) => ({ name: `c${at}`, image }));
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'till' }, spec: { containers } };
  await lab.apply('till', {
    version: '',
    spec: { source: { inline: { manifests: [pod as KubeObject] } }, images: { tags: 'Keep' } },
  });
  await lab.rolloutReaches('till-1', 'Completed');

  const archive = await exportSite(lab, 'shop-0', { images: true });
  const path = await mkdtemp(join(tmpdir(), 'svg-carry-'));
  const text = await importAt(lab, 'shop-0', { archive, depot: path });
  assert.match(text, /2 images of \d+ blobs, [1-9]\d* of them new here/);
  assert.match(text, /Not in the file: image .*shop\/missing:1: /);
  const depot = await openTestDepot({ directory: path, insecureRegistries: [address] });
  for (const name of images.slice(0, 2)) assert.ok(await depot.find(name), `${name} is whole`);
  assert.equal(await depot.find(images[2] as string), undefined);
  await depot.close();

  const have = [...made.layers].map((layer) => sha256Digest(layer));
  const smaller = await exportSite(lab, 'shop-0', { images: true, have });
  assert.ok(smaller.length < archive.length - 100_000, `${archive.length} and ${smaller.length}`);
  assert.match(await importAt(lab, 'shop-0', { archive: smaller, depot: path }), / 0 of them new here\.\n/);
  await rm(path, { recursive: true });
});
