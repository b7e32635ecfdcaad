import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import type { RegistryContent } from '../content/registry-content.ts';
import { DistributionError } from '../distribution-error.ts';
import {
  blobOf,
  descriptor,
  imageOf,
  manifestOf,
  ociIndex,
  ociManifest,
  type TestBlob,
  type TestImageParts,
} from './test-image.ts';

export interface ContentUnderTest {
  readonly content: RegistryContent;
}

async function* chunks(bytes: Buffer, size = 64 * 1024): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** Uploads in parts of this size. */
export async function uploadBlob(
  content: RegistryContent,
  repository: string,
  { digest, bytes, partBytes = Number.POSITIVE_INFINITY }: TestBlob & { partBytes?: number },
): Promise<void> {
  let { id } = await content.startUpload(repository);
  for (let at = 0; at < bytes.length; at += partBytes) {
    const body = chunks(bytes.subarray(at, Math.min(bytes.length, at + partBytes)));
    ({ id } = await content.appendUpload(repository, id, { body, offset: at }));
  }
  await content.finishUpload(repository, id, digest);
}

export async function pushImage(
  content: RegistryContent,
  name: { repository: string; reference: string },
  image: TestImageParts,
): Promise<void> {
  for (const blob of image.blobs) await uploadBlob(content, name.repository, blob);
  await content.putManifest(name.repository, name.reference, image.manifest);
}

export async function bytesOf(
  content: RegistryContent,
  repository: string,
  wanted: { digest: string; range?: { offset: number; length: number } },
): Promise<Buffer | undefined> {
  const stream = await content.openBlob(repository, wanted.digest, wanted.range);
  if (stream === undefined) return undefined;
  const found: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) found.push(chunk);
  return Buffer.concat(found);
}

const refuses = (code: string) => (error: unknown) =>
  error instanceof DistributionError && error.code === code;

/** What the content of the registry promises, wherever it is kept. */
export function registryContentContract(
  name: string,
  open: (t: TestContext) => Promise<ContentUnderTest>,
  options: { readonly skip?: string | false } = {},
): void {
  describe(`content of the registry: ${name}`, { skip: options.skip ?? false }, () => {
    test('an image is pushed, found by tag and digest, and its blobs are read as a whole and in parts', async (t) => {
      const { content } = await open(t);
      const image = imageOf(['base', Buffer.alloc(300_000, 7)]);
      await pushImage(content, { repository: 'shop/till', reference: '1' }, image);
      for (const reference of ['1', image.manifest.digest]) {
        const found = await content.findManifest('shop/till', reference);
        assert.deepEqual([found?.digest, found?.mediaType], [image.manifest.digest, ociManifest]);
        assert.deepEqual(found?.bytes, image.manifest.bytes);
      }
      const [, , layer] = image.blobs;
      assert.ok(layer);
      assert.deepEqual(await content.findBlob('shop/till', layer.digest), { sizeBytes: 300_000 });
      assert.deepEqual(await bytesOf(content, 'shop/till', layer), layer.bytes);
      const range = { offset: 299_990, length: 10 };
      assert.equal((await bytesOf(content, 'shop/till', { ...layer, range }))?.length, 10);
    });

    test('what is not there is undefined, in another repository too', async (t) => {
      const { content } = await open(t);
      const image = imageOf(['secret layer']);
      await pushImage(content, { repository: 'shop/till', reference: '1' }, image);
      const digest = image.blobs[1]?.digest ?? '';
      assert.equal(await content.findManifest('shop/till', '2'), undefined);
      assert.equal(await content.findManifest('other/till', image.manifest.digest), undefined);
      assert.equal(await content.findBlob('other/till', digest), undefined);
      assert.equal(await bytesOf(content, 'other/till', { digest }), undefined);
      assert.equal(await content.listTags('other/till'), undefined);
    });

    test('an upload goes on where it ended, and nowhere else', async (t) => {
      const { content } = await open(t);
      const blob = blobOf(Buffer.alloc(250_000, 3));
      let upload = await content.startUpload('shop/till');
      assert.equal(upload.sizeBytes, 0);
      const first = { body: chunks(blob.bytes.subarray(0, 100_000)) };
      upload = await content.appendUpload('shop/till', upload.id, first);
      assert.equal(upload.sizeBytes, 100_000);
      upload = await content.findUpload('shop/till', upload.id);
      assert.equal(upload.sizeBytes, 100_000);
      const wrong = { body: chunks(blob.bytes), offset: 90_000 };
      await assert.rejects(content.appendUpload('shop/till', upload.id, wrong), refuses('RANGE_INVALID'));
      const rest = { body: chunks(blob.bytes.subarray(100_000)), offset: 100_000 };
      upload = await content.appendUpload('shop/till', upload.id, rest);
      await content.finishUpload('shop/till', upload.id, blob.digest);
      assert.deepEqual(await bytesOf(content, 'shop/till', blob), blob.bytes);
      await assert.rejects(content.findUpload('shop/till', upload.id), refuses('BLOB_UPLOAD_UNKNOWN'));
    });

    test('a blob with another digest is refused, and not there', async (t) => {
      const { content } = await open(t);
      const blob = blobOf('content');
      const lie = { digest: blobOf('something else').digest, bytes: blob.bytes };
      for (const partBytes of [100, 3]) {
        await assert.rejects(
          uploadBlob(content, 'shop/till', { ...lie, partBytes }),
          refuses('DIGEST_INVALID'),
        );
      }
      assert.equal(await content.findBlob('shop/till', lie.digest), undefined);
      assert.equal(await content.findBlob('shop/till', blob.digest), undefined);
    });

    test('an upload is of the repository that it was begun in, and can be given up', async (t) => {
      const { content } = await open(t);
      const { id } = await content.startUpload('shop/till');
      await assert.rejects(content.findUpload('other/till', id), refuses('BLOB_UPLOAD_UNKNOWN'));
      await assert.rejects(content.findUpload('shop/till', 'nonsense'), refuses('BLOB_UPLOAD_UNKNOWN'));
      await content.cancelUpload('shop/till', id);
      await assert.rejects(content.findUpload('shop/till', id), refuses('BLOB_UPLOAD_UNKNOWN'));
    });

    test('two pushes of the same image at once both succeed', async (t) => {
      const { content } = await open(t);
      const image = imageOf(['shared', Buffer.alloc(200_000, 9)]);
      const push = () => pushImage(content, { repository: 'shop/till', reference: '1' }, image);
      await Promise.all([push(), push(), push()]);
      for (const blob of image.blobs) assert.deepEqual(await bytesOf(content, 'shop/till', blob), blob.bytes);
      assert.deepEqual(await content.listTags('shop/till'), ['1']);
    });

    test('a manifest is refused when its digest or a part of it is another, or it is none', async (t) => {
      const { content } = await open(t);
      const image = imageOf(['layer']);
      const put = (reference: string, manifest: { mediaType: string; bytes: Buffer }) =>
        content.putManifest('shop/till', reference, manifest);
      await assert.rejects(put('1', image.manifest), refuses('MANIFEST_BLOB_UNKNOWN'));
      await assert.rejects(put(blobOf('x').digest, image.manifest), refuses('DIGEST_INVALID'));
      for (const bytes of [
        '',
        '[]',
        '{}',
        '{"schemaVersion":1}',
        `{"schemaVersion":2,"layers":[],"config":{}}`,
      ]) {
        const manifest = { mediaType: ociManifest, bytes: Buffer.from(bytes) };
        await assert.rejects(put('1', manifest), refuses('MANIFEST_INVALID'), bytes);
      }
      await assert.rejects(put('1', { ...image.manifest, mediaType: ociIndex }), refuses('MANIFEST_INVALID'));
      assert.equal(await content.findManifest('shop/till', '1'), undefined);
    });

    test('an index names manifests of the repository', async (t) => {
      const { content } = await open(t);
      const image = imageOf(['layer']);
      const listed = descriptor(ociManifest, image.manifest);
      const platform = { os: 'linux', architecture: 'amd64' };
      const index = manifestOf(ociIndex, { manifests: [{ ...listed, platform }] });
      await assert.rejects(content.putManifest('shop/till', 'all', index), refuses('MANIFEST_BLOB_UNKNOWN'));
      await pushImage(content, { repository: 'shop/till', reference: image.manifest.digest }, image);
      await content.putManifest('shop/till', 'all', index);
      assert.equal((await content.findManifest('shop/till', 'all'))?.mediaType, ociIndex);
    });

    test('a tag moves, and tags are listed in order', async (t) => {
      const { content } = await open(t);
      const [one, two] = [imageOf(['one']), imageOf(['two'])];
      for (const reference of ['b', 'a', '1.0'])
        await pushImage(content, { repository: 'shop/till', reference }, one);
      await pushImage(content, { repository: 'shop/till', reference: 'a' }, two);
      assert.deepEqual(await content.listTags('shop/till'), ['1.0', 'a', 'b']);
      assert.equal((await content.findManifest('shop/till', 'a'))?.digest, two.manifest.digest);
      assert.equal((await content.findManifest('shop/till', 'b'))?.digest, one.manifest.digest);
    });

    test('a manifest is deleted with its tags, and twice is not there', async (t) => {
      const { content } = await open(t);
      const image = imageOf(['one']);
      await pushImage(content, { repository: 'shop/till', reference: '1' }, image);
      assert.equal(await content.deleteManifest('shop/till', image.manifest.digest), true);
      assert.equal(await content.findManifest('shop/till', '1'), undefined);
      assert.equal(await content.deleteManifest('shop/till', image.manifest.digest), false);
    });

    test('a blob is mounted from where it is, and not from elsewhere', async (t) => {
      const { content } = await open(t);
      const blob = blobOf('shared layer');
      await uploadBlob(content, 'shop/base', blob);
      assert.equal(await content.mountBlob('shop/till', blob.digest, 'shop/none'), false);
      assert.equal(await content.mountBlob('shop/till', blob.digest, 'shop/base'), true);
      assert.deepEqual(await bytesOf(content, 'shop/till', blob), blob.bytes);
    });

    test('repositories are listed', async (t) => {
      const { content } = await open(t);
      const image = imageOf(['one']);
      for (const repository of ['shop/till', 'bank/atm', 'shop/till/tools']) {
        await pushImage(content, { repository, reference: '1' }, image);
      }
      assert.deepEqual(await content.listRepositories(), ['bank/atm', 'shop/till', 'shop/till/tools']);
    });

    test('the images of a namespace are removed, and no others', async (t) => {
      const { content } = await open(t);
      const [image, other] = [imageOf(['one']), imageOf(['two'])];
      const listed = descriptor(ociManifest, image.manifest);
      const platform = { os: 'linux', architecture: 'amd64' };
      const index = manifestOf(ociIndex, { manifests: [{ ...listed, platform }] });
      await pushImage(content, { repository: 'shop/till', reference: image.manifest.digest }, image);
      await content.putManifest('shop/till', 'all', index);
      for (const repository of ['shop/till/tools', 'shopping/till', 'bank/shop']) {
        await pushImage(content, { repository, reference: '1' }, other);
      }
      await content.removeNamespace('shop', AbortSignal.timeout(60_000));
      for (const reference of ['all', index.digest, image.manifest.digest]) {
        assert.equal(await content.findManifest('shop/till', reference), undefined, reference);
      }
      assert.equal(await content.findManifest('shop/till/tools', '1'), undefined);
      for (const repository of ['shopping/till', 'bank/shop']) {
        assert.equal((await content.findManifest(repository, '1'))?.digest, other.manifest.digest);
      }
    });

    test('a large blob goes in and out', async (t) => {
      const { content } = await open(t);
      const bytes = Buffer.alloc(9_000_000);
      for (let at = 0; at < bytes.length; at += 4) bytes.writeUInt32LE(at, at);
      const blob = blobOf(bytes);
      await uploadBlob(content, 'shop/till', { ...blob, partBytes: 4_000_000 });
      assert.deepEqual(await content.findBlob('shop/till', blob.digest), { sizeBytes: bytes.length });
      assert.ok((await bytesOf(content, 'shop/till', blob))?.equals(bytes));
    });
  });
}
