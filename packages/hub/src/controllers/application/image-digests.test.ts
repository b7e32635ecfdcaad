import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  describeManifests,
  type KubeObject,
  type ReleaseOverride,
  ReleaseResolver,
  releaseContent,
} from '@selvedge/api';
import { type ImagePlaces, imagesToResolve, withDigests } from './image-digests.ts';

const a = `sha256:${'a'.repeat(64)}`;
const b = `sha256:${'b'.repeat(64)}`;

const pod = (...images: string[]): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'till' },
  spec: { containers: images.map((image, n) => ({ name: `c${n}`, image })) },
});
const override = (rest: Partial<ReleaseOverride>): ReleaseOverride => ({
  name: 'de',
  siteSelector: {},
  ...rest,
});
const target = { kind: 'Pod' };

test('tags are looked up wherever a release can name an image, and nowhere else', () => {
  const places = {
    manifests: [
      pod('web:1', `log@${a}`, 'r/${site.variables.app}:1'),
      { ...pod(), data: { image: 'text:1' } },
    ],
    variants: [{ overrides: ['de'], manifests: [pod('web:2')] }],
    overrides: [
      override({
        patches: [
          { target, strategicMergePatch: { spec: { initContainers: [{ name: 'i', image: 'init:1' }] } } },
          {
            target,
            jsonPatch: [
              { op: 'replace', path: '/spec/containers/0/image', value: 'by-path:1' },
              { op: 'add', path: '/spec/containers/-', value: { name: 'n', image: 'item:1' } },
              { op: 'add', path: '/spec/initContainers', value: [{ name: 'n', image: 'list:1' }] },
              { op: 'add', path: '/metadata/annotations/image', value: 'no-image:1' },
            ] as never,
          },
        ],
        images: [
          { name: 'web', newTag: '3' },
          { name: 'log', newName: 'other/log', digest: b },
        ],
      }),
    ],
  };
  assert.deepEqual(imagesToResolve(places), [
    'by-path:1',
    'init:1',
    'item:1',
    'list:1',
    'web:1',
    'web:2',
    'web:3',
  ]);
  const digests = new Map(imagesToResolve(places).map((image) => [image, `${image}@${a}`]));
  const resolved = withDigests(places, digests);
  assert.deepEqual(resolved.manifests[0], pod(`web:1@${a}`, `log@${a}`, 'r/${site.variables.app}:1'));
  assert.equal(resolved.manifests[1], places.manifests[1], 'what names no image is shared');
  assert.deepEqual(resolved.overrides[0]?.images, [
    { name: 'web', newTag: '3', digest: a },
    { name: 'log', newName: 'other/log', digest: b },
  ]);
  assert.match(
    JSON.stringify(resolved.overrides[0]?.patches),
    new RegExp(`"by-path:1@${a}".*"item:1@${a}".*"list:1@${a}".*"no-image:1"`),
  );
  assert.deepEqual(imagesToResolve(resolved), []);
});

const renamed = (images: readonly [string, ...string[]], rest: Partial<ImagePlaces> = {}): ImagePlaces => ({
  manifests: [pod(...images)],
  variants: [],
  overrides: [override({ images: [{ name: 'web', newName: 'mirror.example/web' }] })],
  ...rest,
});
const digestsOf = (digests: Record<string, string>) =>
  new Map(Object.entries(digests).map(([image, digest]) => [image, `${image}@${digest}`]));

/** Images of the site that all overrides select. */
function imagesAtSite({ manifests, overrides }: ImagePlaces): string[] {
  const content = releaseContent(manifests, { overrides }, 'till');
  const identity = { release: 'till-1', application: 'till', namespace: 'shop' };
  const resolver = new ReleaseResolver(content, identity);
  const found = resolver.combination([...overrides.keys()]);
  assert.deepEqual(found.faults, []);
  return describeManifests(found.manifests, 'shop').images;
}

test('an image that only gets another name is looked up there, by every tag that it can have', () => {
  const places = renamed(['web:1', 'web:2', 'web']);
  assert.deepEqual(imagesToResolve(places), [
    'mirror.example/web',
    'mirror.example/web:1',
    'mirror.example/web:2',
    'web',
    'web:1',
    'web:2',
  ]);
  const digests = digestsOf({
    'web:1': a,
    'web:2': a,
    web: a,
    'mirror.example/web:1': b,
    'mirror.example/web': b,
  });
  // A copy that was pushed again has another digest: one that is not known is not guessed.
  assert.deepEqual(imagesAtSite(withDigests(places, digests)), [
    `mirror.example/web:1@${b}`,
    'mirror.example/web:2',
    `mirror.example/web@${b}`,
  ]);
});

test('an image under another name does not take the digest along that it has under the first', () => {
  const resolved = withDigests(renamed(['web:1']), digestsOf({ 'web:1': a }));
  assert.deepEqual(imagesAtSite({ ...resolved, overrides: [] }), [`web:1@${a}`]);
  assert.deepEqual(imagesAtSite(resolved), ['mirror.example/web:1']);
});

test('a digest that was written by hand goes along with another name', () => {
  const resolved = withDigests(renamed([`web:1@${b}`, 'web:2']), digestsOf({ 'web:2': a }));
  assert.deepEqual(imagesAtSite(resolved), [`mirror.example/web:1@${b}`, 'mirror.example/web:2']);
});

test('a tag that another override gives goes along with another name', () => {
  const { overrides } = renamed(['web:1']);
  const tag = override({ name: 'tag', images: [{ name: 'web', newTag: '3' }] });
  const places = renamed(['web:1'], { overrides: [tag, ...overrides] });
  assert.deepEqual(imagesToResolve(places), [
    'mirror.example/web:1',
    'mirror.example/web:3',
    'web:1',
    'web:3',
  ]);
  const digests = digestsOf({ 'web:1': a, 'web:3': a, 'mirror.example/web:3': b });
  assert.deepEqual(imagesAtSite(withDigests(places, digests)), [`mirror.example/web:3@${b}`]);
});

test('where nothing is looked up, another name is all that changes', () => {
  const places = renamed(['web:1']);
  assert.deepEqual(withDigests(places, new Map()), places);
});
