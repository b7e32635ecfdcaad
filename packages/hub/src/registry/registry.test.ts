import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { describe, test } from 'node:test';
import { parseImageReference } from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import { FakeClock } from '@selvedge/testkit';
import { ImageRepositories } from './image-repositories.ts';
import { type FoundLayers, ImageSizes } from './image-sizes.ts';
import { isRefusedAddress } from './registry-request.ts';
import { TestRegistry } from './testing/test-registry.ts';

const never = new AbortController().signal;
const logger = createLogger({ level: 'silent' });
const sizesWith = (
  registries: { insecureRegistries: string[]; privateRegistries: string[] },
  clock = new FakeClock(),
) => {
  const sizes = new ImageSizes({ repositories: new ImageRepositories(registries), clock, logger });
  return {
    find: (image: string, architecture: string, signal: AbortSignal) =>
      sizes.find({ namespace: 'shop', image, architecture }, signal),
  };
};
const sizesOf = (registry: TestRegistry, clock?: FakeClock) =>
  sizesWith({ insecureRegistries: [registry.host], privateRegistries: [] }, clock);
const total = (found: FoundLayers): number | string =>
  'layers' in found ? found.layers.reduce((sum, layer) => sum + layer.sizeBytes, 0) : found.unknown;

describe('image references', () => {
  const digest = `sha256:${'a'.repeat(64)}`;
  for (const [image, host, repository, reference] of [
    ['nginx', 'registry-1.docker.io', 'library/nginx', 'latest'],
    ['acme/web:2', 'registry-1.docker.io', 'acme/web', '2'],
    ['docker.io/acme/web', 'registry-1.docker.io', 'acme/web', 'latest'],
    ['localhost/web', 'localhost', 'web', 'latest'],
    ['reg.example:5000/a/web:2', 'reg.example:5000', 'a/web', '2'],
    [`reg.example/a/web:2@${digest}`, 'reg.example', 'a/web', digest],
    ['[::1]:5000/web:1', '[::1]:5000', 'web', '1'],
  ] as const) {
    test(`${image} is ${repository} at ${host}`, () => {
      const parsed = parseImageReference(image);
      assert.deepEqual([parsed?.host, parsed?.repository, parsed?.reference], [host, repository, reference]);
    });
  }
  for (const image of [
    '',
    'reg.example/../../admin:1',
    'reg.example/web?x=1:1',
    'user:password@reg.example/web:1',
    'reg.example/web:1#x',
    'reg.example/Web:1',
    'reg.example/web:1/../../secret',
    'reg.example:5000:80/web',
    'reg.example/web@sha256:abc',
    'a b/web',
    'reg.example\\@evil/web',
  ]) {
    test(`${JSON.stringify(image)} is asked of nobody`, () =>
      assert.equal(parseImageReference(image), undefined));
  }
});

describe('what registries say of images', () => {
  test('layers of the architecture that is asked for, the configuration included', async () => {
    await using registry = await TestRegistry.start();
    const image = registry.add('shop/web', '1', {
      layers: { amd64: { base: 1000, app: 20 }, arm64: { base: 900 } },
    });
    const sizes = sizesOf(registry);
    assert.equal(total(await sizes.find(image, 'amd64', never)), 1120);
    assert.equal(total(await sizes.find(image, 'arm64', never)), 1000);
    assert.match(String(total(await sizes.find(image, 's390x', never))), /other architectures than s390x/);
    assert.ok(registry.requests.every((request) => request.startsWith('GET /v2/shop/web/manifests/')));
  });

  test('an image without index, and one by digest', async () => {
    await using registry = await TestRegistry.start();
    const image = registry.add('web', '1', { layers: { amd64: { base: 7 } }, isSingle: true });
    const sizes = sizesOf(registry);
    assert.equal(total(await sizes.find(image, 'amd64', never)), 107);
    const forged = `${registry.host}/web@sha256:${'0'.repeat(64)}`;
    registry.override = (_req, res) => Boolean(res.end('{"layers":[]}'));
    assert.match(String(total(await sizes.find(forged, 'amd64', never))), /cannot be asked/);
  });

  test('a registry that hands out tokens to anybody is asked with one', async () => {
    await using registry = await TestRegistry.start();
    registry.wantsToken = true;
    const image = registry.add('shop/web', '1', { layers: { amd64: { base: 5 } } });
    assert.equal(total(await sizesOf(registry).find(image, 'amd64', never)), 105);
    assert.equal(registry.requests.filter((request) => request.startsWith('GET /token?')).length, 1);
  });

  test('what is known is not asked again for a while, what is not sooner', async () => {
    await using registry = await TestRegistry.start();
    const clock = new FakeClock();
    const image = registry.add('web', '1', { layers: { amd64: { base: 5 } }, isSingle: true });
    const missing = `${registry.host}/nothing:1`;
    const sizes = sizesOf(registry, clock);
    const ask = () => Promise.all([sizes.find(image, 'amd64', never), sizes.find(missing, 'amd64', never)]);
    const [, unknown] = await ask();
    assert.deepEqual(unknown, { unknown: `${registry.host} has no such image` });
    await ask();
    assert.equal(registry.requests.length, 2);
    await clock.advance(61_000);
    await ask();
    assert.equal(registry.requests.length, 3);
    await clock.advance(600_000);
    await ask();
    assert.equal(registry.requests.length, 5);
  });

  test('no redirect is followed, not even to itself', async () => {
    await using registry = await TestRegistry.start();
    const image = registry.add('web', '1', { layers: { amd64: { base: 5 } } });
    registry.override = (_req, res) =>
      Boolean(res.writeHead(307, { location: `http://${registry.host}/secret` }).end());
    assert.match(String(total(await sizesOf(registry).find(image, 'amd64', never))), /cannot be asked/);
    assert.equal(registry.requests.length, 1);
  });

  test('a realm elsewhere is not asked, be it over http or https, at a public address or one of the hub', async () => {
    await using registry = await TestRegistry.start();
    await using other = await TestRegistry.start();
    const image = registry.add('web', '1', { layers: { amd64: { base: 5 } } });
    for (const realm of [
      `http://${other.host}/token`,
      `https://${other.host}/token`,
      `https://${registry.host}/token`,
      `http://user@${registry.host}/token`,
      'https://auth.docker.io/token',
      'https://gitlab.com/jwt/auth',
    ]) {
      registry.override = (_req, res) =>
        Boolean(res.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}"` }).end());
      const found = await sizesOf(registry).find(image, 'amd64', never);
      assert.deepEqual(found, { unknown: `${registry.host} asks for credentials` }, realm);
    }
    assert.equal(other.connections, 0);
    assert.equal(registry.requests.length, 6);
  });

  test('a private registry may name another private registry for its tokens, and nobody else', async () => {
    await using registry = await TestRegistry.start();
    await using tokens = await TestRegistry.start();
    await using stranger = await TestRegistry.start();
    const sizes = (host: string) =>
      sizesWith({ insecureRegistries: [registry.host], privateRegistries: [registry.host, host] });
    const image = registry.add('web', '1', { layers: { amd64: { base: 5 } } });
    registry.override = (_req, res) =>
      Boolean(
        res.writeHead(401, { 'www-authenticate': `Bearer realm="https://${tokens.host}/token"` }).end(),
      );
    const unnamed = await sizes(stranger.host).find(image, 'amd64', never);
    assert.deepEqual(
      [unnamed, tokens.connections],
      [{ unknown: `${registry.host} asks for credentials` }, 0],
    );
    // It is spoken to; that it speaks no TLS is another matter.
    const named = await sizes(tokens.host).find(image, 'amd64', never);
    assert.deepEqual([named, tokens.connections], [{ unknown: `${registry.host} cannot be asked` }, 1]);
  });

  test('of an answer no more is kept than an image manifest has', async () => {
    await using registry = await TestRegistry.start();
    const digest = `sha256:${'a'.repeat(64)}`;
    const manifest = (count: number, of = digest) =>
      JSON.stringify({
        config: { digest, size: 1 },
        layers: Array.from({ length: count }, () => ({ digest: of, size: 1 })),
      });
    const answers = {
      many: manifest(201),
      long: manifest(1, `sha256:${'a'.repeat(100_000)}`),
      fits: manifest(200),
    };
    for (const [name, body] of Object.entries(answers)) {
      registry.override = (_req, res) => Boolean(res.end(body));
      const found = await sizesOf(registry).find(`${registry.host}/${name}:1`, 'amd64', never);
      assert.equal(total(found), name === 'fits' ? 201 : `${registry.host} cannot be asked`, name);
    }
  });

  test('images of many layers make older answers forgotten', async () => {
    await using registry = await TestRegistry.start();
    const sizes = sizesOf(registry);
    const names = Array.from({ length: 200 }, (_, i) => `layer-${i}`);
    const layers = { amd64: Object.fromEntries(names.map((name) => [name, 1])) };
    const images = Array.from({ length: 100 }, (_, i) =>
      registry.add(`web-${i}`, '1', { layers, isSingle: true }),
    );
    for (const image of images) assert.equal(total(await sizes.find(image, 'amd64', never)), 300);
    assert.equal(registry.requests.length, 100);
    await sizes.find(images[99] ?? '', 'amd64', never);
    assert.equal(registry.requests.length, 100, 'the newest is kept');
    await sizes.find(images[0] ?? '', 'amd64', never);
    assert.equal(registry.requests.length, 101, 'the oldest is not');
  });

  for (const [what, answer] of [
    ['more than it should', 'x'.repeat(5 * 1024 * 1024)],
    ['no JSON', '<html>'],
    ['JSON that is no manifest', '{"layers":{"length":1}}'],
    ['sizes that are none', `{"config":{"digest":"a","size":-1},"layers":[]}`],
    [
      'a manifest list of itself',
      `{"manifests":[{"digest":"../../x","platform":{"os":"linux","architecture":"amd64"}}]}`,
    ],
  ] as const) {
    test(`a registry that answers ${what} makes a size unknown, and nothing else`, async () => {
      await using registry = await TestRegistry.start();
      registry.override = (_req, res) => Boolean(res.end(answer));
      const found = await sizesOf(registry).find(`${registry.host}/web:1`, 'amd64', never);
      assert.ok('unknown' in found);
    });
  }

  test('a registry that never answers is given up with the plan', async () => {
    await using registry = await TestRegistry.start();
    registry.override = () => true;
    const stop = new AbortController();
    const asked = sizesOf(registry).find(`${registry.host}/web:1`, 'amd64', stop.signal);
    while (registry.requests.length === 0) await new Promise((resolve) => setImmediate(resolve));
    stop.abort();
    assert.deepEqual(await asked, { unknown: 'the registries took too long' });
  });

  test('a few are asked at once', async () => {
    await using registry = await TestRegistry.start();
    const sizes = sizesOf(registry);
    const images = Array.from({ length: 20 }, (_, i) => {
      return registry.add(`web-${i}`, '1', { layers: { amd64: { base: 5 } } });
    });
    await Promise.all(images.map((image) => sizes.find(image, 'amd64', never)));
    assert.ok(registry.mostAtOnce <= 4, String(registry.mostAtOnce));
  });

  test('no more than twenty registries are asked within ten minutes', async () => {
    await using registry = await TestRegistry.start();
    const clock = new FakeClock();
    const image = registry.add('web', '1', { layers: { amd64: { base: 5 } } });
    const sizes = sizesOf(registry, clock);
    for (let i = 0; i < 20; i++) await sizes.find(`127.0.0.1:${i + 1}/web:1`, 'amd64', never);
    assert.match(String(total(await sizes.find(image, 'amd64', never))), /more than 20 registries/);
    await clock.advance(601_000);
    assert.equal(total(await sizes.find(image, 'amd64', never)), 105);
  });

  test('a registry at an address of this machine is asked only when the operator named it', async () => {
    await using registry = await TestRegistry.start();
    const sizes = sizesWith({ insecureRegistries: [], privateRegistries: [] });
    const port = registry.host.split(':')[1];
    for (const host of [registry.host, `localhost:${port}`, `[::1]:${port}`, `[::ffff:127.0.0.1]:${port}`]) {
      const found = await sizes.find(`${host}/web:1`, 'amd64', never);
      assert.ok('unknown' in found && / cannot be asked|could be asked/.test(found.unknown), host);
    }
    assert.equal(registry.connections, 0);
  });

  test('addresses of this machine, its link, private networks and metadata services are refused, others not', () => {
    for (const address of [
      '127.0.0.1',
      '127.8.8.8',
      '0.0.0.0',
      '169.254.169.254',
      '::1',
      '::',
      'fe80::1',
      '::ffff:127.0.0.1',
      'fd00:ec2::254',
      'fe80::1%eth0',
      '::127.0.0.1',
      '64:ff9b::7f00:1',
      '64:ff9b::a9fe:a9fe',
      '64:ff9b:1::7f00:1',
      '2001:0:1::1',
      '2002:7f00:1::',
      '100.100.100.200',
      '168.63.129.16',
      '64:ff9b::168.63.129.16',
      '192.0.0.192',
      'fd20:ce::254',
      '10.0.0.5',
      '172.31.0.1',
      '192.168.1.9',
      '::ffff:192.168.1.9',
      '255.255.255.255',
      'ff02::1',
      'no address',
    ]) {
      assert.ok(isRefusedAddress(address), address);
    }
    for (const { address } of Object.values(networkInterfaces()).flatMap((found) => found ?? [])) {
      assert.ok(isRefusedAddress(address), address);
    }
    for (const address of ['172.32.0.1', '203.0.113.7', '2001:db8::1', '64:ff9b::203.0.113.7']) {
      assert.ok(!isRefusedAddress(address), address);
    }
  });
});
