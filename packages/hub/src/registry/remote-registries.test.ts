import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, test, type TestContext } from 'node:test';
import { parseImageReference, StatusError } from '@selvedge/api';
import { createLogger, sha256Digest, systemClock } from '@selvedge/api/node';
import { FakeClock, requireTool, startDockerRegistry } from '@selvedge/testkit';
import type { RegistryLogins } from '../credentials/registry-logins.ts';
import { RegistryImageResolver } from '../images/registry-image-resolver.ts';
import { SourceError } from '../sources/source-reading.ts';
import { ForwardedContent } from './content/forwarded-content.ts';
import { ImageRepositories } from './image-repositories.ts';
import { ImageSizes } from './image-sizes.ts';
import { RegistryArtifacts } from './registry-artifacts.ts';
import { RegistryError } from './registry-error.ts';
import { pushImage } from './testing/registry-content-contract.ts';
import { imageOf } from './testing/test-image.ts';
import { TestRegistry } from './testing/test-registry.ts';

const never = new AbortController().signal;
const logger = createLogger({ level: 'silent' });
const credentials = { username: 'till', password: 'secret' };
const digest = `sha256:${'a'.repeat(64)}`;

/** The namespace `shop` has a login for everything, `broken` one that cannot be used. */
const logins: RegistryLogins = {
  find: (namespace) => {
    if (namespace === 'broken')
      return Promise.reject(new StatusError('ServiceUnavailable', 'its Secret is missing'));
    return Promise.resolve(namespace === 'shop' ? credentials : undefined);
  },
  get: ({ name }) =>
    name === 'named'
      ? Promise.resolve(credentials)
      : Promise.reject(new StatusError('NotFound', `no ${name}`)),
};

function repositoriesOf(...hosts: readonly string[]): ImageRepositories {
  return new ImageRepositories({ insecureRegistries: hosts, privateRegistries: [], logins });
}

function imageNamed(name: string) {
  const image = parseImageReference(name);
  assert.ok(image);
  return image;
}

const fault = (expected: RegistryError['fault']) => (error: unknown) =>
  error instanceof RegistryError && error.fault === expected && !/secret/.test(error.message);

describe('a registry that wants a login', requireTool('docker-registry'), () => {
  async function start(t: TestContext) {
    const registry = await startDockerRegistry({ hasLogin: true });
    t.after(() => registry[Symbol.asyncDispose]());
    const content = new ForwardedContent({
      host: registry.address,
      prefix: 'shop',
      isInsecure: true,
      login: () => Promise.resolve(credentials),
      uploadKey: Buffer.alloc(32),
      clock: systemClock,
    });
    const image = imageOf(['base', 'a layer of the till']);
    await pushImage(content, { repository: 'till', reference: '1.0' }, image);
    return {
      host: registry.address,
      image,
      name: `${registry.address}/shop/till:1.0`,
      repositories: repositoriesOf(registry.address),
    };
  }

  test('is read with the login of the namespace, and refused to others', async (t) => {
    const { image, name, repositories } = await start(t);
    const open = (namespace: string) => repositories.open({ namespace, image: imageNamed(name) }, never);
    const repository = await open('shop');
    assert.equal(await repository.findDigest('1.0', never), image.manifest.digest);
    const manifest = await repository.getManifest('1.0', { signal: never });
    assert.deepEqual(manifest.bytes, image.manifest.bytes);
    const layer = image.blobs[2];
    assert.ok(layer);
    const bytes = await repository.readBlob(layer.digest, { maxBytes: 100, signal: never });
    assert.equal(String(bytes), 'a layer of the till');
    const tail = await repository.openBlob(layer.digest, {
      sizeBytes: layer.bytes.length,
      offset: 8,
      signal: never,
    });
    let text = '';
    for await (const chunk of tail) text += String(chunk);
    assert.equal(text, 'of the till');
    assert.deepEqual(await repository.listTags(10, never), ['1.0']);
    await assert.rejects(repository.findDigest('2.0', never), fault('NotFound'));
    await assert.rejects(
      repository.readBlob(layer.digest, { maxBytes: 5, signal: never }),
      fault('LimitExceeded'),
    );
    await assert.rejects((await open('bank')).findDigest('1.0', never), fault('Denied'));
    await assert.rejects(open('broken'), fault('Denied'));
  });

  test('tells sizes to plans of namespaces with a login only', async (t) => {
    const { image, name, repositories } = await start(t);
    const sizes = new ImageSizes({ repositories, clock: new FakeClock(), logger });
    const find = (namespace: string) => sizes.find({ namespace, image: name, architecture: 'amd64' }, never);
    const found = await find('shop');
    assert.deepEqual(
      'layers' in found && found.layers.map((layer) => layer.digest),
      image.blobs.map((blob) => blob.digest),
    );
    assert.ok('unknown' in (await find('bank')), 'what one namespace may know is not told to another');
  });

  test('tags are resolved with the login, each name once and in the order asked', async (t) => {
    const { image, name, host, repositories } = await start(t);
    const resolver = new RegistryImageResolver({ repositories, clock: new FakeClock(), logger });
    const pinned = `${host}/shop/till:1.0@${digest}`;
    const resolved = await resolver.resolve(
      'shop',
      [name, pinned, '${site.variables.image}', name, `${host}/shop/none:1`],
      never,
    );
    assert.deepEqual(
      resolved.map((one) => ('resolved' in one ? one.resolved : one.isLasting)),
      [`${name}@${image.manifest.digest}`, pinned, true, `${name}@${image.manifest.digest}`, true],
    );
    const [refused] = await resolver.resolve('bank', [name], never);
    assert.ok(refused && 'unknown' in refused && /asks for credentials/.test(refused.unknown));
  });

  test('gives artifacts to sources, with faults in the words of sources', async (t) => {
    const { image, host, repositories } = await start(t);
    const artifacts = new RegistryArtifacts(repositories);
    const request = { repository: `${host}/shop/till`, namespace: 'bank', signal: never };
    const named = { ...request, registryCredential: 'named' };
    const found = await artifacts.findDigest(named, '1.0');
    assert.equal(found, image.manifest.digest);
    const manifest = await artifacts.fetchManifest({ ...request, login: credentials }, found);
    assert.deepEqual(
      manifest.layers.map((layer) => layer.size),
      [4, 19],
    );
    const bytes = await artifacts.fetchBlob(named, manifest.layers[1]?.digest ?? '', 1000);
    assert.equal(Buffer.from(bytes).toString('utf8'), 'a layer of the till');
    assert.deepEqual(await artifacts.listTags(named), ['1.0']);
    for (const [asked, expected] of [
      [request, 'AuthenticationFailed'],
      [{ ...request, registryCredential: 'missing' }, 'AuthenticationFailed'],
      [{ ...named, repository: `${host}/shop/none` }, 'NotFound'],
      [{ ...named, repository: 'no repository' }, 'NotFound'],
      [{ ...named, repository: '127.0.0.1:1/shop/till' }, 'SourceUnavailable'],
    ] as const) {
      await assert.rejects(
        artifacts.findDigest(asked, '1.0'),
        (error: unknown) => error instanceof SourceError && error.fault === expected,
        expected,
      );
    }
  });
});

describe('a registry that lies', () => {
  test('has its blobs refused by their digest and size, at whatever place it lies', async (t) => {
    const registry = await TestRegistry.start();
    t.after(() => registry[Symbol.asyncDispose]());
    const bytes = Buffer.from('what was asked for');
    const asked = { sizeBytes: bytes.length, signal: never };
    const image = imageNamed(`${registry.host}/web:1`);
    const repository = await repositoriesOf(registry.host).open({ namespace: 'shop', image }, never);
    const read = async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of await repository.openBlob(sha256Digest(bytes), asked))
        chunks.push(chunk as Buffer);
      return Buffer.concat(chunks);
    };
    const answers: [string, (res: ServerResponse) => unknown][] = [
      ['DigestMismatch', (res) => res.end('what was not asked')],
      ['DigestMismatch', (res) => res.end('what was asked for and more')],
      ['Unavailable', (res) => res.end('what was')],
      [
        'Unavailable',
        (res) => res.writeHead(200, { 'content-length': 18 }).write('what', () => res.destroy()),
      ],
    ];
    for (const [expected, answer] of answers) {
      registry.override = (_req, res) => Boolean(answer(res)) || true;
      await assert.rejects(read(), fault(expected as RegistryError['fault']), expected);
      if (expected !== 'Unavailable') {
        const whole = repository.readBlob(sha256Digest(bytes), { maxBytes: 100, signal: never });
        await assert.rejects(whole, fault('DigestMismatch'));
      }
    }
    registry.override = (_req, res) => Boolean(res.end(bytes));
    assert.deepEqual(await read(), bytes);
  });

  test('does not get the password that is for it sent elsewhere', async (t) => {
    const registry = await TestRegistry.start();
    const seen: string[] = [];
    const thief = createServer((req: IncomingMessage, res: ServerResponse) => {
      seen.push(req.headers.authorization ?? 'nothing');
      res.end('{"token":"x"}');
    });
    await new Promise<void>((resolve) => thief.listen(0, '127.0.0.1', resolve));
    t.after(async () => {
      thief.closeAllConnections();
      thief.close();
      await registry[Symbol.asyncDispose]();
    });
    const elsewhere = `http://127.0.0.1:${(thief.address() as AddressInfo).port}`;
    const image = imageNamed(`${registry.host}/web:1`);
    const open = () => repositoriesOf(registry.host).open({ namespace: 'shop', image }, never);
    for (const head of [
      { status: 401, headers: { 'www-authenticate': `Bearer realm="${elsewhere}/token"` } },
      { status: 307, headers: { location: `${elsewhere}/blob` } },
      { status: 307, headers: { location: elsewhere.replace('http:', 'https:') } },
    ]) {
      registry.override = (_req, res) => Boolean(res.writeHead(head.status, head.headers).end());
      await assert.rejects((await open()).openBlob(digest, { sizeBytes: 1, signal: never }));
      await assert.rejects((await open()).getManifest('1', { signal: never }));
    }
    assert.deepEqual(seen, []);
  });

  test('is not waited for, and not asked again for a minute when it is out of reach', async (t) => {
    const registry = await TestRegistry.start();
    t.after(() => registry[Symbol.asyncDispose]());
    const clock = new FakeClock();
    const resolver = new RegistryImageResolver({
      repositories: repositoriesOf(registry.host),
      clock,
      logger,
    });
    registry.override = (_req, res) => Boolean(res.writeHead(500).end());
    const names = Array.from({ length: 20 }, (_, i) => `${registry.host}/web-${i}:1`);
    const resolved = await resolver.resolve('shop', names, never);
    assert.ok(resolved.every((one) => 'unknown' in one && !one.isLasting));
    assert.ok(registry.requests.length <= 6, String(registry.requests.length));
    const before = registry.requests.length;
    await resolver.resolve('shop', names, never);
    assert.equal(registry.requests.length, before);
    registry.override = undefined;
    await clock.advance(61_000);
    const image = registry.add('web', '1', { layers: { amd64: { base: 5 } } });
    const [found] = await resolver.resolve('shop', [image], never);
    assert.ok(found && 'resolved' in found);
  });
});
