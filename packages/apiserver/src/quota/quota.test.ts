import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { configMaps, type KubeObject, type ResourceQuota, resourceQuotas } from '@selvedge/api';
import { createLogger, systemClock } from '@selvedge/api/node';
import { createApiServer } from '../api-server.ts';
import { sampleDefinitions } from '../testing/sample-definitions.ts';
import { admin, eventually, startTestServer, type TestServer } from '../testing/test-server.ts';
import { resourceQuotaDefinition } from './resource-quota-definition.ts';

const definitions = [...sampleDefinitions, resourceQuotaDefinition];
const collection = '/api/v1/namespaces/default/configmaps';
const namespace = 'default';

const start = () => startTestServer({ definitions });

async function limit(server: TestServer, hard: Record<string, string | number>): Promise<void> {
  const spec = { hard } as ResourceQuota['spec'];
  const quota = { apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'q', namespace }, spec };
  await server.client.create(resourceQuotas, quota as KubeObject);
  await eventually(async () => (await usage(server)) && true);
}

const usage = async ({ client }: TestServer): Promise<Record<string, string> | undefined> =>
  (await client.get<ResourceQuota>(resourceQuotas, { name: 'q', namespace })).status?.used;

const configMap = (name: string) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace } });
const create = (server: TestServer, name: string, query = '') =>
  server.request('POST', collection + query, { body: configMap(name) });
const settled = (server: TestServer, used: string) =>
  eventually(async () => ((await usage(server))?.['count/configmaps'] === used ? true : undefined));

/** On the same store. */
const anotherHub = ({ store }: TestServer, options: { maxObjectsPerKind?: number } = {}) =>
  createApiServer({
    definitions,
    store: store.objects,
    clock: systemClock,
    logger: createLogger({ level: 'silent' }),
    ...options,
  });

describe('a resource quota', () => {
  test('lets so many objects in and no more, with the words of Kubernetes', async () => {
    const server = await start();
    await limit(server, { 'count/configmaps': 2 });
    assert.equal((await create(server, 'a')).status, 201);
    assert.equal((await create(server, 'b')).status, 201);
    for (const query of ['', '?dryRun=All']) {
      const refused = await create(server, 'c', query);
      assert.equal(refused.status, 403);
      assert.equal(
        refused.body.message,
        'configmaps "c" is forbidden: exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=2, limited: count/configmaps=2',
      );
    }
    assert.deepEqual(await usage(server), { 'count/configmaps': '2' });
    await server.request('DELETE', `${collection}/a`);
    await settled(server, '1');
    assert.equal((await create(server, 'c')).status, 201);
    await server.close();
  });

  test('counts what was there before it, and again when its limits change', async () => {
    const server = await start();
    for (const name of ['a', 'b', 'c']) await create(server, name);
    await limit(server, { 'count/configmaps': 3 });
    assert.deepEqual(await usage(server), { 'count/configmaps': '3' });
    assert.equal((await create(server, 'd')).status, 403);
    const hard = { 'count/configmaps': '4', secrets: '1' };
    await server.client.mergePatch(resourceQuotas, { name: 'q', namespace }, { spec: { hard } });
    await eventually(async () => ((await usage(server))?.['secrets'] === '0' ? true : undefined));
    assert.equal((await create(server, 'd')).status, 201);
    await server.close();
  });

  test('is not used by what could not be stored, or was only tried', async () => {
    const server = await start();
    await limit(server, { 'count/configmaps': 3 });
    await create(server, 'a');
    assert.equal((await create(server, 'a')).status, 409);
    assert.equal((await create(server, 'b', '?dryRun=All')).status, 201);
    await settled(server, '1');
    await server.close();
  });

  test('holds when many create at once, and again when they delete at once', async () => {
    const server = await start();
    await limit(server, { 'count/configmaps': 20 });
    const names = Array.from({ length: 60 }, (_, i) => `c${i}`);
    const made = await Promise.all(names.map((name) => create(server, name)));
    assert.equal(made.filter(({ status }) => status === 201).length, 20);
    assert.equal(made.filter(({ status }) => status === 403).length, 40);
    const { items } = await server.client.list(configMaps, { namespace });
    assert.equal(items.length, 20);
    await Promise.all(
      items.map(({ metadata: { name } }) => server.client.delete(configMaps, { name, namespace })),
    );
    await settled(server, '0');
    await server.close();
  });

  test('holds when two hubs create at once', async () => {
    const server = await start();
    await limit(server, { 'count/configmaps': 15 });
    // It knows the quota when it serves.
    const other = await anotherHub(server);
    const clients = [server.client, other.client(admin)];
    const attempts = Array.from({ length: 60 }, (_, i) =>
      (clients[i % 2] ?? server.client).create(configMaps, configMap(`c${i}`)),
    );
    const results = await Promise.allSettled(attempts);
    assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 15);
    assert.equal((await server.client.list(configMaps, { namespace })).items.length, 15);
    assert.deepEqual(await usage(server), { 'count/configmaps': '15' });
    await other.close();
    await server.close();
  });

  test('refuses names and quantities that it cannot count', async () => {
    const server = await start();
    const wrong: [Record<string, string>, RegExp][] = [
      [{ cpu: '1' }, /spec\.hard: Unsupported value: "cpu"/],
      [{ 'count/': '1' }, /Unsupported value/],
      [{ secrets: '1.5' }, /spec\.hard\[secrets\]: Invalid value: "1\.5": must be a whole number/],
      [{ secrets: '-1' }, /must be a whole number/],
    ];
    for (const [hard, message] of wrong) {
      const body = { apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'w' }, spec: { hard } };
      const answer = await server.request('POST', '/api/v1/namespaces/default/resourcequotas', { body });
      assert.equal(answer.status, 422);
      assert.match(answer.body.message, message);
    }
    await server.close();
  });

  test('is counted anew after a crash between entering an object and storing it', async () => {
    const first = await start();
    await limit(first, { 'count/configmaps': 3 });
    await create(first, 'a');
    const key = { resource: 'resourcequotas', namespace, name: 'q' };
    const stored = await first.store.objects.find(key);
    assert.ok(stored);
    const quota = JSON.parse(stored.body) as ResourceQuota;
    const status = { ...quota.status, used: { 'count/configmaps': '3' } };
    await first.store.objects.update(key, JSON.stringify({ ...quota, status }), stored.revision);
    assert.equal((await create(first, 'b')).status, 403);
    const second = await first.restart();
    await settled(second, '1');
    assert.equal((await create(second, 'b')).status, 201);
    await second.close();
  });
});

describe('the largest number of objects of a kind', () => {
  test('is kept to; deletions make room', async () => {
    const server = await start();
    await create(server, 'there');
    const hub = await anotherHub(server, { maxObjectsPerKind: 2 });
    const client = hub.client(admin);
    await client.create(configMaps, configMap('a'));
    await assert.rejects(client.create(configMaps, configMap('b')), {
      reason: 'Forbidden',
      message:
        'configmaps "b" is forbidden: the hub has 2 configmaps and takes no more than 2 of one kind ' +
        '(--max-objects-per-kind): delete some, or raise the limit',
    });
    await client.delete(configMaps, { name: 'a', namespace });
    await client.create(configMaps, configMap('b'));
    await hub.close();
    await server.close();
  });
});
