import assert from 'node:assert/strict';
import { get, type IncomingMessage } from 'node:http';
import { gunzipSync } from 'node:zlib';
import { after, before, describe, test } from 'node:test';
import type { Endpoint } from './endpoint.ts';
import { acceptsGzip } from './response-meter.ts';
import { send } from './respond.ts';
import { startTestServer, type TestServer } from '../testing/test-server.ts';

const big = Buffer.from(JSON.stringify({ text: 'compress me '.repeat(20_000) }));
const small = Buffer.from(JSON.stringify({ text: 'x'.repeat(1000) }));

describe('answers', () => {
  let server: TestServer;
  before(async () => {
    const endpoint = (path: string, handle: Endpoint['handle']): Endpoint => ({
      method: 'GET',
      path,
      handle,
    });
    server = await startTestServer({
      server: {
        endpoints: [
          endpoint('/big', async (_req, res) => send(res, big, { headers: { Vary: 'Accept' } })),
          endpoint('/small', async (_req, res) => send(res, small)),
          endpoint('/stream', async (_req, res) => {
            res.writeHead(200);
            res.write(big);
            res.end(small);
          }),
          endpoint('/implicit', async (_req, res) => {
            res.statusCode = 202;
            res.end('x');
          }),
          endpoint('/fault', async (_req, res) => {
            res.writeHead(200);
            throw new Error('before anything was written');
          }),
        ],
      },
    });
  });
  after(() => server.close());

  function ask(path: string, encoding?: string): Promise<{ res: IncomingMessage; body: Buffer }> {
    return new Promise((resolve, reject) => {
      const headers = encoding === undefined ? {} : { 'Accept-Encoding': encoding };
      get(`${server.url}${path}`, { headers }, (res) => {
        const chunks: Buffer[] = [];
        res.on('data', (chunk: Buffer) => chunks.push(chunk));
        res.on('end', () => resolve({ res, body: Buffer.concat(chunks) }));
      }).on('error', reject);
    });
  }

  test('that are big are compressed for who takes it', async () => {
    const { res, body } = await ask('/big', 'gzip');
    assert.equal(res.headers['content-encoding'], 'gzip');
    assert.equal(res.headers['vary'], 'Accept, Accept-Encoding');
    assert.equal(Number(res.headers['content-length']), body.length);
    assert.ok(body.length < big.length / 10);
    assert.deepEqual(gunzipSync(body), big);
  });

  test('are as they are for who does not, when they are small, and in streams', async () => {
    for (const [path, encoding, expected] of [
      ['/big', undefined, big],
      ['/big', 'br', big],
      ['/big', 'gzip;q=0', big],
      ['/small', 'gzip', small],
      ['/stream', 'gzip', Buffer.concat([big, small])],
    ] as const) {
      const { res, body } = await ask(path, encoding);
      assert.equal(res.headers['content-encoding'], undefined);
      assert.deepEqual(body, expected, `${path} ${encoding}`);
    }
  });

  test('a handler may leave the head to Node', async () => {
    const { res, body } = await ask('/implicit');
    assert.equal(res.statusCode, 202);
    assert.equal(String(body), 'x');
  });

  test('a fault before the first byte is answered as a fault', async () => {
    assert.equal((await ask('/fault')).res.statusCode, 500);
  });

  test('sizes are counted before compression', async () => {
    const { body } = await ask('/metrics');
    const [, sum] =
      /^apiserver_response_sizes_sum\{verb="GET",[^}]*subresource="\/big"[^}]*\} (\d+)$/m.exec(
        String(body),
      ) ?? [];
    assert.equal(Number(sum) % big.length, 0);
    assert.ok(Number(sum) >= big.length);
  });

  test('Accept-Encoding is read as RFC 9110 says', () => {
    for (const header of ['gzip', 'deflate, gzip', 'GZIP;q=0.5', '*', 'br;q=1.0, gzip;q=0.8, *;q=0.1']) {
      assert.equal(acceptsGzip(header), true, header);
    }
    for (const header of [undefined, '', 'identity', 'gzip;q=0', 'gzip; q=0.00', 'br', 'xgzip']) {
      assert.equal(acceptsGzip(header), false, String(header));
    }
  });
});
