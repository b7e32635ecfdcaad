import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { clusterRoleBindings, clusterRoles, linkPath, linkProtocol, type Site, sites } from '@selvedge/api';
import { systemClock } from '@selvedge/api/node';
import { WebSocket } from 'ws';
import { eventually } from '../gateway/testing/test-hub.ts';
import { type LinkLab, proxyPath, startLinkLab } from './testing/link-lab.ts';

/** A request as bytes over HTTP/1.1; all that came back until the connection was closed. */
async function raw({ person }: LinkLab, lines: readonly string[], body = ''): Promise<string> {
  const { hostname, port } = new URL(person.url);
  const socket = connectTls({
    host: hostname,
    port: Number(port),
    ...person.tls,
    ALPNProtocols: ['http/1.1'],
  });
  await once(socket, 'secureConnect');
  socket.write(`${lines.join('\r\n')}\r\n\r\n${body}`);
  const answer = await text(socket);
  return answer;
}

test('what a user smuggles does not reach the site', async (t) => {
  const lab = await startLinkLab(t);
  const { far, person } = lab;
  const seen: Record<string, unknown>[] = [];
  far.handler = (stream, headers) => {
    seen.push(headers as Record<string, unknown>);
    stream.respond({ ':status': 200 });
    stream.end('ok');
  };
  for (const path of [
    '/..',
    '/../../sites/other/proxy/',
    '/a/%2e%2e/b',
    '/a/.%2E',
    '/a/./b',
    '/a%2f..%2fb',
    '/a\\..\\b',
    '/..%5cb',
    '/%zz',
    '/a/b/c/d/%2',
  ]) {
    const { status } = await person.ask(proxyPath('shop', path));
    assert.equal(status, 400, path);
  }
  assert.equal((await person.ask(proxyPath('shop', '/%00'))).status, 200);
  assert.deepEqual(
    seen.splice(0).map((h) => h[':path']),
    ['/%00'],
  );

  const headers = {
    'selvedge-user': Buffer.from('{"groups":[],"name":"root"}').toString('base64url'),
    authorization: 'Bearer stolen',
    cookie: 'a=b',
    'x-remote-user': 'root',
    'x-forwarded-for': '10.0.0.1',
    'impersonate-user': 'ann',
    'impersonate-group': 'dev',
    connection: 'x-secret',
    'x-secret': '1',
    te: 'trailers',
  };
  const { status, text: said } = await person.ask(proxyPath('shop', '/api'), { headers });
  assert.equal(status, 403, 'ann may nothing yet');
  assert.match(said, /User \\"ann\\" cannot get resource \\"sites\/proxy\\"/);
  const { 'impersonate-user': _u, 'impersonate-group': _g, ...rest } = headers;
  assert.equal((await person.ask(proxyPath('shop', '/api'), { headers: rest })).status, 200);
  const [got] = seen.splice(0);
  assert.deepEqual(
    Object.keys(got ?? {})
      .filter((name) => !name.startsWith(':'))
      .sort(),
    ['audit-id', 'selvedge-user'],
  );
  assert.equal(got?.[':authority'], 'site');
  assert.match(Buffer.from(String(got?.['selvedge-user']), 'base64url').toString(), /"name":"admin"/);

  const target = proxyPath('shop', '/api?x=1');
  const close = ['Host: h', 'Connection: close'];
  assert.match(await raw(lab, [`GET https://evil.example${target} HTTP/1.1`, ...close]), /^HTTP\/1\.1 200 /);
  assert.equal(seen.splice(0)[0]?.[':path'], '/api?x=1');
  const both = await raw(
    lab,
    [`POST ${target} HTTP/1.1`, ...close, 'Content-Length: 4', 'Transfer-Encoding: chunked'],
    '0\r\n\r\n',
  );
  assert.match(both, /^HTTP\/1\.1 400 /);
  const withBody = await raw(
    lab,
    [`POST ${target} HTTP/1.1`, 'Host: h', 'Connection: Upgrade', 'Upgrade: SPDY/3.1', 'Content-Length: 4'],
    'GET / HTTP/1.1\r\n\r\n',
  );
  assert.match(withBody, /^HTTP\/1\.1 400 [\s\S]*cannot have a body/);
  assert.equal(withBody.match(/HTTP\/1\.1/g)?.length, 1);
  assert.equal(seen.length, 0);
  // What nobody upgrades is answered as if the header were not there.
  const h2c = await raw(lab, ['GET /version HTTP/1.1', 'Host: h', 'Connection: Upgrade', 'Upgrade: h2c']);
  assert.match(h2c, /^HTTP\/1\.1 200 /);
});

test('a body reaches the site whole or broken off, never short as if it were whole', async (t) => {
  const { far, person } = await startLinkLab(t);
  const bodies: { length: number; isWhole: boolean }[] = [];
  far.handler = (stream) => {
    let length = 0;
    stream.on('data', (chunk: Buffer) => (length += chunk.length));
    stream.once('close', () => bodies.push({ length, isWhole: stream.rstCode === 0 }));
    stream.once('end', () => {
      stream.respond({ ':status': 200 });
      stream.end('ok');
    });
  };
  const big = 'x'.repeat(5_000_000);
  assert.equal((await person.ask(proxyPath('shop', '/a'), { method: 'PUT', body: big })).status, 200);
  await eventually(async () => bodies.length === 1);
  assert.deepEqual(bodies[0], { length: 5_000_000, isWhole: true });
  const { hostname, port } = new URL(person.url);
  const socket = connectTls({
    host: hostname,
    port: Number(port),
    ...person.tls,
    ALPNProtocols: ['http/1.1'],
  });
  await once(socket, 'secureConnect');
  socket.write(`PUT ${proxyPath('shop', '/a')} HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nhalf`);
  await eventually(async () => /^selvedge_link_sessions 1$/m.test((await person.ask('/metrics')).text));
  socket.destroy();
  await eventually(async () => bodies.length === 2);
  assert.equal(bodies[1]?.isWhole, false);
});

test('rights: get reads, what changes needs its own verb, an upgrade needs create, another site is another name', async (t) => {
  const { hub, far, person } = await startLinkLab(t);
  far.handler = (stream) => {
    stream.respond({ ':status': 200 });
    stream.end('ok');
  };
  const role = { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole' } as const;
  await hub.hub.client.create(clusterRoles, {
    ...role,
    metadata: { name: 'read-shop' },
    rules: [
      { apiGroups: ['selvedge.dev'], resources: ['sites/proxy'], resourceNames: ['shop'], verbs: ['get'] },
    ],
  } as never);
  for (const [user, name] of [
    ['reader', 'read-shop'],
    ['operator', 'selvedge:site-operator'],
    ['viewer', 'view'],
  ] as const) {
    await hub.hub.client.create(clusterRoleBindings, {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: user },
      subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: user }],
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
    } as never);
  }
  const as = (user: string) => ({ 'impersonate-user': user });
  const ask = async (user: string, method: string, site = 'shop') =>
    (await person.ask(proxyPath(site, '/api'), { method, headers: as(user) })).status;
  const upgrade = async (user: string) =>
    (await person.upgrade(proxyPath('shop', '/exec'), { headers: as(user) })).status;
  await eventually(async () => (await ask('reader', 'GET')) === 200);
  await eventually(async () => (await ask('operator', 'DELETE')) === 200);
  assert.deepEqual(
    [await ask('reader', 'POST'), await ask('reader', 'GET', 'other'), await upgrade('reader')],
    [403, 403, 403],
  );
  assert.deepEqual([await ask('operator', 'POST'), await upgrade('operator')], [200, 101]);
  assert.equal(await ask('viewer', 'GET'), 403);
  const read = () =>
    readFileSync(join(hub.data, 'audit.log'), 'utf8')
      .split('\n')
      .filter((line) => line.includes('/exec'))
      .map((line) => JSON.parse(line) as Record<string, never>);
  const finished = (event: Record<string, never>) =>
    event['stage'] === 'ResponseComplete' && event['impersonatedUser']?.['username'] === 'operator';
  const { auditID } = await eventually(async () => read().find(finished));
  assert.deepEqual(
    read()
      .filter((event) => event['auditID'] === auditID)
      .map((event) => [
        event['stage'],
        event['verb'],
        event['objectRef']?.['name'],
        event['responseStatus']?.['code'],
      ]),
    [
      ['RequestReceived', 'get', 'shop', undefined],
      ['ResponseStarted', 'get', 'shop', 101],
      ['ResponseComplete', 'get', 'shop', 101],
    ],
  );
});

test('headers by which a site could speak for the hub stay behind', async (t) => {
  const { far, person } = await startLinkLab(t);
  far.handler = (stream, { ':path': path }) => {
    stream.respond({
      ':status': 302,
      location: path === '/in' ? '/api/' : 'https://evil.example/',
      'set-cookie': ['a=b', 'c=d'],
      'content-security-policy': 'default-src *',
      'access-control-allow-origin': '*',
      'strict-transport-security': 'max-age=0',
      'selvedge-no-link': 'true',
      'selvedge-hub-time': '1999-01-01T00:00:00Z',
      'audit-id': 'forged',
      'www-authenticate': 'Basic',
      'x-kept': 'yes',
    });
    stream.end();
  };
  const { headers } = await person.ask(proxyPath('shop', '/in'));
  assert.equal(headers.location, proxyPath('shop', '/api/'));
  assert.equal(headers['content-security-policy'], 'sandbox');
  assert.equal(headers['x-kept'], 'yes');
  assert.notEqual(headers['audit-id'], 'forged');
  for (const name of [
    'set-cookie',
    'access-control-allow-origin',
    'strict-transport-security',
    'selvedge-no-link',
    'selvedge-hub-time',
    'www-authenticate',
  ]) {
    assert.equal(headers[name], undefined, name);
  }
  assert.equal((await person.ask(proxyPath('shop', '/out'))).headers.location, undefined);
});

test('a site leads nobody out of its own paths', async (t) => {
  const { far, person } = await startLinkLab(t);
  let location = '';
  far.handler = (stream) => {
    stream.respond({ ':status': 307, location });
    stream.end();
  };
  const base = proxyPath('shop', '');
  for (const good of ['/', '/api/', '/api/v1/namespaces/a.b/pods/x?watch=1&a=%2e%2e/', '/a/...b/_c~']) {
    location = good;
    assert.equal((await person.ask(`${base}/x`)).headers.location, base + good);
  }
  for (const bad of [
    '/../../../../../../api/v1/namespaces/victim',
    '/%2e%2e/%2E%2E/api',
    '/.%2e/x',
    '/x/..',
    '/x/../y',
    '/./x',
    '/x/..;/y',
    '/x%2f..%2fy',
    '/x\\..\\y',
    '//evil.example/',
    '/x//y',
    '/\t/evil.example',
    '/x#y',
    'x',
    '..',
    '../../../x',
    '?x',
    'https://evil.example/',
    `https://${new URL(person.url).host}/api`,
  ]) {
    location = bad;
    for (const headers of [{}, { connection: 'Upgrade', upgrade: 'websocket' }]) {
      const answer = await person.ask(`${base}/x`, { headers });
      assert.equal(answer.status, 307);
      assert.equal(answer.headers.location, undefined, bad);
    }
  }
});

test('one user leaves room for others, and what the site would not take is told at once', async (t) => {
  const { far, person } = await startLinkLab(t);
  await person.ask(proxyPath('shop', '/x'));
  far.session?.settings({ enableConnectProtocol: true, maxConcurrentStreams: 8 });
  far.handler = (stream, { ':path': path }) => {
    stream.respond({ ':status': 200 });
    if (path === '/watch') stream.write('x');
    else stream.end('ok');
  };
  const watchAs = async (name: string) => {
    const headers = { 'impersonate-user': name, 'impersonate-group': 'system:masters' };
    const answer = await person.open(proxyPath('shop', '/watch'), { headers });
    return { status: answer.statusCode, answer };
  };
  await eventually(async () => {
    // The new limit is known when the fifth is refused.
    const all = [];
    for (let i = 0; i < 5; i += 1) all.push(await watchAs('mallory'));
    if (all.at(-1)?.status === 429) return true;
    for (const { answer } of all) answer.destroy();
    return false;
  });
  const refused = await watchAs('mallory');
  assert.equal(refused.status, 429);
  assert.equal(refused.answer.headers['retry-after'], '1');
  assert.equal((await person.ask(proxyPath('shop', '/x'))).text, 'ok');
  const others = [];
  for (let i = 0; i < 4; i += 1) others.push(await watchAs('oscar'));
  assert.deepEqual(
    others.map(({ status }) => status),
    [200, 200, 200, 200],
  );
  const full = await person.ask(proxyPath('shop', '/x'));
  assert.equal(full.status, 429);
  assert.match(full.text, /8 requests to site \\"shop\\" are open at once/);
  others[0]?.answer.destroy();
  await eventually(async () => (await person.ask(proxyPath('shop', '/x'))).status === 200);
});

test('an agent that lies about lengths, floods headers or answers nonsense harms only that request', async (t) => {
  const lab = await startLinkLab(t);
  const { far, person } = lab;
  far.handler = (stream, { ':path': path }) => {
    if (path === '/long') {
      stream.respond({ ':status': 200, 'content-length': 5 });
      stream.end('hello HTTP/1.1 200 OK\r\n\r\n');
    } else if (path === '/short') {
      stream.respond({ ':status': 200, 'content-length': 50 });
      stream.end('hello');
    } else if (path === '/interim') {
      for (let i = 0; i < 100; i++) stream.additionalHeaders({ ':status': 103, link: '</a>' });
    } else if (path === '/many') {
      stream.respond(
        Object.fromEntries([[':status', 200], ...Array.from({ length: 400 }, (_, i) => [`x-${i}`, 'y'])]),
      );
      stream.end('ok');
    } else if (path === '/huge') {
      stream.respond({
        ':status': 200,
        ...Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`x-${i}`, 'y'.repeat(4000)])),
      });
      stream.end('ok');
    } else if (path === '/status') {
      stream.respond({ ':status': 599 });
      stream.end('ok');
    } else {
      stream.respond({ ':status': 200 });
      stream.end('fine');
    }
  };
  const ask = (path: string) =>
    person.ask(proxyPath('shop', path)).then(
      ({ status, text: body }) => `${status} ${body.slice(0, 40)}`,
      () => 'cut',
    );
  for (const path of ['/long', '/short', '/interim', '/many', '/huge']) {
    const answer = await ask(path);
    assert.match(answer, /^(cut|503 )/, `${path}: ${answer}`);
    assert.equal(await ask('/'), '200 fine', path);
  }
  assert.equal(await ask('/status'), '599 ok');
});

test('users who do not read hold up neither the link nor each other', async (t) => {
  const { far, person } = await startLinkLab(t);
  let sent = 0;
  far.handler = (stream, { ':path': path }) => {
    stream.respond({ ':status': 200 });
    if (path !== '/endless') {
      stream.end('fine');
      return;
    }
    const chunk = Buffer.alloc(65_536);
    const more = () => {
      while (!stream.destroyed && stream.write(chunk)) sent += chunk.length;
      sent += chunk.length;
    };
    stream.on('drain', more);
    more();
  };
  const unread = [];
  for (let i = 0; i < 10; i++) {
    const res = await person.open(proxyPath('shop', '/endless'));
    unread.push(res);
    res.pause();
    res.on('error', () => {});
  }
  let before = -1;
  await eventually(async () => {
    await systemClock.sleep(200);
    const isStill = sent === before;
    before = sent;
    return isStill;
  });
  assert.ok(sent < 10 * 8_000_000, `${sent} bytes are on their way`);
  assert.equal((await person.ask(proxyPath('shop', '/'))).text, 'fine');
  for (const res of unread) res.destroy();
});

test('a link is refused without a fresh token, without its protocol, and from a site that may not have one', async (t) => {
  const { hub, far, person, setLink } = await startLinkLab(t);
  const open = async (over: { token?: string; protocol?: string } = {}): Promise<string> => {
    const token = over.token ?? (await far.agent.jwt(''));
    const socket = new WebSocket(
      `${person.url.replace('https', 'wss')}${linkPath}`,
      over.protocol ?? linkProtocol,
      {
        ca: person.tls.ca,
        headers: { authorization: `Bearer ${token}` },
      },
    );
    t.after(() => socket.terminate());
    return new Promise((resolve) => {
      socket.on('error', () => {});
      socket.once('open', () => resolve('open'));
      socket.once('unexpected-response', (_req, res) => {
        void text(res).then((body) =>
          resolve(`${res.statusCode} ${(JSON.parse(body) as { message: string }).message}`),
        );
      });
    });
  };
  const token = await far.agent.jwt('');
  assert.equal(await open({ token }), 'open');
  assert.match(await open({ token }), /^401 .*used before/);
  assert.match(await open({ token: await far.agent.jwt('other body') }), /^401 /);
  assert.match(await open({ protocol: 'v9.link.selvedge.dev' }), /^400 this hub speaks v1\.link/);
  const plain = await person.ask(linkPath, {
    headers: { authorization: `Bearer ${await far.agent.jwt('')}` },
  });
  assert.equal(plain.status, 400);
  await setLink('Disabled');
  await eventually(async () => (await open()).startsWith('403 '));
  await setLink('Full');
  await eventually(async () => (await open()) === 'open');
  await hub.hub.client.mergePatch<Site>(
    sites,
    { name: 'shop' },
    { spec: { revokedKeys: [far.agent.fingerprint] } },
  );
  await eventually(async () => (await open()).startsWith('401 '));
});

test('revoking the key or deleting the Site ends sessions at once; nonsense on a link ends only the link', async (t) => {
  const { hub, far, person } = await startLinkLab(t);
  far.handler = (stream) => {
    stream.respond({ ':status': 200 });
    stream.write('x');
  };
  const begin = async () => {
    const res = await person.open(proxyPath('shop', '/a?watch=1'));
    await once(res, 'data');
    const over = text(res).then(
      () => 'ended',
      () => 'cut',
    );
    return { over };
  };
  const first = await begin();
  far.transport?.write('this is no HTTP/2 at all, whatever else it may be');
  assert.equal(await first.over, 'cut');
  const second = await begin();
  far.socket?.send('text');
  assert.equal(await second.over, 'cut');
  const third = await begin();
  await hub.hub.client.mergePatch<Site>(
    sites,
    { name: 'shop' },
    { spec: { revokedKeys: [far.agent.fingerprint] } },
  );
  assert.equal(await third.over, 'cut');
  const { status, text: said } = await person.ask(proxyPath('shop', '/'));
  assert.equal(status, 503);
  assert.match(said, /is revoked \(spec\.revokedKeys\)/);
});
