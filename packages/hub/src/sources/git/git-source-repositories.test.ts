import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { requireTool } from '@selvedge/testkit';
import { GitLab } from './testing/git-lab.ts';
import { hasFault } from './testing/has-fault.ts';

const needsGit = requireTool('git');

let lab: GitLab;
before(async () => {
  if (needsGit.skip === false) lab = await GitLab.start();
});
after(() => lab?.close());

test('a branch, a tag, a commit and the default branch are found and read', needsGit, async () => {
  const repository = lab.repository('refs.git');
  const first = repository.commit({ 'app/till.yaml': 'kind: A\n', 'other.txt': 'x' });
  repository.tag('v1', first);
  const second = repository.commit({ 'app/till.yaml': 'kind: B\n' });
  const beside = repository.commit({ 'app/till.yaml': 'kind: C\n' }, { branch: 'feature/c' });
  const hub = lab.openHub();
  const read = (ref?: object) =>
    lab.read(hub, lab.source({ path: 'app', ...(ref ? { ref } : {}) }, 'refs.git'));
  assert.deepEqual(await read(), {
    revision: `main@sha1:${second}`,
    files: { 'app/till.yaml': 'kind: B\n' },
  });
  assert.deepEqual(await read({ tag: 'v1' }), {
    revision: `v1@sha1:${first}`,
    files: { 'app/till.yaml': 'kind: A\n' },
  });
  assert.deepEqual(await read({ branch: 'feature/c' }), {
    revision: `feature/c@sha1:${beside}`,
    files: { 'app/till.yaml': 'kind: C\n' },
  });
  assert.deepEqual(await read({ commit: first }), {
    revision: `sha1:${first}`,
    files: { 'app/till.yaml': 'kind: A\n' },
  });
});

test('a forced push and a branch that moves give the new commit', needsGit, async () => {
  const repository = lab.repository('force.git');
  repository.commit({ 'a.yaml': '1' });
  const hub = lab.openHub();
  const source = lab.source({}, 'force.git');
  await lab.read(hub, source);
  const forced = repository.commit({ 'b.yaml': '2' }, { isForced: true });
  const again = lab.openHub();
  assert.deepEqual(await lab.read(again, source), {
    revision: `main@sha1:${forced}`,
    files: { 'b.yaml': '2' },
  });
});

test('only the wanted folder is fetched, and what it refers to', needsGit, async () => {
  const repository = lab.repository('large.git');
  const noise = Buffer.from(Array.from({ length: 3_000_000 }, (_, index) => (index * index * 31) % 251));
  repository.commit({
    'apps/till/overlay/kustomization.yaml': 'resources:\n- ../base\npatches:\n- path: ../../patches/p.yaml\n',
    'apps/till/base/kustomization.yaml': 'resources: [d.yaml, ../../../shared]\n',
    'apps/till/base/d.yaml': 'd',
    'apps/patches/p.yaml': 'p',
    'apps/patches/q.yaml': 'q',
    'shared/s.yaml': { link: '../real/s.yaml' },
    'real/s.yaml': 's',
    'real/t.yaml': 't',
    'film.bin': noise,
  });
  const before = lab.server.sentBytes;
  const { files } = await lab.read(lab.openHub(), lab.source({ path: './apps/till/overlay/' }, 'large.git'));
  assert.deepEqual(Object.keys(files).toSorted(), [
    'apps/patches/p.yaml',
    'apps/till/base/d.yaml',
    'apps/till/base/kustomization.yaml',
    'apps/till/overlay/kustomization.yaml',
    'real/s.yaml',
    'shared/s.yaml',
  ]);
  assert.equal(files['shared/s.yaml'], '-> ../real/s.yaml');
  assert.ok(lab.server.sentBytes - before < 20_000, `${lab.server.sentBytes - before} bytes were sent`);
});

test('what was fetched is not fetched again, by the next hub either', needsGit, async () => {
  const repository = lab.repository('kept.git');
  const commit = repository.commit({ 'a.yaml': '1' });
  const source = lab.source({ ref: { commit } }, 'kept.git');
  await lab.read(lab.openHub(), source);
  const requests = lab.server.requests.length;
  assert.deepEqual((await lab.read(lab.openHub(), source)).files, { 'a.yaml': '1' });
  assert.equal(lab.server.requests.length, requests);
});

test('what is missing is told by name', needsGit, async () => {
  const repository = lab.repository('missing.git');
  const commit = repository.commit({ 'app/a.yaml': '1' });
  const hub = lab.openHub();
  const read = (extra: object, name = 'missing.git') => lab.read(hub, lab.source(extra, name));
  await assert.rejects(read({ ref: { branch: 'nope' } }), hasFault('NotFound', /has no branch "nope"/));
  await assert.rejects(read({ ref: { tag: 'v9' } }), hasFault('NotFound', /has no tag "v9"/));
  await assert.rejects(read({ ref: { commit: 'a'.repeat(40) } }), hasFault('NotFound', /no such commit/));
  await assert.rejects(read({ path: 'ap' }), hasFault('NotFound', /has no "ap" at/));
  await assert.rejects(read({ path: 'app/a.yaml/b' }), hasFault('NotFound', /has no "app\/a.yaml\/b"/));
  await assert.rejects(read({}, 'gone.git'), hasFault('NotFound', /has no such repository/));
  lab.repository('empty.git');
  await assert.rejects(
    read({}, 'empty.git'),
    hasFault('NotFound', /has no default branch, or nothing in it/),
  );
  assert.deepEqual(await lab.checkOut(hub, { source: lab.source({}, 'missing.git'), commit }), {
    'app/a.yaml': '1',
  });
});

test('commits of a repository with sha256 names are read', needsGit, async () => {
  const { GitRepository } = await import('@selvedge/testkit');
  const repository = new GitRepository(`${lab.folder}/served/sha256.git`, { objectFormat: 'sha256' });
  const commit = repository.commit({ 'a.yaml': '1' });
  assert.deepEqual(await lab.read(lab.openHub(), lab.source({}, 'sha256.git')), {
    revision: `main@sha256:${commit}`,
    files: { 'a.yaml': '1' },
  });
});
