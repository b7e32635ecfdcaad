import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type KubeObject, writeDockerConfig } from '@selvedge/api';
import { type Depot, DepotError, type DepotRequest } from '../../depot/depot.ts';
import { listLogger } from '../../testing/test-agent.ts';
import { bringImages, imagesToBring } from './release-images.ts';

const pullSecret = 'selvedge-pull-till';

function deployment(image: string, secrets: readonly string[], namespace?: string): KubeObject {
  const imagePullSecrets = secrets.map((name) => ({ name }));
  const containers = [
    { name: 'main', image },
    { name: 'local', image: 'own:1', imagePullPolicy: 'Never' },
  ];
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'till', ...(namespace === undefined ? {} : { namespace }) },
    spec: { template: { spec: { containers, imagePullSecrets } } },
  } as KubeObject;
}

function dockerSecret(name: string, username: string): KubeObject {
  const config = writeDockerConfig([{ registry: 'r.example', username, password: 'p' }]);
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name },
    data: { '.dockerconfigjson': Buffer.from(config).toString('base64') },
  } as KubeObject;
}

test('images come with the login of the pods that run them, of their own namespace; that of RegistryCredentials is no such', () => {
  const objects = [
    dockerSecret('mine', 'me'),
    dockerSecret(pullSecret, 'hub'),
    deployment('r.example/till:1', ['mine', pullSecret]),
    deployment('r.example/back:1', ['mine'], 'back'),
    deployment('r.example/other:1', [pullSecret]),
  ];
  assert.deepEqual(imagesToBring(objects, { namespace: 'shop', pullSecret }), [
    { image: 'r.example/back:1' },
    { image: 'r.example/other:1' },
    { image: 'r.example/till:1', login: { username: 'me', password: 'p' } },
  ]);
});

async function bring(fault: DepotError | undefined) {
  const log: { message: string }[] = [];
  const asked: DepotRequest['login'][] = [];
  const depot: Pick<Depot, 'ensure'> = {
    ensure: async (name, { login }) => {
      asked.push(login);
      if (fault !== undefined) throw fault;
      return { name, digest: 'sha256:1', sizeBytes: 1, pullReference: name };
    },
  };
  const areHere = await bringImages([dockerSecret('mine', 'me'), deployment('r.example/till:1', ['mine'])], {
    depot: depot as Depot,
    architectures: [],
    namespace: 'shop',
    pullSecret,
    mayFetch: true,
    onProgress: () => {},
    logger: listLogger(log as never),
    signal: new AbortController().signal,
  });
  return { areHere, asked, log };
}

test('the depot asks with that login', async () => {
  assert.deepEqual(await bring(undefined), {
    areHere: true,
    asked: [{ username: 'me', password: 'p' }],
    log: [],
  });
});

for (const reason of ['Denied', 'NotFound'] as const) {
  test(`what the depot is ${reason} the nodes try by themselves`, async () => {
    const { areHere, log } = await bring(new DepotError(reason, 'no', { isLasting: true }));
    assert.equal(areHere, true);
    assert.equal(log.length, 1);
  });
}

test('a registry that is away, and a full disk, are waited for', async () => {
  for (const [reason, told] of [
    ['Unavailable', 'ImagePullFailed'],
    ['StorageFull', 'InsufficientSpace'],
  ] as const) {
    await assert.rejects(bring(new DepotError(reason, 'no', { isLasting: false })), { reason: told });
  }
});
