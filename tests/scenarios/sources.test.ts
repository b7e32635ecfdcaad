import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import {
  type Application,
  type ApplicationSpec,
  applications,
  type Condition,
  type KubeObject,
  type RolloutStrategy,
  type Secret,
  secrets,
  sites,
} from '@selvedge/api';
import { GitRepository, requireTool, startGitHttpServer } from '@selvedge/testkit';
import { FleetLab, hours } from './fleet-lab.ts';

const names = ['shop-0', 'shop-1', 'shop-2', 'shop-3'];
const canaryFirst: RolloutStrategy = {
  waves: [
    { name: 'canary', sites: 1, soak: '30m' },
    { name: 'rest', percent: 100 },
  ],
};

const page = (version: string) =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: page\ndata:\n  version: "${version}"\n`;

interface GitLab extends AsyncDisposable {
  readonly lab: FleetLab;
  readonly repository: GitRepository;
  /** Takes the repository away. */
  hide(): Promise<void>;
  /** The server refuses whoever comes. */
  refuse(): void;
}

/** A fleet that runs version 1 of an application from git, which is looked at when `refresh` says so. */
async function startLab(options: { credentials?: boolean; rollout?: RolloutStrategy } = {}): Promise<GitLab> {
  const folder = await mkdtemp(join(tmpdir(), 'svg-sources-'));
  await mkdir(join(folder, 'served'));
  const path = join(folder, 'served', 'till.git');
  let isRefusing = false;
  const server = await startGitHttpServer({
    folder: join(folder, 'served'),
    ...(options.credentials === true ? { login: { username: 'hub', password: 'first' } } : {}),
    intercept: (_req, res) => {
      if (isRefusing) res.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end();
      return isRefusing;
    },
  });
  const repository = new GitRepository(path);
  repository.commit({ 'app/page.yaml': page('1') });
  const lab = await FleetLab.start({ hub: { insecureSourceHost: ['127.0.0.1'] } });
  await lab.addSites(names);
  if (options.credentials === true) {
    const data = {
      username: Buffer.from('hub').toString('base64'),
      password: Buffer.from('first').toString('base64'),
    };
    const metadata = { name: 'git-login', namespace: 'shop' };
    await lab.client.create<Secret>(secrets, { apiVersion: 'v1', kind: 'Secret', metadata, data } as Secret);
  }
  const git: ApplicationSpec['source']['git'] = {
    url: server.url('till.git'),
    path: 'app',
    interval: '24h',
    ...(options.credentials === true ? { secretRef: { name: 'git-login' } } : {}),
  };
  await lab.apply('till', {
    version: '',
    rollout: options.rollout ?? canaryFirst,
    spec: { source: { git } },
  });
  await lab.until('it was read', async () => (await sourceReady(lab))?.status === 'True');
  await lab.rolloutReaches('till-1', 'Completed');
  return {
    lab,
    repository,
    hide: () => rename(path, join(folder, 'gone.git')),
    refuse: () => {
      isRefusing = true;
    },
    async [Symbol.asyncDispose]() {
      await lab[Symbol.asyncDispose]();
      await server.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function till(lab: FleetLab): Promise<Application> {
  return lab.client.get<Application>(applications, { namespace: 'shop', name: 'till' });
}

async function sourceReady(lab: FleetLab): Promise<Condition | undefined> {
  return (await till(lab)).status?.conditions?.find(({ type }) => type === 'SourceReady');
}

/** Has the source looked at, and waits until that was done. */
async function refresh(lab: FleetLab): Promise<void> {
  const asked = lab.clock.now().toISOString();
  const annotations = { 'selvedge.dev/refresh-requested-at': asked };
  await lab.client.mergePatch(
    applications,
    { namespace: 'shop', name: 'till' },
    { metadata: { annotations } },
  );
  await lab.until('the source was looked at', async () => (await till(lab)).status?.lastRefresh === asked);
}

/** Nothing was taken from anybody, and nothing is on its way. */
async function assertAllRun(lab: FleetLab, version: string): Promise<void> {
  await lab.pass(hours(1));
  assert.deepEqual(lab.versions('till'), Object.fromEntries(names.map((name) => [name, version])));
}

describe('an application from git', { ...requireTool('git'), concurrency: false }, () => {
  test('a branch that moves in mid-rollout changes nothing of what is under way', async () => {
    await using git = await startLab();
    const { lab, repository } = git;
    repository.commit({ 'app/page.yaml': page('2') });
    await refresh(lab);
    await lab.untilWithin(
      hours(1),
      'the canary has it',
      async () => Object.values(lab.versions('till')).filter((version) => version === '2').length === 1,
    );
    // Nobody has looked at this yet: the other sites get the bytes that the canary has proven.
    repository.commit({ 'app/page.yaml': page('3') });
    await lab.rolloutReaches('till-2', 'Completed');
    await assertAllRun(lab, '2');
    await refresh(lab);
    await lab.rolloutReaches('till-3', 'Completed');
    await assertAllRun(lab, '3');
  });

  test('a forced push leads to another release, and the old commit is not missed', async () => {
    await using git = await startLab();
    const { lab, repository } = git;
    repository.commit({ 'app/page.yaml': page('2') }, { isForced: true });
    await refresh(lab);
    await lab.rolloutReaches('till-2', 'Completed');
    await assertAllRun(lab, '2');
  });

  test('a source that turns empty takes nothing away, and says so; neither does one that is gone', async () => {
    await using git = await startLab();
    const { lab, repository } = git;
    repository.commit({ 'app/README.md': 'moved elsewhere' }, { remove: ['app/page.yaml'] });
    await refresh(lab);
    const empty = await sourceReady(lab);
    assert.equal(empty?.status, 'False');
    assert.equal(empty?.reason, 'SourceEmpty');
    await assertAllRun(lab, '1');
    await git.hide();
    await refresh(lab);
    assert.equal((await sourceReady(lab))?.status, 'False');
    // Who joins now gets what was good last.
    await lab.addSites(['shop-4']);
    await lab.untilWithin(
      hours(2),
      'a new site runs it',
      async () => lab.versionAt('shop-4', 'till') === '1',
    );
    assert.equal(lab.versionAt('shop-0', 'till'), '1');
  });

  test('a credential that expires keeps what runs, and is asked for by name', async () => {
    await using git = await startLab({ credentials: true });
    const { lab, repository } = git;
    git.refuse();
    repository.commit({ 'app/page.yaml': page('2') });
    await refresh(lab);
    const refused = await sourceReady(lab);
    assert.equal(refused?.reason, 'AuthenticationFailed');
    assert.ok(!refused?.message?.includes('first'), refused?.message);
    await assertAllRun(lab, '1');
  });
});

test('a variable that one site lacks is told by name before any site is touched; given, it goes on by itself', async () => {
  await using lab = await FleetLab.start();
  await lab.addSites(['shop-0', 'shop-1'], { spec: { variables: { city: 'Ulm' } } });
  await lab.addSites(['shop-2']);
  const manifest = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'page' },
    data: { version: '1', city: '${variables.town}' },
  } as KubeObject;
  await lab.apply('till', {
    version: '',
    rollout: { waves: [{ name: 'all', percent: 100 }] },
    spec: {
      source: { inline: { manifests: [manifest] } },
      variables: [{ name: 'town', from: [{ siteVariable: 'city' }] }],
    },
  });
  const paused = await lab.rolloutReaches('till-1', 'Paused');
  assert.match(paused.status?.message ?? '', /shop-2 \(VariableUndefined: \$\{variables\.town\}/);
  await lab.pass(hours(1));
  assert.deepEqual(Object.values(lab.versions('till')), [undefined, undefined, undefined]);
  await lab.client.mergePatch(sites, { name: 'shop-2' }, { spec: { variables: { city: 'Bern' } } });
  await lab.rolloutReaches('till-1', 'Completed');
  assert.deepEqual(Object.values(lab.versions('till')), ['1', '1', '1']);
});
