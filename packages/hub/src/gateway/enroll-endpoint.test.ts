import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { describe, test } from 'node:test';
import { enrollmentTokens, hubTimeHeader, type Site, sites } from '@selvedge/api';
import { decodeToken } from './testing/test-agent.ts';
import { eventually, TestHub } from './testing/test-hub.ts';

describe('enrolment', { concurrency: false }, () => {
  test('a token text carries the hub, its fingerprint and a secret; an agent becomes the site', async (t) => {
    const hub = await TestHub.start(t);
    const text = await hub.token('berlin', { siteName: 'berlin', siteLabels: { tier: 'store' } });
    const claims = decodeToken(text);
    assert.deepEqual(claims.hubs, [hub.hub.url]);
    assert.equal(claims.token, 'berlin');
    const agent = hub.agent();
    const answer = await agent.enroll(text);
    assert.equal(answer.code, 200, answer.body.message);
    const site = await hub.site('berlin');
    assert.deepEqual(site.metadata.labels, { tier: 'store' });
    assert.equal(agent.siteUid, site.metadata.uid);
    assert.equal(site.status?.agent?.keyFingerprint, agent.fingerprint);
    assert.equal(site.status?.agent?.hostname, 'till-1');
    const used = (await hub.enrollmentToken('berlin')).status?.used;
    assert.equal(used?.length, 1);
    assert.equal(used?.[0]?.keyFingerprint, agent.fingerprint);
  });

  test('the same agent with the same token gets the same answer, another agent does not get in', async (t) => {
    const hub = await TestHub.start(t);
    const text = await hub.token('berlin', { siteName: 'berlin' });
    const agent = hub.agent();
    const first = await agent.enroll(text);
    const again = await agent.enroll(text);
    assert.equal(again.code, 200);
    assert.deepEqual(again.body, first.body);
    const other = await hub.agent().enroll(text);
    assert.equal(other.code, 403);
    assert.match(other.body.message, /used up \(1 of 1, last by site "berlin"\): make a new token/);
    assert.equal((await hub.enrollmentToken('berlin')).status?.used?.length, 1);
  });

  test('an expired token is refused by its time, but who joined with it keeps its answer', async (t) => {
    const hub = await TestHub.start(t);
    const text = await hub.token('berlin', { siteNameTemplate: 'shop-{random}', uses: 5, ttl: '1h' });
    const early = hub.agent();
    assert.equal((await early.enroll(text)).code, 200);
    hub.clock.offsetMilliseconds = 2 * 3_600_000;
    const late = await hub.agent().enroll(text, { clockOffsetSeconds: 7200 });
    assert.equal(late.code, 403);
    assert.match(late.body.message, /expired at .*: make a new token/);
    assert.equal((await early.enroll(text, { clockOffsetSeconds: 7200 })).code, 200);
  });

  test('a wrong secret and an unknown token get the same 403 and leave no trace', async (t) => {
    const hub = await TestHub.start(t);
    const text = await hub.token('berlin', { siteName: 'berlin' });
    const wrong = await hub.agent().enroll(text, { secret: 'x'.repeat(43) });
    const unknown = await hub.agent().enroll(text, { token: 'munich' });
    for (const answer of [wrong, unknown]) {
      assert.equal(answer.code, 403);
      assert.match(answer.body.message, /does not know enrolment token .* or its secret is wrong/);
    }
    assert.equal(await hub.hub.client.find<Site>(sites, { name: 'berlin' }), undefined);
    assert.deepEqual((await hub.enrollmentToken('berlin')).status?.used ?? [], []);
  });

  test('a secret dies with its token: one made again under the name has another', async (t) => {
    const hub = await TestHub.start(t);
    const text = await hub.token('berlin', { siteName: 'berlin' });
    await hub.hub.client.delete(enrollmentTokens, { name: 'berlin' });
    await hub.token('berlin', { siteName: 'berlin' });
    assert.equal((await hub.agent().enroll(text)).code, 403);
  });

  test('agents racing for the uses of a token: exactly as many get in', async (t) => {
    const hub = await TestHub.start(t);
    const text = await hub.token('shops', { siteNameTemplate: 'shop-{random}', uses: 3 });
    const agents = Array.from({ length: 8 }, () => hub.agent());
    const answers = await Promise.all(agents.map((agent) => agent.enroll(text)));
    assert.deepEqual(
      answers.map((a) => a.code).sort((a, b) => a - b),
      [200, 200, 200, 403, 403, 403, 403, 403],
    );
    assert.equal((await hub.enrollmentToken('shops')).status?.used?.length, 3);
    const { items } = await hub.hub.client.list<Site>(sites);
    assert.equal(items.length, 3);
  });

  test('agents racing for one site: one gets it, the other is refused by name and its use is given back', async (t) => {
    const hub = await TestHub.start(t);
    const text = await hub.token('shops', { siteNameTemplate: 'shop-{hostname}', uses: 2 });
    const answers = await Promise.all([hub.agent().enroll(text), hub.agent().enroll(text)]);
    const refused = answers.find((a) => a.code !== 200);
    assert.deepEqual(
      answers.map((a) => a.code).sort((a, b) => a - b),
      [200, 409],
    );
    assert.match(refused?.body.message ?? '', /site "shop-till-1" has an agent already, with key SHA256:/);
    assert.equal((await hub.enrollmentToken('shops')).status?.used?.length, 1);
    assert.equal((await hub.agent().enroll(text, { hostname: 'till-2' })).code, 200);
  });

  test('a site that is there keeps its spec and labels; only its agent is new', async (t) => {
    const hub = await TestHub.start(t);
    await hub.hub.client.create<Site>(sites, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Site',
      metadata: { name: 'berlin', labels: { country: 'de' } },
      spec: { variables: { greeting: 'Hallo' } },
    });
    const agent = hub.agent();
    await agent.enroll(await hub.token('berlin', { siteName: 'berlin', siteLabels: { tier: 'store' } }));
    const site = await hub.site('berlin');
    assert.deepEqual(site.metadata.labels, { country: 'de' });
    assert.deepEqual(site.spec?.variables, { greeting: 'Hallo' });
  });

  test('a revoked agent is replaced by a new one, and cannot come back itself', async (t) => {
    const hub = await TestHub.start(t);
    const old = await hub.enrolledAgent('berlin');
    const text = await hub.token('again', { siteName: 'berlin' });
    const next = hub.agent();
    assert.equal((await next.enroll(text)).code, 409);
    await hub.hub.client.mergePatch(sites, { name: 'berlin' }, { spec: { revokedKeys: [old.fingerprint] } });
    assert.equal((await next.enroll(text)).code, 200);
    const back = await old.enroll(await hub.token('third', { siteName: 'berlin' }));
    assert.equal(back.code, 403);
    assert.match(back.body.message, /is revoked/);
  });

  test('a site that was deleted does not come back by its old token', async (t) => {
    const hub = await TestHub.start(t);
    const text = await hub.token('berlin', { siteName: 'berlin' });
    const agent = hub.agent();
    await agent.enroll(text);
    await hub.hub.client.delete(sites, { name: 'berlin' });
    await eventually(async () => (await hub.hub.client.find(sites, { name: 'berlin' })) === undefined);
    const answer = await agent.enroll(text);
    assert.equal(answer.code, 403);
    assert.match(answer.body.message, /deleted since: make a new token/);
    assert.equal(await hub.hub.client.find(sites, { name: 'berlin' }), undefined);
    assert.equal((await agent.enroll(await hub.token('again', { siteName: 'berlin' }))).code, 200);
  });

  test('an enrolment that was cut between its steps is finished by the same agent, and only by it', async (t) => {
    const hub = await TestHub.start(t);
    const text = await hub.token('berlin', { siteName: 'berlin' });
    const agent = hub.agent();
    // What a crash right after the reservation leaves.
    const token = await hub.enrollmentToken('berlin');
    const time = hub.clock.now().toISOString();
    const used = [{ site: 'berlin', keyFingerprint: agent.fingerprint, time }];
    await hub.hub.client.updateStatus(enrollmentTokens, { ...token, status: { used } });
    assert.equal((await hub.agent().enroll(text)).code, 403);
    await hub.stop();
    await hub.start();
    agent.url = hub.hub.url;
    assert.equal((await agent.enroll(await hub.tokenText(token))).code, 200);
    assert.equal((await hub.enrollmentToken('berlin')).status?.used?.length, 1);
  });

  test('with manual approval the agent waits until a person names its key', async (t) => {
    const hub = await TestHub.start(t);
    const text = await hub.token('shops', { siteName: 'berlin', approval: 'Manual' });
    const agent = hub.agent();
    for (const _ of [1, 2]) {
      const waiting = await agent.enroll(text);
      assert.equal(waiting.code, 202);
      assert.equal(waiting.body.status, 'Pending');
      assert.match(waiting.body.message, new RegExp(`add ${agent.fingerprint} to spec.approvedKeys`));
    }
    const { status } = await hub.enrollmentToken('shops');
    assert.deepEqual(
      status?.pending?.map((p) => [p.site, p.keyFingerprint, p.hostname]),
      [['berlin', agent.fingerprint, 'till-1']],
    );
    assert.equal(await hub.hub.client.find(sites, { name: 'berlin' }), undefined);
    await hub.hub.client.mergePatch(
      enrollmentTokens,
      { name: 'shops' },
      { spec: { approvedKeys: [agent.fingerprint] } },
    );
    assert.equal((await agent.enroll(text)).code, 200);
    assert.deepEqual((await hub.enrollmentToken('shops')).status?.pending, []);
  });

  test('a token of many uses lists the newest only, counts all, and still knows who joined early', async (t) => {
    const hub = await TestHub.start(t);
    const text = await hub.token('shops', { siteNameTemplate: 'shop-{random}', uses: 1000 });
    const early = hub.agent();
    const first = await early.enroll(text);
    const token = await hub.enrollmentToken('shops');
    // As if 300 more had joined since.
    const more = Array.from({ length: 300 }, (_, i) => ({
      site: `shop-${i}`,
      keyFingerprint: `SHA256:${i}`,
      time: hub.clock.now().toISOString(),
      siteUid: `uid-${i}`,
    }));
    const used = [...(token.status?.used ?? []), ...more];
    await hub.hub.client.updateStatus(enrollmentTokens, { ...token, status: { usedCount: 301, used } });
    assert.equal((await hub.agent().enroll(text)).code, 200);
    const { status } = await hub.enrollmentToken('shops');
    assert.equal(status?.usedCount, 302);
    assert.equal(status?.used?.length, 200);
    assert.ok(!status?.used?.some((use) => use.keyFingerprint === early.fingerprint));
    assert.deepEqual((await early.enroll(text)).body, first.body);
    assert.equal((await hub.enrollmentToken('shops')).status?.usedCount, 302);
  });

  test('a request that was sent before is refused', async (t) => {
    const hub = await TestHub.start(t);
    const text = await hub.token('berlin', { siteName: 'berlin' });
    const agent = hub.agent();
    assert.equal((await agent.enroll(text, { jti: 'once' })).code, 200);
    const replayed = await agent.enroll(text, { jti: 'once' });
    assert.equal(replayed.code, 401);
    assert.match(replayed.body.message, /sent before/);
  });

  test('a key that is not proven, and a body that is not right, get nowhere', async (t) => {
    const hub = await TestHub.start(t);
    const text = await hub.token('berlin', { siteName: 'berlin' });
    const stranger = generateKeyPairSync('ed25519').privateKey;
    const forged = await hub.agent().enroll(text, { key: stranger });
    assert.equal(forged.code, 401);
    assert.match(forged.body.message, /signature/);
    const agent = hub.agent();
    await agent.identify();
    const body = JSON.stringify({ token: 'berlin', secret: 5, publicKey: 'x', agent: { version: '1' } });
    const invalid = await agent.signedCall<{ message: string }>(
      { method: 'POST', path: '/gateway/v1/enroll', body },
      { iss: '' },
    );
    assert.equal(invalid.code, 422);
    for (const field of ['secret', 'publicKey', 'agent.hostname', 'agent.os', 'agent.architecture']) {
      assert.ok(invalid.body.message.includes(`${field}:`), field);
    }
    assert.ok(Date.parse(String(invalid.headers[hubTimeHeader])) > 0);
    assert.equal((await hub.agent().enroll(text)).code, 200);
  });
});
