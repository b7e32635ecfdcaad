import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { requireTool } from '@selvedge/testkit';
import { GitLab, type GitLabOptions } from './testing/git-lab.ts';
import { hasFault } from './testing/has-fault.ts';

const needsGit = requireTool('git');
const password = 'p4ss/w+rd%41 with spaces';

async function open(t: TestContext, options: GitLabOptions = {}): Promise<GitLab> {
  const lab = await GitLab.start(options);
  t.after(() => lab.close());
  return lab;
}

test('over https with a login, from a server whose authority the Secret names', needsGit, async (t) => {
  const lab = await open(t, { isSecure: true, login: { username: 'robot', password } });
  const commit = lab.repository().commit({ 'a.yaml': '1' });
  const hub = lab.openHub();
  const source = lab.source({ secretRef: { name: 'login' } });
  const read = () => lab.read(hub, source);
  await assert.rejects(read(), hasFault('ReferenceMissing', /Secret default\/login is missing/));
  lab.setSecret('login', { other: 'x' });
  await assert.rejects(read(), hasFault('ReferenceMissing', /none of the keys username, password/));
  lab.setSecret('login', { username: 'robot', password });
  await assert.rejects(
    read(),
    hasFault('SourceUnavailable', /certificate of 127.0.0.1 is not believed.*ca\.crt/),
  );
  lab.setSecret('login', { username: 'robot', password: 'wrong', 'ca.crt': lab.server.certificate });
  await assert.rejects(read(), hasFault('AuthenticationFailed', /refuses the credentials/));
  lab.setSecret('login', { 'ca.crt': lab.server.certificate });
  await assert.rejects(read(), hasFault('AuthenticationFailed', /or wants some/));
  lab.setSecret('login', { username: 'robot', password: `${password}\n`, 'ca.crt': lab.server.certificate });
  assert.deepEqual(await read(), { revision: `main@sha1:${commit}`, files: { 'a.yaml': '1' } });
});

test('a token goes with any name', needsGit, async (t) => {
  const lab = await open(t, { login: { username: 'git', password: 'tok_1' } });
  lab.repository().commit({ 'a.yaml': '1' });
  lab.setSecret('login', { token: 'tok_1' });
  assert.deepEqual((await lab.read(lab.openHub(), lab.source({ secretRef: { name: 'login' } }))).files, {
    'a.yaml': '1',
  });
});

test(
  'credentials stand in no argument, environment, file that stays, log or message',
  needsGit,
  async (t) => {
    const seen: string[] = [];
    const lab = await open(t, {
      login: { username: 'robot', password: 'sesame-4711' },
      intercept: () => {
        for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
          for (const file of ['cmdline', 'environ']) {
            try {
              seen.push(readFileSync(join('/proc', pid, file), 'latin1'));
            } catch {
              // It has ended, or is another user's.
            }
          }
        }
        return false;
      },
    });
    lab.repository().commit({ 'a.yaml': '1' });
    lab.setSecret('login', { username: 'robot', password: 'sesame-4711' });
    const hub = lab.openHub();
    await lab.read(hub, lab.source({ secretRef: { name: 'login' } }));
    await assert.rejects(
      lab.read(hub, lab.source({ secretRef: { name: 'login' } }, 'gone.git')),
      (error: Error) => !error.message.includes('sesame'),
    );
    assert.ok(
      seen.some((text) => text.includes('remote.origin.url=')),
      'git was seen at work',
    );
    assert.deepEqual(
      seen.filter((text) => text.includes('sesame-4711')),
      [],
    );
    assert.ok(!lab.logged.join('\n').includes('sesame'));
    const grep = execFileSync('sh', [
      '-c',
      'grep -rl "sesame-4711" "$1" /dev/shm/selvedge-git-* 2>/dev/null || true',
      'sh',
      lab.cache,
    ]);
    assert.equal(grep.toString(), '');
  },
);

test('what was fetched with credentials is not given to who has none', needsGit, async (t) => {
  const login = { username: 'robot', password: 'secret' };
  const lab = await open(t, { login });
  const commit = lab.repository().commit({ 'a.yaml': '1' });
  lab.setSecret('login', login);
  const hub = lab.openHub();
  const ref = { commit };
  await lab.read(hub, lab.source({ ref, secretRef: { name: 'login' } }));
  await assert.rejects(lab.read(hub, lab.source({ ref })), hasFault('AuthenticationFailed', /or wants some/));
  lab.setSecret('login', { ...login, password: 'old' });
  await assert.rejects(
    lab.read(hub, lab.source({ ref, secretRef: { name: 'login' } })),
    hasFault('AuthenticationFailed', /refuses the credentials/),
  );
});

test('neither hooks, filters, attributes nor the configuration of a user run', needsGit, async (t) => {
  const lab = await open(t);
  const trap = join(lab.folder, 'trap');
  const script = join(lab.folder, 'script');
  writeFileSync(script, `#!/bin/sh\ntouch '${trap}'\ncat\n`);
  chmodSync(script, 0o755);
  const home = join(lab.folder, 'home');
  mkdirSync(home);
  const traps = [
    `[core]\n\tfsmonitor = ${script}\n\thooksPath = ${lab.folder}/hooks\n\tsshCommand = ${script}\n\taskPass = ${script}`,
    `[credential]\n\thelper = ${script}\n[filter "lfs"]\n\tsmudge = ${script}\n\tprocess = ${script}\n\trequired = true`,
    `[url "ext::${script} "]\n\tinsteadOf = http://\n[include]\n\tpath = ${script}`,
  ].join('\n');
  writeFileSync(join(home, '.gitconfig'), traps);
  mkdirSync(join(lab.folder, 'hooks'));
  for (const hook of ['post-checkout', 'reference-transaction', 'post-index-change']) {
    execFileSync('cp', [script, join(lab.folder, 'hooks', hook)]);
  }
  const before = { ...process.env };
  t.after(() => {
    for (const name of ['HOME', 'GIT_CONFIG_GLOBAL', 'GIT_ASKPASS', 'GIT_SSH_COMMAND', 'GIT_EXTERNAL_DIFF']) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  });
  Object.assign(process.env, {
    HOME: home,
    GIT_CONFIG_GLOBAL: join(home, '.gitconfig'),
    GIT_ASKPASS: script,
    GIT_SSH_COMMAND: script,
    GIT_EXTERNAL_DIFF: script,
  });
  const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n';
  lab.repository().commit({
    '.gitattributes': '* filter=lfs eol=crlf export-ignore working-tree-encoding=UTF-16\n',
    'a.yaml': 'x: $Id$\ny\n',
    'film.bin': pointer,
  });
  const { files } = await lab.read(lab.openHub(), lab.source());
  assert.equal(files['a.yaml'], 'x: $Id$\ny\n');
  assert.equal(files['film.bin'], pointer);
  assert.equal(existsSync(trap), false);
  lab.repository('lfs.git').commit({ 'a.yaml': pointer });
  await assert.rejects(
    lab.read(lab.openHub(), lab.source({}, 'lfs.git')),
    hasFault('RenderFailed', /"a.yaml" is kept in Git LFS/),
  );
});

test(
  'addresses and names that git would take for something else are refused before it is called',
  needsGit,
  async (t) => {
    const lab = await open(t);
    const hub = lab.openHub();
    const read = (url: string, extra = {}) => lab.read(hub, { url, ...extra });
    for (const url of [
      'ext::sh -c touch% /tmp/x',
      'file:///etc',
      '/etc',
      '--upload-pack=touch',
      'ssh://-oProxyCommand=touch/x',
      'ssh://-oProxyCommand=touch@host/x',
      '-oProxyCommand=touch@host:x',
      'git@-oProxyCommand=touch:x',
      'git@host:-x',
      'git://host/x',
      'ftp://host/x',
      'https://host/x?y',
      'https://host',
      'https://host/a b',
      'https://ho%0ast/x',
    ]) {
      await assert.rejects(read(url), hasFault('RenderFailed', /^The (URL|host|user|path)/), url);
    }
    await assert.rejects(
      read('https://me:hunter2@host/x'),
      hasFault('RenderFailed', /holds a password: put it into the Secret/),
    );
    for (const branch of ['--upload-pack=x', 'a b', 'a..b', 'a:b', 'refs/../x', 'x.lock', '*', 'a\nb']) {
      const { url } = lab.source();
      await assert.rejects(read(url, { ref: { branch } }), hasFault('RenderFailed', /^Ref\.branch /), branch);
    }
    for (const path of ['../x', '/etc', 'a/../../b']) {
      lab.repository().commit({ 'a.yaml': '1' });
      await assert.rejects(
        lab.read(hub, lab.source({ path })),
        hasFault('RenderFailed', /leads out of the repository/),
      );
    }
  },
);

test('only hosts that the operator allows are spoken to', needsGit, async (t) => {
  const lab = await open(t, { hosts: ['public'], isSecure: true });
  lab.repository().commit({ 'a.yaml': '1' });
  await assert.rejects(
    lab.read(lab.openHub(), lab.source()),
    hasFault('SourceUnavailable', /127.0.0.1 is at no public address.*--source-host/),
  );
  const other = await open(t, { hosts: ['git.example.com', '*.example.org'], isSecure: true });
  await assert.rejects(
    other.read(other.openHub(), other.source()),
    hasFault('SourceUnavailable', /This hub reads no sources from 127.0.0.1/),
  );
  await assert.rejects(
    other.read(other.openHub(), { url: 'http://git.example.com/x' }),
    hasFault('SourceUnavailable', /over http, which anybody on the way can change/),
  );
  assert.equal(lab.server.requests.length + other.server.requests.length, 0);
});

test('a hub without git says so', needsGit, async (t) => {
  const lab = await open(t);
  const { PATH } = process.env;
  t.after(() => {
    process.env['PATH'] = PATH;
  });
  const source = lab.source();
  const hub = lab.openHub();
  process.env['PATH'] = lab.folder;
  await assert.rejects(
    lab.read(hub, source),
    hasFault('ProgramMissing', /git is not on this hub: install git 2\.37/),
  );
  process.env['PATH'] = PATH;
  await assert.rejects(lab.read(hub, source), hasFault('NotFound', /no such repository/));
});

test('a redirect is not followed', needsGit, async (t) => {
  const elsewhere = await open(t);
  elsewhere.repository().commit({ 'a.yaml': '1' });
  const lab = await open(t, {
    intercept: (req, res) => {
      res.writeHead(301, { location: `http://127.0.0.1:${elsewhere.server.port}${req.url}` }).end();
      return true;
    },
  });
  await assert.rejects(
    lab.read(lab.openHub(), lab.source()),
    hasFault('NotFound', /moved, and no redirect is followed/),
  );
  assert.deepEqual(elsewhere.server.requests, []);
});

test(
  'links are written as they are, after every file, and lead nowhere while files are written',
  needsGit,
  async (t) => {
    const lab = await open(t);
    lab.repository().commit({
      'app/out.yaml': { link: '/etc/passwd' },
      'app/up.yaml': { link: '../../../../etc/passwd' },
      'app/in.yaml': { link: '../shared/in.yaml' },
      'shared/in.yaml': 'in',
    });
    const { files } = await lab.read(lab.openHub(), lab.source({ path: 'app' }));
    assert.deepEqual(files, {
      'app/out.yaml': '-> /etc/passwd',
      'app/up.yaml': '-> ../../../../etc/passwd',
      'app/in.yaml': '-> ../shared/in.yaml',
      'shared/in.yaml': 'in',
    });
  },
);

test('a commit whose tree holds names that git itself never writes is refused', needsGit, async (t) => {
  const lab = await open(t);
  const repository = lab.repository();
  const blob = repository.git({ input: Buffer.from('x') }, 'hash-object', '-w', '--stdin').trim();
  const makeCommit = (name: string) => {
    const entry = Buffer.concat([Buffer.from(`100644 ${name}\0`), Buffer.from(blob, 'hex')]);
    const tree = repository
      .git({ input: entry }, 'hash-object', '-w', '-t', 'tree', '--literally', '--stdin')
      .trim();
    return repository.git('commit-tree', '-m', 'x', tree).trim();
  };
  for (const name of ['..', '.git', '../../evil', '.GIT']) {
    const ref = { commit: makeCommit(name) };
    await assert.rejects(
      lab.read(lab.openHub(), lab.source({ ref })),
      hasFault('RenderFailed', /holds a file by the name/),
      name,
    );
  }
});
