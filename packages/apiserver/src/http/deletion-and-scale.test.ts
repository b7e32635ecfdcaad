import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { configMaps, type KubeObject, namespaces } from '@selvedge/api';
import { createLogger, systemClock } from '@selvedge/api/node';
import { createApiServer } from '../api-server.ts';
import { writeMessage } from '../discovery/protobuf-writer.ts';
import { aliasDefinition } from '../registry/alias.ts';
import { eventDefinition, sampleDefinitions } from '../testing/sample-definitions.ts';
import { admin, eventually, startTestServer, type TestServer } from '../testing/test-server.ts';
import type { ResourceDefinition } from '../resource-definition.ts';

const replicas = { type: 'integer' } as const;
const machineDefinition: ResourceDefinition = {
  ref: { group: 'example.dev', version: 'v1', plural: 'machines', kind: 'Machine', namespaced: true },
  singular: 'machine',
  description: 'Something of which there may be many.',
  statusSubresource: true,
  columns: [],
  schema: {
    type: 'object',
    properties: {
      spec: {
        type: 'object',
        properties: { replicas: { ...replicas, maximum: 10 }, color: { type: 'string' } },
      },
      status: { type: 'object', properties: { replicas, selector: { type: 'string' } } },
    },
  },
  scale: {
    specReplicasPath: '.spec.replicas',
    statusReplicasPath: '.status.replicas',
    labelSelectorPath: '.status.selector',
  },
};

let server: TestServer;
const configMapsPath = '/api/v1/namespaces/default/configmaps';
const machines = '/apis/example.dev/v1/namespaces/default/machines';

const configMap = (name: string, metadata: object = {}) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, ...metadata },
});
const patchAs = (type: string) => ({ headers: { 'content-type': `application/${type}` } });

/** As typed clients of Go send it. */
const protobuf = (apiVersion: string, kind: string, raw: Buffer): Buffer =>
  Buffer.concat([
    Buffer.from('k8s\0', 'latin1'),
    writeMessage([
      [
        1,
        writeMessage([
          [1, apiVersion],
          [2, kind],
        ]),
      ],
      [2, raw],
    ]),
  ]);

async function sendBytes(method: string, path: string, bytes: Buffer) {
  const answer = await fetch(`${server.url}${path}`, {
    method,
    headers: { 'content-type': 'application/vnd.kubernetes.protobuf' },
    body: new Uint8Array(bytes),
  });
  return { status: answer.status, body: (await answer.json()) as KubeObject & { message: string } };
}

before(async () => {
  server = await startTestServer({ definitions: [...sampleDefinitions, machineDefinition] });
});
after(() => server.close());

describe('scale', () => {
  const scale = `${machines}/m/scale`;
  before(async () => {
    const machine = {
      apiVersion: 'example.dev/v1',
      kind: 'Machine',
      metadata: { name: 'm', namespace: 'default' },
      spec: { replicas: 2, color: 'red' },
    };
    await server.request('POST', machines, { body: machine });
    await server.request('PATCH', `${machines}/m/status`, {
      body: { status: { replicas: 1, selector: 'a=b' } },
      ...patchAs('merge-patch+json'),
    });
  });

  test('is a form of the object that is read', async () => {
    const { status, body } = await server.request('GET', scale);
    assert.equal(status, 200);
    assert.deepEqual([body['kind'], body['apiVersion']], ['Scale', 'autoscaling/v1']);
    assert.deepEqual([body['spec'], body['status']], [{ replicas: 2 }, { replicas: 1, selector: 'a=b' }]);
    const table = await server.request('GET', scale, {
      headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' },
    });
    const { rows } = table.body as unknown as { rows: { cells: unknown[] }[] };
    assert.deepEqual(rows[0]?.cells.slice(0, 3), ['m', 2, 1]);
  });

  test('is patched and put, and nothing else of the object changes', async () => {
    const merged = await server.request('PATCH', scale, {
      body: { spec: { replicas: 3 } },
      ...patchAs('merge-patch+json'),
    });
    assert.deepEqual(merged.body['spec'], { replicas: 3 });
    const json = [{ op: 'replace', path: '/spec/replicas', value: 4 }];
    await server.request('PATCH', scale, { body: json, ...patchAs('json-patch+json') });
    const read = await server.request('GET', scale);
    const put = await server.request('PUT', scale, { body: { ...read.body, spec: { replicas: 5 } } });
    assert.equal(put.status, 200);
    const { body } = await server.request('GET', `${machines}/m`);
    assert.deepEqual(body['spec'], { replicas: 5, color: 'red' });
    const stale = await server.request('PUT', scale, { body: { ...read.body, spec: { replicas: 6 } } });
    assert.deepEqual([stale.status, stale.body['reason']], [409, 'Conflict']);
    const raw = writeMessage([
      [1, writeMessage([[1, 'm']])],
      [2, writeMessage([[1, 7]])],
    ]);
    const binary = await sendBytes('PUT', `${scale}?dryRun=All`, protobuf('autoscaling/v1', 'Scale', raw));
    assert.deepEqual([binary.status, binary.body['spec']], [200, { replicas: 7 }]);
    assert.deepEqual((await server.request('GET', scale)).body['spec'], { replicas: 5 });
  });

  test('is refused where it makes no sense', async () => {
    const patch = (body: unknown, query = '') =>
      server.request('PATCH', `${scale}${query}`, { body, ...patchAs('merge-patch+json') });
    assert.match((await patch({ spec: { replicas: -1 } })).body.message, /greater than or equal to 0/);
    assert.match((await patch({ spec: { replicas: 11 } })).body.message, /spec\.replicas/);
    assert.match((await patch({ spec: { replicas: 'x' } })).body.message, /spec\.replicas/);
    assert.match(
      (await patch({ spec: { odd: 1 } }, '?fieldValidation=Strict')).body.message,
      /unknown field "spec\.odd"/,
    );
    assert.equal((await server.request('GET', `${configMapsPath}/none/scale`)).status, 404);
    assert.equal((await server.request('GET', `${machines}/none/scale`)).status, 404);
    assert.equal((await server.request('DELETE', scale)).status, 405);
    const resources = (await server.request('GET', '/apis/example.dev/v1')).body['resources'] as {
      name: string;
      kind: string;
    }[];
    assert.ok(resources.some(({ name, kind }) => name === 'machines/scale' && kind === 'Scale'));
  });
});

describe('deletion', () => {
  test('takes its options from body and query, in JSON and in protobuf', async () => {
    const { body } = await server.request('POST', configMapsPath, { body: configMap('a') });
    const { uid = '', resourceVersion = '' } = (body as unknown as KubeObject).metadata;
    const remove = (options: object, query = '') =>
      server.request('DELETE', `${configMapsPath}/a${query}`, { body: options });
    assert.match(
      (await remove({ preconditions: { uid: 'other' } })).body.message,
      /the UID in the precondition \(other\)/,
    );
    assert.match((await remove({ preconditions: { resourceVersion: '1' } })).body.message, /ResourceVersion/);
    for (const wrong of [{ dryRun: ['Some'] }, { propagationPolicy: 'Some' }]) {
      assert.equal((await remove(wrong)).status, 422);
    }
    for (const wrong of [{ preconditions: 1 }, { gracePeriodSeconds: 'x' }, { kind: 'ConfigMap' }]) {
      assert.equal((await remove(wrong)).status, 400);
    }
    assert.equal((await remove({}, '?dryRun=All&gracePeriodSeconds=0')).status, 200);
    assert.equal((await server.request('GET', `${configMapsPath}/a`)).status, 200);
    const raw = writeMessage([
      [1, 0],
      [
        2,
        writeMessage([
          [1, uid],
          [2, resourceVersion],
        ]),
      ],
      [4, 'Background'],
    ]);
    const gone = await sendBytes('DELETE', `${configMapsPath}/a`, protobuf('v1', 'DeleteOptions', raw));
    assert.deepEqual([gone.status, gone.body['status']], [200, 'Success']);
    assert.equal((await server.request('GET', `${configMapsPath}/a`)).status, 404);
  });

  test('of a collection deletes what is selected, and only that', async () => {
    for (const [name, color] of Object.entries({ c1: 'red', c2: 'red', c3: 'green' })) {
      await server.request('POST', configMapsPath, { body: configMap(name, { labels: { color } }) });
    }
    const remove = (query: string, body?: object) =>
      server.request('DELETE', `${configMapsPath}${query}`, body ? { body } : {});
    const names = async () =>
      (await server.client.list(configMaps, { namespace: 'default' })).items.map((o) => o.metadata.name);
    await remove('?labelSelector=color', { dryRun: ['All'] });
    assert.deepEqual(await names(), ['c1', 'c2', 'c3']);
    const answer = await remove('?labelSelector=color%3Dred&limit=1');
    assert.equal(answer.body['kind'], 'ConfigMapList');
    assert.deepEqual(await names(), ['c2', 'c3']);
    assert.equal((await remove('', { preconditions: { uid: 'other' } })).status, 409);
    await remove('?fieldSelector=metadata.name%3Dc3');
    assert.deepEqual(await names(), ['c2']);
    await remove('');
    assert.deepEqual(await names(), []);
    assert.equal((await server.request('DELETE', '/api/v1/namespaces')).status, 405);
  });
});

describe('generateName', () => {
  test('says how to go on when every name is taken', async () => {
    const prefix = 'x'.repeat(200);
    const answers = await Promise.all(
      ['first-', prefix].map((generateName) =>
        server.request('POST', configMapsPath, { body: { ...configMap(''), metadata: { generateName } } }),
      ),
    );
    for (const { status, body } of answers) {
      assert.equal(status, 201);
      assert.ok((body as unknown as KubeObject).metadata.name.length <= 63);
    }
    await server.request('DELETE', configMapsPath);
  });
});

describe('namespaces', () => {
  const at = (name: string) => `/api/v1/namespaces/${name}`;
  const make = (name: string) =>
    server.client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });

  test('say what keeps them, and who is waited for', async () => {
    await make('stuck');
    await server.request('POST', `${at('stuck')}/configmaps`, {
      body: configMap('held', { finalizers: ['example.dev/hold'] }),
    });
    await server.request('DELETE', at('stuck'));
    const conditions = await eventually(async () => {
      const { body } = await server.request('GET', at('stuck'));
      const status = body['status'] as unknown as {
        conditions?: { type: string; status: string; message: string }[];
      };
      return status.conditions?.length === 5 ? status.conditions : undefined;
    });
    const messageOf = (type: string) =>
      conditions.find((c) => c.type === type && c.status === 'True')?.message;
    assert.equal(
      messageOf('NamespaceContentRemaining'),
      'Some resources are remaining: configmaps. has 1 resource instances',
    );
    assert.equal(
      messageOf('NamespaceFinalizersRemaining'),
      'Some content in the namespace has finalizers remaining: example.dev/hold in 1 resource instances',
    );
    const late = await server.request('POST', `${at('stuck')}/configmaps`, { body: configMap('late') });
    assert.equal(late.status, 403);
    const { causes } = late.body['details'] as unknown as { causes: { reason: string }[] };
    assert.equal(causes[0]?.reason, 'NamespaceTerminating');
    await server.request('PATCH', `${at('stuck')}/configmaps/held`, {
      body: { metadata: { finalizers: null } },
      ...patchAs('merge-patch+json'),
    });
    await eventually(async () =>
      (await server.request('GET', at('stuck'))).status === 404 ? true : undefined,
    );
  });

  test('let go of their finalizers through /finalize only', async () => {
    const made = await make('own');
    const body = { ...made, spec: { finalizers: ['kubernetes', 'example.dev/own'] } };
    await server.request('PUT', at('own'), { body });
    assert.deepEqual((await server.request('GET', at('own'))).body['spec'], { finalizers: ['kubernetes'] });
    const finalized = await server.request('PUT', `${at('own')}/finalize`, {
      body: { ...body, metadata: { name: 'own' } },
    });
    assert.deepEqual(finalized.body['spec'], body.spec);
    const stale = await server.request('PUT', `${at('own')}/finalize`, { body });
    assert.equal(stale.status, 409);
    await server.request('DELETE', at('own'));
    await eventually(async () => {
      const spec = (await server.request('GET', at('own'))).body['spec'] as unknown as {
        finalizers: string[];
      };
      return spec.finalizers.join() === 'example.dev/own' ? true : undefined;
    });
    const empty = {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'own' },
      spec: { finalizers: [] },
    };
    assert.equal((await server.request('PUT', `${at('own')}/finalize`, { body: empty })).status, 200);
    assert.equal((await server.request('GET', at('own'))).status, 404);
  });

  test('made again under their name keep what is in them, whoever was still emptying the old one', async () => {
    const second = await createApiServer({
      definitions: [...sampleDefinitions, machineDefinition],
      store: server.store.objects,
      clock: systemClock,
      logger: createLogger({ level: 'silent' }),
    });
    try {
      const held = {
        ...configMap('held'),
        metadata: { name: 'held', namespace: 'again', finalizers: ['a.dev/x'] },
      };
      for (let round = 0; round < 3; round++) {
        await make('again');
        await server.client.create(configMaps, held);
        await server.client.delete(namespaces, { name: 'again' });
        // Both wait for the finalizer, each longer every time.
        await systemClock.sleep(700);
        await server.client.mergePatch(
          configMaps,
          { name: 'held', namespace: 'again' },
          { metadata: { finalizers: null } },
        );
        await eventually(async () =>
          (await server.client.find(namespaces, { name: 'again' })) ? undefined : true,
        );
        await make('again');
        await server.client.create(configMaps, {
          ...configMap('new'),
          metadata: { name: 'new', namespace: 'again' },
        });
        await systemClock.sleep(1_500);
        assert.ok(await server.client.find(configMaps, { name: 'new', namespace: 'again' }));
        await server.client.delete(namespaces, { name: 'again' });
        await eventually(async () =>
          (await server.client.find(namespaces, { name: 'again' })) ? undefined : true,
        );
      }
    } finally {
      await second.close();
    }
  });

  test('take nothing in while two servers empty and fill them', async () => {
    const second = await createApiServer({
      definitions: [...sampleDefinitions, machineDefinition],
      store: server.store.objects,
      clock: systemClock,
      logger: createLogger({ level: 'silent' }),
    });
    try {
      const clients = [server.client, second.client(admin)];
      for (let round = 0; round < 5; round++) {
        const namespace = `race-${round}`;
        await make(namespace);
        let isOver = false;
        const writers = clients.map(async (client, writer) => {
          for (let i = 0; !isOver; i++) {
            const object = {
              ...configMap(`w${writer}-${i}`),
              metadata: { name: `w${writer}-${i}`, namespace },
            };
            await client.create(configMaps, object).catch(() => {
              isOver = true;
            });
          }
        });
        await clients[round % 2]?.delete(namespaces, { name: namespace });
        await Promise.all(writers);
        await eventually(async () =>
          (await server.client.find(namespaces, { name: namespace })) ? undefined : true,
        );
        const left = await server.store.objects.list({ resource: 'configmaps', namespace });
        assert.deepEqual(left.objects, []);
      }
    } finally {
      await second.close();
    }
  });
});

describe('an alias', () => {
  test('serves the objects of a stored kind under other names', async () => {
    const own = await startTestServer({ definitions: sampleDefinitions });
    const definitions = [
      ...sampleDefinitions,
      aliasDefinition(own.store.objects, {
        ...eventDefinition,
        ref: {
          group: 'events.example.dev',
          version: 'v1',
          plural: 'events',
          kind: 'Event',
          namespaced: true,
        },
        storedAs: { ref: eventDefinition.ref, fieldNames: { regarding: 'involvedObject', note: 'message' } },
        schema: { type: 'object', properties: { regarding: { type: 'object' }, note: { type: 'string' } } },
        selectableFields: {},
      }),
    ];
    const api = await createApiServer({
      definitions,
      store: own.store.objects,
      clock: systemClock,
      logger: createLogger({ level: 'silent' }),
    });
    try {
      const resource = { ...eventDefinition.ref, group: 'events.example.dev' };
      await own.client.create(eventDefinition.ref, {
        apiVersion: 'v1',
        kind: 'Event',
        metadata: { name: 'e', namespace: 'default' },
        involvedObject: { name: 'x' },
        message: 'm',
      });
      const client = api.client(admin);
      const event = await client.get(resource, { namespace: 'default', name: 'e' });
      assert.deepEqual(
        [event.apiVersion, event['regarding'], event['note'], event['message']],
        ['events.example.dev/v1', { name: 'x' }, 'm', undefined],
      );
      const { items, metadata } = await client.list(resource, { namespace: 'default' });
      assert.equal(items[0]?.['note'], 'm');
      const stop = new AbortController();
      const watch = client.watch(resource, {
        resourceVersion: metadata.resourceVersion,
        signal: stop.signal,
      });
      await own.client.mergePatch(eventDefinition.ref, { namespace: 'default', name: 'e' }, { message: 'n' });
      for await (const seen of watch) {
        if (seen.type === 'BOOKMARK') continue;
        assert.deepEqual([seen.type, seen.object['note']], ['MODIFIED', 'n']);
        break;
      }
      stop.abort();
    } finally {
      await api.close();
      await own.close();
    }
  });
});
