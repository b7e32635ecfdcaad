import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Namespace, namespaces } from '@selvedge/api';
import { systemClock } from '@selvedge/api/node';
import { ResourceLab } from '../resources/testing/resource-lab.ts';
import { KeptContent } from './content/kept-content.ts';
import { NamespaceOwners } from './namespace-owners.ts';
import { removeFormer } from './remove-former.ts';
import { FileStorage } from './storage/file-storage.ts';
import { pushImage } from './testing/registry-content-contract.ts';
import { imageOf } from './testing/test-image.ts';

const day = 24 * 60 * 60_000;
const signal = AbortSignal.timeout(10 * 60_000);
const start = new Date('2026-03-01T00:00:00Z').getTime();

async function setUp() {
  const lab = await ResourceLab.start();
  const { admin } = lab;
  const owners = new NamespaceOwners(admin);
  const make = (name: string) =>
    admin.create<Namespace>(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  return { lab, owners, make };
}

test('images of a Namespace are removed a day after it, and its name is free then', async () => {
  const { lab, owners, make } = await setUp();
  await using _lab = lab;
  const directory = await mkdtemp(join(tmpdir(), 'selvedge-owners-'));
  lab.defer(() => rm(directory, { recursive: true, force: true }));
  const storage = new FileStorage({ directory, reserveBytes: 0, clock: systemClock });
  const content = new KeptContent({ storage, clock: systemClock });
  const image = imageOf(['layer']);
  const bank = await make('bank');
  // One that was there when its image was pushed, and is no more.
  const former = { ...bank, metadata: { name: 'shop', uid: 'former' } };
  for (const namespace of [former, bank]) {
    const { name } = namespace.metadata;
    await owners.claim(namespace);
    await pushImage(content, { repository: `${name}/till`, reference: '1' }, image);
  }
  const collect = (at: number) =>
    removeFormer({ content, owners, now: new Date(at), before: new Date(at - day), signal });
  assert.deepEqual([await owners.isHidden('shop'), await owners.isHidden('bank')], [true, false]);
  assert.deepEqual(await collect(start + day), []);
  const anew = await make('shop');
  await assert.rejects(owners.claim(anew), /deleted namespace "shop"/);
  assert.deepEqual(await collect(start + 2 * day - 1), []);
  assert.ok(await content.findManifest('shop/till', '1'));
  assert.deepEqual(await collect(start + 2 * day + 1), ['shop']);
  assert.deepEqual(await content.listRepositories(), ['bank/till']);
  await owners.claim(anew);
  assert.deepEqual([await owners.isHidden('shop'), await owners.isHidden('bank')], [false, false]);
  assert.deepEqual(await collect(start + 9 * day), []);
});

test('hubs that write at once lose nothing', async () => {
  const { lab, owners, make } = await setUp();
  await using _lab = lab;
  const names = ['a', 'b', 'c', 'd', 'e'];
  const made = await Promise.all(names.map(make));
  const others = new NamespaceOwners(lab.admin);
  await Promise.all(made.map((one, index) => (index % 2 === 0 ? owners : others).claim(one)));
  for (const one of made) {
    await assert.rejects(
      owners.claim({ ...one, metadata: { ...one.metadata, uid: 'another' } }),
      /deleted namespace/,
    );
  }
});
