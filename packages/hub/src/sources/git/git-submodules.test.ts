import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { requireTool } from '@selvedge/testkit';
import { GitLab, type GitLabOptions } from './testing/git-lab.ts';
import { hasFault } from './testing/has-fault.ts';

const needsGit = requireTool('git');

function modules(entries: Record<string, string>): string {
  return Object.entries(entries)
    .map(([path, url]) => `[submodule "${path}"]\n\tpath = ${path}\n\turl = ${url}\n`)
    .join('');
}

async function open(t: TestContext, options: GitLabOptions = {}): Promise<GitLab> {
  const lab = await GitLab.start(options);
  t.after(() => lab.close());
  return lab;
}

test(
  'submodules are read when the source says so, by relative and whole addresses, at their commits',
  needsGit,
  async (t) => {
    const login = { username: 'robot', password: 'secret' };
    const lab = await open(t, { login });
    lab.setSecret('login', login);
    const inner = lab.repository('inner.git');
    const innerCommit = inner.commit({ 'i.yaml': 'i' });
    const lib = lab.repository('lib.git');
    const libCommit = lib.commit({
      'deploy/l.yaml': 'old',
      'deploy/inner': { submodule: innerCommit },
      '.gitmodules': modules({ 'deploy/inner': lab.server.url('inner.git') }),
    });
    lib.commit({ 'deploy/l.yaml': 'new' });
    lab.repository().commit({
      'app/a.yaml': 'a',
      'app/lib': { submodule: libCommit },
      'else/lib': { submodule: libCommit },
      '.gitmodules': modules({ 'app/lib': '../lib.git', 'else/lib': '../lib.git' }),
    });
    const source = lab.source({ path: 'app', secretRef: { name: 'login' } });
    const hub = lab.openHub();
    assert.deepEqual((await lab.read(hub, source)).files, { 'app/a.yaml': 'a' });
    assert.deepEqual((await lab.read(hub, { ...source, submodules: true })).files, {
      'app/a.yaml': 'a',
      'app/lib/.gitmodules': modules({ 'deploy/inner': lab.server.url('inner.git') }),
      'app/lib/deploy/l.yaml': 'old',
      'app/lib/deploy/inner/i.yaml': 'i',
    });
    const inside = { ...source, path: 'app/lib/deploy', submodules: true };
    assert.deepEqual(Object.keys((await lab.read(hub, inside)).files).toSorted(), [
      'app/lib/deploy/inner/i.yaml',
      'app/lib/deploy/l.yaml',
    ]);
    await assert.rejects(
      lab.read(hub, { ...source, path: 'app/lib/deploy' }),
      hasFault('NotFound', /"app\/lib" is a submodule: set submodules to true/),
    );
  },
);

test('a password goes to no other server than its own', needsGit, async (t) => {
  const other = await open(t, { login: { username: 'robot', password: 'secret' } });
  const commit = other.repository('lib.git').commit({ 'l.yaml': 'l' });
  const lab = await open(t, { login: { username: 'robot', password: 'secret' } });
  lab.setSecret('login', { username: 'robot', password: 'secret' });
  lab.repository().commit({
    lib: { submodule: commit },
    '.gitmodules': modules({ lib: other.server.url('lib.git') }),
  });
  await assert.rejects(
    lab.read(lab.openHub(), lab.source({ secretRef: { name: 'login' }, submodules: true })),
    hasFault('AuthenticationFailed', /refuses the credentials, or wants some/),
  );
});

test('what .gitmodules says is data: commands, options and other schemes do nothing', needsGit, async (t) => {
  const lab = await open(t);
  const commit = lab.repository('lib.git').commit({ 'l.yaml': 'l' });
  const hub = lab.openHub();
  const read = (url: string, path = 'lib') => {
    const name = `${Math.random()}.git`;
    lab.repository(name).commit({
      lib: { submodule: commit },
      '.gitmodules': `[submodule "x"]\n\tpath = ${path}\n\turl = ${url}\n\tupdate = !touch ${lab.folder}/trap\n[include]\n\tpath = /etc/passwd\n`,
    });
    return lab.read(hub, lab.source({ submodules: true }, name));
  };
  for (const url of [
    'ext::touch',
    '--upload-pack=touch',
    'file:///etc',
    '/etc',
    './../../../../x',
    '-u@host:x',
  ]) {
    await assert.rejects(read(url), hasFault('RenderFailed', /Submodule "lib": the/), url);
  }
  assert.deepEqual(Object.keys((await read('./lib.git', '../../evil')).files), ['.gitmodules']);
});

test('a submodule that holds itself ends at a limit', needsGit, async (t) => {
  const lab = await open(t);
  const repository = lab.repository();
  const first = repository.commit({ 'a.yaml': '1', '.gitmodules': modules({ self: './', again: './' }) });
  const second = repository.commit({ self: { submodule: first }, again: { submodule: first } });
  const third = repository.commit({ self: { submodule: second }, again: { submodule: second } });
  const fourth = repository.commit({ self: { submodule: third }, again: { submodule: third } });
  repository.commit({ self: { submodule: fourth }, again: { submodule: fourth } });
  await assert.rejects(
    lab.read(lab.openHub(), lab.source({ submodules: true })),
    hasFault('LimitExceeded', /more than 20 submodules, or deeper than 4/),
  );
});
