import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ReviewDefinition } from '../resource-definition.ts';
import { gadgetDefinition, namespaceDefinition } from '../testing/sample-definitions.ts';
import { startTestServer, type TestServer } from '../testing/test-server.ts';

const aggregated = (version: string) =>
  `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`;

describe('discovery', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server.close());
  const get = (path: string, headers: Record<string, string> = {}) =>
    server.request('GET', path, { headers });

  test('is aggregated in the version that the client asks for first', async () => {
    const both = await get('/apis', {
      accept: `${aggregated('v2')},${aggregated('v2beta1')},application/json`,
    });
    assert.equal(both.headers.get('content-type'), aggregated('v2'));
    assert.equal(both.body['apiVersion'], 'apidiscovery.k8s.io/v2');
    assert.equal(both.headers.get('vary'), 'Accept');
    const old = await get('/api', { accept: `${aggregated('v2beta1')},application/json` });
    assert.equal(old.body['apiVersion'], 'apidiscovery.k8s.io/v2beta1');
    const [group] = both.body['items'] as {
      metadata: { name: string };
      versions: { resources: object[] }[];
    }[];
    assert.equal(group?.metadata.name, 'example.dev');
    assert.deepEqual(group?.versions[0]?.resources[0], {
      resource: 'gadgets',
      responseKind: { group: 'example.dev', version: 'v1alpha1', kind: 'Gadget' },
      scope: 'Namespaced',
      singularResource: 'gadget',
      verbs: ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'],
      shortNames: ['gg'],
      categories: ['all'],
      subresources: [
        {
          subresource: 'status',
          responseKind: { group: 'example.dev', version: 'v1alpha1', kind: 'Gadget' },
          verbs: ['get', 'patch', 'update'],
        },
        {
          subresource: 'paint',
          responseKind: { group: 'example.dev', version: 'v1alpha1', kind: 'Paint' },
          verbs: ['create'],
        },
        {
          subresource: 'forecast',
          responseKind: { group: 'example.dev', version: 'v1alpha1', kind: 'Forecast' },
          verbs: ['create'],
        },
      ],
    });
  });

  test('is served in the old form too', async () => {
    assert.deepEqual((await get('/api')).body['versions'], ['v1']);
    const [group] = (await get('/apis')).body['groups'] as { name: string }[];
    assert.equal(group?.name, 'example.dev');
    assert.equal((await get('/apis/example.dev')).body['kind'], 'APIGroup');
    const resources = (await get('/apis/example.dev/v1alpha1')).body['resources'] as { name: string }[];
    assert.deepEqual(
      resources.map((r) => r.name),
      ['gadgets', 'gadgets/status', 'gadgets/paint', 'gadgets/forecast'],
    );
    const core = (await get('/api/v1/')).body['resources'] as { name: string }[];
    assert.ok(core.some((r) => r.name === 'configmaps'));
    assert.equal((await get('/apis/none.dev')).status, 404);
  });

  test('is not sent again to a client that has it', async () => {
    for (const path of ['/api', '/apis', '/openapi/v2', '/openapi/v3']) {
      const first = await get(path);
      const etag = first.headers.get('etag') ?? '';
      assert.match(etag, /^"[0-9A-F]+"$/);
      assert.match(first.headers.get('cache-control') ?? '', /no-cache/);
      assert.equal((await get(path, { 'if-none-match': etag })).status, 304, path);
      assert.equal((await get(path, { 'if-none-match': '"other"' })).status, 200, path);
    }
  });

  test('OpenAPI v3 has a document for each group and version, under a URL that changes with it', async () => {
    const { paths } = (await get('/openapi/v3')).body as unknown as {
      paths: Record<string, { serverRelativeURL: string }>;
    };
    assert.deepEqual(Object.keys(paths).sort(), ['api/v1', 'apis/example.dev/v1alpha1']);
    const url = paths['apis/example.dev/v1alpha1']?.serverRelativeURL ?? '';
    assert.match(url, /\?hash=[0-9A-F]{40}$/);
    const answer = await get(url);
    assert.match(answer.headers.get('cache-control') ?? '', /immutable/);
    const document = answer.body as unknown as {
      paths: Record<
        string,
        { patch?: { parameters: { name: string }[]; 'x-kubernetes-group-version-kind': object } }
      >;
      components: {
        schemas: Record<
          string,
          { properties: Record<string, object>; 'x-kubernetes-group-version-kind': object[] }
        >;
      };
    };
    const patch = document.paths['/apis/example.dev/v1alpha1/namespaces/{namespace}/gadgets/{name}']?.patch;
    assert.deepEqual(
      patch?.parameters.map((p) => p.name),
      ['dryRun', 'fieldManager', 'fieldValidation', 'force'],
    );
    const kind = { group: 'example.dev', kind: 'Gadget', version: 'v1alpha1' };
    assert.deepEqual(patch?.['x-kubernetes-group-version-kind'], kind);
    const schema = document.components.schemas['dev.example.v1alpha1.Gadget'];
    assert.deepEqual(schema?.['x-kubernetes-group-version-kind'], [kind]);
    assert.ok(schema?.properties['metadata'] && 'allOf' in schema.properties['metadata']);
    const references = [...answer.text.matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map(
      (m) => m[1] ?? '',
    );
    for (const name of references) assert.ok(name in document.components.schemas, name);
  });

  test('OpenAPI v2 is there as JSON and as protobuf', async () => {
    const json = await get('/openapi/v2', { accept: 'application/json' });
    assert.equal(json.body['swagger'], '2.0');
    const type = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';
    const protobuf = await get('/openapi/v2', { accept: type });
    assert.equal(protobuf.headers.get('content-type'), type.replace('@', '.'));
    assert.match(protobuf.text, /2\.0/);
    assert.match(protobuf.text, /dev\.example\.v1alpha1\.Gadget/);
  });

  test('a document under the hash of another is found under its own', async () => {
    const answer = await fetch(`${server.url}/openapi/v3/api/v1?hash=0`, { redirect: 'manual' });
    assert.equal(answer.status, 301);
    assert.match(answer.headers.get('location') ?? '', /^\/openapi\/v3\/api\/v1\?hash=[0-9A-F]{40}$/);
  });

  test('the stored form of a kind has a mark, that of Kubernetes for its own kinds', async () => {
    const resources = (await get('/api/v1')).body['resources'] as {
      name: string;
      storageVersionHash?: string;
    }[];
    const markOf = (name: string) => resources.find((r) => r.name === name)?.storageVersionHash;
    assert.deepEqual([markOf('secrets'), markOf('configmaps')], ['S6u1pOWzb84=', 'qFsyl6wFWjQ=']);
    assert.equal(markOf('namespaces/status'), undefined);
  });

  test('OpenAPI says of each kind what can be asked of it, and no more', async () => {
    const review: ReviewDefinition = {
      ref: { group: 'x.k8s.io', version: 'v1beta1', plural: 'askings', kind: 'Asking', namespaced: false },
      singular: 'asking',
      description: 'A question.',
      schema: { type: 'object', properties: { spec: { type: 'object', description: 'What is asked.' } } },
      review: async (object) => object,
    };
    const newer = { ...review, ref: { ...review.ref, version: 'v1' } };
    const scaled = {
      ...gadgetDefinition,
      scale: { specReplicasPath: '.spec.size', statusReplicasPath: '.status.seen' },
    };
    const own = await startTestServer({ definitions: [namespaceDefinition, scaled, review, newer] });
    try {
      const methods = async (document: string, path: string) => {
        const { body, text } = await own.request('GET', `/openapi/v3/${document}`);
        const { paths, components } = body as unknown as {
          paths: Record<string, object>;
          components: { schemas: Record<string, object> };
        };
        for (const [, name = ''] of text.matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)) {
          assert.ok(name in components.schemas, name);
        }
        return Object.keys(paths[path] ?? {}).filter((key) => key !== 'parameters');
      };
      assert.deepEqual(await methods('apis/x.k8s.io/v1', '/apis/x.k8s.io/v1/askings'), ['post']);
      assert.deepEqual(await methods('apis/x.k8s.io/v1', '/apis/x.k8s.io/v1/askings/{name}'), []);
      const gadgets = '/apis/example.dev/v1alpha1/namespaces/{namespace}/gadgets';
      const group = 'apis/example.dev/v1alpha1';
      assert.deepEqual(await methods(group, gadgets), ['get', 'post', 'delete']);
      assert.deepEqual(await methods(group, `${gadgets}/{name}`), ['get', 'put', 'patch', 'delete']);
      assert.deepEqual(await methods(group, `${gadgets}/{name}/scale`), ['get', 'put', 'patch']);
      assert.deepEqual(await methods(group, `${gadgets}/{name}/paint`), ['post']);
      assert.deepEqual(await methods('api/v1', '/api/v1/namespaces'), ['get', 'post']);
      assert.deepEqual(await methods('api/v1', '/api/v1/namespaces/{name}/finalize'), ['put']);
      const { versions, preferredVersion } = (await own.request('GET', '/apis/x.k8s.io')).body as unknown as {
        versions: { version: string }[];
        preferredVersion: { version: string };
      };
      assert.deepEqual(
        versions.map((v) => v.version),
        ['v1', 'v1beta1'],
      );
      assert.equal(preferredVersion.version, 'v1');
    } finally {
      await own.close();
    }
  });
});
