import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  type Application,
  applications,
  type RegistryCredential,
  registryCredentials,
  type Secret,
  secrets,
} from '@selvedge/api';
import { TestHub } from '../controllers/testing/test-hub.ts';
import type { ArtifactRegistry } from './artifact-registry.ts';
import type { GitRepositories } from './git-repositories.ts';
import { SourceHosts } from './source-hosts.ts';
import { SourceError } from './source-reading.ts';

const commit = 'a'.repeat(40);
const page = 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: page\ndata:\n  text: one\n';

/** A hub with servers of sources in the hand of the test. */
class Lab implements AsyncDisposable {
  readonly hub: TestHub;
  readonly #folder: string;

  private constructor(hub: TestHub, folder: string) {
    this.hub = hub;
    this.#folder = folder;
  }

  static async start(servers: { git?: GitRepositories; artifacts?: ArtifactRegistry }): Promise<Lab> {
    const hub = await TestHub.start();
    const folder = await mkdtemp(join(tmpdir(), 'selvedge-wakes-'));
    await hub.stopControllers();
    const hosts = new SourceHosts({ hosts: [], insecureHosts: [] });
    hub.sources = { cacheDirectory: folder, hosts, ...servers };
    hub.startControllers();
    return new Lab(hub, folder);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.hub[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

test('an application that is deleted and made again while its source is read is read anew', async () => {
  let reads = 0;
  const gate = Promise.withResolvers<void>();
  await using lab = await Lab.start({
    git: {
      findCommit: () => Promise.resolve({ commit, revision: `sha1:${commit}` }),
      checkOut: async ({ folder }) => {
        reads += 1;
        if (reads === 1) await gate.promise;
        await writeFile(join(folder, 'page.yaml'), page);
      },
    },
  });
  const { hub } = lab;
  // By commit: once read, it is never looked at again.
  const spec = { source: { git: { url: 'https://git.example/shop', ref: { commit } } } };
  await hub.apply(spec);
  await hub.eventually(() => Promise.resolve(assert.equal(reads, 1)));
  const till = { namespace: 'shop', name: 'till' };
  await hub.client.delete(applications, till);
  await hub.eventually(async () => assert.equal(await hub.client.find(applications, till), undefined));
  const { metadata } = await hub.apply(spec);
  for (let i = 0; i < 3; i++) await hub.pass(100);
  gate.resolve();
  const { status, metadata: present } = await hub.eventually(async () => {
    const application = await hub.application();
    assert.ok(application.status?.release, JSON.stringify(application.status));
    return application;
  });
  assert.equal(present.uid, metadata.uid);
  assert.match(status?.source?.revision ?? '', new RegExp(commit));
  assert.equal(reads, 2);
});

test('a login that is put right is tried at once, by whichever object it is', async () => {
  let looks = 0;
  const denied = (): Promise<never> => {
    looks += 1;
    return Promise.reject(new SourceError('AuthenticationFailed', 'The registry wants a login.'));
  };
  await using lab = await Lab.start({
    artifacts: { findDigest: denied, fetchManifest: denied, fetchBlob: denied, listTags: denied },
  });
  const { hub } = lab;
  /** Looks that the change brings within a time in which the interval brings none. */
  const looksAfter = async (change: () => Promise<unknown>) => {
    for (let i = 0; i < 20; i++) await hub.pass(100);
    const before = looks;
    await change();
    for (let i = 0; i < 20; i++) await hub.pass(100);
    return looks - before;
  };
  const source = (registryCredential?: string): Partial<Application['spec']> => ({
    source: {
      oci: {
        reference: 'registry.example/shop/till:1',
        interval: '30d',
        ...(registryCredential === undefined ? {} : { registryCredential }),
      },
    },
  });
  await hub.apply(source());
  await hub.eventually(() => Promise.resolve(assert.ok(looks > 0)));
  // Failures enough that the next look is far.
  await hub.eventually(() => Promise.resolve(assert.ok(looks > 12)), { step: 30_000 });

  const secret: Secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'login', namespace: 'shop' },
    data: { username: 'YQ==', password: 'Yg==' },
  };
  const credential = (name: string, registry: string): RegistryCredential => ({
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'RegistryCredential',
    metadata: { name, namespace: 'shop' },
    spec: { registries: [registry], static: { secretRef: { name: 'login' } } },
  });
  const create = (name: string, registry: string) => () =>
    hub.client.create(registryCredentials, credential(name, registry));
  assert.equal(await looksAfter(create('other', 'other.example')), 0);
  assert.ok((await looksAfter(create('shop', 'registry.example'))) >= 1);
  assert.ok((await looksAfter(() => hub.client.create(secrets, secret))) >= 1);
  const data = { ...secret.data, password: 'Yw==' };
  assert.ok((await looksAfter(() => hub.client.mergePatch(secrets, secret.metadata, { data }))) >= 1);
  assert.ok((await looksAfter(() => hub.apply(source('shop')))) >= 1);
});
