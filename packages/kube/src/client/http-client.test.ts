import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import {
  deliveries,
  isConflict,
  isExpired,
  isNotFound,
  isStatusError,
  type Site,
  type StatusError,
  secrets,
  sites,
  type WatchEvent,
} from '@selvedge/api';
import { getTool, requireTool } from '@selvedge/testkit';
import { type ScriptedRequest, sendJson, startScriptedApi } from '../testing/scripted-api.ts';
import { createHttpClient } from './http-client.ts';
import { resourcePath } from './resource-path.ts';

const shop: Site = {
  apiVersion: 'selvedge.dev/v1alpha1',
  kind: 'Site',
  metadata: { name: 'shop', uid: 'u1', resourceVersion: '3' },
};
const sitePath = '/apis/selvedge.dev/v1alpha1/sites';
const status = (reason: string, code: number, details = {}) => ({
  kind: 'Status',
  apiVersion: 'v1',
  status: 'Failure',
  reason,
  code,
  message: `the server says ${reason}`,
  details,
});

describe('http client', () => {
  test('every method is the request that Kubernetes knows', async () => {
    await using api = await startScriptedApi((_request, res) => sendJson(res, 200, shop));
    await using client = closing(createHttpClient({ server: `${api.url}/`, token: 'secret' }));
    await client.get(sites, { name: 'shop' });
    await client.get(secrets, { namespace: 'a', name: 'b' });
    await client.create(sites, shop);
    await client.update(sites, shop);
    await client.updateStatus(sites, shop);
    await client.mergePatch(
      sites,
      { name: 'shop' },
      { spec: {} },
      { subresource: 'status', fieldManager: 'me' },
    );
    await client.apply(sites, shop, { fieldManager: 'me', force: true });
    await client.delete(sites, { name: 'shop' }, { preconditions: { uid: 'u1' } });
    await client.request({
      method: 'POST',
      path: resourcePath(sites, { name: 'shop', subresource: 'token' }),
      body: {},
    });
    const seen = (r: ScriptedRequest) =>
      `${r.method} ${r.path}${r.query.size > 0 ? `?${r.query.toString()}` : ''} ${r.headers['content-type'] ?? ''}`.trim();
    assert.deepEqual(api.requests.map(seen), [
      `GET ${sitePath}/shop`,
      'GET /api/v1/namespaces/a/secrets/b',
      `POST ${sitePath} application/json`,
      `PUT ${sitePath}/shop application/json`,
      `PUT ${sitePath}/shop/status application/json`,
      `PATCH ${sitePath}/shop/status?fieldManager=me application/merge-patch+json`,
      `PATCH ${sitePath}/shop?fieldManager=me&force=true application/apply-patch+yaml`,
      `DELETE ${sitePath}/shop application/json`,
      `POST ${sitePath}/shop/token application/json`,
    ]);
    assert.deepEqual(JSON.parse(api.requests[7]?.body ?? ''), {
      kind: 'DeleteOptions',
      apiVersion: 'v1',
      preconditions: { uid: 'u1' },
    });
    assert.ok(api.requests.every((r) => r.headers.authorization === 'Bearer secret'));
  });

  test('requests one after the other reuse connections', async () => {
    await using api = await startScriptedApi((_request, res) => sendJson(res, 200, shop));
    await using client = closing(createHttpClient({ server: api.url }));
    for (let i = 0; i < 20; i++) await client.get(sites, { name: 'shop' });
    // The next request may start in the instant in which the last answer is read but its connection not yet idle.
    assert.ok(new Set(api.requests.map((r) => r.req.socket.remotePort)).size <= 2);
  });

  test('a Status becomes the StatusError that it was', async () => {
    await using api = await startScriptedApi((_request, res) =>
      sendJson(res, 409, status('Conflict', 409, { name: 'shop', causes: [{ field: 'spec' }] })),
    );
    await using client = closing(createHttpClient({ server: api.url }));
    await assert.rejects(client.update(sites, shop), (e: StatusError) => {
      assert.ok(isConflict(e));
      assert.equal(e.message, 'the server says Conflict');
      assert.equal(e.details.causes?.[0]?.field, 'spec');
      return true;
    });
  });

  test('find takes only a NotFound of this very object for an absence', async () => {
    let details: object = { name: 'shop', kind: 'sites' };
    await using api = await startScriptedApi((_request, res) =>
      sendJson(res, 404, status('NotFound', 404, details)),
    );
    await using client = closing(createHttpClient({ server: api.url }));
    assert.equal(await client.find(sites, { name: 'shop' }), undefined);
    details = {};
    await assert.rejects(client.find(sites, { name: 'shop' }), isNotFound);
  });

  test('an answer that is not of an API server says so', async () => {
    let code = 200;
    await using api = await startScriptedApi((_request, res) => {
      res.writeHead(code).end('<html>hello</html>');
    });
    await using client = closing(createHttpClient({ server: api.url }));
    await assert.rejects(
      client.get(sites, { name: 'a' }),
      /not JSON; check that the address is of an API server/,
    );
    code = 404;
    await assert.rejects(client.find(sites, { name: 'a' }), /answered 404 without a Status/);
    code = 502;
    await assert.rejects(client.get(sites, { name: 'a' }), (e) => isStatusError(e, 'ServiceUnavailable'));
  });

  test('a list comes whole, page by page; when the pages expire, in one', async () => {
    let doesExpire = false;
    await using api = await startScriptedApi(({ query }, res) => {
      const items = ['a', 'b', 'c'].map((name) => ({ ...shop, metadata: { name } }));
      const answer = (from: number, to: number, next?: string) =>
        sendJson(res, 200, {
          kind: 'SiteList',
          apiVersion: shop.apiVersion,
          metadata: { resourceVersion: '9', ...(next ? { continue: next } : {}) },
          items: items.slice(from, to),
        });
      if (!query.has('limit')) answer(0, 3);
      else if (!query.has('continue')) answer(0, 1, 'from-b');
      else if (doesExpire) sendJson(res, 410, status('Expired', 410));
      else if (query.get('continue') === 'from-b') answer(1, 2, 'from-c');
      else answer(2, 3);
    });
    await using client = closing(createHttpClient({ server: api.url }));
    const names = async () => {
      const list = await client.list<Site>(sites, { labelSelector: 'tier=store' });
      assert.equal(list.metadata.resourceVersion, '9');
      return list.items.map((o) => o.metadata.name);
    };
    assert.deepEqual(await names(), ['a', 'b', 'c']);
    assert.ok(api.requests.every((r) => r.query.get('labelSelector') === 'tier=store'));
    doesExpire = true;
    assert.deepEqual(await names(), ['a', 'b', 'c']);
  });

  test('a watch yields events as they come and ends quietly by its signal or by the server', async () => {
    await using api = await startScriptedApi((_request, res) => {
      res.writeHead(200);
      res.write(`${JSON.stringify({ type: 'ADDED', object: shop })}\n`);
    });
    await using client = closing(createHttpClient({ server: api.url }));
    const stop = new AbortController();
    const got: WatchEvent<Site>[] = [];
    const options = { namespace: 'n', resourceVersion: '5', signal: stop.signal };
    for await (const event of client.watch<Site>(deliveries, options)) {
      got.push(event);
      stop.abort();
    }
    assert.deepEqual(got, [{ type: 'ADDED', object: shop }]);
    const request = api.requests[0];
    assert.equal(request?.path, '/apis/selvedge.dev/v1alpha1/namespaces/n/deliveries');
    assert.equal(request?.query.get('resourceVersion'), '5');
    assert.equal(request?.query.get('watch'), 'true');
    assert.ok(Number(request?.query.get('timeoutSeconds')) >= 300);
    for await (const event of client.watch(sites, options)) assert.fail(`after the signal: ${event.type}`);
    assert.equal(api.requests.length, 1);
  });

  test('only the metadata of objects is asked for where nothing else is wanted', async () => {
    await using api = await startScriptedApi(({ query }, res) => {
      if (query.has('watch')) res.writeHead(200).end(`${JSON.stringify({ type: 'ADDED', object: shop })}\n`);
      else sendJson(res, 200, { kind: 'PartialObjectMetadataList', metadata: {}, items: [shop] });
    });
    await using client = closing(createHttpClient({ server: api.url }));
    await client.metadata.list(sites);
    const options = { resourceVersion: '5', signal: new AbortController().signal };
    for await (const event of client.metadata.watch(sites, options)) assert.equal(event.type, 'ADDED');
    await client.list(sites);
    const forms = api.requests.map(({ headers }) => /as=(\w+)/.exec(headers.accept ?? '')?.[1]);
    assert.deepEqual(forms, ['PartialObjectMetadataList', 'PartialObjectMetadata', undefined]);
  });

  test('a watch left early closes its connection', async () => {
    const closed = Promise.withResolvers<void>();
    await using api = await startScriptedApi((request, res) => {
      request.req.socket.once('close', closed.resolve);
      res.write(`${JSON.stringify({ type: 'ADDED', object: shop })}\n`);
    });
    await using client = closing(createHttpClient({ server: api.url }));
    const signal = new AbortController().signal;
    for await (const _event of client.watch(sites, { resourceVersion: '1', signal })) break;
    await closed.promise;
  });

  test('a watch throws Expired, from the answer and from an ERROR event, and a broken connection as ServiceUnavailable', async () => {
    const answers = [
      (res: ServerResponse) => sendJson(res, 410, status('Expired', 410)),
      (res: ServerResponse) =>
        res.end(`${JSON.stringify({ type: 'ERROR', object: status('Expired', 410) })}\n`),
      (res: ServerResponse) => {
        res.write('{"type":');
        setImmediate(() => res.destroy());
      },
    ];
    await using api = await startScriptedApi((_request, res) => {
      answers.shift()?.(res);
    });
    await using client = closing(createHttpClient({ server: api.url }));
    const watch = () =>
      Array.fromAsync(client.watch(sites, { resourceVersion: '1', signal: new AbortController().signal }));
    await assert.rejects(watch(), isExpired);
    await assert.rejects(watch(), isExpired);
    await assert.rejects(watch(), (e) => isStatusError(e, 'ServiceUnavailable'));
  });

  test('a read whose connection breaks before the answer is asked once more, a write is not', async () => {
    let isFirst = true;
    await using api = await startScriptedApi((request, res) => {
      if (isFirst) request.req.socket.destroy();
      else sendJson(res, 200, shop);
      isFirst = false;
    });
    await using client = closing(createHttpClient({ server: api.url }));
    assert.equal((await client.get<Site>(sites, { name: 'shop' })).metadata.name, 'shop');
    isFirst = true;
    await assert.rejects(client.create(sites, shop), (e) => isStatusError(e, 'ServiceUnavailable'));
    assert.equal(api.requests.filter((r) => r.method === 'POST').length, 1);
  });

  test('when nothing listens, the error names the address and what to check', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    await using client = closing(createHttpClient({ server: `https://127.0.0.1:${port}` }));
    await assert.rejects(client.get(sites, { name: 'a' }), (e: Error) => {
      assert.ok(isStatusError(e, 'ServiceUnavailable'));
      assert.match(
        e.message,
        new RegExp(`cannot reach https://127.0.0.1:${port}: nothing listens there; check that`),
      );
      return true;
    });
  });

  test('a kubeconfig that skips verification is refused unless it is allowed', async () => {
    const kubeconfig = {
      path: '/k',
      context: 'c',
      server: 'https://127.0.0.1:1',
      insecureSkipTlsVerify: true,
    };
    assert.throws(() => createHttpClient({ kubeconfig }), /insecure-skip-tls-verify is refused/);
    await createHttpClient({ kubeconfig, allowInsecure: true }).close();
  });

  test('TLS: client certificate, the right authority, the wrong one', requireTool('openssl'), async () => {
    const folder = mkdtempSync(join(tmpdir(), 'selvedge-tls-'));
    try {
      const make = (name: string) => {
        const [key, cert] = [join(folder, `${name}.key`), join(folder, `${name}.crt`)];
        const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1'];
        const kind = [
          '-x509',
          '-newkey',
          'ec',
          '-pkeyopt',
          'ec_paramgen_curve:P-256',
          '-nodes',
          '-days',
          '1',
        ];
        execFileSync(getTool('openssl'), ['req', ...kind, ...subject, '-keyout', key, '-out', cert], {
          stdio: 'ignore',
        });
        return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
      };
      const [serverPair, clientPair] = [make('server'), make('client')];
      const tls = { ...serverPair, ca: clientPair.cert, requestCert: true, rejectUnauthorized: true };
      await using api = await startScriptedApi((_request, res) => sendJson(res, 200, shop), tls);
      await using good = closing(createHttpClient({ server: api.url, ca: serverPair.cert, ...clientPair }));
      assert.equal((await good.get<Site>(sites, { name: 'shop' })).metadata.name, 'shop');
      await using wrongAuthority = closing(
        createHttpClient({ server: api.url, ca: clientPair.cert, ...clientPair }),
      );
      await assert.rejects(
        wrongAuthority.get(sites, { name: 'shop' }),
        /not signed by the authority in the kubeconfig/,
      );
      await using anonymous = closing(createHttpClient({ server: api.url, ca: serverPair.cert }));
      await assert.rejects(anonymous.get(sites, { name: 'shop' }), (e) =>
        isStatusError(e, 'ServiceUnavailable'),
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

function closing<T extends { close(): Promise<void> }>(client: T): T & AsyncDisposable {
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.close() });
}
