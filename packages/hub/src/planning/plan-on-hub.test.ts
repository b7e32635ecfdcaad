import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Application,
  type ApplicationPlan,
  type ApplicationPlanStatus,
  applications,
  type KubeObject,
  namespaces,
  type ResourceRef,
  releases,
  rollouts,
  serviceAccounts,
  type Site,
  type StatusError,
  sites,
} from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import { createHttpClient, type HttpClient, loadKubeconfig, resourcePath } from '@selvedge/kube';
import { TestRegistry } from '../registry/testing/test-registry.ts';
import { type Hub, startHub } from '../server/start-hub.ts';

const roles: ResourceRef = {
  group: 'rbac.authorization.k8s.io',
  version: 'v1',
  plural: 'roles',
  kind: 'Role',
  namespaced: true,
};
const bindings: ResourceRef = { ...roles, plural: 'rolebindings', kind: 'RoleBinding' };

/** One hub, and the story of an application on it; each test goes on where the one before ended. */
describe('applications/plan on a hub', () => {
  let folder = '';
  let hub: Hub;
  let client: HttpClient;
  let registry: TestRegistry;
  let seq = Date.now();
  let first = '';
  let second = '';

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'selvedge-plan-'));
    registry = await TestRegistry.start();
    hub = await startHub({
      data: folder,
      listen: '127.0.0.1:0',
      insecureRegistry: [registry.host],
      logger: createLogger({ level: 'silent' }),
    });
    client = createHttpClient({ kubeconfig: await loadKubeconfig(hub.kubeconfigPath) });
    await client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
    first = registry.add('shop/web', '1', { layers: { amd64: { base: 10_000, one: 100 } } });
    second = registry.add('shop/web', '2', { layers: { amd64: { base: 10_000, two: 200 } } });
  });
  after(async () => {
    await client.close();
    await hub.close();
    await registry[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  const application = (image: string, changes: Partial<Application['spec']> = {}): Application => ({
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Application',
    metadata: { name: 'till', namespace: 'shop' },
    spec: {
      source: {
        inline: {
          manifests: [
            {
              apiVersion: 'apps/v1',
              kind: 'Deployment',
              metadata: { name: 'web' },
              spec: { template: { spec: { containers: [{ name: 'web', image }] } } },
            },
            {
              apiVersion: 'v1',
              kind: 'Secret',
              metadata: { name: 'keys' },
              stringData: { pin: `pin of ${image}` },
            },
          ],
        },
      },
      placement: { siteSelector: { matchLabels: { tier: 'store' } } },
      ...changes,
    },
  });
  const ask = (body: unknown, from: HttpClient = client): Promise<ApplicationPlan> =>
    from.request<ApplicationPlan>({
      method: 'POST',
      path: resourcePath(applications, { namespace: 'shop', name: 'till', subresource: 'plan' }),
      query: { fieldValidation: 'Strict' },
      body,
    });
  const plan = async (body: unknown): Promise<ApplicationPlanStatus> => (await ask(body)).status;
  const makeSite = (name: string, tier = 'store') =>
    client.create<Site>(sites, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Site',
      metadata: { name, labels: { tier } },
    });
  const eventually = async (check: () => Promise<void>): Promise<void> => {
    for (let tries = 0; ; tries++) {
      try {
        return await check();
      } catch (error) {
        if (tries === 300) throw error;
      }
      await sleep(100);
    }
  };
  /** What agents of these sites would say: they run what they are to run. */
  const agentsRun = async (...names: string[]): Promise<void> => {
    for (const site of names) {
      const now = new Date().toISOString();
      const { rows, epoch } = await hub.fleet.siteState(site);
      hub.fleet.touch({ site, lastSeenAt: now, agentEpoch: epoch, agentStateDigest: '' });
      for (const row of rows.filter(({ phase }) => phase === 'Wanted')) {
        seq += 1;
        const { release, digest } = row;
        const own = {
          id: 'Application/shop/till',
          uid: row.applicationUid,
          epoch: row.epoch,
          release,
          digest,
          seq,
        };
        const times = { sinceTime: now, observedTime: now, activatedTime: now };
        const report = { ...own, ...times, state: 'Running' as const, runningDigest: digest };
        await hub.fleet.saveReports(site, [report], now);
      }
    }
  };
  const stored = async () => {
    const lists = [];
    for (const ref of [applications, releases, rollouts])
      lists.push((await client.list<KubeObject>(ref)).items);
    return lists;
  };

  test('of one that does not exist: what would go where, and nothing is made', async () => {
    for (const name of ['shop-1', 'shop-2', 'shop-3', 'shop-4', 'shop-5']) await makeSite(name);
    await makeSite('depot', 'depot');
    const answer = await ask(application(first));
    assert.equal(answer.kind, 'ApplicationPlan');
    assert.deepEqual(answer.metadata, { name: 'till', namespace: 'shop' });
    const { status } = answer;
    assert.equal(status.change, 'Created');
    assert.deepEqual(status.sites.added.names, ['shop-1', 'shop-2', 'shop-3', 'shop-4', 'shop-5']);
    assert.deepEqual(
      status.manifests.changes.map(({ change, resource }) => `${change} ${resource}`),
      ['Added Deployment/web', 'Added Secret/keys'],
    );
    assert.ok(!JSON.stringify(answer).includes('pin of'), 'values of Secrets are not told');
    assert.deepEqual(
      status.waves.map(({ name, count }) => [name, count]),
      [
        ['canary', 1],
        ['rest', 4],
      ],
    );
    assert.equal(status.bytes.images[0]?.totalBytes, 5 * (10_000 + 100 + 100));
    assert.equal(status.bytes.total, 5 * (10_200 + status.release.sizeBytes));
    assert.equal(status.bytes.isComplete, true);
    assert.deepEqual(await stored(), [[], [], []]);
  });

  test('refused as the write would be, by the field', async () => {
    const bad = application(first, { rollout: { waves: [{ name: 'canary', sites: 1 }] } });
    await assert.rejects(ask(bad), (error: StatusError) => {
      assert.equal(error.reason, 'Invalid');
      assert.match(error.message, /spec\.rollout\.waves/);
      return true;
    });
    await assert.rejects(
      ask({ ...application(first), metadata: { name: 'other', namespace: 'shop' } }),
      /does not match/,
    );
    await assert.rejects(ask({ ...application(first), spec: undefined }), { reason: 'Invalid' });
    const unknown = application(first);
    await assert.rejects(ask({ ...unknown, spec: { ...unknown.spec, colour: 'red' } }), /colour/);
    await assert.rejects(
      client.request({
        method: 'GET',
        path: resourcePath(applications, { namespace: 'shop', name: 'till', subresource: 'plan' }),
      }),
      { reason: 'MethodNotAllowed' },
    );
  });

  test('a change: sites, differences, waves, and only the layers that are new', async () => {
    await client.create(applications, application(first));
    await eventually(async () => {
      await agentsRun('shop-1', 'shop-2', 'shop-3', 'shop-4', 'shop-5');
      const found = await client.get<Application>(applications, { namespace: 'shop', name: 'till' });
      assert.equal(found.status?.sites?.running, 5);
    });
    await makeSite('shop-6');
    await eventually(async () => {
      assert.equal(
        (await hub.fleet.siteState('shop-6')).rows.length,
        1,
        'what every wave passed is given at once',
      );
    });
    const before = await stored();
    const status = await plan(application(second));
    assert.equal(status.change, 'Changed');
    assert.equal(status.sites.changed.count, 6);
    assert.equal(status.sites.added.count, 0);
    const [web, keys] = status.manifests.changes;
    assert.match(web?.diff ?? '', /^-.*shop\/web:1@sha256:\w{64}$[^]*^\+.*shop\/web:2@sha256:\w{64}$/m);
    assert.match(keys?.diff ?? '', /-  pin: masked \(before\)\n\+  pin: masked \(after\)/);
    assert.equal(
      status.waves.reduce((sum, wave) => sum + wave.count, 0),
      6,
    );
    // Five have the base already; the new site has nothing.
    assert.equal(status.bytes.images[0]?.totalBytes, 5 * (200 + 100) + (10_000 + 200 + 100));
    assert.deepEqual(await stored(), before);
  });

  test('the same content: no rollout, and only the placement counts; the consent and the pause of others stay', async () => {
    assert.equal((await plan(application(first))).change, 'Unchanged');
    const wider = {
      matchExpressions: [{ key: 'tier', operator: 'In' as const, values: ['store', 'depot'] }],
    };
    const same = await plan(application(first, { placement: { siteSelector: wider } }));
    assert.equal(same.change, 'PlacementOnly');
    assert.deepEqual(same.sites.added.names, ['depot']);
    assert.deepEqual(same.waves, []);
    assert.deepEqual(same.manifests, { changes: [], unchanged: 2 });
    await client.mergePatch(applications, { namespace: 'shop', name: 'till' }, { spec: { paused: true } });
    const paused = await plan(application(second));
    assert.ok(paused.notes.some((note) => note.startsWith('spec.paused')));
    await client.mergePatch(applications, { namespace: 'shop', name: 'till' }, { spec: { paused: null } });
  });

  test('what the guard would hold: a selector that selects nobody, and too many at once', async () => {
    const none = await plan(
      application(first, { placement: { siteSelector: { matchLabels: { tier: 'nope' } } } }),
    );
    assert.equal(none.removal?.isHeld, true);
    assert.equal(none.removal?.reason, 'SelectorEmpty');
    const { removal } = await plan(
      application(first, {
        placement: {
          siteSelector: { matchExpressions: [{ key: 'tier', operator: 'In', values: ['depot'] }] },
        },
      }),
    );
    assert.equal(removal?.reason, 'TooMany');
    assert.match(removal?.message ?? '', /the guard lets 3 sites go within an hour/);
  });

  test('variables that sites lack are named with them', async () => {
    const wanted = application(first);
    const manifest = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'page' },
      data: { city: '${site.variables.city}' },
    };
    wanted.spec.source.inline = { manifests: [manifest] };
    await client.mergePatch(sites, { name: 'shop-1' }, { spec: { variables: { city: 'Ulm' } } });
    const { missingVariables, bytes, release } = await plan(wanted);
    assert.deepEqual(missingVariables[0]?.names, ['shop-2', 'shop-3', 'shop-4', 'shop-5', 'shop-6']);
    assert.equal(bytes.total, release.sizeBytes, 'only shop-1 fetches it');
  });

  test('a ConfigMap that is not there is named: it would give no release', async () => {
    const from = [{ configMapKeyRef: { name: 'prices', key: 'tax' } }];
    await assert.rejects(plan(application(first, { variables: [{ name: 'tax', from, default: '7' }] })), {
      reason: 'Invalid',
      message: /ReferenceMissing.*ConfigMap prices/,
    });
  });

  test('an image that no registry knows is said to be unknown, by name', async () => {
    const { bytes } = await plan(application(`${registry.host}/nothing:1`));
    assert.equal(bytes.isComplete, false);
    assert.deepEqual(bytes.images[0]?.source, 'Unknown');
    assert.match(bytes.images[0]?.reason ?? '', /has no such image/);
  });

  test('condemned content says where it was condemned, and goes nowhere', async () => {
    await client.mergePatch(rollouts, { namespace: 'shop', name: 'till-1' }, { spec: { stop: 'Revert' } });
    await eventually(async () => {
      await agentsRun('shop-1', 'shop-2', 'shop-3', 'shop-4', 'shop-5');
      const status = await plan(application(first));
      assert.equal(status.release.condemned?.rollout, 'till-1');
      assert.ok(
        status.notes.some((note) => note.includes('condemned in till-1') && note.includes('rollout lift')),
      );
      assert.deepEqual(status.waves, []);
      assert.equal(status.bytes.total, 0);
    });
  });

  const asAccount = async (name: string, rules: unknown[]): Promise<HttpClient> => {
    const { server, ca } = await loadKubeconfig(hub.kubeconfigPath);
    const metadata = { name, namespace: 'shop' };
    const apiVersion = 'rbac.authorization.k8s.io/v1';
    await client.create(serviceAccounts, { apiVersion: 'v1', kind: 'ServiceAccount', metadata });
    await client.create<KubeObject>(roles, { apiVersion, kind: 'Role', metadata, rules });
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name };
    const subjects = [{ kind: 'ServiceAccount', ...metadata }];
    await client.create<KubeObject>(bindings, {
      apiVersion,
      kind: 'RoleBinding',
      metadata,
      subjects,
      roleRef,
    });
    const answer = await client.request<{ status: { token: string } }>({
      method: 'POST',
      path: resourcePath(serviceAccounts, { ...metadata, subresource: 'token' }),
      body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} },
    });
    return createHttpClient({ server, ...(ca === undefined ? {} : { ca }), token: answer.status.token });
  };
  const apiGroups = ['selvedge.dev'];

  test('it needs the right to create applications/plan, and no other', async () => {
    const writer = await asAccount('writer', [
      { apiGroups, resources: ['applications'], verbs: ['create', 'update'] },
    ]);
    const planner = await asAccount('planner', [
      { apiGroups, resources: ['applications/plan'], verbs: ['create'] },
    ]);
    try {
      await assert.rejects(ask(application(second), writer), { reason: 'Forbidden' });
      await eventually(async () => {
        assert.equal((await ask(application(second), planner)).kind, 'ApplicationPlan');
      });
    } finally {
      await Promise.all([writer.close(), planner.close()]);
    }
  });

  test('values of sites are told, and sent to a registry, only for those who may list Sites', async () => {
    const secret = 'correct-horse';
    await client.mergePatch(sites, { name: 'shop-1' }, { spec: { variables: { password: secret } } });
    const image = `${registry.host}/shop/web:\${site.variables.password}`;
    const guesser = await asAccount('guesser', [
      { apiGroups, resources: ['applications/plan'], verbs: ['create'] },
    ]);
    try {
      const asked = registry.requests.length;
      await eventually(async () => {
        const hidden = await ask(application(image), guesser);
        assert.ok(!JSON.stringify(hidden).includes(secret));
        assert.equal(hidden.status.bytes.images[0]?.name, image);
        assert.equal(hidden.status.bytes.images[0]?.source, 'Unknown');
        assert.ok(hidden.status.notes.some((note) => note.includes('only for users who may list sites')));
      });
      assert.equal(registry.requests.length, asked);
      const shown = await plan(application(image));
      assert.equal(shown.bytes.images[0]?.name, `${registry.host}/shop/web:${secret}`);
      assert.ok(registry.requests.slice(asked).some((request) => request.includes(secret)));
      assert.ok(!shown.notes.some((note) => note.includes('list sites')));
    } finally {
      await guesser.close();
    }
  });

  test('what other namespaces have at the sites is counted only for those who may list Sites', async () => {
    await client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'other' } });
    const elsewhere = application(second);
    await client.create(applications, {
      ...elsewhere,
      metadata: { name: 'foreign', namespace: 'other' },
      spec: { ...elsewhere.spec, rollout: { waves: [{ name: 'all', percent: 100 }] } },
    });
    const local = await asAccount('local', [
      { apiGroups, resources: ['applications/plan'], verbs: ['create'] },
    ]);
    try {
      await eventually(async () => {
        for (const site of ['shop-1', 'shop-2', 'shop-3', 'shop-4', 'shop-5', 'shop-6']) {
          const now = new Date().toISOString();
          const { rows, epoch } = await hub.fleet.siteState(site);
          hub.fleet.touch({ site, lastSeenAt: now, agentEpoch: epoch, agentStateDigest: '' });
          const row = rows.find((each) => each.namespace === 'other' && each.phase === 'Wanted');
          assert.ok(row, site);
          seq += 1;
          const { release, digest } = row;
          const id = 'Application/other/foreign';
          const own = { id, uid: row.applicationUid, epoch: row.epoch, release, digest, seq };
          const times = { sinceTime: now, observedTime: now, activatedTime: now };
          const report = { ...own, ...times, state: 'Running' as const, runningDigest: digest };
          await hub.fleet.saveReports(site, [report], now);
        }
      });
      const body = { ...application(second), spec: { ...application(second).spec } };
      await eventually(async () => {
        const [all, few] = [await ask(body), await ask(body, local)];
        assert.equal(all.status.bytes.images.length, 0, 'the sites have it already');
        assert.match(few.status.bytes.images[0]?.name ?? '', /\/shop\/web@sha256:/);
      });
    } finally {
      await local.close();
    }
  });
});
