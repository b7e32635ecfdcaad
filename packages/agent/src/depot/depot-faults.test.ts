import assert from 'node:assert/strict';
import { mkdir, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { sha256Digest } from '@selvedge/api/node';
import { FakeClock } from '@selvedge/testkit';
import { openTestDepot, refusal, request, startDepot } from './testing/depot-under-test.ts';
import { ImageRegistry } from './testing/image-registry.ts';

const kib = 1024;
const mib = 1024 * kib;
const good = { username: 'site', password: 'good' };

test('a disk that cannot be read in mid-fetch is told to whoever asked, and ends nothing else', async (t) => {
  const clock = new FakeClock();
  const { registry, depot, directory, named } = await startDepot(t, { clock });
  registry.addImage('shop/till:1', [3 * mib]);
  registry.pauseMs = 100;
  const unhandled: unknown[] = [];
  const note = (error: unknown) => void unhandled.push(error);
  process.on('unhandledRejection', note);
  t.after(async () => void process.off('unhandledRejection', note));
  const fetching = refusal(depot.ensure(named('shop/till:1'), request()));
  while (registry.blobBytes < 200 * kib) await wait(5);
  // As a disk that fails: what is below cannot be looked at any more.
  await rename(join(directory, 'blobs', 'sha256'), join(directory, 'blobs', 'gone'));
  await writeFile(join(directory, 'blobs', 'sha256'), 'x');
  await clock.advance(2000);
  await wait(50);
  registry.pauseMs = 0;
  assert.equal((await advanceUntil(clock, fetching)).reason, 'Unavailable');
  assert.deepEqual(unhandled, []);
});

test('a tag that cannot be looked up leads to what is here; another fault is told', async (t) => {
  const { registry, depot, named } = await startDepot(t);
  const { manifestDigest } = registry.addImage('shop/till:latest', [3 * kib]);
  const image = named('shop/till:latest');
  await depot.ensure(image, request());
  registry.isDown = true;
  assert.equal((await depot.ensure(image, request({ isFresh: true })))?.digest, manifestDigest);
  registry.isDown = false;
  registry.login = { scheme: 'Basic', ...good };
  assert.equal((await refusal(depot.ensure(image, request({ isFresh: true })))).reason, 'Denied');
});

test('an image that is here for other machines only is fetched for these, and stays for those', async (t) => {
  const { registry, depot, named } = await startDepot(t);
  const amd64 = registry.addImage('shop/till:amd', [kib]);
  const arm64 = registry.addImage('shop/till:arm', [kib], 'arm64');
  const index = registry.addIndex('shop/till:1', { amd64, arm64 });
  for (const image of [`${named('shop/till')}@${index}`, named('shop/till:1')]) {
    await depot.ensure(image, request({ architectures: ['amd64'] }));
    const both = request({ architectures: ['amd64', 'arm64'] });
    assert.equal(await depot.ensure(image, { ...both, mayFetch: false }), undefined);
    const kept = await depot.ensure(image, both);
    assert.ok(await depot.ensure(image, request({ architectures: ['amd64'], mayFetch: false })));
    const [address = '', path = ''] = (kept?.pullReference ?? '').split(/(?<=^[^/]+)\//);
    for (const { manifestDigest } of [amd64, arm64]) {
      const answer = await fetch(`http://${address}/v2/${path.split('@')[0]}/manifests/${manifestDigest}`);
      assert.equal(answer.status, 200);
    }
    registry.requests.length = 0;
    await Promise.all([
      depot.ensure(image, request({ architectures: ['arm64'] })),
      depot.ensure(image, request({ architectures: ['amd64'] })),
    ]);
    assert.deepEqual(registry.requests, []);
  }
});

test('a login that has expired in mid-fetch is asked for anew, also where the registry says 403', async (t) => {
  let password = 'old';
  const asked: boolean[] = [];
  const find = async ({ isRefused = false }: { isRefused?: boolean }) => {
    asked.push(isRefused);
    return { username: 'AWS', password: isRefused ? 'new' : password };
  };
  const { registry, depot, named } = await startDepot(t, { surroundings: { logins: { find } } });
  registry.addImage('shop/till:1', [mib, mib, mib, mib, mib]);
  registry.login = { scheme: 'Basic', username: 'AWS', password: 'old' };
  registry.refusalStatus = 403;
  registry.pauseMs = 5;
  const fetching = depot.ensure(named('shop/till:1'), request());
  while (registry.blobBytes < mib) await wait(5);
  registry.login = { scheme: 'Basic', username: 'AWS', password: 'new' };
  assert.ok(await fetching);
  assert.deepEqual(new Set(asked), new Set([false, true]));

  registry.login = { scheme: 'Basic', username: 'AWS', password: 'nobody knows' };
  password = 'new';
  registry.addImage('shop/till:2', [kib]);
  registry.requests.length = 0;
  assert.equal((await refusal(depot.ensure(named('shop/till:2'), request()))).reason, 'Denied');
  assert.ok(registry.requests.length < 8, 'it does not ask on and on');
});

test('where a registry leads to is given no login, whatever it asks for', async (t) => {
  await using store = await ImageRegistry.start();
  const { registry, depot, named } = await startDepot(t, {
    insecureRegistries: [store.address],
    clock: new FakeClock(),
  });
  registry.addImage('shop/till:1', [kib]);
  registry.redirectsTo = `http://${store.address}`;
  for (const scheme of ['Basic', 'Bearer'] as const) {
    store.login = { scheme, ...good };
    const giveUp = new AbortController();
    const fetching = depot.ensure(named('shop/till:1'), request({ login: good, signal: giveUp.signal }));
    while (store.asked('/blobs/').length === 0) await wait(5);
    await wait(100);
    giveUp.abort();
    await assert.rejects(fetching);
    assert.deepEqual(store.asked('/token'), []);
    assert.ok(store.requests.every(({ authorization }) => authorization === undefined));
    store.requests.length = 0;
  }
});

test('a registry that drips holds up nobody who has the same layer from another', async (t) => {
  await using other = await ImageRegistry.start();
  const { registry, depot, named } = await startDepot(t, { insecureRegistries: [other.address] });
  const { layers } = registry.addImage('shop/till:1', [40 * kib]);
  other.addImage('x/x:1', layers);
  other.dripMs = 50;
  const dripping = depot.ensure(`${other.address}/x/x:1`, request({ namespace: 'x' }));
  while (other.asked('/blobs/').length < 2) await wait(5);
  assert.ok(await depot.ensure(named('shop/till:1'), request()));
  other.dripMs = undefined;
  assert.ok(await dripping, 'what came from elsewhere is taken');
});

test('fetches that hardly move give their places to others, and go on after them', async (t) => {
  await using slow = await ImageRegistry.start();
  const clock = new FakeClock();
  const { registry, depot, named } = await startDepot(t, { insecureRegistries: [slow.address], clock });
  slow.addImage('x/x:1', [40 * kib, 41 * kib, 42 * kib, 43 * kib]);
  slow.dripMs = 5;
  registry.addImage('shop/till:1', [kib]);
  const dripping = depot.ensure(`${slow.address}/x/x:1`, request({ namespace: 'x' }));
  while (slow.asked('/blobs/').length < 3) await wait(5);
  assert.ok(await advanceUntil(clock, depot.ensure(named('shop/till:1'), request())));
  slow.dripMs = undefined;
  assert.ok(await advanceUntil(clock, dripping));
  assert.ok(
    slow.requests.some(({ range }) => range !== undefined),
    'it went on where it was',
  );
});

test('nothing is given up for an image that can never fit', async (t) => {
  const { registry, depot, named } = await startDepot(t);
  registry.addImage('shop/idle:1', [5 * kib]);
  await depot.ensure(named('shop/idle:1'), request());
  const part = (hex: string, size: number) => ({ digest: `sha256:${hex.repeat(64)}`, size });
  const huge = { schemaVersion: 2, config: part('1', 10), layers: [part('2', 2 ** 52)] };
  registry.addManifest('evil/x:1', Buffer.from(JSON.stringify(huge)));
  assert.equal((await refusal(depot.ensure(named('evil/x:1'), request()))).reason, 'StorageFull');
  assert.ok(await depot.find(named('shop/idle:1')));
});

test('an image that one namespace may have is not given to another that its registry refuses', async (t) => {
  const find = async ({ namespace }: { namespace: string }) => (namespace === 'a' ? good : undefined);
  const { registry, depot, directory, named } = await startDepot(t, { surroundings: { logins: { find } } });
  const { manifestDigest } = registry.addImage('a/private:1', [10 * kib]);
  registry.login = { scheme: 'Bearer', ...good };
  const byDigest = `${named('a/private')}@${manifestDigest}`;
  const of = (namespace: string) => request({ namespace });
  await depot.ensure(named('a/private:1'), of('a'));
  for (const image of [named('a/private:1'), byDigest, `${named('b/copy')}@${manifestDigest}`]) {
    assert.equal((await refusal(depot.ensure(image, of('b')))).reason, 'Denied', image);
    assert.equal(await depot.ensure(image, { ...of('b'), mayFetch: false }), undefined);
  }
  registry.isDown = true;
  assert.equal((await refusal(depot.ensure(byDigest, of('b')))).reason, 'Unavailable');
  assert.ok(await depot.ensure(byDigest, of('a')));

  // With a right of its own it is asked for once, and what is here is not fetched again.
  registry.isDown = false;
  registry.requests.length = 0;
  assert.ok(await depot.ensure(byDigest, { ...of('b'), login: good }));
  assert.deepEqual(registry.asked('/blobs/'), []);
  registry.isDown = true;
  await depot.close();
  const later = await openTestDepot({ directory, insecureRegistries: [registry.address] });
  t.after(() => later.close());
  for (const namespace of ['a', 'b']) assert.ok(await later.ensure(byDigest, of(namespace)), namespace);
  assert.equal((await refusal(later.ensure(byDigest, of('c')))).reason, 'Unavailable');
});

test('a blob that cannot be read for a while is not taken for damaged', async (t) => {
  const { registry, depot, directory, named } = await startDepot(t);
  const { manifestDigest } = registry.addImage('shop/till:1', [kib]);
  await depot.ensure(named('shop/till:1'), request());
  const blob = join(directory, 'blobs', 'sha256', manifestDigest.slice('sha256:'.length));
  // Reading it fails, whoever reads: it is a folder for a while.
  await rename(blob, `${blob}.away`);
  await mkdir(blob);
  assert.equal(await depot.doubt(named('shop/till:1')), false);
  await rm(blob, { recursive: true });
  await rename(`${blob}.away`, blob);
  assert.ok(await depot.find(named('shop/till:1')));
});

test('an image that was just found sound is not read whole again, until it has changed or a while has passed', async (t) => {
  let nowMs = 0;
  const { registry, depot, directory, named } = await startDepot(t, { monotonicMs: () => nowMs });
  const { layers } = registry.addImage('shop/till:1', [100 * kib]);
  const image = named('shop/till:1');
  const blob = join(directory, 'blobs', 'sha256', sha256Digest(layers[0] as Buffer).slice('sha256:'.length));
  // As a disk changes it: nobody wrote it.
  const damage = async () => {
    await writeFile(blob, Buffer.alloc(100 * kib));
    await utimes(blob, 1, 1);
  };
  await depot.ensure(image, request());
  await utimes(blob, 1, 1);
  assert.equal(await depot.doubt(image), false);
  await damage();
  assert.equal(await depot.doubt(image), false, 'it is not read again at once');
  nowMs += 600_000;
  assert.equal(await depot.doubt(image), true);
  await depot.ensure(image, request());
  assert.equal(await depot.doubt(image), false);
  await damage();
  assert.equal(await depot.doubt(image), true, 'its file has changed');
});

/** Time passes until the work is done. */
async function advanceUntil<T>(clock: FakeClock, work: Promise<T>): Promise<T> {
  const done = new AbortController();
  const ended = work.finally(() => done.abort());
  ended.catch(() => {});
  while (!done.signal.aborted) {
    await clock.advance(5000);
    await wait(20);
  }
  return await ended;
}
