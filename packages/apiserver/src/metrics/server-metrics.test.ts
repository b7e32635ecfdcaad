import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { eventually, startTestServer, type TestServer } from '../testing/test-server.ts';

const configMaps = '/api/v1/namespaces/default/configmaps';

describe('metrics of the API server', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server.close());

  const metrics = async () => (await server.request('GET', '/metrics')).text;
  const series = (text: string) =>
    text.split('\n').filter((line) => line !== '' && !line.startsWith('#')).length;

  test('stand under a path that needs a right', async () => {
    assert.equal((await server.request('GET', '/metrics', { headers: { 'x-user': 'nobody' } })).status, 403);
    assert.equal((await server.request('GET', '/metrics', { headers: { 'x-user': 'none' } })).status, 401);
    assert.equal((await server.request('POST', '/metrics')).status, 405);
    const answer = await server.request('GET', '/metrics');
    assert.equal(answer.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  });

  test('count requests as kube-apiserver does', async () => {
    await server.request('POST', configMaps, {
      body: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' } },
    });
    await server.request('GET', `${configMaps}/a`);
    await server.request('GET', `${configMaps}/missing`);
    await server.request('GET', '/api/v1/configmaps?limit=1');
    await server.request('DELETE', `${configMaps}/a?dryRun=All`);
    const text = await metrics();
    const place = 'group="",version="v1",resource="configmaps",subresource=""';
    const counted = (verb: string, scope: string, rest: { code: number; dryRun?: string }) =>
      `apiserver_request_total{verb="${verb}",dry_run="${rest.dryRun ?? ''}",${place},scope="${scope}",component="apiserver",code="${rest.code}"} 1`;
    for (const line of [
      counted('POST', 'namespace', { code: 201 }),
      counted('GET', 'resource', { code: 200 }),
      counted('GET', 'resource', { code: 404 }),
      counted('LIST', 'cluster', { code: 200 }),
      counted('DELETE', 'resource', { code: 200, dryRun: 'All' }),
    ]) {
      assert.ok(text.includes(line), line);
    }
    assert.match(
      text,
      /^apiserver_request_duration_seconds_bucket\{verb="GET",[^}]*resource="configmaps"[^}]*le="5"\} 2$/m,
    );
    assert.match(text, /^apiserver_response_sizes_count\{verb="LIST",[^}]*\} 1$/m);
    assert.match(text, /^authentication_attempts\{result="success"\} [1-9]/m);
    assert.match(
      text,
      /^selvedge_store_request_duration_seconds_count\{operation="create",type="configmaps"\} 1$/m,
    );
  });

  test('count watches while they are open, and their events', async () => {
    const stop = new AbortController();
    const watch = await fetch(`${server.url}${configMaps}?watch=true&resourceVersion=0`, {
      signal: stop.signal,
    });
    await watch.body?.getReader().read();
    await eventually(async () =>
      /^apiserver_longrunning_requests\{verb="WATCH",[^}]*\} 1$/m.test(await metrics()) &&
      /^apiserver_watch_events_total\{[^}]*resource="configmaps"\} [1-9]/m.test(await metrics())
        ? true
        : undefined,
    );
    stop.abort();
    await eventually(async () =>
      /^apiserver_longrunning_requests\{verb="WATCH",[^}]*\} 0$/m.test(await metrics()) ? true : undefined,
    );
  });

  test('whatever is asked for, the number of series stays', async () => {
    const hostile = (i: number): [method: string, path: string][] => [
      ['GET', `/api/v1/namespaces/default/things${i}`],
      ['GET', `/apis/g${i}.example/v1/x`],
      ['GET', `/api/v${i}/pods`],
      ['GET', `/nothing/${i}`],
      ['GET', `${configMaps}/a/sub${i}`],
      ['GET', `/healthz/x${i}`],
      ['GET', `/openapi/v3/apis/g${i}/v1`],
      [`VERB${i % 3}`, `${configMaps}`],
      ['GET', `${configMaps}?dryRun=x${i}&fieldManager=${i}`],
      ['GET', `${configMaps}/name-${i}`],
      ['PATCH', `${configMaps}/name-${i}`],
    ];
    const round = async (from: number) => {
      for (let i = from; i < from + 20; i += 1) {
        await Promise.all(
          hostile(i).map(async ([method, path]) => {
            const wanted = method.startsWith('VERB') ? 'OPTIONS' : method;
            await server.request(wanted, path, {
              headers: { 'user-agent': `agent-${i}`, 'x-user': `user${i}` },
            });
            await server.request(wanted, path);
          }),
        );
      }
    };
    await round(0);
    const before = series(await metrics());
    await round(1000);
    assert.equal(series(await metrics()), before);
  });
});
