import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Application, applications, namespaces } from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import { type Hub, startHub } from '@selvedge/hub';
import { GitRepository, type GitHttpServer, requireTool, startGitHttpServer } from '@selvedge/testkit';
import { type Captured, runCaptured } from './testing/run-captured.ts';

const page = (text: string) =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: page\ndata:\n  text: ${text}\n`;

describe('an application from git, on a hub', requireTool('git'), () => {
  let folder = '';
  let hub: Hub;
  let server: GitHttpServer;
  let repository: GitRepository;

  const cli = (...args: string[]): Promise<Captured> =>
    runCaptured(args, { env: { SELVEDGE_KUBECONFIG: hub.kubeconfigPath } });

  const apply = (name: string, spec: Application['spec']) =>
    hub.client.create<Application>(applications, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Application',
      metadata: { name, namespace: 'shop' },
      spec,
    });

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'selvedge-app-test-'));
    const served = join(folder, 'served');
    mkdirSync(served);
    server = await startGitHttpServer({ folder: served });
    repository = new GitRepository(join(served, 'shop.git'));
    repository.commit({ 'app/page.yaml': page('one') });
    hub = await startHub({
      data: join(folder, 'hub'),
      listen: '127.0.0.1:0',
      insecureSourceHost: ['127.0.0.1'],
      logger: createLogger({ level: 'silent' }),
    });
    await hub.client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
    await apply('till', {
      source: { git: { url: server.url('shop.git'), path: 'app', interval: '1h' } },
      placement: { siteSelector: {} },
    });
    const manifest = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'page' } };
    await apply('plain', {
      source: { inline: { manifests: [manifest] } },
      placement: { siteSelector: {} },
    });
  });

  after(async () => {
    await hub.close();
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });

  test('refresh waits for what the hub finds, show tells it', async () => {
    const second = repository.commit({ 'app/page.yaml': page('two') });
    const refreshed = await cli('app', 'refresh', 'till', '-n', 'shop');
    assert.equal(refreshed.code, 0, refreshed.stderr);
    assert.match(refreshed.stdout, new RegExp(second));
    const shown = await cli('app', 'show', 'till', '-n', 'shop');
    assert.match(shown.stdout, /Source +git: http:\/\/127\.0\.0\.1:\d+\/shop\.git, folder app/);
    assert.match(shown.stdout, new RegExp(`Revision +.*${second}`));
    const again = await cli('app', 'refresh', 'till', '-n', 'shop');
    assert.match(again.stdout, /^Nothing new: till is at /);
  });

  test('a source that fails is told, with exit code 1', async () => {
    repository.commit({ 'app/page.yaml': 'kind: Page\n' });
    const refreshed = await cli('app', 'refresh', 'till', '-n', 'shop');
    assert.equal(refreshed.code, 1, refreshed.stderr);
    assert.match(refreshed.stdout, /InvalidManifests: .*page\.yaml.*no apiVersion and kind/);
    const shown = await cli('app', 'show', 'till', '-n', 'shop');
    assert.equal(shown.code, 1);
    assert.match(shown.stdout, /✗ SourceReady: InvalidManifests/);
  });

  test('an application that is not there, and one that has nothing to look at, are told apart', async () => {
    const missing = await cli('app', 'show', 'tilt', '-n', 'shop');
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /no application tilt.*\n.*till/);
    const plain = await cli('app', 'refresh', 'plain', '-n', 'shop');
    assert.equal(plain.code, 1);
    assert.match(plain.stderr, /nothing to look at/);
  });
});
