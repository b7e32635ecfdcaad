import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { Clock, KubeObject, Logger } from '@selvedge/api';
import { systemClock } from '@selvedge/api/node';
import { createKubeApi } from '../api/http-kube-api.ts';
import type { KubeApi } from '../api/kube-api.ts';
import { KindWatch } from './kind-watch.ts';

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent };

/** Pauses between tries are short here. */
const hastyClock: Clock = {
  now: () => systemClock.now(),
  sleep: (milliseconds, signal) => {
    slept.push(milliseconds);
    return systemClock.sleep(Math.min(milliseconds, 20), signal);
  },
};
let slept: number[] = [];

/** Answers list and watch requests as a test tells it to, over a true socket. */
class ScriptedApi {
  readonly asked: string[] = [];
  onList: (res: ServerResponse) => void = (res) => answer(res, list('1'));
  onWatch: (res: ServerResponse, from: string) => void = () => undefined;
  hasKind = true;
  readonly #server: Server = createServer((req, res) => this.#serve(req, res));

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  cut(): void {
    this.#server.closeAllConnections();
  }

  #serve(req: IncomingMessage, res: ServerResponse): void {
    const url = new URL(req.url ?? '/', 'http://x');
    if (url.pathname === '/apis/example.com/v1') {
      this.asked.push('kinds');
      const resource = { name: 'widgets', kind: 'Widget', namespaced: true, verbs: ['list', 'watch'] };
      answer(res, { resources: this.hasKind ? [resource] : [] });
    } else if (url.searchParams.get('watch') === 'true') {
      const from = url.searchParams.get('resourceVersion') ?? '';
      this.asked.push(`watch ${from}`);
      this.onWatch(res, from);
    } else {
      this.asked.push('list');
      assert.equal(url.searchParams.get('labelSelector'), 'ours');
      this.onList(res);
    }
  }
}

function answer(res: ServerResponse, body: object, code = 200): void {
  res.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
const meta = (name: string, resourceVersion: string) => ({
  apiVersion: 'meta.k8s.io/v1',
  kind: 'PartialObjectMetadata',
  metadata: { name, namespace: 'n', resourceVersion },
});
const list = (resourceVersion: string, ...items: object[]) => ({ metadata: { resourceVersion }, items });
const status = (code: number, reason: string) => ({
  kind: 'Status',
  apiVersion: 'v1',
  status: 'Failure',
  code,
  reason,
  message: reason,
});
const event = (type: string, object: object) => `${JSON.stringify({ type, object })}\n`;

describe('the watch of a kind', () => {
  let server: ScriptedApi;
  let api: KubeApi;
  let watch: KindWatch;
  let seen: string[];
  const stop = { controller: new AbortController() };
  let running: Promise<void>;

  beforeEach(async () => {
    slept = [];
    server = new ScriptedApi();
    seen = [];
    stop.controller = new AbortController();
    const clock = hastyClock;
    const access = {
      server: await server.start(),
      tls: {},
      authorization: async () => undefined,
      refused: () => undefined,
    };
    api = createKubeApi({ access, clock, logger: silent });
    watch = new KindWatch({
      api,
      clock,
      logger: silent,
      apiVersion: 'example.com/v1',
      kind: 'Widget',
      labelSelector: 'ours',
      onObject: ({ kind, metadata }: KubeObject) =>
        seen.push(`${kind} ${metadata.name} ${metadata.resourceVersion}`),
      onDeleted: ({ name }) => seen.push(`deleted ${name}`),
      onListed: (round) => seen.push(`listed ${round}`),
      onState: (state) => seen.push(state),
    });
  });
  afterEach(async () => {
    stop.controller.abort();
    await running;
    api.close();
    server.close();
  });
  const start = () => {
    running = watch.run(stop.controller.signal);
  };

  test('lists page by page, and goes on from there', async () => {
    let pages = 0;
    server.onList = (res) => {
      pages += 1;
      const page = list('5', meta(`w${pages}`, String(pages)));
      answer(res, pages === 1 ? { ...page, metadata: { resourceVersion: '5', continue: 'next' } } : page);
    };
    server.onWatch = (res) => {
      res.write(event('MODIFIED', meta('w1', '6')));
      res.write(event('DELETED', meta('w2', '7')));
    };
    start();
    await eventually(() => seen.includes('deleted w2'));
    assert.deepEqual(seen, [
      'Widget w1 1',
      'Widget w2 2',
      'Watching',
      'listed 0',
      'Widget w1 6',
      'deleted w2',
    ]);
    assert.deepEqual(server.asked, ['kinds', 'list', 'list', 'watch 5']);
  });

  test('goes on where it was after a broken connection, an end, and an event that was cut short', async () => {
    const replies: ((res: ServerResponse) => void)[] = [
      (res) => {
        res.write(event('ADDED', meta('a', '2')), () => res.destroy());
      },
      (res) => res.end(event('BOOKMARK', meta('', '30'))),
      (res) => res.end(event('ADDED', meta('b', '31')) + '{"type":"MODIF'),
    ];
    server.onWatch = (res) => replies.shift()?.(res);
    start();
    await eventually(() => server.asked.at(-1) === 'watch 31');
    assert.deepEqual(
      server.asked.filter((request) => request !== 'kinds'),
      ['list', 'watch 1', 'watch 2', 'watch 30', 'watch 31'],
    );
    assert.ok(seen.includes('Widget b 31'));
  });

  test('lists again when its version is too old, by status or by event', async () => {
    const replies: ((res: ServerResponse) => void)[] = [
      (res) => res.end(event('ERROR', status(410, 'Expired'))),
      (res) => answer(res, status(410, 'Gone'), 410),
    ];
    server.onWatch = (res) => replies.shift()?.(res);
    start();
    await eventually(() => server.asked.filter((request) => request === 'list').length === 3);
    await eventually(() => server.asked.at(-1) === 'watch 1');
    assert.ok(!seen.includes('Away'));
  });

  test('a server that calls every version too old is asked with growing pauses', async () => {
    server.onWatch = (res) => answer(res, status(410, 'Expired'), 410);
    start();
    const lists = () => server.asked.filter((request) => request === 'list').length;
    await eventually(() => lists() >= 6);
    // The first time there is none.
    assert.ok(slept.length >= lists() - 2, `${slept.length} pauses, ${lists()} lists`);
    assert.ok((slept[3] ?? 0) > (slept[0] ?? 0) * 2);
  });

  test('is away while the API is, and lists when going on does not help', async () => {
    let isDown = true;
    server.onWatch = (res) => {
      if (isDown) answer(res, status(500, 'InternalError'), 500);
      else res.flushHeaders();
    };
    start();
    await eventually(() => server.asked.filter((request) => request === 'list').length > 1);
    assert.ok(seen.includes('Away'));
    isDown = false;
    await eventually(() => watch.state === 'Watching' && server.asked.at(-1)?.startsWith('watch') === true);
  });

  test('says that it may not, and goes on when it may again', async () => {
    server.onList = (res) =>
      answer(res, { ...status(403, 'Forbidden'), message: 'widgets is forbidden' }, 403);
    start();
    await eventually(() => watch.state === 'Forbidden');
    assert.match(watch.message ?? '', /widgets is forbidden/);
    server.onList = (res) => answer(res, list('9', meta('a', '8')));
    await eventually(() => seen.includes('Widget a 8'));
    assert.equal(watch.message, undefined);
  });

  test('knows that the kind is gone, and finds it when it comes back', async () => {
    server.onWatch = (res) => {
      server.hasKind = false;
      server.onList = (list) => answer(list, status(404, 'NotFound'), 404);
      answer(res, status(404, 'NotFound'), 404);
    };
    start();
    await eventually(() => watch.state === 'Gone');
    server.onWatch = () => undefined;
    server.onList = (res) => answer(res, list('20', meta('new', '20')));
    server.hasKind = true;
    await eventually(() => seen.includes('Widget new 20'));
  });

  test('lists anew when it is asked to, and tells for which round', async () => {
    start();
    await eventually(() => server.asked.at(-1) === 'watch 1');
    assert.equal(watch.relist(), 1);
    await eventually(() => seen.includes('listed 1'));
    await eventually(() => server.asked.at(-1) === 'watch 1' && server.asked.length >= 4);
  });

  test('does not ask all the time when watches end at once', async () => {
    server.onWatch = (res) => res.end();
    start();
    await sleep(200);
    assert.ok(
      seen.filter((text) => text.startsWith('listed')).length === 1,
      'an end alone is no cause to list',
    );
  });

  test('survives nonsense', async () => {
    const replies = [
      'nonsense\n',
      '[]\n',
      'null\n',
      '{"type":1}\n',
      '{"type":"ADDED"}\n',
      '{"type":"ADDED","object":null}\n',
      '{"type":"ADDED","object":{}}\n',
    ];
    server.onWatch = (res) => {
      const reply = replies.shift();
      if (reply !== undefined) res.end(reply);
      else res.write(event('ADDED', meta('a', '3')));
    };
    start();
    await eventually(() => seen.includes('Widget a 3'));
  });
});

async function eventually(isTrue: () => boolean): Promise<void> {
  for (let tries = 0; !isTrue(); tries++) {
    assert.ok(tries < 3000, 'waited 30 s in vain');
    await sleep(10);
  }
}
