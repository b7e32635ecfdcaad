import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { imagesToLookUp, layerKey, planBytes, type Receiver } from './plan-bytes.ts';

const receiver = (site: string, changes: Partial<Receiver> = {}): Receiver => ({
  site,
  architecture: 'amd64',
  needed: ['reg.example/web:2'],
  held: [],
  hasManifests: false,
  ...changes,
});
const layers = (image: string, sizes: Record<string, number>, architecture = 'amd64') =>
  [
    layerKey(image, architecture),
    { layers: Object.entries(sizes).map(([digest, sizeBytes]) => ({ digest, sizeBytes })) },
  ] as const;
const nothing = { layers: new Map(), reported: new Map<string, number>() };

describe('bytes to be fetched', () => {
  test('manifests exactly, and not by a site that has them', () => {
    const sites = [receiver('a', { needed: [] }), receiver('b', { needed: [], hasManifests: true })];
    const { manifests, total, perSite, isComplete } = planBytes(sites, 812, nothing);
    assert.deepEqual([manifests, total, perSite[0]?.bytes, isComplete], [812, 812, 812, true]);
    assert.deepEqual(planBytes([], 812, nothing).total, 0);
  });

  test('only the layers that the site does not have, and shared ones once', () => {
    const knowledge = {
      ...nothing,
      layers: new Map([
        layers('reg.example/web:1', { base: 1000, old: 5 }),
        layers('reg.example/web:2', { base: 1000, new: 20 }),
        layers('reg.example/side:1', { base: 1000, new: 20, side: 3 }),
      ]),
    };
    const sites = [
      receiver('updates', { held: ['reg.example/web:1'] }),
      receiver('updates-too', { held: ['reg.example/web:1'] }),
      receiver('fresh', { needed: ['reg.example/web:2', 'reg.example/side:1'] }),
    ];
    const { images, total, perSite, isComplete } = planBytes(sites, 0, knowledge);
    assert.deepEqual(images, [
      { name: 'reg.example/side:1', sites: 1, totalBytes: 3, source: 'Registry' },
      { name: 'reg.example/web:2', sites: 3, totalBytes: 20 + 20 + 1020, source: 'Registry' },
    ]);
    assert.deepEqual([total, isComplete], [1063, true]);
    assert.deepEqual(perSite, [
      { site: 'fresh', bytes: 1023, isComplete: true },
      { site: 'updates', bytes: 20, isComplete: true },
      { site: 'updates-too', bytes: 20, isComplete: true },
    ]);
  });

  test('an image that is there is not fetched, however its name is written', () => {
    const { images } = planBytes(
      [receiver('a', { needed: ['nginx'], held: ['docker.io/library/nginx:latest'] })],
      0,
      nothing,
    );
    assert.deepEqual(images, []);
  });

  test('else what sites said of its size on disk, else it is named as not known', () => {
    const knowledge = {
      layers: new Map([[layerKey('reg.example/web:2', 'amd64'), { unknown: 'reg.example cannot be asked' }]]),
      reported: new Map([['reg.example/web:2', 5_000]]),
    };
    const both = [receiver('a', { needed: ['reg.example/web:2', 'reg.example/side:1'] })];
    const { images, total, isComplete } = planBytes(both, 100, knowledge);
    assert.deepEqual(images, [
      { name: 'reg.example/side:1', sites: 1, source: 'Unknown', reason: 'registries are not asked' },
      {
        name: 'reg.example/web:2',
        sites: 1,
        totalBytes: 5_000,
        source: 'SiteReports',
        reason: 'reg.example cannot be asked',
      },
    ]);
    assert.deepEqual([total, isComplete], [5_100, false]);
  });

  test('of two architectures the one that is not known makes the sum unknown', () => {
    const knowledge = { ...nothing, layers: new Map([layers('reg.example/web:2', { all: 10 })]) };
    const { images } = planBytes([receiver('a'), receiver('b', { architecture: 'arm64' })], 0, knowledge);
    assert.equal(images[0]?.sites, 2);
    assert.equal(images[0]?.source, 'Unknown');
    assert.equal(images[0]?.totalBytes, undefined);
  });

  test('what is looked up: images that are missing first, then those whose layers may be shared', () => {
    const sites = [
      receiver('a', { held: ['reg.example/web:1'] }),
      receiver('b', { needed: [], held: ['reg.example/other:1'] }),
    ];
    assert.deepEqual(
      imagesToLookUp(sites).map(({ image }) => image),
      ['reg.example/web:2', 'reg.example/web:1'],
    );
  });

  test('ten thousand sites that are alike are one sum', () => {
    const sites = Array.from({ length: 10_000 }, (_, i) => receiver(`s${i}`));
    const knowledge = { ...nothing, layers: new Map([layers('reg.example/web:2', { all: 7 })]) };
    const { total, perSite } = planBytes(sites, 1, knowledge);
    assert.deepEqual([total, perSite.length], [80_000, 100]);
  });
});
