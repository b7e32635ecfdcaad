import assert from 'node:assert/strict';
import { createReadStream } from 'node:fs';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { startTestAgent, type TestAgent } from '@selvedge/agent/testing';
import { applications, type KubeObject, namespaces, type Site, sites } from '@selvedge/api';
import { createLogger, readTar, systemClock } from '@selvedge/api/node';
import { type Hub, startHub } from '@selvedge/hub';
import { type Captured, runCaptured } from '../testing/run-captured.ts';

describe('selvedge site export', { concurrency: false }, () => {
  let folder = '';
  let hub: Hub;
  let agent: TestAgent;

  const cli = (...args: string[]): Promise<Captured> =>
    runCaptured(args, { env: { SELVEDGE_KUBECONFIG: hub.kubeconfigPath } });

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'selvedge-export-'));
    const logger = createLogger({ level: 'silent' });
    hub = await startHub({ data: join(folder, 'hub'), listen: '127.0.0.1:0', logger });
    const { stdout } = await cli('site', 'token', 'shop-1');
    agent = startTestAgent({ stateDir: join(folder, 'agent'), token: stdout.trim() });
    await hub.client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
    await hub.client.create(applications, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Application',
      metadata: { name: 'till', namespace: 'shop' },
      spec: {
        source: { inline: { manifests: [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' } }] } },
        placement: { siteSelector: {} },
      },
    } as KubeObject);
    for (let look = 0; look < 600; look++) {
      const site = await hub.client.find<Site>(sites, { name: 'shop-1' });
      if ((site?.status?.applications?.running ?? 0) > 0) return;
      await systemClock.sleep(100);
    }
    throw new Error('the application did not come to the site');
  });

  after(async () => {
    await agent[Symbol.asyncDispose]();
    await hub.close();
    await rm(folder, { recursive: true, force: true });
  });

  test('writes one private file that is whole, and replaces one from before', async () => {
    const file = join(folder, 'out.tar');
    for (const round of [1, 2]) {
      const { code, stdout, stderr } = await cli('site', 'export', 'shop-1', '--file', file);
      assert.equal(code, 0, stderr);
      assert.match(stdout, /^shop-1, epoch \d+: [\d.]+ KiB in /, String(round));
    }
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    const names: string[] = [];
    for await (const { name } of readTar(createReadStream(file))) names.push(name.split('/')[0] ?? '');
    assert.deepEqual(names, ['selvedge-site.json', 'content', 'oci-layout', 'index.json']);
    assert.deepEqual((await readdir(folder)).sort(), ['agent', 'hub', 'out.tar']);
  });

  test('names what is wrong, and leaves no file behind', async () => {
    const file = join(folder, 'none.tar');
    const unknown = await cli('site', 'export', 'nowhere', '--file', file);
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /nowhere/);
    const noBlobs = await cli('site', 'export', 'shop-1', '--file', file, '--have', hub.kubeconfigPath);
    assert.equal(noBlobs.code, 2);
    assert.match(noBlobs.stderr, /names no blobs: make it with "selvedge-agent depot list"/);
    const nowhere = await cli('site', 'export', 'shop-1', '--file', join(folder, 'missing', 'x.tar'));
    assert.equal(nowhere.code, 2);
    assert.match(nowhere.stderr, /cannot be written/);
    assert.ok(!(await readdir(folder)).includes('none.tar'));
  });
});
