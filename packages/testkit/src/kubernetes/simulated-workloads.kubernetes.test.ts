import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  type ClusterRole,
  clusterRoleBindings,
  clusterRoles,
  isNotFound,
  isStatusError,
  type KubeObject,
  namespaces,
  rbacGroup,
  type ResourceRef,
  type RoleBinding,
  serviceAccounts,
} from '@selvedge/api';
import { systemClock } from '@selvedge/api/node';
import { createHttpClient, type HttpClient, resourcePath } from '@selvedge/kube';
import { clusterKinds, ClusterUnderTest, requireCluster } from './cluster-under-test.ts';
import { SimulatedWorkloads } from './simulated/simulated-workloads.ts';
import {
  daemonSets,
  deployments,
  jobs,
  nodes,
  pods,
  replicaSets,
  statefulSets,
} from './simulated/workload-resources.ts';

interface Read extends KubeObject {
  readonly spec: Record<string, unknown>;
  readonly status?: Record<string, unknown> & {
    readonly conditions?: readonly { type: string; status: string; reason?: string; message?: string }[];
    readonly containerStatuses?: readonly {
      restartCount: number;
      state: Record<string, { reason?: string } | undefined>;
    }[];
  };
}

const namespace = 'shop';

function workload(
  kind: string,
  name: string,
  { image = `example/${name}:1`, ...spec }: Record<string, unknown> = {},
): KubeObject {
  const labels = { app: name };
  const isJob = kind === 'Job';
  const podSpec = {
    ...(isJob ? { restartPolicy: 'Never' } : {}),
    containers: [{ name: 'main', image }],
    ...(spec['pod'] as object | undefined),
  };
  const { pod: _, ...rest } = spec;
  return {
    apiVersion: isJob ? 'batch/v1' : 'apps/v1',
    kind,
    metadata: { name, namespace },
    spec: {
      ...(isJob ? {} : { selector: { matchLabels: labels } }),
      template: { metadata: { labels }, spec: podSpec },
      ...rest,
    },
  };
}

const conditionOf = (object: Read | undefined, type: string) =>
  object?.status?.conditions?.find((condition) => condition.type === type);

for (const kind of clusterKinds) {
  describe(`simulated workloads on ${kind}`, requireCluster(kind), () => {
    let cluster: ClusterUnderTest;
    let client: HttpClient;
    let workloads: SimulatedWorkloads;

    before(async () => {
      cluster = await ClusterUnderTest.start(kind);
      client = cluster.client();
      const taints = [{ key: 'edge', effect: 'NoSchedule' }];
      workloads = await SimulatedWorkloads.start(cluster, {
        nodes: [{ name: 'node-1' }, { name: 'edge-1', labels: { place: 'edge' }, taints }],
      });
      await client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
    });
    after(async () => {
      await workloads?.close();
      await cluster?.close();
    });

    const apply = (resource: ResourceRef, object: KubeObject) =>
      client.apply(resource, object, { fieldManager: 'test', force: true });
    const until = (resource: ResourceRef, name: string, isRight: (object: Read) => boolean) =>
      eventually(client, { resource, name }, isRight);

    test('a Deployment gets a ReplicaSet and pods, becomes available, and rolls over to a new template', async () => {
      await apply(deployments, workload('Deployment', 'web', { image: 'example/web:1', replicas: 2 }));
      const isRolledOut = (d: Read) =>
        d.status?.['observedGeneration'] === d.metadata.generation &&
        conditionOf(d, 'Progressing')?.reason === 'NewReplicaSetAvailable' &&
        d.status?.['availableReplicas'] === 2;
      await until(deployments, 'web', isRolledOut);
      await apply(deployments, workload('Deployment', 'web', { image: 'example/web:2', replicas: 2 }));
      const done = await until(deployments, 'web', (d) => d.metadata.generation === 2 && isRolledOut(d));
      assert.equal(conditionOf(done, 'Available')?.status, 'True');
      assert.equal(done.status?.['unavailableReplicas'], undefined);
      const { items } = await client.list<Read>(replicaSets, { namespace });
      assert.deepEqual(
        items.map(({ spec }) => Number(spec['replicas'])).sort((a, b) => a - b),
        [0, 2],
      );
    });

    test('a crash loop and a missing image show in the status of the pods, with a log', async () => {
      await apply(deployments, workload('Deployment', 'crash', { image: 'example/crash:1' }));
      await apply(deployments, workload('Deployment', 'missing', { image: 'example/missing:1' }));
      const waiting = async (app: string, reason: string) =>
        poll(async () => {
          const { items } = await client.list<Read>(pods, { namespace, labelSelector: `app=${app}` });
          return items.find((pod) => pod.status?.containerStatuses?.[0]?.state['waiting']?.reason === reason);
        });
      const pod = await waiting('crash', 'CrashLoopBackOff');
      await waiting('missing', 'ImagePullBackOff');
      const path = `${resourcePath(pods, { namespace, name: pod.metadata.name })}/log`;
      const text: Uint8Array[] = [];
      const stream = client.download({
        path,
        idleMilliseconds: 10_000,
        signal: new AbortController().signal,
      });
      for await (const chunk of stream) text.push(chunk);
      assert.match(Buffer.concat(text).toString(), /cannot reach the database/);
    });

    test('a pod that fits no node is Unschedulable until one comes', async () => {
      const pod = { nodeSelector: { place: 'moon' } };
      await apply(deployments, workload('Deployment', 'moon', { image: 'example/web:1', pod }));
      const found = await poll(async () => {
        const { items } = await client.list<Read>(pods, { namespace, labelSelector: 'app=moon' });
        return items.find((p) => conditionOf(p, 'PodScheduled')?.reason === 'Unschedulable');
      });
      assert.match(
        conditionOf(found, 'PodScheduled')?.message ?? '',
        /^0\/2 nodes are available: 1 node\(s\)|^0\/2 nodes are available: 2 node\(s\)/,
      );
      await workloads.setNode({ name: 'moon-1', labels: { place: 'moon' } });
      await until(deployments, 'moon', (d) => d.status?.['availableReplicas'] === 1);
      await client.delete(nodes, { name: 'moon-1' });
    });

    test('StatefulSets, DaemonSets and Jobs come to their end', async () => {
      const claim = {
        metadata: { name: 'data' },
        spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
      };
      await apply(
        statefulSets,
        workload('StatefulSet', 'db', {
          image: 'example/db:1',
          replicas: 2,
          serviceName: 'db',
          volumeClaimTemplates: [claim],
        }),
      );
      const tolerations = [{ key: 'edge', operator: 'Exists' }];
      await apply(daemonSets, workload('DaemonSet', 'log', { image: 'example/log:1', pod: { tolerations } }));
      await apply(jobs, workload('Job', 'migrate', { image: 'example/migrate:1' }));
      await apply(jobs, workload('Job', 'broken', { image: 'example/fail:1', backoffLimit: 1 }));
      await until(statefulSets, 'db', (s) => s.status?.['readyReplicas'] === 2);
      await until(daemonSets, 'log', (s) => s.status?.['numberAvailable'] === 2);
      await until(jobs, 'migrate', (j) => conditionOf(j, 'Complete')?.status === 'True');
      await until(jobs, 'broken', (j) => conditionOf(j, 'Failed')?.reason === 'BackoffLimitExceeded');
      await apply(
        statefulSets,
        workload('StatefulSet', 'db', {
          image: 'example/db:2',
          replicas: 2,
          serviceName: 'db',
          volumeClaimTemplates: [claim],
        }),
      );
      const db = await until(
        statefulSets,
        'db',
        (s) =>
          s.status?.['observedGeneration'] === 2 &&
          s.status['currentRevision'] === s.status['updateRevision'],
      );
      assert.equal(db.status?.['readyReplicas'], 2);
    });

    test('what is deleted takes its dependents along, and a namespace everything in it', async () => {
      await client.delete(deployments, { namespace, name: 'web' });
      await poll(async () => {
        const { items } = await client.list(pods, { namespace, labelSelector: 'app=web' });
        return items.length === 0 ? true : undefined;
      });
      await client.delete(namespaces, { name: namespace });
      await poll(async () =>
        (await client.find(namespaces, { name: namespace })) === undefined ? true : undefined,
      );
    });

    test('the API goes down and comes back with what it had', async () => {
      const made = await client.create<KubeObject>(namespaces, {
        apiVersion: 'v1',
        kind: 'Namespace',
        metadata: { name: 'stays' },
      });
      await cluster.stop();
      await assert.rejects(client.get(namespaces, { name: 'stays' }), (error) => !isNotFound(error));
      await cluster.restart();
      const found = await poll(() =>
        client.find<KubeObject>(namespaces, { name: 'stays' }).catch(() => undefined),
      );
      assert.equal(found.metadata.uid, made.metadata.uid);
    });

    test('users and service accounts may do what RBAC says', async () => {
      const name = 'stays';
      const account = {
        apiVersion: 'v1',
        kind: 'ServiceAccount',
        metadata: { name: 'agent', namespace: name },
      };
      await client.create(serviceAccounts, account);
      const role: ClusterRole = {
        apiVersion: `${rbacGroup}/v1`,
        kind: 'ClusterRole',
        metadata: { name: 'pod-reader' },
        rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['list'] }],
      };
      const binding: RoleBinding = {
        apiVersion: `${rbacGroup}/v1`,
        kind: 'ClusterRoleBinding',
        metadata: { name: 'pod-readers' },
        subjects: [
          { kind: 'Group', apiGroup: rbacGroup, name: 'shop-staff' },
          { kind: 'ServiceAccount', name: 'agent', namespace: name },
        ],
        roleRef: { apiGroup: rbacGroup, kind: 'ClusterRole', name: 'pod-reader' },
      };
      await client.create(clusterRoles, role);
      await client.create(clusterRoleBindings, binding);
      const accesses = [
        await cluster.accessFor({ name: 'jane', groups: ['shop-staff'] }),
        await cluster.accessForServiceAccount(name, 'agent'),
      ];
      for (const access of accesses) {
        const { ca = '', cert, key } = access.tls;
        const token = (await access.authorization())?.replace('Bearer ', '');
        const theirs = createHttpClient({
          server: access.server,
          ca,
          ...(cert === undefined ? {} : { cert }),
          ...(key === undefined ? {} : { key }),
          ...(token === undefined ? {} : { token }),
        });
        await poll(() => theirs.list(pods).catch(() => undefined));
        await assert.rejects(theirs.list(deployments), (error) => isStatusError(error, 'Forbidden'));
        await theirs.close();
      }
    });
  });
}

function eventually(
  client: HttpClient,
  { resource, name }: { resource: ResourceRef; name: string },
  isRight: (object: Read) => boolean,
): Promise<Read> {
  let last: Read | undefined;
  return poll(
    async () => {
      last = await client.find<Read>(resource, { namespace, name });
      return last && isRight(last) ? last : undefined;
    },
    () => `${resource.kind} ${name}: ${JSON.stringify(last?.status)}`,
  );
}

async function poll<T>(probe: () => Promise<T | undefined>, describeLast = () => ''): Promise<T> {
  const deadline = systemClock.now().getTime() + 60_000;
  for (;;) {
    const found = await probe();
    if (found !== undefined) return found;
    if (systemClock.now().getTime() > deadline)
      throw new Error(`it did not happen in time ${describeLast()}`);
    await systemClock.sleep(100);
  }
}
