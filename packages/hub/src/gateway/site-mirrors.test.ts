import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type Application,
  applications,
  canonicalJson,
  manifestsLimitBytes,
  type MirrorOrder,
  type MirrorReport,
  type MirrorSource,
  namespaces,
  type StatusBody,
  type SyncRequest,
} from '@selvedge/api';
import { mirrorOrderDigest, sha256Digest } from '@selvedge/api/node';
import type { HttpAnswer, TestAgent } from './testing/test-agent.ts';
import { eventually, TestHub } from './testing/test-hub.ts';

const observedTime = '2026-01-01T00:00:00.000Z';
const configMap = (name: string, more: object = {}) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, ...more },
});

/** A site with an agent, and an application that takes ConfigMaps and one Secret of two namespaces from there. */
async function setUp(hub: TestHub, mirror: Partial<MirrorSource> = {}) {
  const agent = await hub.enrolledAgent('cloud');
  const { client } = hub.hub;
  await client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
  const application = await client.create<Application>(applications, {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Application',
    metadata: { name: 'till', namespace: 'shop' },
    spec: {
      source: {
        mirror: {
          site: 'cloud',
          namespaces: ['shop', 'stock'],
          selector: { matchLabels: { edge: 'yes' }, matchExpressions: [{ key: 'a', operator: 'Exists' }] },
          kinds: [{ apiVersion: 'v1', kind: 'ConfigMap' }],
          secrets: ['db'],
          settle: '2s',
          ...mirror,
        },
      },
      placement: { siteSelector: {} },
    },
  });
  const uid = application.metadata.uid ?? '';
  const order = await eventually(async () => {
    const { body } = await agent.sync({ maxWaitSeconds: 1 });
    if (body.state) await agent.accept(body.state);
    return agent.policy.mirrors?.[0];
  });
  return { agent, uid, order, application };
}

function reportOf(order: MirrorOrder, manifests: readonly object[]): MirrorReport {
  const digest = sha256Digest(canonicalJson(manifests));
  return { uid: order.uid, order: mirrorOrderDigest(order), digest, objects: manifests.length, observedTime };
}

const tell = async (agent: TestAgent, mirrors: MirrorReport[], over: Partial<SyncRequest> = {}) => {
  const { code, body } = await agent.sync({ mirrors, maxWaitSeconds: 1, ...over });
  assert.equal(code, 200, body.message);
  return body;
};
const bring = (agent: TestAgent, uid: string, manifests: unknown): Promise<HttpAnswer<StatusBody>> => {
  const body = typeof manifests === 'string' ? manifests : canonicalJson(manifests);
  return agent.signedCall({ method: 'PUT', path: `/mirror/v1/${uid}`, body });
};

describe('what a site gives to others', () => {
  test('is ordered by the application that takes it, and no longer when that is gone', async (t) => {
    const hub = await TestHub.start(t);
    const { agent, uid, order, application } = await setUp(hub);
    await tell(agent, [reportOf(order, [])]);
    assert.equal((await hub.site('cloud')).status?.mirrors?.length, 1);
    assert.deepEqual(order, {
      uid,
      namespaces: ['shop', 'stock'],
      selector: { matchLabels: { edge: 'yes' }, matchExpressions: [{ key: 'a', operator: 'Exists' }] },
      kinds: [{ apiVersion: 'v1', kind: 'ConfigMap' }],
      secrets: ['db'],
      settleSeconds: 2,
    });
    await hub.hub.client.delete(applications, application.metadata);
    await eventually(async () => {
      const { body } = await agent.sync({ maxWaitSeconds: 1 });
      if (body.state) await agent.accept(body.state);
      return agent.policy.mirrors === undefined;
    });
    await eventually(async () => (await hub.site('cloud')).status?.mirrors === undefined);
  });

  test('is asked for while the hub does not have it, and stands on the Site', async (t) => {
    const hub = await TestHub.start(t);
    const { agent, uid, order } = await setUp(hub);
    const one = [configMap('one')];
    assert.deepEqual((await tell(agent, [reportOf(order, one)])).sendMirrors, [uid]);
    assert.equal((await bring(agent, uid, one)).code, 204);
    const { digest } = reportOf(order, one);
    const mirrors = async () => (await hub.site('cloud')).status?.mirrors;
    assert.deepEqual(await mirrors(), [{ ...reportOf(order, one), received: digest }]);
    assert.ok(await hub.hub.fleet.hasBlob(digest));
    assert.equal((await tell(agent, [reportOf(order, one)])).sendMirrors, undefined);

    // What cannot be read, or is empty, is not asked for; what was received stays.
    const fault = { ...reportOf(order, []), digest: '', message: 'no permission' };
    assert.equal((await tell(agent, [fault])).sendMirrors, undefined);
    assert.deepEqual(await mirrors(), [{ ...fault, received: digest }]);
    assert.equal((await tell(agent, [reportOf(order, [])])).sendMirrors, undefined);
    const { resourceVersion } = (await hub.site('cloud')).metadata;
    await tell(agent, [{ ...reportOf(order, []), observedTime: '2026-01-02T00:00:00.000Z' }]);
    assert.equal((await hub.site('cloud')).metadata.resourceVersion, resourceVersion);

    // A hub that lost the content asks for it.
    await hub.hub.fleet.deleteBlob(digest);
    assert.deepEqual((await tell(agent, [reportOf(order, one)])).sendMirrors, [uid]);
  });

  test('is taken only as it was told and only as it was ordered', async (t) => {
    const hub = await TestHub.start(t);
    const { agent, uid, order } = await setUp(hub);
    const other = await hub.enrolledAgent('munich');
    const answered = async (what: string, asked: ReturnType<typeof bring>, code: number) => {
      const answer = await asked;
      assert.equal(answer.code, code, `${what}: ${answer.bytes.toString()}`);
    };
    const refused = (what: string, manifests: unknown, code: number) =>
      answered(what, bring(agent, uid, manifests), code);
    const secret = (name: string, more: object = {}) => ({ ...configMap(name, more), kind: 'Secret' });
    await refused('nothing was told', [configMap('one')], 409);
    await tell(agent, [reportOf(order, [configMap('one')]), { ...reportOf(order, []), uid: 'of-nobody' }]);
    assert.equal((await hub.site('cloud')).status?.mirrors?.length, 1);
    await refused('another digest', [configMap('two')], 409);
    await answered('another site', bring(other, uid, [configMap('one')]), 404);
    await answered('another application', bring(agent, 'of-nobody', [configMap('one')]), 404);
    await answered('a bad name', bring(agent, '%zz', [configMap('one')]), 404);
    await refused('no JSON', '{', 400);
    await refused('no list', configMap('one'), 400);
    await refused('not canonical', '[ ]', 400);
    await refused('no manifest', [null], 400);
    await refused('another kind', [{ ...configMap('one'), apiVersion: 'apps/v1', kind: 'Deployment' }], 400);
    await refused('another namespace', [configMap('one', { namespace: 'kube-system' })], 400);
    await refused('the first namespace by name', [configMap('one', { namespace: 'shop' })], 400);
    await refused('another Secret', [secret('other')], 400);
    await refused('a Secret of another namespace', [secret('db', { namespace: 'stock' })], 400);
    await refused('too much', `[${'1'.repeat(manifestsLimitBytes)}]`, 413);
    const all = [configMap('one'), configMap('two', { namespace: 'stock' }), secret('db')];
    await tell(agent, [reportOf(order, all)]);
    await answered('what was ordered', bring(agent, uid, all), 204);
    const wrong = await agent.signedCall(
      { method: 'PUT', path: `/mirror/v1/${uid}`, body: canonicalJson(all) },
      { signedBody: '[]' },
    );
    assert.equal(wrong.code, 401);
  });

  test('what the site did not say that it has is not kept, and nothing is taken without a pause', async (t) => {
    const hub = await TestHub.start(t);
    const { agent, uid, order } = await setUp(hub);
    await tell(agent, [reportOf(order, [configMap('told')])]);
    const codes: number[] = [];
    for (let index = 0; index < 40; index += 1) {
      const manifests = [configMap(`untold-${index}`)];
      codes.push((await bring(agent, uid, manifests)).code);
      assert.equal(await hub.hub.fleet.hasBlob(reportOf(order, manifests).digest), false);
    }
    assert.equal(codes[0], 409);
    assert.equal(codes.at(-1), 429, String(codes));
  });

  test('faulty reports are refused by name', async (t) => {
    const hub = await TestHub.start(t);
    const { agent, order } = await setUp(hub);
    const answer = await agent.sync({
      mirrors: [{ ...reportOf(order, []), digest: 'x', observedTime: 'now' }],
    });
    assert.equal(answer.code, 422);
    assert.match(answer.body.message, /mirrors\[0\]\.digest.*mirrors\[0\]\.observedTime/s);
  });
});
