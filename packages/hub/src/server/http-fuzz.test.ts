import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { isStatusError, type KubeObject } from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import { createHttpClient, type HttpClient, loadKubeconfig } from '@selvedge/kube';
import { type FuzzKind, fuzzHttp, type FuzzServer, type FuzzTarget } from '@selvedge/testkit';
import { type Hub, startHub } from './start-hub.ts';

/** For a long run: `SELVEDGE_FUZZ_REQUESTS=100000 SELVEDGE_FUZZ_SEED=7 node --test …`. */
const requests = Number(process.env['SELVEDGE_FUZZ_REQUESTS'] ?? 2_000);
const seed = Number(process.env['SELVEDGE_FUZZ_SEED'] ?? 20_261_121);

const spec = (kind: string, content: object, apiVersion = 'selvedge.dev/v1alpha1') => ({
  apiVersion,
  kind,
  metadata: { name: 'fuzz-a', labels: { a: 'b' }, annotations: { note: 'text' } },
  ...content,
});
const rules = [{ apiGroups: [''], resources: ['configmaps'], verbs: ['get'] }];
const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' };
const subjects = [{ kind: 'User', name: 'bob', apiGroup: 'rbac.authorization.k8s.io' }];
const involved = { kind: 'Site', namespace: 'default', name: 'fuzz-a' };
const rbac = 'rbac.authorization.k8s.io/v1';
const authorization = 'authorization.k8s.io/v1';

/** A good object of each kind, as far as it has content of its own. */
const objects: readonly Readonly<Record<string, unknown>>[] = [
  spec('ConfigMap', { data: { a: 'b' }, binaryData: { c: 'AAEC' } }, 'v1'),
  spec('Secret', { type: 'Opaque', data: { a: 'Yg==' }, stringData: { c: 'd' } }, 'v1'),
  spec('Namespace', {}, 'v1'),
  spec('ServiceAccount', { automountServiceAccountToken: false }, 'v1'),
  spec('Event', { involvedObject: involved, reason: 'Fuzzed', message: 'm', type: 'Normal' }, 'v1'),
  spec('ResourceQuota', { spec: { hard: { 'count/configmaps': '1k' } } }, 'v1'),
  spec('Lease', { spec: { holderIdentity: 'a', leaseDurationSeconds: 15 } }, 'coordination.k8s.io/v1'),
  spec('Role', { rules }, rbac),
  spec(
    'ClusterRole',
    { rules, aggregationRule: { clusterRoleSelectors: [{ matchLabels: { a: 'b' } }] } },
    rbac,
  ),
  spec('RoleBinding', { roleRef, subjects }, rbac),
  spec('ClusterRoleBinding', { roleRef, subjects }, rbac),
  spec(
    'SelfSubjectAccessReview',
    { spec: { resourceAttributes: { verb: 'get', resource: 'x' } } },
    authorization,
  ),
  spec(
    'SubjectAccessReview',
    { spec: { user: 'bob', nonResourceAttributes: { path: '/', verb: 'get' } } },
    authorization,
  ),
  spec('TokenReview', { spec: { token: 'a.b.c' } }, 'authentication.k8s.io/v1'),
  spec('TokenRequest', { spec: { audiences: ['a'], expirationSeconds: 600 } }, 'authentication.k8s.io/v1'),
  spec('Scale', { spec: { replicas: 2 } }, 'autoscaling/v1'),
  spec('Site', { spec: { variables: { city: 'Bern' } } }),
  spec('EnrollmentToken', { spec: { ttl: '1h', uses: 1 } }),
  spec('Application', {
    spec: {
      source: {
        inline: {
          manifests: [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'page' }, data: {} }],
        },
      },
      placement: { siteSelector: { matchLabels: { tier: 'store' } } },
      rollout: {
        waves: [
          { name: 'canary', sites: 1, soak: '10m' },
          { name: 'rest', percent: 100 },
        ],
        deadline: '10m',
      },
    },
  }),
  { kind: 'DeleteOptions', apiVersion: 'v1', propagationPolicy: 'Foreground', preconditions: { uid: 'x' } },
];

describe('the HTTP surface of a hub', () => {
  let data: string;
  let hub: Hub;
  let client: HttpClient;
  let server: FuzzServer;
  let target: FuzzTarget;
  const faults: string[] = [];

  before(async () => {
    data = mkdtempSync(join(tmpdir(), 'selvedge-fuzz-'));
    const logger = createLogger({
      level: 'error',
      destination: { write: (line: string) => faults.push(line) },
    });
    hub = await startHub({
      data,
      listen: '127.0.0.1:0',
      logger,
      auditLogMaxsize: '1',
      auditLogMaxbackup: '1',
    });
    const kubeconfig = await loadKubeconfig(hub.kubeconfigPath);
    client = createHttpClient({ kubeconfig });
    const { ca = '', cert = '', key = '' } = kubeconfig;
    server = { host: '127.0.0.1', port: hub.port, ca, cert, key };
    target = { kinds: await kindsOf(client) };
  });
  after(async () => {
    await client.close();
    await hub.close();
    rmSync(data, { recursive: true, force: true });
  });

  test(`takes ${requests} requests that range from odd to hostile, seed ${seed}`, async (t) => {
    const result = await fuzzHttp({
      server,
      target,
      seed,
      requests,
      heapBytes: () => heapAfterCollection(),
      tidy: () => tidy(client, target.kinds),
    });
    const { findings, ...numbers } = result;
    t.diagnostic(JSON.stringify(numbers));
    assert.deepEqual([findings, faults.filter(isOfApi)], [[], []]);
    assert.ok(
      (result.statuses[200] ?? 0) + (result.statuses[201] ?? 0) > requests / 100,
      'it reaches what it fuzzes',
    );
    assert.ok(result.heapGrowthBytes < 64 * 1024 ** 2, `the heap grew by ${result.heapGrowthBytes} bytes`);
    assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
  });
});

interface ResourceList {
  readonly resources: readonly {
    readonly name: string;
    readonly kind: string;
    readonly namespaced: boolean;
  }[];
}

/** Every collection that discovery names. */
async function kindsOf(client: HttpClient): Promise<FuzzKind[]> {
  const { groups } = await client.request<{ groups: { preferredVersion: { groupVersion: string } }[] }>({
    method: 'GET',
    path: '/apis',
  });
  const versions = groups.map(({ preferredVersion }) => preferredVersion.groupVersion);
  const lists = await Promise.all(
    ['v1', ...versions].map(async (apiVersion) => {
      const root = apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}`;
      return { apiVersion, root, ...(await client.request<ResourceList>({ method: 'GET', path: root })) };
    }),
  );
  return lists.flatMap(({ apiVersion, root, resources }) =>
    resources
      .filter(({ name }) => !name.includes('/'))
      .map(({ name, kind, namespaced }) => ({
        path: `${root}/${namespaced ? 'namespaces/default/' : ''}${name}`,
        object: objects.find((object) => object['kind'] === kind) ?? spec(kind, {}, apiVersion),
      })),
  );
}

const isOfApi = (line: string): boolean => line.includes('"component":"api"');

/** Roles that the hub needs are not the fuzzer's to keep. */
const isOurs = ({ metadata }: KubeObject): boolean =>
  /^(?:system:|selvedge|cluster-admin|admin|edit|view|default|kube-)/.test(metadata.name);

async function tidy(client: HttpClient, kinds: readonly FuzzKind[]): Promise<void> {
  for (const { path } of kinds) {
    const list = await ignoring(client.request<{ items?: KubeObject[] }>({ method: 'GET', path }));
    for (const object of list?.items ?? []) {
      if (isOurs(object)) continue;
      const place = `${path}/${encodeURIComponent(object.metadata.name)}`;
      if (object.metadata.finalizers) {
        const body = { metadata: { finalizers: null } };
        const contentType = 'application/merge-patch+json';
        await ignoring(client.request({ method: 'PATCH', path: place, body, contentType }));
      }
      await ignoring(client.request({ method: 'DELETE', path: place }));
    }
  }
}

/** What it cannot delete stays: the fuzzer may have made it so. */
async function ignoring<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (isStatusError(error)) return undefined;
    throw error;
  }
}

function heapAfterCollection(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  return process.memoryUsage().heapUsed;
}
