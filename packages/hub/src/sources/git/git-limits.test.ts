import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { requireTool } from '@selvedge/testkit';
import { GitLab, type GitLabOptions } from './testing/git-lab.ts';
import { hasFault } from './testing/has-fault.ts';

const needsGit = requireTool('git');

async function open(t: TestContext, options: GitLabOptions = {}): Promise<GitLab> {
  const lab = await GitLab.start(options);
  t.after(() => lab.close());
  return lab;
}

const repositoriesOf = (lab: GitLab) =>
  readdirSync(join(lab.cache, 'repositories')).map((name) => join(lab.cache, 'repositories', name));

test(
  'too many files, too many bytes and a too large repository are told, and read after they shrank',
  needsGit,
  async (t) => {
    const lab = await open(t, { limits: { files: 10, checkoutBytes: 200_000, repositoryBytes: 1_000_000 } });
    const many = Object.fromEntries(
      Array.from({ length: 11 }, (_, index) => [`many/${index}.yaml`, String(index)]),
    );
    lab.repository().commit({
      ...many,
      'large/film.bin': randomBytes(300_000),
      'huge/film.bin': randomBytes(3_000_000),
      'small/a.yaml': 'a',
    });
    const hub = lab.openHub();
    const read = (path: string) => lab.read(hub, lab.source({ path }));
    await assert.rejects(
      read('many'),
      hasFault('LimitExceeded', /More than 10 files are there: name a smaller path/),
    );
    await assert.rejects(
      read('large'),
      hasFault('LimitExceeded', /more than 200000 bytes \("large\/film.bin" has 300000\)/),
    );
    await assert.rejects(read('huge'), hasFault('LimitExceeded', /More than 1 MiB would be fetched/));
    assert.deepEqual((await read('small')).files, { 'small/a.yaml': 'a' });
  },
);

test('more references than anybody needs end at a limit', needsGit, async (t) => {
  const lab = await open(t);
  const lines = Array.from({ length: 300 }, (_, index) => `- ../d${index}\n`).join('');
  lab.repository().commit({ 'app/kustomization.yaml': `resources:\n${lines}` });
  await assert.rejects(
    lab.read(lab.openHub(), lab.source({ path: 'app' })),
    hasFault('LimitExceeded', /More than 200 references/),
  );
});

test('a tree that unfolds into millions of files ends at a limit', needsGit, async (t) => {
  const lab = await open(t);
  const repository = lab.repository();
  let oid = repository.git({ input: Buffer.from('x') }, 'hash-object', '-w', '--stdin').trim();
  for (let level = 0; level < 8; level += 1) {
    const [mode, kind] = level === 0 ? ['100644', 'blob'] : ['040000', 'tree'];
    const lines = Array.from({ length: 10 }, (_, index) => `${mode} ${kind} ${oid}\tf${index}\n`).join('');
    oid = repository.git({ input: Buffer.from(lines) }, 'mktree').trim();
  }
  const commit = repository.git('commit-tree', '-m', 'bomb', oid).trim();
  await assert.rejects(
    lab.read(lab.openHub(), lab.source({ ref: { commit } })),
    hasFault('LimitExceeded', /More than 20000 files/),
  );
});

test('a server that does not answer is given up, and its processes with it', needsGit, async (t) => {
  const lab = await open(t, { limits: { listSeconds: 1 } });
  const sockets: Socket[] = [];
  const silent = createServer((socket) => sockets.push(socket));
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    silent.close();
  });
  const address = silent.address();
  const port = typeof address === 'object' ? address?.port : 0;
  const gone = Promise.withResolvers<void>();
  silent.on('connection', (socket: Socket) => {
    socket.resume();
    socket.on('close', () => gone.resolve());
    socket.on('error', () => undefined);
  });
  await assert.rejects(
    lab.read(lab.openHub(), { url: `http://127.0.0.1:${port}/shop.git` }),
    hasFault('LimitExceeded', /longer than this hub waits/),
  );
  await gone.promise;
});

test('who stops waiting does not stop others who ask for the same', needsGit, async (t) => {
  const waiting: (() => void)[] = [];
  const lab = await open(t, {
    intercept: (_, res) => {
      waiting.push(() => res.writeHead(404).end());
      return true;
    },
  });
  const hub = lab.openHub();
  const ask = (signal: AbortSignal) => hub.findCommit({ source: lab.source(), namespace: 'default', signal });
  const stop = new AbortController();
  const stopped = assert.rejects(ask(stop.signal), hasFault('SourceUnavailable', /stopped reading/));
  const other = assert.rejects(ask(new AbortController().signal), hasFault('NotFound', /no such repository/));
  while (waiting.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  stop.abort();
  await stopped;
  for (const answer of waiting) answer();
  await other;
  assert.equal(lab.server.requests.length, 1);
});

test('applications of one repository share one look, unless one wants a newer one', needsGit, async (t) => {
  const lab = await open(t);
  lab.repository().commit({ 'a.yaml': '1' });
  const hub = lab.openHub();
  const { signal } = new AbortController();
  const find = (askedTime?: string) =>
    hub.findCommit({
      source: lab.source(),
      namespace: 'default',
      signal,
      ...(askedTime ? { askedTime } : {}),
    });
  await Promise.all([find(), find(), find()]);
  const looks = () => lab.server.requests.filter((line) => line.startsWith('GET')).length;
  assert.equal(looks(), 1);
  const commit = lab.repository().commit({ 'a.yaml': '2' });
  const asked = new Date().toISOString();
  const found = await Promise.all([find(asked), find(asked)]);
  assert.deepEqual(
    found.map((one) => one.commit),
    [commit, commit],
  );
  assert.equal(looks(), 2);
  await find(asked);
  assert.equal(looks(), 2);
});

test(
  'a fetch that was killed in the middle, and files that rotted, are fetched anew',
  needsGit,
  async (t) => {
    const lab = await open(t);
    const commit = lab.repository().commit({ 'a.yaml': 'a'.repeat(5000) });
    const source = lab.source({ ref: { commit } });
    await lab.read(lab.openHub(), source);
    const [folder = ''] = repositoriesOf(lab);
    writeFileSync(join(folder, 'unfinished'), '');
    writeFileSync(join(folder, 'fetch.git', 'shallow.lock'), '');
    assert.deepEqual(Object.keys((await lab.read(lab.openHub(), source)).files), ['a.yaml']);
    assert.equal(existsSync(join(folder, 'unfinished')), false);
    const packs = join(folder, 'fetch.git', 'objects', 'pack');
    rmSync(packs, { recursive: true });
    assert.deepEqual(Object.keys((await lab.read(lab.openHub(), source)).files), ['a.yaml']);
    for (const name of readdirSync(packs).filter((file) => file.endsWith('.pack'))) {
      const content = readFileSync(join(packs, name));
      rmSync(join(packs, name));
      writeFileSync(join(packs, name), content.fill(0, 12));
    }
    assert.deepEqual(Object.keys((await lab.read(lab.openHub(), source)).files), ['a.yaml']);
  },
);

test(
  'the longest unused repositories go when the cache is full, those in use do not',
  needsGit,
  async (t) => {
    const lab = await open(t);
    const hub = lab.openHub({ cacheBytes: 250_000 });
    const names = ['a.git', 'b.git', 'c.git', 'd.git'];
    for (const name of names) {
      lab.repository(name).commit({ 'film.bin': randomBytes(100_000) });
      await lab.read(hub, lab.source({}, name));
    }
    assert.equal(repositoriesOf(lab).length, 2);
    const reads = names.map((name) => lab.read(hub, lab.source({}, name)));
    const read = await Promise.all(reads);
    assert.deepEqual(
      read.map(({ files }) => Object.keys(files)),
      names.map(() => ['film.bin']),
    );
    assert.ok(repositoriesOf(lab).length <= 2);
    lab.openHub({ cacheBytes: 0 });
  },
);

test('servers of the older protocol, and such as give out no single files, are read', needsGit, async (t) => {
  const lab = await open(t, { isOld: true });
  const repository = lab.repository();
  repository.commit({ 'a.yaml': '1', 'app/b.yaml': '2' });
  const read = () => lab.read(lab.openHub(), lab.source({ path: 'app' }));
  assert.deepEqual((await read()).files, { 'app/b.yaml': '2' });
  repository.git('config', 'uploadpack.allowAnySHA1InWant', 'false');
  repository.commit({ 'app/b.yaml': '3' });
  assert.deepEqual((await read()).files, { 'app/b.yaml': '3' });
  repository.git('config', 'uploadpack.allowFilter', 'false');
  repository.commit({ 'app/b.yaml': '4' });
  assert.deepEqual((await read()).files, { 'app/b.yaml': '4' });
});
