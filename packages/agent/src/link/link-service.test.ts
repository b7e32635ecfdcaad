import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ClientHttp2Session } from 'node:http2';
import { type AddressInfo, connect as connectTcp, createServer } from 'node:net';
import { type Duplex, duplexPair, Readable } from 'node:stream';
import { describe, test } from 'node:test';
import { type LinkAccess, linkUserHeader, StatusError } from '@selvedge/api';
import { systemClock } from '@selvedge/api/node';
import { FakeClock } from '@selvedge/testkit';
import { eventually, listLogger } from '../testing/test-agent.ts';
import type { LinkAnswer, LinkCall, LinkDoor, LinkUpgrade } from './link-door.ts';
import { LinkService, type LinkServiceOptions } from './link-service.ts';
import {
  answerHead,
  ask,
  connectOver,
  openWebSocketPair,
  startAsking,
  startUpgrade,
  userHeader,
} from './testing/link-client.ts';

/** A site that answers with what it was asked, and upgrades to an echo. */
class EchoDoor implements LinkDoor {
  readonly calls: LinkCall[] = [];
  /** Upgraded connections to the site. */
  readonly sockets: Duplex[] = [];
  /** Body of answers to `/api/v1/stream`. */
  makeBody: () => Readable = () => Readable.from([]);

  async answer(call: LinkCall, body: Readable): Promise<LinkAnswer> {
    this.calls.push(call);
    if (call.path === '/api/v1/stream') return { status: 200, headers: {}, body: this.makeBody() };
    if (call.path === '/api/v1/broken') throw new TypeError('a fault');
    if (call.path === '/api/v1/away') throw new StatusError('ServiceUnavailable', 'the API is away');
    if (call.path === '/api/v1/never') return new Promise(() => {});
    const text = Buffer.concat((await body.toArray()) as Buffer[]).toString();
    const { method, path, user } = call;
    const answer = JSON.stringify({ method, path, user: user.name, text });
    const headers = { 'content-type': 'application/json', connection: 'keep-alive', 'set-cookie': ['a=b'] };
    return { status: 201, headers, body: Readable.from([Buffer.from(answer)]) };
  }

  async upgrade(call: LinkCall, protocol: string): Promise<LinkUpgrade | LinkAnswer> {
    this.calls.push(call);
    if (call.path.endsWith('/refused')) {
      return { status: 403, headers: {}, body: Readable.from([Buffer.from('no exec for you')]) };
    }
    const [near, far] = duplexPair();
    far.on('error', () => {});
    far.pipe(far);
    this.sockets.push(near);
    return { headers: { 'x-protocol': protocol }, socket: near };
  }
}

const anna = { name: 'anna', groups: [] };

async function openLink(options: Partial<LinkServiceOptions> = {}, access: LinkAccess = 'Full') {
  const door = new EchoDoor();
  const state: { site: LinkAccess } = { site: access };
  const pair = await openWebSocketPair();
  const { near, far } = pair;
  const service = await LinkService.serve(near, {
    door: async () => door,
    limits: () => ({ site: state.site, local: 'Full' }),
    clock: systemClock,
    logger: listLogger([]),
    ...options,
  });
  const hub = await connectOver(far);
  return {
    door,
    service,
    hub,
    state,
    wire: far,
    [Symbol.asyncDispose]: async () => {
      service.end('the test is over');
      hub.destroy();
      await pair[Symbol.asyncDispose]();
    },
  };
}

async function streamsOf(hub: ClientHttp2Session, paths: readonly string[]) {
  return Promise.all(paths.map((path) => ask(hub, { path })));
}

describe('requests over the service link', () => {
  test('that the hub resets at any moment, with any code, harm nobody else', async () => {
    await using link = await openLink();
    const answers: { answer: (value: LinkAnswer) => void; fail: (error: Error) => void }[] = [];
    link.door.answer = () => {
      const { promise, resolve, reject } = Promise.withResolvers<LinkAnswer>();
      answers.push({ answer: resolve, fail: reject });
      return promise;
    };
    for (let code = 0; code <= 13; code += 1) {
      for (const size of [0, 1000, 200_000]) {
        for (const how of ['answer', 'fail'] as const) {
          const body = Buffer.alloc(size, 'x');
          const count = answers.length;
          const stream = startAsking(link.hub, { method: 'POST', path: '/api/v1/namespaces', body });
          await eventually('the site was asked', () => answers.length > count);
          stream.close(code);
          await new Promise<void>((resolve) => stream.once('close', () => resolve()));
          // The reset is at the other end when this is answered.
          await new Promise((resolve) => link.hub.ping(resolve));
          if (how === 'fail') answers.at(-1)?.fail(new StatusError('ServiceUnavailable', 'away'));
          else
            answers.at(-1)?.answer({ status: 200, headers: {}, body: Readable.from([Buffer.from('late')]) });
        }
      }
    }
    delete (link.door as Partial<EchoDoor>).answer;
    assert.equal((await ask(link.hub, { path: '/api/v1/pods' })).status, 201);
  });

  test('method, path with query, body and user reach the site; its answer comes back without what is of a connection', async () => {
    await using link = await openLink();
    const answer = await ask(link.hub, { method: 'POST', path: '/api/v1/namespaces?a=b%20c', body: 'hello' });
    assert.equal(answer.status, 201);
    assert.equal(answer.headers['set-cookie'], undefined);
    assert.deepEqual(JSON.parse(answer.text), {
      method: 'POST',
      path: '/api/v1/namespaces?a=b%20c',
      user: 'anna',
      text: 'hello',
    });
    assert.deepEqual(Object.keys(link.door.calls[0]?.headers ?? {}), []);
  });

  test('the answer to HEAD has no body', async () => {
    await using link = await openLink();
    const answer = await ask(link.hub, { method: 'HEAD', path: '/api/v1/pods' });
    assert.deepEqual([answer.status, answer.text], [201, '']);
  });

  test("the site's trouble and the agent's own are answered as Status", async () => {
    await using link = await openLink();
    const [away, broken] = await streamsOf(link.hub, ['/api/v1/away', '/api/v1/broken']);
    assert.equal(away?.status, 503);
    assert.equal((JSON.parse(away.text) as { message: string }).message, 'the API is away');
    assert.equal(broken?.status, 500);
    assert.doesNotMatch(broken.text, /a fault/);
  });

  test('100 requests at a time', async () => {
    await using link = await openLink();
    const paths = Array.from({ length: 100 }, (_, n) => `/api/v1/namespaces/n${n}`);
    const answers = await streamsOf(link.hub, paths);
    assert.deepEqual(
      answers.map((answer) => (JSON.parse(answer.text) as { path: string }).path),
      paths,
    );
  });

  test('the site learns when the one who asked is gone', async () => {
    await using link = await openLink();
    const stream = startAsking(link.hub, { path: '/api/v1/never' });
    await eventually('the call is there', () => link.door.calls.length === 1);
    stream.close();
    await eventually('it is told', () => link.door.calls[0]?.signal.aborted === true);
  });

  test('a request that breaks off does not look whole to the site', async () => {
    for (const how of ['stream', 'link'] as const) {
      await using link = await openLink();
      let outcome = '';
      link.door.answer = async (_call, body) => {
        link.door.calls.push(_call);
        outcome = await body.toArray().then(
          () => 'whole',
          () => 'cut',
        );
        throw new StatusError('BadRequest', 'cut');
      };
      const { hub } = link;
      const request = { ':method': 'POST', ':path': '/api/v1/x', [linkUserHeader]: userHeader(anna) };
      const stream = hub.request(request, { endStream: false });
      stream.on('error', () => {});
      stream.write('half');
      await eventually('the call is there', () => link.door.calls.length === 1);
      if (how === 'stream') stream.destroy(new Error('gone'));
      else link.wire.destroy();
      await eventually('the site is told', () => outcome !== '');
      assert.equal(outcome, 'cut', how);
    }
  });

  test('an answer that breaks off at the site does not look whole at the hub', async () => {
    await using link = await openLink();
    link.door.makeBody = () =>
      Readable.from(
        (async function* () {
          yield Buffer.from('half');
          throw new Error('cut');
        })(),
      );
    const stream = startAsking(link.hub, { path: '/api/v1/stream' });
    await assert.rejects(async () => {
      await answerHead(stream);
      await stream.toArray();
    });
  });

  test('who reads slowly fills no memory: the site is read no faster', async () => {
    await using link = await openLink();
    const chunk = Buffer.alloc(64 * 1024);
    let produced = 0;
    link.door.makeBody = () =>
      new Readable({
        read() {
          produced += chunk.length;
          this.push(produced > 256 * 1024 * 1024 ? null : chunk);
        },
      });
    const stream = startAsking(link.hub, { path: '/api/v1/stream' });
    await answerHead(stream);
    stream.pause();
    let before = -1;
    while (before !== produced) {
      before = produced;
      await systemClock.sleep(200);
    }
    assert.ok(produced < 8 * 1024 * 1024, `${produced} bytes were read from the site`);
    stream.close();
  });
});

describe('upgrades over the service link', () => {
  test('raw bytes both ways, until one side ends', async () => {
    await using link = await openLink();
    for (const protocol of ['websocket', 'spdy/3.1']) {
      const stream = startUpgrade(link.hub, { path: '/api/v1/x', protocol });
      const head = await answerHead(stream);
      assert.equal(head.status, 200);
      assert.equal(head.headers['x-protocol'], protocol);
      stream.write('ping');
      const [echoed] = (await once(stream, 'data')) as [Buffer];
      assert.equal(echoed.toString(), 'ping');
      stream.end('last');
      assert.equal(Buffer.concat((await stream.toArray()) as Buffer[]).toString(), 'last');
    }
    assert.deepEqual(
      link.door.calls.map((call) => call.method),
      ['GET', 'POST'],
    );
  });

  test('all that the site said before it closed arrives, however slowly it is read', async () => {
    await using link = await openLink();
    const bytes = 8 * 1024 * 1024;
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.end(Buffer.alloc(bytes, 'x'));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    link.door.upgrade = async () => ({
      headers: {},
      socket: connectTcp((server.address() as AddressInfo).port, '127.0.0.1'),
    });
    const stream = startUpgrade(link.hub, { path: '/api/v1/x', protocol: 'spdy/3.1' });
    await answerHead(stream);
    let got = 0;
    stream.on('data', (chunk: Buffer) => {
      got += chunk.length;
      if (!stream.writableEnded) stream.write('the client goes on talking');
      stream.pause();
      setImmediate(() => stream.resume());
    });
    await once(stream, 'end');
    assert.equal(got, bytes);
    assert.equal(stream.rstCode, 0);
    server.close();
  });

  test("the site's refusal of an upgrade goes back as it is", async () => {
    await using link = await openLink();
    const stream = startUpgrade(link.hub, { path: '/api/v1/refused', protocol: 'websocket' });
    assert.equal((await answerHead(stream)).status, 403);
    assert.equal(Buffer.concat((await stream.toArray()) as Buffer[]).toString(), 'no exec for you');
  });

  test('a link that is cut in the middle of a session ends it on both sides', async () => {
    await using link = await openLink();
    const stream = startUpgrade(link.hub, { path: '/api/v1/x', protocol: 'websocket' });
    await answerHead(stream);
    link.wire.destroy();
    assert.equal(await link.service.ended, 'the connection was lost');
    await eventually('the site is told', () => link.door.calls[0]?.signal.aborted === true);
    await eventually('the session at the site ends', () => link.door.sockets[0]?.destroyed === true);
  });
});

describe('the policy of the site, against a hub that would do more', () => {
  test('Read lets reading pass, and names what the rest needs', async () => {
    await using link = await openLink({}, 'Read');
    assert.equal((await ask(link.hub, { path: '/api/v1/pods' })).status, 201);
    const refused = await ask(link.hub, { method: 'DELETE', path: '/api/v1/namespaces/a' });
    assert.equal(refused.status, 403);
    assert.match(refused.text, /Site\.spec\.link is Read: DELETE on .+ needs Full/);
    const stream = startUpgrade(link.hub, { path: '/api/v1/pods?watch=1', protocol: 'websocket' });
    assert.equal((await answerHead(stream)).status, 403);
    assert.equal(link.door.calls.length, 1);
  });

  test('forms of requests that are none of the link reach nobody', async () => {
    await using link = await openLink();
    const path = '/api/v1/pods';
    const statuses = await Promise.all([
      ask(link.hub, { path: '/api/../x' }),
      ask(link.hub, { path, headers: { [linkUserHeader]: 'nobody' } }),
      ask(link.hub, { method: 'TRACE', path }),
    ]);
    assert.deepEqual(
      statuses.map(({ status }) => status),
      [400, 400, 405],
    );
    const strange = startUpgrade(link.hub, { path, protocol: 'h2c' });
    assert.equal((await answerHead(strange)).status, 400);
    assert.equal(link.door.calls.length, 0);
  });

  test('what is no longer allowed ends at once; what still is goes on', async () => {
    await using link = await openLink();
    const session = startUpgrade(link.hub, { path: '/api/v1/x', protocol: 'websocket' });
    await answerHead(session);
    const reading = startAsking(link.hub, { path: '/api/v1/never' });
    await eventually('both are there', () => link.door.calls.length === 2);
    session.resume();
    link.state.site = 'Read';
    link.service.checkPolicy();
    await assert.rejects(once(session, 'close'), /INTERNAL_ERROR/);
    assert.deepEqual(
      link.door.calls.map((call) => call.signal.aborted),
      [true, false],
    );
    reading.close();
  });

  test('more than 128 requests at a time are not taken', async () => {
    await using link = await openLink();
    for (let n = 0; n < 200; n++) startAsking(link.hub, { path: '/api/v1/never' });
    await eventually('as many as may be', () => link.door.calls.length >= 128);
    await ping(link.hub);
    assert.equal(link.door.calls.length, 128);
  });
});

describe('the life of a link', () => {
  test('it is closed when nobody has used it for a while, counted from the last request', async () => {
    const clock = new FakeClock();
    await using link = await openLink({ clock, idleSeconds: 100, pingSeconds: 1000 });
    const stream = startAsking(link.hub, { path: '/api/v1/never' });
    await eventually('the call is there', () => link.door.calls.length === 1);
    await clock.advance(300_000);
    assert.equal(link.service.isOver, false);
    stream.close();
    await eventually('the call is over', () => link.door.calls[0]?.signal.aborted === true);
    await clock.advance(100_000);
    assert.equal(link.service.isOver, false);
    await clock.advance(11_000);
    assert.equal(await link.service.ended, 'nobody used it');
    await clock.advance(5000);
    await eventually('the hub is told', () => link.hub.destroyed);
  });

  test('a hub that no longer answers is noticed', async () => {
    await using pair = await openWebSocketPair();
    const service = await LinkService.serve(pair.near, {
      door: async () => new EchoDoor(),
      limits: () => ({ site: 'Full', local: 'Full' }),
      clock: systemClock,
      logger: listLogger([]),
      pingSeconds: 0.2,
    });
    assert.equal(await service.ended, 'the hub was silent');
  });

  test('a hub that speaks another protocol ends it', async () => {
    await using pair = await openWebSocketPair();
    const service = await LinkService.serve(pair.near, {
      door: async () => new EchoDoor(),
      limits: () => ({ site: 'Full', local: 'Full' }),
      clock: systemClock,
      logger: listLogger([]),
    });
    pair.far.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
    assert.match(await service.ended, /failed|lost/);
  });
});

function ping(hub: ClientHttp2Session): Promise<void> {
  return new Promise((resolve) => hub.ping(() => resolve()));
}
