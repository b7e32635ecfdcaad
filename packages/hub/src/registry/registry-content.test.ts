import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { randomBytes } from 'node:crypto';
import { systemClock } from '@selvedge/api/node';
import { requireTool, startDockerRegistry } from '@selvedge/testkit';
import { ForwardedContent } from './content/forwarded-content.ts';
import { KeptContent } from './content/kept-content.ts';
import { FileStorage } from './storage/file-storage.ts';
import { S3Storage } from './storage/s3-storage.ts';
import { registryContentContract } from './testing/registry-content-contract.ts';
import { imageOf } from './testing/test-image.ts';
import { TestRegistry } from './testing/test-registry.ts';
import { TestS3Server } from './testing/test-s3-server.ts';

async function newFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'selvedge-registry-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

registryContentContract('files', async (t) => {
  const storage = new FileStorage({
    directory: join(await newFolder(t), 'registry'),
    reserveBytes: 0,
    clock: systemClock,
  });
  return { content: new KeptContent({ storage, clock: systemClock }) };
});

registryContentContract('a bucket', async (t) => {
  const server = await TestS3Server.start();
  t.after(() => server[Symbol.asyncDispose]());
  const storage = new S3Storage({
    bucket: server.bucket,
    prefix: 'of/this-hub',
    endpoint: server.endpoint,
    region: 'eu-central-1',
    credentials: () => Promise.resolve(server.credentials),
    clock: systemClock,
    partBytes: 1024 * 1024,
    copyBytes: 1024 * 1024,
  });
  return { content: new KeptContent({ storage, clock: systemClock }) };
});

registryContentContract(
  'another registry',
  async (t) => {
    const registry = await startDockerRegistry({ hasLogin: true });
    t.after(() => registry[Symbol.asyncDispose]());
    const content = new ForwardedContent({
      host: registry.address,
      prefix: 'of/this-hub',
      isInsecure: true,
      login: () => Promise.resolve({ username: 'till', password: 'secret' }),
      uploadKey: randomBytes(32),
      clock: systemClock,
    });
    return { content };
  },
  requireTool('docker-registry'),
);

test('a manifest that another registry refuses because of a push beside it is sent again, with patience', async (t) => {
  const registry = await TestRegistry.start();
  t.after(() => registry[Symbol.asyncDispose]());
  let refusals = 2;
  let code = 'DIGEST_INVALID';
  registry.override = (req, res) => {
    req.resume().on('end', () => {
      refusals -= 1;
      if (refusals < 0) res.writeHead(201).end();
      else res.writeHead(400).end(JSON.stringify({ errors: [{ code, message: 'refused' }] }));
    });
    return true;
  };
  const pauses: number[] = [];
  const sleep = (milliseconds: number) => {
    pauses.push(milliseconds);
    return Promise.resolve();
  };
  const content = new ForwardedContent({
    host: registry.host,
    prefix: 'of/this-hub',
    isInsecure: true,
    login: undefined,
    uploadKey: randomBytes(32),
    clock: { now: () => systemClock.now(), sleep },
  });
  const { manifest } = imageOf(['layer']);
  const put = () => content.putManifest('shop/till', '1', manifest);
  assert.equal((await put()).digest, manifest.digest);
  assert.equal(registry.requests.length, 3);
  assert.equal(pauses.length, 2);
  refusals = 1000;
  await assert.rejects(put(), /refused/);
  assert.equal(registry.requests.length, 8);
  code = 'MANIFEST_BLOB_UNKNOWN';
  await assert.rejects(put(), /refused/);
  assert.equal(registry.requests.length, 9);
});
