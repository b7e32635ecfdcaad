import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HubOptionError } from './hub-option-error.ts';
import { resolveRegistryStorage } from './registry-storage-options.ts';

const resolved = (registryStorage?: string, registryStorageCredentials?: string, isShared = false) =>
  resolveRegistryStorage(
    {
      ...(registryStorage === undefined ? {} : { registryStorage }),
      ...(registryStorageCredentials === undefined ? {} : { registryStorageCredentials }),
    },
    { dataDirectory: '/data', isShared, insecureRegistries: ['plain.example:5000'] },
  );

describe('where the registry keeps its content', () => {
  test('a folder of the data directory, and nowhere when hubs share a database', () => {
    assert.deepEqual(resolved(), { kind: 'files', directory: '/data/registry' });
    const shared = resolved(undefined, undefined, true);
    assert.ok(shared.kind === 'off' && /same --registry-storage/.test(shared.why));
    assert.equal(resolved('off').kind, 'off');
    assert.deepEqual(resolved('file:///srv/shared%20images/', undefined, true), {
      kind: 'files',
      directory: '/srv/shared images/',
    });
  });

  test('a bucket', () => {
    const aws = resolved('s3://images/of/hub?region=eu-central-1', '/keys');
    const endpoint = new URL('https://s3.eu-central-1.amazonaws.com');
    const bucket = { kind: 's3', bucket: 'images', credentialsFile: '/keys' };
    assert.deepEqual(aws, { ...bucket, prefix: 'of/hub', endpoint, region: 'eu-central-1' });
    const own = resolved('s3://images?endpoint=http://10.0.0.5:9000', '/keys');
    const other = new URL('http://10.0.0.5:9000');
    assert.deepEqual(own, { ...bucket, prefix: '', endpoint: other, region: 'us-east-1' });
  });

  test('another registry', () => {
    const expected = {
      kind: 'registry',
      host: 'plain.example:5000',
      prefix: 'hub',
      credentialsFile: '/keys',
    };
    assert.deepEqual(resolved('oci://plain.example:5000/hub', '/keys'), { ...expected, isInsecure: true });
    const secure = resolved('oci://registry.example/hub');
    assert.ok(secure.kind === 'registry' && !secure.isInsecure && secure.credentialsFile === undefined);
  });

  for (const [text, credentials] of [
    ['images', undefined],
    ['/srv/images', undefined],
    ['https://s3.example/images', undefined],
    ['file://server/images', undefined],
    ['file:///', undefined],
    ['s3://images', undefined],
    ['s3://Images/x', '/keys'],
    ['s3://images/../x?endpoint=ftp://a', '/keys'],
    ['s3://images?endpoint=http://a/path', '/keys'],
    ['s3://images?key=1', '/keys'],
    ['s3://images/A', '/keys'],
    ['oci://registry.example', undefined],
    ['oci://registry.example/hub?x=1', undefined],
    ['oci://user:password@registry.example/hub', undefined],
  ] as const) {
    test(`${text} is refused, and no password in it is told`, () => {
      assert.throws(
        () => resolved(text, credentials),
        (error: Error) => error instanceof HubOptionError && !error.message.includes('password@'),
      );
    });
  }
});
