import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { canonicalJson, defaultItemTerms, type DesiredItem } from '@selvedge/api';
import { encodeContent, sha256Digest, withoutDeltaHeader } from '@selvedge/api/node';
import { AgentDatabase } from '../state/agent-database.ts';
import { eventually, makeStateDir, startTestAgent, type TestAgent } from '../testing/test-agent.ts';
import { TestHub } from '../testing/test-hub.ts';

const noise = randomBytes(150_000).toString('base64');

function manifestsWith(image: string) {
  return [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'till' }, data: { noise, image } }];
}

/** A site that runs the first release of an application. */
async function startSite(): Promise<
  { hub: TestHub; agent: TestAgent; first: DesiredItem } & AsyncDisposable
> {
  const dir = await makeStateDir();
  const hub = await TestHub.start();
  hub.encodesContent = true;
  const first = hub.assign('till', manifestsWith('till:1.0'));
  const agent = startTestAgent({ stateDir: dir.path, token: hub.token() });
  await untilRunning(hub, first);
  return {
    hub,
    agent,
    first,
    async [Symbol.asyncDispose]() {
      await agent[Symbol.asyncDispose]();
      await hub.close();
      await dir[Symbol.asyncDispose]();
    },
  };
}

async function untilRunning(hub: TestHub, { id, uid, digest }: DesiredItem): Promise<void> {
  await eventually('the release runs', () => hub.reports.get(`${id} ${uid}`)?.runningDigest === digest);
}

test('a new release comes as the difference to the one that runs', async () => {
  await using site = await startSite();
  const { hub, first } = site;
  const next = hub.assign('till', manifestsWith('till:1.1'));
  await untilRunning(hub, next);
  assert.deepEqual(hub.blobRequests, [
    { digest: first.digest, range: undefined, dictionary: undefined },
    { digest: next.digest, range: undefined, dictionary: first.digest },
  ]);
});

test('a link that is cut every few kilobytes: it goes on within the compressed bytes', async () => {
  await using dir = await makeStateDir();
  await using hub = await TestHub.start();
  hub.encodesContent = true;
  hub.cutsContentAfter = 40_000;
  const item = hub.assign('till', manifestsWith('till:1.0'));
  await using _agent = startTestAgent({ stateDir: dir.path, token: hub.token() });
  await untilRunning(hub, item);
  const ranges = hub.blobRequests.map(({ range }) => Number(/\d+/.exec(range ?? '0')?.[0]));
  assert.ok(ranges.length > 2, String(ranges));
  assert.deepEqual(
    ranges,
    ranges.toSorted((a, b) => a - b),
    'it never began anew',
  );
});

test('another form than before: it begins anew and mixes nothing', async () => {
  await using dir = await makeStateDir();
  await using hub = await TestHub.start();
  hub.encodesContent = true;
  hub.cutsContentAfter = 40_000;
  const item = hub.assign('till', manifestsWith('till:1.0'));
  await using _agent = startTestAgent({ stateDir: dir.path, token: hub.token() });
  await eventually('it is under way', () => hub.blobRequests.length > 0);
  // A hub that ignores If-Range goes on with bytes of another form.
  hub.encodesContent = false;
  await eventually('it asked again', () => hub.blobRequests.length > 2);
  hub.cutsContentAfter = undefined;
  await untilRunning(hub, item);
});

test('a difference that cannot be undone is asked for as it is', async () => {
  await using site = await startSite();
  const { hub, agent, first } = site;
  const other = await encodeContent(Buffer.from('something else'), {
    digest: first.digest,
    bytes: hub.blobs.get(first.digest) as Buffer,
  });
  let lies = 1;
  hub.serveBlob = (_digest, _range, res) => {
    if (lies-- <= 0) return false;
    res.writeHead(200, { 'content-encoding': 'dcz', 'selvedge-hub-time': hub.now().toISOString() });
    res.end(other);
    return true;
  };
  const next = hub.assign('till', manifestsWith('till:1.1'));
  await untilRunning(hub, next);
  const [, lie, truth] = hub.blobRequests;
  assert.equal(lie?.dictionary, first.digest);
  assert.equal(truth?.dictionary, undefined);
  assert.ok(agent.log.some(({ message }) => message.startsWith('compressed content cannot be undone')));
});

test('a bomb is not unpacked: it is refused, and what runs goes on', async () => {
  await using site = await startSite();
  const { hub, agent, first } = site;
  const bomb = await encodeContent(Buffer.alloc(80 * 1024 * 1024));
  let isBomb = true;
  hub.serveBlob = (_digest, _range, res) => {
    if (!isBomb) return false;
    res.writeHead(200, { 'content-encoding': 'zstd', 'selvedge-hub-time': hub.now().toISOString() });
    res.end(bomb);
    return true;
  };
  const next = hub.assign('till', manifestsWith('till:1.1'));
  await eventually('the hub knows of it', () =>
    [...hub.reports.values()].some(
      (report) => report.digest === next.digest && report.reason === 'ContentUnavailable',
    ),
  );
  assert.equal(hub.reports.get(`${first.id} ${first.uid}`)?.runningDigest, first.digest);
  assert.ok(agent.driver.running.size === 1);
  isBomb = false;
  await untilRunning(hub, next);
});

test('content that is damaged on this disk is no dictionary', async () => {
  await using dir = await makeStateDir();
  await using hub = await TestHub.start();
  hub.encodesContent = true;
  const first = hub.assign('till', manifestsWith('till:1.0'));
  const agent = startTestAgent({ stateDir: dir.path, token: hub.token() });
  await untilRunning(hub, first);
  const database = AgentDatabase.open(dir.path);
  database.run('UPDATE content SET sealed = zeroblob(64)');
  database.close();
  const next = hub.assign('till', manifestsWith('till:1.1'));
  await untilRunning(hub, next);
  await agent.stop();
});

test('a difference that comes with the state is used, and one that is wrong is asked for', async () => {
  await using site = await startSite();
  const { hub, first } = site;
  const fallback = { release: first.release, digest: first.digest };
  const known = { digest: first.digest, bytes: hub.blobs.get(first.digest) as Buffer };
  let spoils = false;
  const sent = new Map<string, string>();
  hub.distort = (response) => {
    const { state } = response;
    const contents = [...sent].map(([digest, zstd]) => ({ digest, zstd: spoils ? zstd.slice(0, -8) : zstd }));
    return state === undefined ? response : { ...response, state: { ...state, contents } };
  };
  for (const [image, asked] of [
    ['till:1.1', false],
    ['till:1.2', true],
  ] as const) {
    spoils = asked;
    const digest = sha256Digest(Buffer.from(canonicalJson(manifestsWith(image))));
    const encoded = await encodeContent(Buffer.from(canonicalJson(manifestsWith(image))), known);
    sent.set(digest, Buffer.from(withoutDeltaHeader(encoded)).toString('base64'));
    const next = hub.assign('till', manifestsWith(image), { terms: { ...defaultItemTerms, fallback } });
    assert.equal(next.digest, digest);
    await untilRunning(hub, next);
    assert.equal(
      hub.blobRequests.some((request) => request.digest === digest),
      asked,
      image,
    );
  }
});
