import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { configMaps, isStatusError, secrets } from '@selvedge/api';
import { createLogger, systemClock } from '@selvedge/api/node';
import { createHttpClient, type HttpClient, type Kubeconfig, loadKubeconfig } from '@selvedge/kube';
import { HubOptionError } from './hub-option-error.ts';
import type { HubOptions } from './hub-options.ts';
import { type Hub, startHub } from './start-hub.ts';

const logger = createLogger({ level: 'silent' });

describe('a hub that serves', () => {
  let directory: string;
  let hub: Hub;
  let kubeconfig: Kubeconfig;
  let client: HttpClient;
  const data = () => join(directory, 'hub');
  const log = () => join(data(), 'audit.log');

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'selvedge-serving-'));
    hub = await startHub({ data: data(), listen: '127.0.0.1:0', logger });
    kubeconfig = await loadKubeconfig(hub.kubeconfigPath);
    client = createHttpClient({ kubeconfig });
  });
  after(async () => {
    await client.close();
    await hub.close();
    await rm(directory, { recursive: true });
  });

  const get = (path: string): Promise<{ status: number | undefined; text: string }> =>
    new Promise((resolve, reject) => {
      const { ca, cert, key } = kubeconfig;
      request(`${hub.url}${path}`, { ca, cert, key, agent: false }, (res) => {
        let text = '';
        res.on('data', (chunk: Buffer) => (text += chunk));
        res.on('end', () => resolve({ status: res.statusCode, text }));
      })
        .once('error', reject)
        .end();
    });

  const eventually = async (probe: () => Promise<boolean>) => {
    for (let i = 0; i < 1_000; i += 1) {
      if (await probe()) return;
      await systemClock.sleep(20);
    }
    throw new Error('it did not happen');
  };
  const logged = (path: string, text: string) =>
    eventually(async () => existsSync(path) && (await readFile(path, 'utf8')).includes(text));
  const configMap = (name: string) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: 'default' },
  });

  test('records changes and reads of secrets by default, for its owner only, and no secret', async () => {
    await client.create(configMaps, configMap('recorded'));
    const stringData = { password: 'never-to-be-logged' };
    await client.create(secrets, { ...configMap('hidden'), kind: 'Secret', stringData } as never);
    await client.get(secrets, { namespace: 'default', name: 'hidden' });
    await logged(log(), '"verb":"get"');
    const text = await readFile(log(), 'utf8');
    assert.match(text, /"verb":"create".*"name":"recorded"/);
    assert.doesNotMatch(text, /never-to-be-logged|bmV2ZXItdG8tYmUtbG9nZ2Vk/);
    assert.equal((await stat(log())).mode & 0o777, 0o600);
  });

  test('goes on in a new audit log after SIGHUP', async () => {
    await rename(log(), `${log()}.moved`);
    process.kill(process.pid, 'SIGHUP');
    await eventually(async () => {
      await client.create(configMaps, {
        ...configMap(''),
        metadata: { generateName: 'after-', namespace: 'default' },
      } as never);
      return existsSync(log());
    });
    await logged(log(), 'after-');
  });

  test('tells its metrics, those of the fleet too', async () => {
    const { status, text } = await get('/metrics');
    assert.equal(status, 200);
    assert.match(text, /^selvedge_sites\{connectivity="Connected"\} 0$/m);
    assert.match(text, /^selvedge_gateway_open_polls 0$/m);
    assert.match(text, /^apiserver_resource_objects\{group="",resource="namespaces"\} [1-9]/m);
  });

  test('docs/reference/operations.md names every metric, and no other', async () => {
    const page = await readFile(
      join(import.meta.dirname, '../../../../docs/reference/operations.md'),
      'utf8',
    );
    const { text } = await get('/metrics');
    const served = new Set([...text.matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name));
    const documented = new Set(
      [...page.matchAll(/`((?:apiserver|authentication|process|nodejs|selvedge)_\w+)(?:\{|`)/g)].map(
        ([, name]) => name,
      ),
    );
    assert.deepEqual(
      [...documented].filter((name) => !served.has(name)),
      [],
    );
    assert.deepEqual(
      [...served].filter((name) => !documented.has(name)),
      [],
    );
  });

  test('is ready, and says what it looked at', async () => {
    const { status, text } = await get('/readyz?verbose');
    assert.equal(status, 200, text);
    for (const name of ['ping', 'store', 'shutdown', 'rbac-sync', 'watch-cache-sync']) {
      assert.match(text, new RegExp(`^\\[\\+\\]${name} ok$`, 'm'));
    }
  });

  test('a hub that is told to stop ends its watches and answers what is under way', async () => {
    const other = await startHub({ data: join(directory, 'other'), listen: '127.0.0.1:0', logger });
    const access = await loadKubeconfig(other.kubeconfigPath);
    const watcher = createHttpClient({ kubeconfig: access });
    const stop = new AbortController();
    const resourceVersion = (await watcher.list(configMaps)).metadata.resourceVersion;
    const ended = (async () => {
      for await (const _ of watcher.watch(configMaps, { resourceVersion, signal: stop.signal })) void _;
    })().then(
      () => 'ended',
      (error: unknown) => (isStatusError(error) ? 'ended' : error),
    );
    await systemClock.sleep(200);
    await other.close();
    stop.abort('over');
    assert.equal(await ended, 'ended');
    await watcher.close();
  });

  const wrong = async (options: Partial<HubOptions>, message: RegExp) => {
    const start = startHub({ data: join(directory, 'wrong'), listen: '127.0.0.1:0', logger, ...options });
    await assert.rejects(start, (error) => error instanceof HubOptionError && message.test(error.message));
  };

  test('a policy or a log that cannot be used is named at the start', async () => {
    const policy = join(directory, 'policy.yaml');
    await writeFile(policy, 'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Everything}]\n');
    await wrong({ auditPolicyFile: policy }, /--audit-policy-file: .*rules\[0\]\.level must be one of None/);
    await wrong({ auditPolicyFile: join(directory, 'missing') }, /--audit-policy-file: .*ENOENT/);
    await wrong({ auditLogPath: join(directory, 'no', 'folder') }, /--audit-log-path: .*ENOENT/);
  });
});
