import assert from 'node:assert/strict';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { systemClock } from '@selvedge/api/node';
import { eventually } from '../gateway/testing/test-hub.ts';
import { proxyPath, startLinkLab } from './testing/link-lab.ts';

test('a request for a site without a link has it opened, and reaches the site as it was sent', async (t) => {
  const { far, person } = await startLinkLab(t);
  const seen: unknown[] = [];
  far.handler = (stream, headers) => {
    seen.push(headers);
    void text(stream).then((body) => {
      stream.respond({ ':status': 201, 'content-type': 'application/json', 'x-site': 'yes' });
      stream.end(`got ${body}`);
    });
  };
  const rest = '/api/v1/namespaces/a%2Fb/pods//x%3Fy?labelSelector=a%3Db&watch=0';
  const answer = await person.ask(proxyPath('shop', rest), {
    method: 'POST',
    body: 'hello',
    headers: { 'content-type': 'text/plain' },
  });
  assert.equal(answer.status, 201, answer.text);
  assert.equal(answer.text, 'got hello');
  assert.equal(answer.headers['x-site'], 'yes');
  const [headers] = seen as [Record<string, string>];
  assert.equal(headers[':path'], rest);
  assert.equal(headers[':method'], 'POST');
  assert.equal(headers['content-type'], 'text/plain');
  assert.deepEqual(JSON.parse(Buffer.from(headers['selvedge-user'] ?? '', 'base64url').toString()), {
    groups: ['system:masters', 'system:authenticated'],
    name: 'admin',
  });
  await person.ask(proxyPath('shop', ''));
  await person.ask(proxyPath('shop', '?a=b'));
  assert.deepEqual(
    seen.slice(1).map((h) => (h as Record<string, string>)[':path']),
    ['/', '/?a=b'],
  );
  assert.equal(far.opened, 1);
});

test('over HTTP/2 answers stream as they come, and a client that goes away ends the request at the site', async (t) => {
  const { far, person } = await startLinkLab(t);
  let closed = false;
  far.handler = (stream) => {
    stream.respond({ ':status': 200 });
    stream.write('first\n');
    stream.once('close', () => {
      closed = true;
    });
  };
  const stream = person.http2().request({ ':path': proxyPath('shop', '/api/v1/pods?watch=true') });
  stream.on('error', () => {});
  const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
  assert.equal(headers[':status'], 200);
  const [chunk] = (await once(stream, 'data')) as [Buffer];
  assert.equal(chunk.toString(), 'first\n');
  stream.close();
  await eventually(async () => closed);
});

test('an upgrade goes through in both directions, and ends at both ends', async (t) => {
  const { far, person } = await startLinkLab(t);
  const seen: Record<string, unknown>[] = [];
  far.handler = (stream, headers) => {
    seen.push(headers as Record<string, unknown>);
    stream.respond({
      ':status': 200,
      'sec-websocket-accept': 'abc',
      'sec-websocket-protocol': 'v5.channel.k8s.io',
    });
    stream.on('data', (chunk: Buffer) => stream.write(`echo ${chunk.toString()}`));
    stream.on('end', () => stream.end());
  };
  for (const [protocol, method] of [
    ['websocket', 'GET'],
    ['SPDY/3.1', 'POST'],
  ] as const) {
    const { status, headers, socket } = await person.upgrade(
      proxyPath('shop', '/api/v1/namespaces/a/pods/b/exec?command=ls'),
      {
        protocol,
        method,
        headers: {
          'sec-websocket-key': 'a2V5',
          'sec-websocket-protocol': 'v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.c2VjcmV0',
        },
      },
    );
    assert.equal(status, 101);
    assert.equal(headers.upgrade, protocol);
    assert.equal(headers['sec-websocket-accept'], 'abc');
    assert.ok(socket);
    socket.write('hi');
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    assert.equal(chunk.toString(), 'echo hi');
    socket.end();
    socket.resume();
    await once(socket, 'close');
  }
  assert.deepEqual(
    seen.map((h) => [h[':method'], h[':protocol'], h['sec-websocket-protocol'], h['sec-websocket-key']]),
    [
      ['CONNECT', 'websocket', 'v5.channel.k8s.io', 'a2V5'],
      ['CONNECT', 'spdy/3.1', 'v5.channel.k8s.io', 'a2V5'],
    ],
  );
});

test('an upgrade that the site refuses is answered with its refusal', async (t) => {
  const { far, person } = await startLinkLab(t);
  far.handler = (stream) => {
    stream.respond({ ':status': 403, 'content-type': 'application/json' });
    stream.end('{"kind":"Status"}');
  };
  const { status, text: refusal, socket } = await person.upgrade(proxyPath('shop', '/exec'));
  assert.equal(status, 403);
  assert.equal(refusal, '{"kind":"Status"}');
  assert.equal(socket, undefined);
});

test('a link that is lost in the middle cuts the answer, and the next request opens a new one', async (t) => {
  const { far, person } = await startLinkLab(t);
  far.handler = (stream) => {
    stream.respond({ ':status': 200 });
    stream.write('half');
  };
  const first = await person.open(proxyPath('shop', '/a'));
  await once(first, 'data');
  const second = person.http2().request({ ':path': proxyPath('shop', '/a') });
  second.on('error', () => {});
  const ended = new Promise((resolve) => second.once('close', resolve));
  second.once('data', () => far.cut());
  await assert.rejects(text(first));
  await ended;
  assert.equal(second.rstCode, 2);
  far.handler = (stream) => {
    stream.respond({ ':status': 200 });
    stream.end('whole');
  };
  assert.equal((await person.ask(proxyPath('shop', '/b'))).text, 'whole');
  assert.equal(far.opened, 2);
});

test('refuses by Site.spec.link before anything is asked of the site', async (t) => {
  const { far, person, setLink } = await startLinkLab(t, { link: 'Read' });
  const asked: string[] = [];
  far.handler = (stream, headers) => {
    asked.push(String(headers[':path']));
    stream.respond({ ':status': 200 });
    stream.end('ok');
  };
  const status = async (path: string, method = 'GET') =>
    (await person.ask(proxyPath('shop', path), { method })).status;
  assert.equal(await status('/api/v1/pods'), 200);
  assert.equal(await status('/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', 'POST'), 200);
  assert.equal(await status('/api/v1/pods', 'POST'), 403);
  assert.equal(await status('/api/v1/namespaces/a/pods/b', 'DELETE'), 403);
  const upgrade = await person.upgrade(proxyPath('shop', '/api/v1/namespaces/a/pods/b/exec'));
  assert.equal(upgrade.status, 403);
  assert.match(upgrade.text ?? '', /needs Full, spec\.link of the Site is Read/);
  assert.equal(asked.length, 2);
  await setLink('Disabled');
  await eventually(async () => (await status('/api/v1/pods')) === 403);
});

test('ends what is open at once: upgrades when the site may only be read, everything when the link is disabled', async (t) => {
  const { far, person, setLink } = await startLinkLab(t);
  far.handler = (stream) => {
    stream.respond({ ':status': 200 });
    stream.write('x');
  };
  const { socket } = await person.upgrade(proxyPath('shop', '/exec'));
  assert.ok(socket);
  const watch = await person.open(proxyPath('shop', '/api/v1/pods?watch=1'));
  await once(watch, 'data');
  socket.resume();
  const ended = once(socket, 'close');
  await setLink('Read');
  await ended;
  assert.equal(watch.destroyed, false);
  const cut = text(watch).then(
    () => 'ended',
    () => 'cut',
  );
  await setLink('Disabled');
  assert.equal(await cut, 'cut');
  await eventually(async () => far.socket?.readyState === 3);
});

test('says why there is no way to a site', async (t) => {
  const { hub, far, person } = await startLinkLab(t);
  const message = async (site: string) => {
    const { status, text: body } = await person.ask(proxyPath(site, '/api'));
    return `${status} ${(JSON.parse(body) as { message: string }).message}`;
  };
  assert.match(await message('nowhere'), /^404 sites.* "nowhere" not found/);
  await hub.hub.client.create(
    { group: 'selvedge.dev', version: 'v1alpha1', plural: 'sites', kind: 'Site', namespaced: false },
    {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Site',
      metadata: { name: 'planned' },
    },
  );
  assert.match(await message('planned'), /^503 site "planned" has no agent yet/);
  await far.stop();
  hub.clock.offsetMilliseconds = 3_600_000;
  assert.match(await message('shop'), /^503 site "shop" is away: it was last in touch at 20/);
});

test('a second link takes over, and a lost client or an idle hub leaves nothing behind', async (t) => {
  const { hub, far, person } = await startLinkLab(t);
  assert.equal((await person.ask(proxyPath('shop', '/'))).text, 'ok');
  const old = far.socket;
  await far.open();
  far.handler = (stream) => {
    stream.respond({ ':status': 200 });
    stream.end(String(stream.session === far.session));
  };
  await eventually(async () => (await person.ask(proxyPath('shop', '/'))).text === 'true');
  await eventually(async () => old?.readyState === 3);
  await systemClock.sleep(1);
  const { text: metrics } = await person.ask('/metrics');
  assert.match(metrics, /^selvedge_link_open 1$/m);
  assert.match(metrics, /^selvedge_link_opened_total 2$/m);
  assert.match(metrics, /^selvedge_link_sessions 0$/m);
  await hub.stop();
});
