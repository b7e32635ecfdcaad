import assert from 'node:assert/strict';
import { test } from 'node:test';
import { applications } from '@selvedge/api';
import { requireTool } from '@selvedge/testkit';
import { refreshAnnotation } from './source-spec.ts';
import { SourceLab } from './testing/source-lab.ts';

const needsGit = requireTool('git');
const configMap = (text: string, name = 'page') =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ${name}\ndata:\n  text: ${text}\n`;

test('an application comes from a commit, and moves when the branch does', needsGit, async () => {
  await using lab = await SourceLab.start();
  const first = lab.git.repository().commit({ 'app/page.yaml': configMap('one') });
  await lab.apply();
  const { status } = await lab.untilRevision(first);
  assert.equal(status?.source?.manifests, 1);
  await lab.untilReleased('one');
  await lab.eventually(async () => assert.equal((await lab.hub.row('s1'))?.report?.state, 'Running'));

  const second = lab.git.repository().commit({ 'app/page.yaml': configMap('two') });
  await lab.untilRevision(second);
  await lab.untilReleased('two');
  assert.equal((await lab.condition())?.status, 'True');
});

test('a poll that finds nothing new writes nothing', needsGit, async () => {
  await using lab = await SourceLab.start();
  lab.git.repository().commit({ 'app/page.yaml': configMap('one') });
  await lab.apply();
  await lab.untilReleased('one');
  await lab.eventually(async () => assert.equal((await lab.hub.application()).status?.phase, 'Completed'));
  const { metadata } = await lab.hub.application();
  const asked = lab.git.server.requests.length;
  await lab.eventually(async () => assert.ok(lab.git.server.requests.length > asked + 3));
  assert.equal((await lab.hub.application()).metadata.resourceVersion, metadata.resourceVersion);
});

test('another commit with the same content makes no other release', needsGit, async () => {
  await using lab = await SourceLab.start();
  lab.git.repository().commit({ 'app/page.yaml': configMap('one') });
  await lab.apply();
  const release = await lab.untilReleased('one');
  const second = lab.git.repository().commit({ 'README.md': 'text' });
  await lab.untilRevision(second);
  const { status } = await lab.hub.application();
  assert.equal(status?.release, release.metadata.name);
});

test('a source that turns empty, breaks or goes changes nothing but the condition', needsGit, async () => {
  await using lab = await SourceLab.start();
  const repository = lab.git.repository();
  const good = repository.commit({ 'app/page.yaml': configMap('one') });
  await lab.apply();
  const { metadata } = await lab.untilReleased('one');
  await lab.eventually(async () => assert.equal((await lab.hub.row('s1'))?.report?.state, 'Running'));
  const row = await lab.hub.row('s1');

  repository.commit({ 'app/README.md': 'text' }, { remove: ['app/page.yaml'] });
  const empty = await lab.until('SourceEmpty');
  repository.commit({ 'app/page.yaml': 'kind: [' });
  const broken = await lab.until('RenderFailed');
  repository.commit({ 'app/page.yaml': configMap('one', 'No_name') });
  const refused = await lab.until('InvalidManifests');
  repository.commit({ 'other/page.yaml': configMap('one') }, { remove: ['app/page.yaml', 'app/README.md'] });
  const gone = await lab.until('NotFound');
  for (const { status } of [empty, broken, refused, gone]) {
    assert.match(status?.source?.revision ?? '', new RegExp(good));
    assert.equal(status?.release, metadata.name);
  }
  assert.match((await lab.condition())?.message ?? '', /What went out last stays/);
  assert.equal((await lab.hub.row('s1'))?.epoch, row?.epoch);

  repository.commit({ 'app/page.yaml': configMap('two') });
  await lab.untilReleased('two');
  assert.equal((await lab.condition())?.status, 'True');
});

test('a commit that cannot be read is fetched once, not at every poll', needsGit, async () => {
  await using lab = await SourceLab.start();
  lab.git.repository().commit({ 'app/page.yaml': 'kind: [' });
  await lab.apply();
  await lab.until('RenderFailed');
  await lab.eventually(async () => {
    const released = await lab.condition('Released');
    assert.equal(released?.reason, 'SourceNotRead');
    assert.match(released.message, /page.yaml/);
  });
  const { metadata } = await lab.hub.application();
  const fetches = () => lab.git.server.requests.filter((request) => request.startsWith('POST')).length;
  const asked = lab.git.server.requests.filter((request) => request.startsWith('GET')).length;
  const before = fetches();
  await lab.eventually(async () => {
    const now = lab.git.server.requests.filter((request) => request.startsWith('GET')).length;
    assert.ok(now > asked + 3);
  });
  // One POST for each look at the refs, and none for files.
  const looks = lab.git.server.requests.filter((request) => request.startsWith('GET')).length - asked;
  assert.ok(fetches() - before <= looks + 1, `${fetches() - before} fetches in ${looks} looks`);
  assert.equal((await lab.hub.application()).metadata.resourceVersion, metadata.resourceVersion);
});

test('who asks for a refresh does not wait for the interval', needsGit, async () => {
  await using lab = await SourceLab.start();
  lab.git.repository().commit({ 'app/page.yaml': configMap('one') });
  await lab.apply({ source: { git: { ...lab.git.source(), path: 'app', interval: '30d' } } });
  await lab.untilReleased('one');
  lab.git.repository().commit({ 'app/page.yaml': configMap('two') });
  const time = lab.hub.clock.now().toISOString();
  const patch = { metadata: { annotations: { [refreshAnnotation]: time } } };
  await lab.hub.client.mergePatch(applications, { namespace: 'shop', name: 'till' }, patch);
  await lab.untilReleased('two');
  assert.equal((await lab.hub.application()).status?.lastRefresh, time);
});

test(
  'another place in the repository is read at once, and nothing goes out before it was',
  needsGit,
  async () => {
    await using lab = await SourceLab.start();
    lab.git.repository().commit({ 'app/page.yaml': configMap('one'), 'next/page.yaml': configMap('two') });
    await lab.apply();
    const { metadata } = await lab.untilReleased('one');
    await lab.apply({ source: { git: { ...lab.git.source(), path: 'nowhere' } } });
    await lab.until('NotFound');
    await lab.eventually(async () =>
      assert.equal((await lab.condition('Released'))?.reason, 'SourceNotRead'),
    );
    assert.equal((await lab.hub.application()).status?.release, metadata.name);
    await lab.apply({ source: { git: { ...lab.git.source(), path: 'next' } } });
    await lab.untilReleased('two');
  },
);

test('what was read outlives a restart of the hub, and the hours after it', needsGit, async () => {
  await using lab = await SourceLab.start();
  lab.git.repository().commit({ 'app/page.yaml': configMap('one') });
  await lab.apply();
  await lab.untilReleased('one');
  const { metadata, status } = await lab.hub.application();
  await lab.hub.stopControllers();
  lab.openSources();
  lab.hub.startControllers();
  for (let i = 0; i < 10; i++) await lab.hub.pass(400_000);
  assert.ok(await lab.hub.fleet.hasBlob(status?.source?.digest ?? ''));
  assert.deepEqual((await lab.hub.application()).status?.source, status?.source);
  assert.equal((await lab.hub.application()).metadata.generation, metadata.generation);
});

test('a hub that is killed at any write reads the source in the end', needsGit, async () => {
  await using lab = await SourceLab.start();
  await lab.hub.stopControllers();
  lab.openSources();
  let writes = 0;
  lab.hub.startControllers((write) => {
    if (write !== 'putBlob' && write !== 'updateStatus applications') return false;
    writes += 1;
    return writes % 3 !== 0 && writes < 40;
  });
  lab.git.repository().commit({ 'app/page.yaml': configMap('one') });
  await lab.apply();
  await lab.untilReleased('one');
  lab.git.repository().commit({ 'app/page.yaml': configMap('two') });
  await lab.untilReleased('two');
  assert.ok(writes > 2);
});

test(
  'a kustomization in the application is rendered anew for every change of it, and gone with it',
  requireTool('kubectl'),
  async () => {
    await using lab = await SourceLab.start();
    const source = (text: string) => ({
      kustomize: {
        kustomization: { resources: ['page.yaml'], namePrefix: 'a-' },
        files: { 'page.yaml': configMap(text) },
      },
    });
    // One after the other, while the former is being rendered.
    for (const text of ['one', 'two', 'three']) await lab.apply({ source: source(text) });
    const release = await lab.untilReleased('three');
    assert.deepEqual(release.spec.resources, ['ConfigMap/a-page']);
    const { source: inline } = (await lab.hub.apply({ text: 'four' })).spec;
    assert.ok(inline.inline);
    await lab.untilReleased('four');
    await lab.eventually(async () => {
      const { status } = await lab.hub.application();
      assert.equal(status?.source, undefined);
      assert.equal(await lab.condition(), undefined);
    });
  },
);
