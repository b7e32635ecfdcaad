import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { type KubeObject, maxObjectBytes } from '@selvedge/api';
import { admin, eventually, startTestServer, type TestServer } from '../testing/test-server.ts';
import { gadgets } from '../testing/sample-definitions.ts';

const base = '/apis/example.dev/v1alpha1/namespaces/default/gadgets';
const gadget = (name: string, spec: object = { size: 1 }, metadata: object = {}) => ({
  apiVersion: 'example.dev/v1alpha1',
  kind: 'Gadget',
  metadata: { name, ...metadata },
  spec,
});
const table = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json' };

interface Table {
  columnDefinitions: { name: string; priority: number }[] | null;
  rows: { cells: unknown[]; object?: { kind: string } }[];
  metadata: { resourceVersion: string; continue?: string; remainingItemCount?: number };
}

describe('the HTTP API', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server.close());

  const post = (body: unknown, query = '', headers: Record<string, string> = {}) =>
    server.request('POST', `${base}${query}`, { body, headers });
  const patch = (nameAndQuery: string, type: string, body: unknown) =>
    server.request('PATCH', `${base}/${nameAndQuery}`, {
      body,
      headers: { 'content-type': `application/${type}` },
    });

  test('health and version need no user, everything else does', async () => {
    const asNobody = (path: string, user = 'none') =>
      server.request('GET', path, { headers: { 'x-user': user } });
    for (const path of ['/healthz', '/livez', '/readyz']) assert.equal((await asNobody(path)).text, 'ok');
    assert.match(String((await asNobody('/version')).body['gitVersion']), /^v1\.33\.\d+-selvedge/);
    const unknown = await asNobody(base);
    assert.deepEqual(
      [unknown.status, unknown.body['kind'], unknown.body['reason']],
      [401, 'Status', 'Unauthorized'],
    );
    assert.equal((await asNobody('/apis')).status, 401);
    const known = await asNobody(base, 'nobody');
    assert.equal(known.status, 403);
    assert.match(known.body.message, /User "nobody" cannot list resource "gadgets".*namespace "default"/);
  });

  test('create, get, update, delete answer as Kubernetes does', async () => {
    const made = await post(gadget('crud'));
    assert.equal(made.status, 201);
    const again = await post(gadget('crud'));
    assert.deepEqual([again.status, again.body['reason']], [409, 'AlreadyExists']);
    const put = await server.request('PUT', `${base}/crud`, { body: { ...made.body, spec: { size: 2 } } });
    assert.equal(put.status, 200);
    assert.equal((await server.request('PUT', `${base}/crud`, { body: made.body })).status, 409);
    const gone = await server.request('DELETE', `${base}/crud`, {
      body: { propagationPolicy: 'Background' },
    });
    assert.deepEqual([gone.status, gone.body['status']], [200, 'Success']);
    const missing = await server.request('GET', `${base}/crud`);
    assert.deepEqual(
      [missing.status, missing.body['details']],
      [404, { name: 'crud', group: 'example.dev', kind: 'gadgets' }],
    );
  });

  test('paths that are none, methods that do not fit', async () => {
    const status = async (method: string, path: string) => (await server.request(method, path)).status;
    assert.equal(await status('GET', '/apis/none.dev/v1/things'), 404);
    assert.equal(await status('GET', `${base}/a/none`), 404);
    assert.equal(await status('GET', `${base}/%zz`), 400);
    assert.equal(await status('DELETE', '/api/v1/namespaces/default'), 403);
    assert.equal(await status('POST', '/apis/example.dev/v1alpha1/gadgets'), 404);
    assert.equal(await status('PUT', base), 405);
    assert.equal(await status('POST', `${base}/a`), 405);
    assert.equal(await status('GET', '/api/v1/namespaces/default/status'), 200);
    assert.equal(await status('GET', '/api/v1/namespaces/default/namespaces'), 404);
  });

  test('bodies: YAML 1.1 and JSON, duplicates and bombs refused', async () => {
    const yaml = (text: string) =>
      post(text, '?fieldValidation=Strict&dryRun=All', { 'content-type': 'application/yaml' });
    const head = 'apiVersion: example.dev/v1alpha1\nkind: Gadget\nmetadata: {name: why}\n';
    const made = await yaml(`${head}spec: {size: 0x10, variables: {on: yes}}`);
    assert.deepEqual((made.body['spec'] as Record<string, unknown>)['variables'], { true: true });
    assert.match((await yaml(`${head}spec: {size: 1, size: 2}`)).body.message, /DUPLICATE_KEY/);
    const levels = 'abcdefghi'.split('').map(
      (c, i, all) =>
        `${c}: &${c} [${
          i === 0
            ? '1'
            : Array<string>(9)
                .fill(`*${all[i - 1]}`)
                .join()
        }]`,
    );
    assert.match((await yaml(levels.join('\n'))).body.message, /aliases/);
    const text = JSON.stringify(gadget('dup')).replace('"size":1', '"size":1,"size":2');
    assert.match((await post(text, '?fieldValidation=Strict')).body.message, /duplicate field "spec\.size"/);
    assert.equal((await post('{"a":')).status, 400);
    assert.equal((await post('['.repeat(100_000) + ']'.repeat(100_000))).status, 400);
    for (const key of ['__proto__', '\\u005f_proto__']) {
      assert.match((await post(`{"${key}":{"a":1}}`)).body.message, /__proto__/);
    }
    assert.equal((await post('x', '', { 'content-type': 'text/plain' })).status, 415);
    assert.equal((await patch('dup', 'strategic-merge-patch+json', {})).status, 415);
    assert.equal((await patch('dup', 'json', {})).status, 415);
  });

  test('unknown fields: refused, warned of, or dropped in silence', async () => {
    const body = gadget('fields', { size: 1, odd: 1 });
    const strict = await post(body, '?fieldValidation=Strict');
    assert.deepEqual([strict.status, strict.body['reason']], [400, 'BadRequest']);
    assert.match(strict.body.message, /strict decoding error: unknown field "spec\.odd"$/);
    const warned = await post(body, '?dryRun=All');
    assert.equal(warned.headers.get('warning'), '299 - "unknown field \\"spec.odd\\""');
    const strange = await post(gadget('fields', { size: 1, 'grüße😀"': 1 }), '?dryRun=All');
    assert.equal(strange.status, 201);
    assert.match(strange.headers.get('warning') ?? '', /unknown field/);
    const ignored = await post(body, '?fieldValidation=Ignore');
    assert.deepEqual([ignored.status, ignored.headers.get('warning')], [201, null]);
    assert.deepEqual(ignored.body['spec'], { size: 1, color: 'red' });
    assert.equal((await post(body, '?fieldValidation=Maybe')).status, 422);
  });

  test('a dry run checks everything and stores nothing', async () => {
    const revision = await server.store.objects.currentRevision();
    assert.equal((await post(gadget('dry'), '?dryRun=All')).status, 201);
    assert.equal((await post(gadget('dry', { size: 0 }), '?dryRun=All')).status, 422);
    assert.equal((await server.request('GET', `${base}/dry`)).status, 404);
    assert.equal(await server.store.objects.currentRevision(), revision);
    assert.equal((await post(gadget('dry'), '?dryRun=Some')).status, 422);
  });

  test('every kind of patch', async () => {
    await post(gadget('patched', { size: 1, tags: ['a'] }));
    assert.equal((await patch('patched', 'merge-patch+json', { spec: { size: 2 } })).status, 200);
    const operations = [{ op: 'replace', path: '/spec/size', value: 3 }];
    const json = await patch('patched', 'json-patch+json', operations);
    assert.equal((json.body['spec'] as { size: number }).size, 3);
    const failing = await patch('patched', 'json-patch+json', [{ op: 'test', path: '/spec/size', value: 9 }]);
    assert.equal(failing.status, 422);
    const mine = 'patched?fieldManager=me';
    const conflict = await patch(mine, 'apply-patch+yaml', gadget('patched', { size: 4 }));
    assert.deepEqual([conflict.status, conflict.body['reason']], [409, 'Conflict']);
    const forced = await patch(`${mine}&force=true`, 'apply-patch+yaml', gadget('patched', { size: 4 }));
    assert.deepEqual(forced.body['spec'], { size: 4, color: 'red', tags: ['a'] });
    const yaml = 'apiVersion: example.dev/v1alpha1\nkind: Gadget\nspec: {size: 5}';
    assert.equal((await patch(mine, 'apply-patch+yaml', yaml)).status, 200);
    assert.equal(
      (await patch('patched', 'apply-patch+yaml', gadget('patched'))).status,
      422,
      'fieldManager is required',
    );
    assert.equal((await patch('patched', 'merge-patch+json', { metadata: { name: 'other' } })).status, 400);
    assert.equal((await patch('none', 'merge-patch+json', {})).status, 404);
    const stale = await patch('patched', 'merge-patch+json', { metadata: { resourceVersion: '1' } });
    assert.equal(stale.status, 409);
  });

  test('a body above the limit is refused, whatever its length claims', async () => {
    const big = JSON.stringify(gadget('big', { size: 1, notes: ['x'.repeat(maxObjectBytes)] }));
    const claimed = await post(big);
    assert.deepEqual([claimed.status, claimed.body['reason']], [413, 'RequestEntityTooLarge']);
    assert.match(claimed.body.message, /3 MiB.*split it/);
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const headers = { 'content-type': 'application/json', 'transfer-encoding': 'chunked' };
      const req = httpRequest(`${server.url}${base}`, { method: 'POST', headers }, (res) => {
        res.resume();
        resolve(res.statusCode);
      });
      req.on('error', reject);
      req.write(big);
      req.end();
    });
    assert.equal(status, 413);
  });

  test('tables have the columns of the definition, for lists and objects', async () => {
    await post(gadget('row', { size: 7 }, { labels: { table: 'yes' } }));
    const answer = await server.request('GET', `${base}?labelSelector=table`, { headers: table });
    const list = answer.body as unknown as Table;
    assert.deepEqual(
      list.columnDefinitions?.map((c) => [c.name, c.priority]),
      [
        ['Name', 0],
        ['Size', 0],
        ['Phase', 0],
        ['Color', 1],
        ['Age', 0],
      ],
    );
    const [row] = list.rows;
    assert.deepEqual(row?.cells.slice(0, 4), ['row', 7, '<none>', 'red']);
    assert.match(String(row?.cells[4]), /^\d+s$/);
    assert.equal(row?.object?.kind, 'PartialObjectMetadata');
    const one = await server.request('GET', `${base}/row?includeObject=None`, { headers: table });
    assert.equal((one.body as unknown as Table).rows[0]?.object, undefined);
    const whole = await server.request('GET', `${base}/row?includeObject=Object`, { headers: table });
    assert.equal((whole.body as unknown as Table).rows[0]?.object?.kind, 'Gadget');
    const protobufFirst = { accept: 'application/vnd.kubernetes.protobuf,application/json' };
    assert.equal(
      (await server.request('GET', `${base}/row`, { headers: protobufFirst })).body['kind'],
      'Gadget',
    );
    const impossible = await server.request('DELETE', `${base}/row`, { headers: { accept: 'image/png' } });
    assert.equal(impossible.status, 406);
    assert.equal((await server.request('GET', `${base}/row`)).status, 200, 'nothing was done');
  });

  test('a list in pages is one snapshot', async () => {
    for (let i = 0; i < 7; i++) await post(gadget(`page-${i}`, { size: 1 }, { labels: { page: 'yes' } }));
    const query = `${base}?labelSelector=page&limit=3`;
    const names: string[] = [];
    let next: string | undefined;
    do {
      const page = await server.request('GET', `${query}${next ? `&continue=${next}` : ''}`);
      names.push(...(page.body['items'] as { metadata: { name: string } }[]).map((o) => o.metadata.name));
      next = (page.body['metadata'] as Table['metadata']).continue;
      await server.request('DELETE', `${base}/page-6`);
      await post(gadget(`page-${names.length}x`, { size: 1 }, { labels: { page: 'yes' } }));
    } while (next);
    assert.deepEqual(names, ['page-0', 'page-1', 'page-2', 'page-3', 'page-4', 'page-5', 'page-6']);
    assert.equal((await server.request('GET', `${base}?continue=nonsense`)).status, 400);
    const counted = (await server.request('GET', `${base}?limit=1`)).body['metadata'] as Table['metadata'];
    assert.ok((counted.remainingItemCount ?? 0) > 5);
  });

  test('deletecollection deletes what is selected', async () => {
    for (const name of ['dc-1', 'dc-2']) await post(gadget(name, { size: 1 }, { labels: { dc: name } }));
    const answer = await server.request('DELETE', `${base}?labelSelector=dc%3Ddc-1`);
    assert.equal((answer.body['items'] as unknown[]).length, 1);
    assert.equal((await server.request('GET', `${base}/dc-1`)).status, 404);
    assert.equal((await server.request('GET', `${base}/dc-2`)).status, 200);
  });

  test('an action of a kind gets the object and the body', async () => {
    await post(gadget('canvas'));
    const answer = await server.request('POST', `${base}/canvas/paint`, { body: { color: 'blue' } });
    assert.deepEqual([answer.status, answer.body['received']], [201, { color: 'blue' }]);
    assert.equal((await server.request('POST', `${base}/none/paint`, { body: {} })).status, 404);
    assert.equal((await server.request('GET', `${base}/canvas/paint`)).status, 405);
  });

  test('a preview says what a write would lead to, of what is there and of what is not, and stores nothing', async () => {
    const forecast = (name: string, body: unknown) =>
      server.request('POST', `${base}/${name}/forecast`, { body });
    const fresh = await forecast('unborn', gadget('unborn', { size: 3 }));
    assert.equal(fresh.status, 201);
    assert.deepEqual([fresh.body['kind'], fresh.body['was']], ['Forecast', undefined]);
    assert.equal((await server.request('GET', `${base}/unborn`)).status, 404);

    await post(gadget('painted', { size: 1, color: 'red' }, { labels: { old: 'yes' } }));
    const before = (await server.request('GET', `${base}/painted`)).body;
    const changed = await forecast(
      'painted',
      gadget('painted', { size: 2 }, { labels: { new: 'yes' }, resourceVersion: '1' }),
    );
    const would = changed.body['would'] as KubeObject;
    assert.deepEqual([would['spec'], would.metadata.labels], [{ color: 'red', size: 2 }, { new: 'yes' }]);
    assert.deepEqual(
      [would.metadata.uid, would.metadata.generation],
      [(before['metadata'] as KubeObject['metadata']).uid, 2],
    );
    assert.deepEqual(changed.body['was'], before);
    assert.deepEqual((await server.request('GET', `${base}/painted`)).body, before);
  });

  test('a preview is refused as the write would be', async () => {
    const forecast = (name: string, body: unknown, query = '') =>
      server.request('POST', `${base}/${name}/forecast${query}`, { body });
    for (const name of ['unborn', 'canvas']) {
      const unlucky = await forecast(name, gadget(name, { size: 13 }));
      assert.equal(unlucky.status, 422);
      assert.match(String(unlucky.body['message']), /spec\.size.*bad luck/);
      assert.equal((await forecast(name, gadget('other', { size: 1 }))).status, 400);
      assert.equal((await forecast(name, gadget(name, { sice: 1 }), '?fieldValidation=Strict')).status, 400);
    }
    assert.equal((await server.request('GET', `${base}/canvas/forecast`)).status, 405);
  });

  test('watches stream events as lines, tables with columns once, and an error at last', async () => {
    await using watch = await openWatch(`${base}?watch=true&resourceVersion=0&labelSelector=stream`, table);
    await post(gadget('s1', { size: 1 }, { labels: { stream: 'yes' } }));
    await post(gadget('s2', { size: 1 }, { labels: { stream: 'yes' } }));
    const events = await watch.take(2);
    const tables = events.map((e) => e.object as unknown as Table);
    assert.deepEqual(
      events.map((e) => e.type),
      ['ADDED', 'ADDED'],
    );
    assert.deepEqual([tables[0]?.columnDefinitions?.length, tables[1]?.columnDefinitions], [5, null]);
    await using expired = await openWatch(`${base}?watch=true&resourceVersion=999999`);
    const [error] = await expired.take(1);
    assert.deepEqual(
      [error?.type, error?.object['code'], error?.object['reason']],
      ['ERROR', 410, 'Expired'],
    );
  });

  test('a streaming list ends with a bookmark that says so, and goes on', async () => {
    const query =
      'watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true';
    await using watch = await openWatch(`${base}?${query}&labelSelector=initial`);
    await post(gadget('i1', { size: 1 }, { labels: { initial: 'yes' } }));
    const events = await watch.take(2);
    const bookmark = events.find((e) => e.type === 'BOOKMARK')?.object['metadata'] as
      | Record<string, object>
      | undefined;
    assert.deepEqual(bookmark?.['annotations'], { 'k8s.io/initial-events-end': 'true' });
    assert.ok(events.some((e) => e.type === 'ADDED'));
    const wrong = await server.request('GET', `${base}?watch=true&sendInitialEvents=true`);
    assert.equal(wrong.status, 422);
  });

  test('a watch ends after its time, and when the server closes', async () => {
    await using timed = await openWatch(
      `${base}?watch=true&timeoutSeconds=1&resourceVersion=1&labelSelector=none`,
    );
    assert.deepEqual(await timed.take(1), []);
    const other = await startTestServer();
    const answer = await fetch(`${other.url}${base}?watch=true`);
    const [text] = await Promise.all([answer.text(), other.api.close()]);
    assert.equal(text, '');
    await other.close();
  });

  test('a client that goes away ends its watch', async () => {
    const watch = await openWatch(`${base}?watch=true`);
    await watch[Symbol.asyncDispose]();
    // Nothing left that would keep the server from closing; `after` proves it.
    await post(gadget('after-gone'));
    assert.ok(await server.api.client(admin).find(gadgets, { namespace: 'default', name: 'after-gone' }));
  });

  interface Line {
    type: string;
    object: Record<string, unknown>;
  }

  async function openWatch(path: string, headers: Record<string, string> = {}) {
    const stop = new AbortController();
    const answer = await fetch(`${server.url}${path}`, { headers, signal: stop.signal });
    assert.equal(answer.status, 200);
    const lines: Line[] = [];
    let isEnded = false;
    const reading = (async () => {
      let rest = '';
      const decoder = new TextDecoder();
      for await (const chunk of answer.body ?? []) {
        const parts = (rest + decoder.decode(chunk as Uint8Array, { stream: true })).split('\n');
        rest = parts.pop() ?? '';
        lines.push(...parts.map((part) => JSON.parse(part) as Line));
      }
      isEnded = true;
    })().catch(() => {});
    return {
      /** Waits for so many events, or for the end. */
      take: (count: number) =>
        eventually(async () => (isEnded || lines.length >= count ? lines.slice(0, count) : undefined)),
      [Symbol.asyncDispose]: async () => {
        stop.abort();
        await reading;
      },
    };
  }
});
