import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientHttp2Stream, connect, constants, type IncomingHttpHeaders } from 'node:http2';
import { after, before, describe, test } from 'node:test';
import { createLogger, systemClock } from '@selvedge/api/node';
import { loopbackCertificate } from '@selvedge/testkit';
import type { ApiRequest, ApiResponse } from './exchange.ts';
import { type HttpsServer, startHttpsServer } from './https-server.ts';

type Handler = (req: ApiRequest, res: ApiResponse) => void | Promise<void>;
type Head = IncomingHttpHeaders & { ':status'?: number };

describe('requests and responses over HTTP/2', () => {
  let server: HttpsServer;
  let handler: Handler = () => {};
  let session: ReturnType<typeof connect>;
  before(async () => {
    const { key, certificate } = await loopbackCertificate();
    server = await startHttpsServer({
      host: '127.0.0.1',
      port: 0,
      tls: { key, cert: certificate, clientCa: certificate },
      handle: (req, res) => handler(req, res),
      clock: systemClock,
      logger: createLogger({ level: 'silent' }),
    });
    session = connect(`https://127.0.0.1:${server.port}`, { rejectUnauthorized: false });
  });
  after(async () => {
    session.close();
    await server.close();
  });

  async function ask(headers: Record<string, string>, body?: Buffer): Promise<{ head: Head; text: string }> {
    const stream = session.request({ ':path': '/', ...headers }, { endStream: body === undefined });
    if (body) stream.end(body);
    return answerOf(stream);
  }

  test('a request has its head and its body', async () => {
    handler = async (req, res) => {
      let size = 0;
      req.on('data', (chunk: Buffer) => {
        size += chunk.length;
      });
      await once(req, 'end');
      res.setHeader('Content-Type', 'text/plain');
      res.setHeader('Warning', ['one', 'two']);
      res.writeHead(201);
      res.write('size ');
      res.end(
        `${req.method} ${req.url} ${req.httpVersion} ${String(req.headers['x-own'])} ${req.socket?.remoteAddress} ${size}`,
      );
    };
    const { head, text } = await ask(
      { ':method': 'POST', ':path': '/a?b=c', 'x-own': 'mine' },
      Buffer.alloc(300_000),
    );
    assert.equal(head[':status'], 201);
    assert.equal(head['content-type'], 'text/plain');
    assert.equal(head['warning'], 'one, two');
    assert.equal(text, 'size POST /a?b=c 2.0 mine 127.0.0.1 300000');
  });

  test('an answer to HEAD, and one of 204, has no body whatever is written', async () => {
    const written: string[] = [];
    handler = (req, res) => {
      if (req.method === 'HEAD') res.setHeader('Content-Length', 4);
      res.writeHead(req.method === 'GET' ? 204 : 200);
      res.write('body', () => written.push(req.method ?? ''));
      res.end('more');
    };
    const head = await ask({ ':method': 'HEAD' });
    assert.deepEqual([head.head[':status'], head.head['content-length'], head.text], [200, '4', '']);
    const empty = await ask({ ':method': 'GET' });
    assert.deepEqual([empty.head[':status'], empty.text], [204, '']);
    assert.deepEqual(written, ['HEAD', 'GET']);
  });

  test('a body that nobody reads holds nothing up', async () => {
    handler = (_req, res) => {
      res.writeHead(413);
      res.end('too much');
    };
    const { head, text } = await ask({ ':method': 'POST' }, Buffer.alloc(10_000));
    assert.equal(head[':status'], 413);
    assert.equal(text, 'too much');
  });

  test('what waits is told, and drains; both ends hear of a client that goes away', async () => {
    const closed: string[] = [];
    let drained: Promise<unknown> | undefined;
    handler = (req, res) => {
      req.once('close', () => closed.push('request'));
      res.once('close', () => closed.push('response'));
      res.writeHead(200);
      assert.equal(res.write(Buffer.alloc(1_000_000)), false);
      assert.ok(res.writableLength > 0);
      drained = once(res, 'drain');
    };
    const stream = session.request({ ':path': '/' });
    stream.on('error', () => {});
    stream.resume();
    await once(stream, 'response');
    await drained;
    stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    while (closed.length < 2) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(closed.toSorted(), ['request', 'response']);
    handler = (_req, res) => void res.end('still there');
    assert.equal((await ask({})).text, 'still there');
  });

  test('writing to a client that is gone fails nobody', async () => {
    let late: (() => void) | undefined;
    handler = (_req, res) => {
      late = () => {
        res.setHeader('X-Late', 'yes');
        res.writeHead(200);
        res.write('late');
        res.end('late');
      };
    };
    const stream = session.request({ ':path': '/' });
    stream.on('error', () => {});
    while (!late) await new Promise((resolve) => setImmediate(resolve));
    stream.close(constants.NGHTTP2_CANCEL);
    await once(stream, 'close');
    late();
    handler = (_req, res) => void res.end('still there');
    assert.equal((await ask({})).text, 'still there');
  });

  test('a response that is destroyed resets its stream only', async () => {
    handler = (_req, res) => {
      res.writeHead(200);
      res.write('half');
      res.destroy();
    };
    const stream = session.request({ ':path': '/' });
    stream.on('error', () => {});
    stream.resume();
    await once(stream, 'close');
    assert.equal(session.destroyed, false);
  });
});

async function answerOf(stream: ClientHttp2Stream): Promise<{ head: Head; text: string }> {
  const [head] = (await once(stream, 'response')) as [Head];
  let text = '';
  stream.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  await once(stream, 'end');
  return { head, text };
}
