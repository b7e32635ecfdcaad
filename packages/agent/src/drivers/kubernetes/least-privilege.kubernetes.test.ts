import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  agentManifests,
  defaultMirrorKinds,
  type InstallWish,
  type KubeObject,
  type MirrorOrder,
  namespaces,
  resolveInstall,
} from '@selvedge/api';
import { createLogger, systemClock } from '@selvedge/api/node';
import type { ClusterUnderTest } from '@selvedge/testkit';
import { runOnKubernetes } from '../../commands/run-on-kubernetes.ts';
import { noProxy } from '../../hub-connection/proxy-settings.ts';
import { TestHub } from '../../testing/test-hub.ts';
import { describeOnClusters } from './testing/driver-suite.ts';
import { eventually } from './testing/kubernetes-test-site.ts';
import { configMap, service, workload } from './testing/sample-manifests.ts';

const groups: Record<string, string> = {
  Namespace: '/api/v1/namespaces',
  ServiceAccount: '/api/v1/namespaces/NS/serviceaccounts',
  Role: '/apis/rbac.authorization.k8s.io/v1/namespaces/NS/roles',
  RoleBinding: '/apis/rbac.authorization.k8s.io/v1/namespaces/NS/rolebindings',
  ClusterRole: '/apis/rbac.authorization.k8s.io/v1/clusterroles',
  ClusterRoleBinding: '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
};

/** What `selvedge site manifest` prints, but for the Deployment, whose part the test plays. */
async function install(cluster: ClusterUnderTest, wish: InstallWish & { namespace: string }): Promise<void> {
  const client = cluster.client();
  for (const object of agentManifests(resolveInstall(wish), 'unused')) {
    const path = groups[object.kind];
    if (path === undefined) continue;
    await client.request<KubeObject>({
      method: 'PATCH',
      path: `${path.replace('NS', object.metadata.namespace ?? wish.namespace)}/${object.metadata.name}`,
      query: { fieldManager: 'test', force: 'true' },
      body: object,
      contentType: 'application/apply-patch+yaml',
    });
  }
}

/** The agent as its pod runs it: the service account's token is all that it has. */
async function startPod(
  cluster: ClusterUnderTest,
  hub: TestHub,
  { namespace, mirrorNamespaces }: { namespace: string; mirrorNamespaces?: readonly string[] },
) {
  const directory = await mkdtemp(join(tmpdir(), 'selvedge-pod-'));
  const mounted = join(directory, 'service-account');
  await mkdir(mounted);
  const access = await cluster.accessForServiceAccount(namespace, 'selvedge-agent');
  const header = (await access.authorization()) ?? '';
  await writeFile(join(mounted, 'token'), header.slice('Bearer '.length));
  await writeFile(join(mounted, 'ca.crt'), cluster.ca);
  await writeFile(join(mounted, 'namespace'), namespace);
  const url = new URL(cluster.url);
  const stop = new AbortController();
  const done = runOnKubernetes(
    {
      flags: { inCluster: true, stateSecret: true, ...(mirrorNamespaces ? { mirrorNamespaces } : {}) },
      environment: { KUBERNETES_SERVICE_HOST: url.hostname, KUBERNETES_SERVICE_PORT: url.port },
      serviceAccountDirectory: mounted,
      agent: {
        stateDir: join(directory, 'state'),
        token: hub.token(),
        machine: { version: '0.0.0', hostname: 'pod', os: 'test', architecture: 'test' },
        proxies: noProxy,
        clock: systemClock,
        logger: createLogger({ level: 'silent' }),
        longestWaitSeconds: 20,
      },
    },
    stop.signal,
  );
  done.catch(() => undefined);
  return {
    done,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await done.catch(() => undefined);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

const reportOf = (hub: TestHub) => hub.reports.get('Application/default/web uid-web');

describeOnClusters('an agent with the rights of its manifests', {}, (suite) => {
  test('brings an application to Running, and the pod after it goes on without the hub', async () => {
    const { cluster } = suite();
    const namespace = 'selvedge-applications';
    await install(cluster, { namespace });
    await using hub = await TestHub.start();
    hub.assign('web', [workload({ name: 'web' }), service(), configMap('settings', { a: '1' })]);
    {
      await using first = await startPod(cluster, hub, { namespace });
      await eventually(
        async () => reportOf(hub),
        (report) => report?.state === 'Running',
        'Running',
      );
      void first;
    }
    assert.equal(hub.enrolments.length, 1);
    const asked = hub.requests.length;
    await using second = await startPod(cluster, hub, { namespace });
    await eventually(
      async () => hub.requests[asked],
      (request) => request !== undefined,
      'the next pod speaks with the hub',
    );
    assert.equal(hub.enrolments.length, 1, 'it is the same agent');
    assert.equal(hub.requests[asked]?.epoch, hub.epoch, 'it knows what it followed');
    void second;
  });

  test('that has only the minimal ones says which rule is missing', async () => {
    const { cluster } = suite();
    const namespace = 'selvedge-minimal';
    await install(cluster, { namespace, rbac: 'minimal' });
    await using hub = await TestHub.start();
    hub.assign('web', [configMap('settings', { a: '1' })]);
    await using pod = await startPod(cluster, hub, { namespace });
    const report = await eventually(
      async () => reportOf(hub),
      (last) => last?.reason === 'Forbidden',
      'Forbidden',
    );
    assert.match(report?.message ?? '', /configmaps/);
    assert.match(report?.message ?? '', /patch|create|get/);
    void pod;
  });

  test('that has the minimal ones reads what others may mirror, a Secret by its name, and nothing beside it', async () => {
    const { cluster } = suite();
    const namespace = 'selvedge-mirror';
    const mirrorNamespaces = ['mirrored'];
    const client = cluster.client();
    for (const name of ['mirrored', 'private']) {
      await client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
    }
    const inMirrored = async (path: string, object: KubeObject) =>
      client.request({ method: 'POST', path: path.replace('NS', 'mirrored'), body: object });
    await install(cluster, { namespace, rbac: 'minimal', mirrorNamespaces });
    const metadata = { name: 'read-db', namespace: 'mirrored' };
    const role = { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', metadata };
    const rules = [
      { apiGroups: [''], resources: ['secrets'], resourceNames: ['db'], verbs: ['list', 'watch'] },
    ];
    await inMirrored(groups['Role'] ?? '', { ...role, rules });
    await inMirrored(groups['RoleBinding'] ?? '', {
      ...role,
      kind: 'RoleBinding',
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'read-db' },
      subjects: [{ kind: 'ServiceAccount', name: 'selvedge-agent', namespace }],
    });
    await inMirrored('/apis/apps/v1/namespaces/NS/deployments', workload({ name: 'web' }));
    for (const name of ['db', 'other']) {
      const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name }, data: { key: 'eA==' } };
      await inMirrored('/api/v1/namespaces/NS/secrets', secret);
    }
    await using hub = await TestHub.start();
    const order = (uid: string, more: Partial<MirrorOrder>): MirrorOrder => ({
      uid,
      namespaces: mirrorNamespaces,
      selector: {},
      kinds: defaultMirrorKinds,
      secrets: [],
      settleSeconds: 1,
      ...more,
    });
    const mirrors = [
      order('all', { secrets: ['db'] }),
      order('other-secret', { secrets: ['other'] }),
      order('private', { namespaces: ['private'] }),
    ];
    hub.policy = { ...hub.policy, mirrors };
    hub.epoch = 1;
    await using pod = await startPod(cluster, hub, { namespace, mirrorNamespaces });
    await eventually(
      async () => [...hub.mirrors.reports.values()],
      (reports) => reports.length === mirrors.length,
      'all are answered',
    );
    await eventually(
      async () => hub.mirrors.content.get('all'),
      (bytes) => bytes !== undefined,
      'the hub has it',
    );
    const manifests = JSON.parse(String(hub.mirrors.content.get('all'))) as KubeObject[];
    assert.deepEqual(
      manifests.map(({ kind, metadata: { name } }) => `${kind}/${name}`),
      ['Deployment/web', 'Secret/db'],
    );
    assert.match(hub.mirrors.reports.get('other-secret')?.message ?? '', /may not list and watch Secret/);
    assert.match(hub.mirrors.reports.get('private')?.message ?? '', /--mirror-namespaces/);
    void pod;
  });
});
