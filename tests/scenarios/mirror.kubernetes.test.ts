import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  type Application,
  applications,
  type Condition,
  type Delivery,
  deliveries,
  enrollmentTokens,
  type KubeObject,
  namespaces,
  type ResourceRef,
  type Site,
  sites,
} from '@selvedge/api';
import { createLogger, systemClock } from '@selvedge/api/node';
import { createKubernetesDriver, startTestAgent, type TestAgent } from '@selvedge/agent/testing';
import { type Hub, startHub } from '@selvedge/hub';
import { createHttpClient, type HttpClient, loadKubeconfig, resourcePath } from '@selvedge/kube';
import { clusterKinds, ClusterUnderTest, requireCluster, SimulatedWorkloads } from '@selvedge/testkit';

const deployments: ResourceRef = {
  group: 'apps',
  version: 'v1',
  plural: 'deployments',
  kind: 'Deployment',
  namespaced: true,
};
const configMaps: ResourceRef = {
  group: '',
  version: 'v1',
  plural: 'configmaps',
  kind: 'ConfigMap',
  namespaced: true,
};
const logger = createLogger({ level: 'silent' });
const edge = { edge: 'yes' };

interface Place {
  readonly cluster: ClusterUnderTest;
  readonly workloads: SimulatedWorkloads;
  readonly client: HttpClient;
  readonly stateDir: string;
  agent?: TestAgent;
}

/** What a hub, the cloud's cluster and one at the edge do together: true agents, true drivers, the true protocol. */
for (const kind of clusterKinds) {
  describe(`what runs in the cloud, on ${kind}, at the edge too`, requireCluster(kind), () => {
    let folder: string;
    let hub: Hub;
    let client: HttpClient;
    let cloud: Place;
    let shop: Place;

    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'svg-mirror-'));
      hub = await startHub({ data: join(folder, 'hub'), listen: '127.0.0.1:0', logger });
      client = createHttpClient({ kubeconfig: await loadKubeconfig(hub.kubeconfigPath) });
      await client.create(namespaces, namespaceNamed('shop'));
      cloud = await openPlace('cloud', kind, { tier: 'store' });
      shop = await openPlace('edge-1', 'our api server', { tier: 'store' });
    });
    after(async () => {
      for (const place of [cloud, shop]) {
        await place?.agent?.stop();
        await place?.workloads.close();
        await place?.cluster.close();
      }
      await client?.close();
      await hub?.close();
      await rm(folder, { recursive: true, force: true });
    });

    async function openPlace(
      name: string,
      clusterKind: typeof kind,
      labels: Record<string, string>,
    ): Promise<Place> {
      const cluster = await ClusterUnderTest.start(clusterKind);
      const workloads = await SimulatedWorkloads.start(cluster);
      const place: Place = {
        cluster,
        workloads,
        client: cluster.client(),
        stateDir: join(folder, name),
      };
      for (const namespace of ['selvedge-system', 'shop']) {
        await place.client.create(namespaces, namespaceNamed(namespace));
      }
      await client.create<Site>(sites, {
        apiVersion: 'selvedge.dev/v1alpha1',
        kind: 'Site',
        metadata: { name, labels },
      });
      await startAgent(name, place);
      return place;
    }

    async function startAgent(name: string, place: Place): Promise<void> {
      const token = await tokenFor(name);
      place.agent = startTestAgent({
        stateDir: place.stateDir,
        token,
        logger,
        createDriver: (context) =>
          createKubernetesDriver({
            ...context,
            access: place.cluster.access,
            stateDir: join(place.stateDir, 'kubernetes'),
            clock: systemClock,
            logger,
          }),
      });
      await until(`${name} is in touch`, async () => {
        const site = await client.get<Site>(sites, { name });
        return site.status?.connectivity === 'Connected';
      });
    }

    async function tokenFor(siteName: string): Promise<string> {
      const name = `join-${siteName}`;
      const known = await client.find(enrollmentTokens, { name });
      if (known === undefined) {
        await client.create(enrollmentTokens, {
          apiVersion: 'selvedge.dev/v1alpha1',
          kind: 'EnrollmentToken',
          metadata: { name },
          spec: { siteName },
        } as KubeObject);
      }
      const answer = await client.request<KubeObject & { status: { token: string } }>({
        method: 'POST',
        path: resourcePath(enrollmentTokens, { name, subresource: 'token' }),
        body: { apiVersion: 'selvedge.dev/v1alpha1', kind: 'EnrollmentTokenRequest', metadata: { name } },
      });
      return answer.status.token;
    }

    const till = () => client.get<Application>(applications, { namespace: 'shop', name: 'till' });
    const atEdge = (resource: ResourceRef, name: string) =>
      shop.client.find<KubeObject & { spec?: unknown }>(resource, { namespace: 'shop', name });
    const ready = async (): Promise<Condition | undefined> =>
      (await till()).status?.conditions?.find(({ type }) => type === 'SourceReady');

    test('a label is enough, a change follows in seconds, and what the cloud loses stays at the edge', async () => {
      await cloud.client.create(deployments, deployment('example/till:1'));
      await cloud.client.create(configMaps, {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'till', namespace: 'shop', labels: edge },
        data: { script: 'echo ${HOME} ${site.name}' },
      } as KubeObject);
      await client.create<Application>(applications, {
        apiVersion: 'selvedge.dev/v1alpha1',
        kind: 'Application',
        metadata: { name: 'till', namespace: 'shop' },
        spec: {
          source: {
            mirror: { site: 'cloud', namespaces: ['shop'], selector: { matchLabels: edge }, settle: '1s' },
          },
          placement: { siteSelector: { matchLabels: { tier: 'store' } } },
          images: { tags: 'Keep' },
          rollout: { waves: [{ name: 'all', percent: 100, soak: '0s' }] },
        },
      } as Application);
      await until(
        'the ConfigMap is at the edge',
        async () => (await atEdge(configMaps, 'till')) !== undefined,
      );
      assert.deepEqual((await atEdge(configMaps, 'till'))?.['data'], { script: 'echo ${HOME} ${site.name}' });
      assert.equal(await atEdge(deployments, 'till'), undefined);

      const named = { namespace: 'shop', name: 'till' };
      await cloud.client.mergePatch(deployments, named, { metadata: { labels: edge } });
      await until(
        'the Deployment is at the edge',
        async () => imageOf(await atEdge(deployments, 'till')) === 'example/till:1',
      );

      await cloud.client.mergePatch(deployments, named, deploymentImage('example/till:2'));
      await until(
        'the change is at the edge',
        async () => imageOf(await atEdge(deployments, 'till')) === 'example/till:2',
      );
      assert.equal((await ready())?.status, 'True');

      // The source does not get back what it gave.
      const { items } = await client.list<Delivery>(deliveries, { namespace: 'shop' });
      assert.deepEqual(
        items.map(({ spec }) => spec.site),
        ['edge-1'],
      );
      const inCloud = await cloud.client.get(deployments, named);
      assert.equal(inCloud.metadata.labels?.['applyset.kubernetes.io/part-of'], undefined);

      const release = (await till()).status?.release;
      await cloud.client.delete(deployments, named);
      await cloud.client.delete(configMaps, named);
      await until('it is seen to be empty', async () => (await ready())?.reason === 'SourceEmpty');
      assert.match((await ready())?.message ?? '', /What runs elsewhere stays/);
      assert.equal((await till()).status?.release, release);
      assert.equal(imageOf(await atEdge(deployments, 'till')), 'example/till:2');

      await cloud.agent?.stop();
      await cloud.client.create(deployments, {
        ...deployment('example/till:3'),
        metadata: { ...deployment('').metadata, labels: edge },
      });
      await startAgent('cloud', cloud);
      await until(
        'it is there again, after a restart of the agent',
        async () => imageOf(await atEdge(deployments, 'till')) === 'example/till:3',
      );
      await until(
        'what the cloud does not have any more is gone',
        async () => (await atEdge(configMaps, 'till')) === undefined,
      );
      assert.equal((await ready())?.status, 'True');
    });
  });
}

function namespaceNamed(name: string): KubeObject {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name } };
}

function deployment(image: string): KubeObject {
  const labels = { app: 'till' };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'till', namespace: 'shop' },
    spec: {
      replicas: 1,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: 'main', image }] } },
    },
  };
}

function deploymentImage(image: string): object {
  return { spec: { template: { spec: { containers: [{ name: 'main', image }] } } } };
}

function imageOf(found: KubeObject | undefined): string | undefined {
  const spec = found?.['spec'] as { template?: { spec?: { containers?: { image?: string }[] } } } | undefined;
  return spec?.template?.spec?.containers?.[0]?.image;
}

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 120_000;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`waited 120 s in vain until ${what}`);
    await systemClock.sleep(100);
  }
}
