import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultItemTerms } from '@selvedge/api';
import { availableDictionary, decodeContent, sha256Digest, withDeltaHeader } from '@selvedge/api/node';
import { acceptedEncodings, parseRange } from './content-endpoint.ts';
import { TestHub } from './testing/test-hub.ts';

test('one range is honoured, clipped to what there is', () => {
  assert.deepEqual(parseRange('bytes=0-0', 10), { start: 0, end: 0 });
  assert.deepEqual(parseRange('bytes=4-', 10), { start: 4, end: 9 });
  assert.deepEqual(parseRange('bytes=4-99', 10), { start: 4, end: 9 });
  assert.deepEqual(parseRange('bytes=-3', 10), { start: 7, end: 9 });
  assert.deepEqual(parseRange('bytes=-30', 10), { start: 0, end: 9 });
});

test('a range behind the end cannot be satisfied', () => {
  assert.equal(parseRange('bytes=10-', 10), 'unsatisfiable');
  assert.equal(parseRange('bytes=-0', 10), 'unsatisfiable');
  assert.equal(parseRange('bytes=0-', 0), 'unsatisfiable');
});

test('no range, several ranges and nonsense mean everything', () => {
  for (const header of [undefined, '', 'bytes=-', 'bytes=1-2,4-5', 'bytes=5-2', 'lines=1-2', 'bytes=a-b']) {
    assert.equal(parseRange(header, 10), undefined, String(header));
  }
});

test('encodings that a client takes are known by name, and q=0 takes one away', () => {
  assert.deepEqual([...acceptedEncodings('gzip, ZSTD;q=0.5 , dcz;q=0')], ['gzip', 'zstd']);
  assert.deepEqual([...acceptedEncodings(undefined)], []);
});

const maxBytes = 1_000_000;
const before = `${'a line of a manifest\n'.repeat(2000)}image: till:1.0`;
const after = before.replace('1.0', '1.1');

test('who can read that gets content compressed, and as the difference to content of this very site', async (t) => {
  const hub = await TestHub.start(t);
  const [agent, other] = [await hub.enrolledAgent('berlin'), await hub.enrolledAgent('munich')];
  const old = await hub.assign('berlin', 'kiosk', before);
  const digest = await hub.assign('berlin', 'till', after);
  await hub.assign('munich', 'till', after);
  const ask = (headers: Record<string, string>, who = agent) =>
    who.getBlob(digest, { 'accept-encoding': 'dcz, zstd', ...headers });
  const named = { 'available-dictionary': availableDictionary(old) };

  const delta = await ask(named);
  assert.equal(delta.headers['content-encoding'], 'dcz');
  assert.match(delta.headers.vary ?? '', /available-dictionary/);
  const dictionary = { digest: old, bytes: Buffer.from(before) };
  assert.equal(String(await decodeContent(delta.bytes, { encoding: 'dcz', dictionary, maxBytes })), after);

  for (const [why, plain] of [
    ['no dictionary is named', await ask({})],
    [
      'the dictionary is unknown',
      await ask({ 'available-dictionary': availableDictionary(`sha256:${'0'.repeat(64)}`) }),
    ],
    ['the dictionary is the content', await ask({ 'available-dictionary': availableDictionary(digest) })],
    ['the header is broken', await ask({ 'available-dictionary': ':x:' })],
    ['the dictionary is content of another site', await ask(named, other)],
  ] as const) {
    assert.equal(plain.headers['content-encoding'], 'zstd', why);
    assert.equal(String(await decodeContent(plain.bytes, { encoding: 'zstd', maxBytes })), after, why);
  }
  const asItIs = await agent.getBlob(digest, named);
  assert.equal(asItIs.headers['content-encoding'], undefined);
  assert.equal(String(asItIs.bytes), after);
});

test('content that a site only says it runs is no dictionary for it', async (t) => {
  const hub = await TestHub.start(t);
  const agent = await hub.enrolledAgent('berlin');
  await hub.enrolledAgent('munich');
  const foreign = await hub.assign('munich', 'kiosk', before);
  const digest = await hub.assign('berlin', 'till', after);
  const { body } = await agent.sync();
  assert.ok(body.state);
  await agent.accept(body.state);
  const [item] = agent.items;
  assert.ok(item);
  const reports = [agent.report(item, { runningDigest: foreign })];
  assert.equal((await agent.sync({ reports, maxWaitSeconds: 1 })).code, 200);
  const { rows } = await hub.hub.fleet.siteState('berlin');
  assert.equal(rows[0]?.report?.runningDigest, foreign);
  const answer = await agent.getBlob(digest, {
    'accept-encoding': 'dcz, zstd',
    'available-dictionary': availableDictionary(foreign),
  });
  assert.equal(answer.headers['content-encoding'], 'zstd');
});

test('a range is one of the compressed bytes, and goes on only with these', async (t) => {
  const hub = await TestHub.start(t);
  const agent = await hub.enrolledAgent('berlin');
  const digest = await hub.assign('berlin', 'till', after);
  const ask = (headers: Record<string, string>) =>
    agent.getBlob(digest, { 'accept-encoding': 'zstd', ...headers });
  const whole = await ask({});
  const etag = whole.headers.etag ?? '';
  assert.notEqual(etag, (await agent.getBlob(digest)).headers.etag);
  const rest = await ask({ range: 'bytes=10-', 'if-range': etag });
  assert.equal(rest.code, 206);
  assert.equal(rest.headers['content-encoding'], 'zstd');
  assert.deepEqual(rest.bytes, whole.bytes.subarray(10));
  assert.equal((await ask({ range: 'bytes=10-', 'if-range': `"${digest}"` })).code, 200);
  assert.equal((await ask({ 'if-none-match': etag })).code, 304);
});

test('a small difference to what the site goes back to comes with the state', async (t) => {
  const hub = await TestHub.start(t);
  const agent = await hub.enrolledAgent('berlin');
  const old = await hub.assign('berlin', 'till', before);
  const { body } = await agent.sync();
  await agent.accept(body.state as NonNullable<typeof body.state>);
  const bytes = Buffer.from(after);
  const digest = sha256Digest(bytes);
  await hub.hub.fleet.putBlob(digest, bytes);
  const terms = { ...defaultItemTerms, fallback: { release: 'till-1', digest: old } };
  const row = { site: 'berlin', namespace: 'shop', application: 'till', applicationUid: 'uid-till' };
  const rest = { release: 'till-2', digest, deadlineSeconds: 600, terms, rollout: '', wave: '' };
  await hub.hub.fleet.assign([{ ...row, ...rest }]);

  const plain = await agent.sync();
  assert.equal(plain.headers['content-encoding'], undefined);
  const [delta] = plain.body.state?.contents ?? [];
  assert.equal(delta?.digest, digest);
  const encoded = withDeltaHeader(Buffer.from(delta?.zstd ?? '', 'base64'), old);
  const dictionary = { digest: old, bytes: Buffer.from(before) };
  assert.equal(String(await decodeContent(encoded, { encoding: 'dcz', dictionary, maxBytes })), after);
});
