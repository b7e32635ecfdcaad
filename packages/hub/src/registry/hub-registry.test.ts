import assert from 'node:assert/strict';
import { connect } from 'node:http2';
import { describe, test } from 'node:test';
import { applications, type KubeObject, namespaces, type Release, releases } from '@selvedge/api';
import { eventually } from '../gateway/testing/test-hub.ts';
import { registryLimits } from './server/registry-places.ts';
import { RegistryLab } from './testing/registry-lab.ts';
import { blobOf, descriptor, imageOf, manifestOf, ociIndex, ociManifest } from './testing/test-image.ts';

const jsonOf = (bytes: Buffer) => JSON.parse(bytes.toString('utf8')) as Record<string, unknown>;

describe('who may use the registry', () => {
  test('nobody without a token; the refusal says where clients get theirs', async (t) => {
    const lab = await RegistryLab.start(t);
    const answer = await lab.ask({ path: '/v2/', token: '' });
    assert.deepEqual([answer.status, answer.code], [401, 'UNAUTHORIZED']);
    const expected = `Bearer realm="https://${lab.host}/v2/token",service="${lab.host}"`;
    assert.equal(answer.headers['www-authenticate'], expected);
    assert.equal((await lab.ask({ path: '/v2/', token: 'nonsense' })).status, 401);
    assert.equal((await lab.ask({ path: '/v2/' })).status, 200);
  });

  test('the password of whatever name is a token of the hub, for requests and for the token endpoint', async (t) => {
    const lab = await RegistryLab.start(t);
    const token = await lab.account('shop', 'robot');
    const basic = `Basic ${Buffer.from(`anybody:${token}`).toString('base64')}`;
    const ask = (path: string, authorization: string) =>
      lab.ask({ path, token: '', headers: { authorization } });
    assert.equal((await ask('/v2/', basic)).status, 200);
    const given = await ask('/v2/token?service=x&scope=repository:shop/till:pull', basic);
    assert.equal(jsonOf(given.bytes)['token'], token);
    const form = `grant_type=password&service=x&username=anybody&password=${token}`;
    const posted = await lab.ask({ method: 'POST', path: '/v2/token', token: '', body: form });
    assert.equal(jsonOf(posted.bytes)['access_token'], token);
    for (const path of ['/v2/', '/v2/token']) {
      const wrong = await ask(path, `Basic ${Buffer.from('anybody:wrong').toString('base64')}`);
      assert.deepEqual([wrong.status, wrong.code], [401, 'UNAUTHORIZED'], path);
    }
    assert.equal((await lab.ask({ path: '/v2/token', token: '' })).status, 401);
  });

  test('RBAC says who pulls, pushes and deletes, by the namespace that a name begins with', async (t) => {
    const lab = await RegistryLab.start(t);
    const image = imageOf(['layer']);
    await lab.push('shop/till', '1', image);
    const puller = await lab.account('shop', 'puller', 'selvedge:image-puller');
    const pusher = await lab.account('shop', 'pusher', 'selvedge:image-pusher');
    const editor = await lab.account('shop', 'editor', 'edit');
    const stranger = await lab.account('bank', 'stranger', 'edit');
    const path = '/v2/shop/till/manifests/1';
    const blob = blobOf('another layer');
    const outcomes = [];
    for (const token of [stranger, puller, pusher, editor]) {
      const pull = await eventually(async () => {
        const answer = await lab.ask({ path, token });
        // Bindings are followed with a little delay.
        return (token === stranger ? answer.status === 403 : answer.status === 200) && answer.status;
      });
      const push = (await lab.upload('shop/till', blob, token)).status;
      const remove = (await lab.ask({ method: 'DELETE', path: `/v2/shop/till/blobs/${blob.digest}`, token }))
        .status;
      outcomes.push([pull, push, remove]);
    }
    assert.deepEqual(outcomes, [
      [403, 403, 403],
      [200, 403, 403],
      [200, 201, 403],
      [200, 201, 202],
    ]);
    const refused = await lab.ask({ path, token: stranger });
    assert.match(refused.bytes.toString('utf8'), /may not get repositories.selvedge.dev .*shop\/till/);
  });

  test('a blob is mounted only from where the client may read', async (t) => {
    const lab = await RegistryLab.start(t);
    const blob = blobOf('of the bank');
    await lab.upload('bank/atm', blob);
    const token = await lab.account('shop', 'pusher', 'selvedge:image-pusher');
    const mount = (who: string) =>
      lab.ask({
        method: 'POST',
        path: `/v2/shop/till/blobs/uploads/?mount=${blob.digest}&from=bank/atm`,
        token: who,
        headers: { 'content-length': 0 },
      });
    const answer = await eventually(async () => {
      const tried = await mount(token);
      return tried.status !== 403 && tried;
    });
    assert.equal(answer.status, 202, 'it is to be uploaded');
    assert.equal((await lab.ask({ path: `/v2/shop/till/blobs/${blob.digest}` })).status, 404);
    assert.equal((await mount(lab.administrator)).status, 201);
  });

  test('one user with slow uploads keeps neither his own readers nor others waiting', async (t) => {
    const lab = await RegistryLab.start(t);
    const [eve, ann] = [
      await lab.account('shop', 'eve', 'selvedge:image-pusher'),
      await lab.account('shop', 'ann', 'selvedge:image-pusher'),
    ];
    const begin = (token: string) =>
      lab.ask({
        method: 'POST',
        path: '/v2/shop/till/blobs/uploads/',
        token,
        headers: { 'content-length': 0 },
      });
    const begun = await begin(eve);
    const session = connect(lab.hub.hub.url, { rejectUnauthorized: false });
    t.after(() => session.destroy());
    for (let index = 0; index < registryLimits.userWrites; index += 1) {
      const stream = session.request({
        ':method': 'PATCH',
        ':path': String(begun.headers.location),
        authorization: `Bearer ${eve}`,
      });
      stream.on('error', () => undefined);
      stream.write('x');
    }
    const refused = await eventually(async () => {
      const answer = await begin(eve);
      return answer.status === 429 && answer;
    });
    assert.equal(refused.code, 'TOOMANYREQUESTS');
    assert.equal(refused.headers['retry-after'], '5');
    assert.equal((await lab.ask({ path: '/v2/shop/till/tags/list', token: eve })).status, 404);
    assert.equal((await begin(ann)).status, 202);
    session.destroy();
    await eventually(async () => (await begin(eve)).status === 202);
  });

  test('the agent of a site reads what its desired state names, and nothing else', async (t) => {
    const lab = await RegistryLab.start(t);
    const [named, other, foreign] = [imageOf(['named']), imageOf(['other']), imageOf(['of the bank'])];
    const index = manifestOf(ociIndex, {
      manifests: [
        { ...descriptor(ociManifest, named.manifest), platform: { os: 'linux', architecture: 'amd64' } },
      ],
    });
    await lab.push('shop/till', 'amd64', named);
    await lab.putManifest('shop/till', '1', index);
    await lab.push('shop/till', '2', other);
    await lab.push('bank/atm', '1', foreign);
    const agent = await lab.hub.enrolledAgent('berlin');
    const images = [
      `${lab.host}/shop/till:1@${index.digest}`,
      `${lab.host}/bank/atm:1`,
      'elsewhere.example/shop/till:2',
    ];
    const podOf = (image: string) => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'till' },
      spec: { containers: [{ name: 'till', image }] },
    });
    await lab.hub.assign('berlin', 'till', JSON.stringify(images.map(podOf)));
    const read = async (path: string, method = 'GET') =>
      (await lab.ask({ method, path, token: await agent.jwt('') })).status;
    const layer = named.blobs[1]?.digest;
    for (const path of [
      `manifests/${index.digest}`,
      `manifests/${named.manifest.digest}`,
      `blobs/${named.blobs[0]?.digest}`,
      `blobs/${layer}`,
    ]) {
      assert.equal(await read(`/v2/shop/till/${path}`), 200, path);
    }
    assert.equal(await read(`/v2/shop/till/blobs/${layer}`, 'HEAD'), 200);
    for (const path of [
      'shop/till/manifests/2',
      `shop/till/manifests/${other.manifest.digest}`,
      `shop/till/blobs/${other.blobs[1]?.digest}`,
      'shop/till/tags/list',
      `shop/till/referrers/${index.digest}`,
      // Named, but by an application of another namespace, which has no right to it.
      'bank/atm/manifests/1',
      '_catalog',
    ]) {
      assert.equal(await read(`/v2/${path}`), 403, path);
    }
    assert.equal(await read(`/v2/shop/till/manifests/${index.digest}`, 'DELETE'), 403);
    assert.equal(await read('/v2/shop/till/blobs/uploads/', 'POST'), 403);
    await lab.bind('bank', 'selvedge:image-puller', {
      apiGroup: 'rbac.authorization.k8s.io',
      kind: 'Group',
      name: 'system:serviceaccounts:shop',
    });
    await eventually(async () => (await read('/v2/bank/atm/manifests/1')) === 200);
    // Named only by what the site itself makes of it.
    const bySite = podOf(`${lab.host}/shop/\${site.name}:1`);
    await lab.push('shop/berlin', '1', other);
    assert.equal(await read('/v2/shop/berlin/manifests/1'), 403);
    await lab.hub.assign('berlin', 'other', JSON.stringify([bySite]));
    assert.equal(await read('/v2/shop/berlin/manifests/1'), 200);
    await lab.hub.remove('berlin', 'till');
    assert.equal(await read(`/v2/shop/till/blobs/${layer}`), 403);
  });
});

describe('what the registry takes', () => {
  test('nothing under names that lead elsewhere, or that nobody would find', async (t) => {
    const lab = await RegistryLab.start(t);
    const blob = blobOf('x');
    for (const [path, code] of [
      ['/v2/till/blobs/uploads/', 'NAME_INVALID'],
      ['/v2/shop/../../till/blobs/uploads/', 'UNSUPPORTED'],
      ['/v2/shop/%2e%2e/till/blobs/uploads/', 'NAME_INVALID'],
      ['/v2/shop/Till/blobs/uploads/', 'NAME_INVALID'],
      ['/v2/shop/_links/till/blobs/uploads/', 'NAME_INVALID'],
      ['/v2/shop//till/blobs/uploads/', 'NAME_INVALID'],
      [`/v2/shop/${'a'.repeat(300)}/blobs/uploads/`, 'NAME_INVALID'],
      ['/v2/nowhere/till/blobs/uploads/', 'NAME_UNKNOWN'],
      ['/v2/shop/till/blobs/uploads/../../x', 'UNSUPPORTED'],
    ] as const) {
      const answer = await lab.ask({
        method: 'POST',
        path: `${path}?digest=${blob.digest}`,
        body: blob.bytes,
      });
      assert.ok(answer.status >= 400 && answer.status < 500, path);
      if (code !== 'UNSUPPORTED') assert.equal(answer.code, code, path);
    }
    for (const reference of ['..', '.hidden', 'a b', 'sha256:abc', 'x'.repeat(129), '-x']) {
      const path = `/v2/shop/till/manifests/${encodeURIComponent(reference)}`;
      assert.ok([400, 404, 405].includes((await lab.ask({ path })).status), reference);
    }
  });

  test('an upload that was cut off goes on where it ended', async (t) => {
    const lab = await RegistryLab.start(t);
    const blob = blobOf(Buffer.alloc(3_000_000, 5));
    const begun = await lab.ask({
      method: 'POST',
      path: '/v2/shop/till/blobs/uploads/',
      headers: { 'content-length': 0 },
    });
    assert.deepEqual([begun.status, begun.headers.range], [202, '0-0']);
    const path = begun.headers.location ?? '';
    const part = {
      method: 'PATCH',
      path,
      headers: { 'content-type': 'application/octet-stream' },
      body: blob.bytes,
    };
    await assert.rejects(lab.ask({ ...part, cutAfter: 1_500_000 }));
    const { end } = await eventually(async () => {
      const status = await lab.ask({ path });
      assert.equal(status.status, 204);
      const last = Number(/^0-(\d+)$/.exec(status.headers.range ?? '')?.[1]);
      return last > 0 && { end: last + 1 };
    });
    assert.ok(end <= 1_500_000);
    const again = { ...part, headers: { ...part.headers, 'content-range': `0-${blob.bytes.length - 1}` } };
    const wrong = await lab.ask(again);
    assert.deepEqual([wrong.status, wrong.code], [416, 'RANGE_INVALID']);
    const rest = blob.bytes.subarray(end);
    const headers = { ...part.headers, 'content-range': `${end}-${blob.bytes.length - 1}` };
    const done = await lab.ask({
      ...part,
      method: 'PUT',
      path: `${path}?digest=${blob.digest}`,
      headers,
      body: rest,
    });
    assert.equal(done.status, 201);
    const read = await lab.ask({ path: done.headers.location ?? '' });
    assert.ok(read.bytes.equals(blob.bytes));
  });

  test('a blob with another digest is refused, and its upload is over', async (t) => {
    const lab = await RegistryLab.start(t);
    const answer = await lab.upload('shop/till', { digest: blobOf('a').digest, bytes: Buffer.from('b') });
    assert.deepEqual([answer.status, answer.code], [400, 'DIGEST_INVALID']);
    assert.equal((await lab.ask({ path: `/v2/shop/till/blobs/${blobOf('a').digest}` })).status, 404);
  });

  test('no manifest of more than 4 MiB', async (t) => {
    const lab = await RegistryLab.start(t);
    const bytes = Buffer.alloc(4 * 1024 * 1024 + 1, 32);
    const answer = await lab.putManifest('shop/till', '1', { mediaType: ociManifest, bytes });
    assert.deepEqual([answer.status, answer.code], [413, 'SIZE_INVALID']);
  });
});

describe('what the registry gives', () => {
  test('parts of blobs', async (t) => {
    const lab = await RegistryLab.start(t);
    const blob = blobOf('0123456789');
    await lab.upload('shop/till', blob);
    const path = `/v2/shop/till/blobs/${blob.digest}`;
    const part = await lab.ask({ path, headers: { range: 'bytes=3-5' } });
    const shown = [part.status, part.bytes.toString('utf8'), part.headers['content-range']];
    assert.deepEqual(shown, [206, '345', 'bytes 3-5/10']);
    assert.equal((await lab.ask({ path, headers: { range: 'bytes=3-' } })).bytes.toString('utf8'), '3456789');
    assert.equal((await lab.ask({ path, headers: { range: 'bytes=10-' } })).status, 416);
    const head = await lab.ask({ method: 'HEAD', path });
    assert.deepEqual([head.headers['content-length'], head.headers['accept-ranges']], ['10', 'bytes']);
  });

  test('tags in pages, referrers by type, repositories as far as they may be read', async (t) => {
    const lab = await RegistryLab.start(t);
    const image = imageOf(['layer']);
    for (const tag of ['c', 'a', 'b']) await lab.push('shop/till', tag, image);
    await lab.push('bank/atm', '1', image);
    const first = await lab.ask({ path: '/v2/shop/till/tags/list?n=2' });
    assert.deepEqual(jsonOf(first.bytes)['tags'], ['a', 'b']);
    const next = /^<([^>]+)>; rel="next"$/.exec(first.headers['link'] as string)?.[1] ?? '';
    assert.deepEqual(jsonOf((await lab.ask({ path: next })).bytes)['tags'], ['c']);
    const subject = descriptor(ociManifest, image.manifest);
    const signature = imageOf(['signature'], { subject, artifactType: 'application/x-signature' });
    for (const blob of signature.blobs) await lab.upload('shop/till', blob);
    const put = await lab.putManifest('shop/till', signature.manifest.digest, signature.manifest);
    assert.equal(put.headers['oci-subject'], image.manifest.digest);
    const referrers = async (query: string) => {
      const answer = await lab.ask({ path: `/v2/shop/till/referrers/${image.manifest.digest}${query}` });
      return (jsonOf(answer.bytes)['manifests'] as { digest: string }[]).map(({ digest }) => digest);
    };
    assert.deepEqual(await referrers(''), [signature.manifest.digest]);
    assert.deepEqual(await referrers('?artifactType=application/x-other'), []);
    const token = await lab.account('shop', 'puller', 'selvedge:image-puller');
    await eventually(async () => {
      const { repositories } = jsonOf((await lab.ask({ path: '/v2/_catalog', token })).bytes);
      return JSON.stringify(repositories) === '["shop/till"]';
    });
  });

  test('what it does is counted', async (t) => {
    const lab = await RegistryLab.start(t);
    await lab.push('shop/till', '1', imageOf(['layer']));
    const metrics = (await lab.ask({ path: '/metrics' })).bytes.toString('utf8');
    assert.match(metrics, /selvedge_registry_requests_total\{operation="upload",code="201"\} 2/);
    assert.match(metrics, /selvedge_registry_requests_total\{operation="push-manifest",code="201"\} 1/);
    assert.match(metrics, /selvedge_registry_bytes_total\{direction="received"\} [1-9]/);
  });
});

test('a release names the digest of what its tag names in this very registry, in its own namespace only', async (t) => {
  const lab = await RegistryLab.start(t, { registryLookup: true });
  const image = imageOf(['layer']);
  await lab.push('shop/till', '1', image);
  const create = async (namespace: string) => {
    const template = {
      metadata: { labels: { app: 'till' } },
      spec: { containers: [{ name: 'till', image: `${lab.host}/shop/till:1` }] },
    };
    const deployment = {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'till' },
      spec: { selector: { matchLabels: { app: 'till' } }, template },
    };
    await lab.create(applications, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Application',
      metadata: { namespace, name: 'till' },
      spec: {
        source: { inline: { manifests: [deployment] } },
        placement: { siteSelector: { matchLabels: { shop: 'yes' } } },
      },
    } as KubeObject);
    return eventually(async () => {
      const { items } = await lab.hub.hub.client.list<Release>(releases, { namespace });
      return items[0]?.spec.images;
    });
  };
  assert.deepEqual(await create('shop'), [`${lab.host}/shop/till:1@${image.manifest.digest}`]);
  assert.deepEqual(await create('bank'), [`${lab.host}/shop/till:1`]);
});

test('images of a deleted namespace are not those of another one that has its name', async (t) => {
  const lab = await RegistryLab.start(t);
  const { client } = lab.hub.hub;
  const image = imageOf(['layer']);
  await lab.push('shop/till', '1', image);
  await lab.push('bank/atm', '1', image);
  const layer = image.blobs[1]?.digest ?? '';
  const statuses = async () => {
    const paths = ['manifests/1', `manifests/${image.manifest.digest}`, `blobs/${layer}`, 'tags/list'];
    const answers = await Promise.all(paths.map((path) => lab.ask({ path: `/v2/shop/till/${path}` })));
    return answers.map(({ status }) => status);
  };
  assert.deepEqual(await statuses(), [200, 200, 200, 200]);
  await client.delete(namespaces, { name: 'shop' });
  await eventually(async () => (await client.find(namespaces, { name: 'shop' })) === undefined);
  assert.deepEqual(await statuses(), [404, 404, 404, 404]);
  await lab.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
  assert.deepEqual(await statuses(), [404, 404, 404, 404]);
  const catalog = await lab.ask({ path: '/v2/_catalog' });
  assert.deepEqual(jsonOf(catalog.bytes)['repositories'], ['bank/atm']);
  const upload = { method: 'POST', headers: { 'content-length': 0 } };
  const mount = `/v2/bank/other/blobs/uploads/?mount=${layer}&from=shop/till`;
  assert.equal((await lab.ask({ ...upload, path: mount })).status, 202);
  const refused = await lab.ask({ ...upload, path: '/v2/shop/till/blobs/uploads/' });
  assert.deepEqual([refused.status, refused.code], [403, 'DENIED']);
  assert.match(refused.bytes.toString(), /images of a deleted namespace \\"shop\\" are still here/);
  const removed = await lab.ask({ method: 'DELETE', path: '/v2/shop/till/manifests/1' });
  assert.equal(removed.status, 404);
});

test('what was pushed is there after a restart', async (t) => {
  const lab = await RegistryLab.start(t);
  const image = imageOf(['layer']);
  await lab.push('shop/till', '1', image);
  await lab.hub.stop();
  await lab.hub.start();
  const found = await lab.ask({ path: '/v2/shop/till/manifests/1' });
  assert.equal(found.headers['docker-content-digest'], image.manifest.digest);
});

test('a hub without a registry says why', async (t) => {
  const lab = await RegistryLab.start(t, { registryStorage: 'off' });
  const answer = await lab.ask({ path: '/v2/' });
  assert.deepEqual([answer.status, answer.code], [503, 'UNAVAILABLE']);
  assert.match(answer.bytes.toString('utf8'), /--registry-storage off/);
});
