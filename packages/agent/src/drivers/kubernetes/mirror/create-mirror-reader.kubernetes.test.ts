import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeObject, ResourceRef } from '@selvedge/api';
import { systemClock } from '@selvedge/api/node';
import { describeOnClusters } from '../testing/driver-suite.ts';
import { eventually, type KubernetesTestSite, type LooseObject } from '../testing/kubernetes-test-site.ts';
import { autoscalers, claims, deployments, services, workload } from '../testing/sample-manifests.ts';
import { commonManifests, edgeLabel, furtherManifests, webDeployment } from './testing/mirrored-manifests.ts';
import { agentNamespace, MirrorUnderTest, orderOf } from './testing/mirror-under-test.ts';

const configMaps: ResourceRef = {
  group: '',
  version: 'v1',
  plural: 'configmaps',
  kind: 'ConfigMap',
  namespaced: true,
};
const secrets: ResourceRef = { ...configMaps, plural: 'secrets', kind: 'Secret' };
const written = [...commonManifests, ...furtherManifests];

const plurals: Readonly<Record<string, string>> = {
  Ingress: 'ingresses',
  NetworkPolicy: 'networkpolicies',
};

function resourceOf({ apiVersion, kind }: KubeObject): ResourceRef {
  const [group, version] = apiVersion.includes('/') ? apiVersion.split('/', 2) : ['', apiVersion];
  const plural = plurals[kind] ?? `${kind.toLowerCase()}s`;
  return { group: group ?? '', version: version ?? '', plural, kind, namespaced: true };
}

/** As somebody with `kubectl create` does it. */
async function create(site: KubernetesTestSite, manifest: KubeObject): Promise<void> {
  const metadata = { ...manifest.metadata, namespace: site.namespace };
  await site.client.create(resourceOf(manifest), { ...manifest, metadata });
}

const byName = (manifests: readonly KubeObject[]) =>
  [...manifests].sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
const nameOf = ({ kind, metadata }: KubeObject) => `${kind}/${metadata.name}`;
const labelled = (manifest: KubeObject): KubeObject => ({
  ...manifest,
  metadata: { ...manifest.metadata, labels: edgeLabel },
});

describeOnClusters('a mirror', {}, (suite) => {
  test('gives back what was written, whatever the API server and controllers made of it', async () => {
    await using site = await suite().openSite();
    for (const manifest of written) await create(site, manifest);
    await create(site, workload({ name: 'unlabelled' }));
    await eventually(
      () => site.find(deployments, 'web'),
      (found) => found?.status?.['observedGeneration'] !== undefined,
      'the Deployment is looked after',
    );
    await using mirror = new MirrorUnderTest(suite().cluster.access);
    mirror.reader.setOrders([orderOf({ namespaces: [site.namespace] })]);
    const report = await mirror.until('it is read', ({ digest }) => digest !== '');
    assert.deepEqual(byName(mirror.manifests(report)), byName(written));
    assert.equal(report.objects, written.length);
    assert.equal(report.message, undefined);

    // What is given to another cluster is the same there.
    await using other = await suite().openSite();
    for (const manifest of mirror.manifests(report)) await create(other, manifest);
    await using again = new MirrorUnderTest(suite().cluster.access);
    again.reader.setOrders([orderOf({ namespaces: [other.namespace] })]);
    const copied = await again.until('the copy is read', ({ digest }) => digest !== '');
    assert.equal(copied.digest, report.digest);
  });

  test('a label is enough, a change follows, what only the cluster changes does not', async () => {
    await using site = await suite().openSite();
    await create(site, workload({ name: 'shop' }));
    await using mirror = new MirrorUnderTest(suite().cluster.access);
    mirror.reader.setOrders([orderOf({ namespaces: [site.namespace] })]);
    const empty = await mirror.until('it is read as empty', ({ digest }) => digest !== '');
    assert.equal(empty.objects, 0);

    await site.patch(deployments, 'shop', { metadata: { labels: edgeLabel } });
    const first = await mirror.until('the Deployment is in it', ({ objects }) => objects === 1);
    const tellings = mirror.tellings;
    await site.patch(deployments, 'shop', {
      metadata: { annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{}' } },
      spec: { template: { metadata: { annotations: { 'kubectl.kubernetes.io/restartedAt': 'now' } } } },
    });
    await systemClock.sleep(1500);
    assert.equal(mirror.tellings, tellings);

    await site.patch(deployments, 'shop', {
      spec: { template: { spec: { containers: [{ name: 'main', image: 'example/shop:2' }] } } },
    });
    const second = await mirror.until('the change is in it', ({ digest }) => digest !== first.digest);
    assert.match(JSON.stringify(mirror.manifests(second)), /example\/shop:2/);
    assert.equal(mirror.reader.content(first.uid, first.digest), undefined);

    await site.client.delete(deployments, { namespace: site.namespace, name: 'shop' });
    assert.equal((await mirror.until('it is gone', ({ objects }) => objects === 0)).digest, empty.digest);
  });

  test('what Selvedge brought there, what has an owner and what every cluster has is left out', async () => {
    await using site = await suite().openSite();
    await site.start();
    site.assign({ release: 'r1', manifests: [labelled(workload({ name: 'ours' }))] });
    await site.until('Running');
    await create(site, labelled(workload({ name: 'theirs' })));
    const owner = (await site.find(deployments, 'theirs'))?.metadata;
    await create(site, {
      ...labelled({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'owned' } }),
      metadata: {
        name: 'owned',
        labels: edgeLabel,
        ownerReferences: [
          {
            apiVersion: 'apps/v1',
            kind: 'Deployment',
            name: 'theirs',
            uid: owner?.uid ?? '',
            controller: true,
          },
        ],
      },
    });
    await using mirror = new MirrorUnderTest(suite().cluster.access);
    mirror.reader.setOrders([orderOf({ namespaces: [site.namespace] })]);
    const report = await mirror.until('it is read', ({ digest }) => digest !== '');
    assert.deepEqual(mirror.manifests(report).map(nameOf), ['Deployment/theirs']);
    assert.match(report.message ?? '', /Selvedge brought them there itself.*Deployment\/ours/);

    mirror.reader.setOrders([orderOf({ namespaces: [site.namespace], selector: {} })]);
    const all = await mirror.until('all of it is read', ({ digest }) => digest !== '');
    const names = mirror.manifests(all).map(nameOf);
    assert.ok(!names.some((name) => /kube-root-ca|ServiceAccount\/default/.test(name)), names.join());
  });

  test('numbers that an autoscaler sets, and claims that a StatefulSet makes, are not mirrored', async () => {
    await using site = await suite().openSite();
    await create(site, labelled(workload({ name: 'scaled' })));
    await create(site, labelled(workload({ name: 'watched', spec: { replicas: 4 } })));
    await create(site, labelled(workload({ name: 'byhand' })));
    await create(site, {
      apiVersion: 'autoscaling/v2',
      kind: 'HorizontalPodAutoscaler',
      metadata: { name: 'watched', labels: edgeLabel },
      spec: {
        maxReplicas: 9,
        minReplicas: 2,
        scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'watched' },
        metrics: [
          {
            type: 'Resource',
            resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 60 } },
          },
        ],
      },
    });
    await create(site, labelled(statefulSetWithClaim('db')));
    await eventually(
      () => site.names(claims),
      (names) => names.includes('data-db-0'),
      'the claim is made',
    );
    await site.patch(claims, 'data-db-0', { metadata: { labels: edgeLabel } });
    await site.scale(deployments, 'scaled', 7);
    await site.patch(deployments, 'byhand', { spec: { replicas: 3 } });
    await using mirror = new MirrorUnderTest(suite().cluster.access);
    mirror.reader.setOrders([orderOf({ namespaces: [site.namespace] })]);
    const report = await mirror.until('it is read', ({ digest }) => digest !== '');
    const manifests = mirror.manifests(report);
    const replicas = (name: string) => {
      const found = manifests.find(({ metadata }) => metadata.name === name) as LooseObject | undefined;
      return found?.spec?.['replicas'];
    };
    assert.equal(replicas('scaled'), undefined);
    assert.equal(replicas('watched'), undefined);
    assert.equal(replicas('byhand'), 3);
    assert.deepEqual(
      manifests.filter(({ kind }) => kind === 'PersistentVolumeClaim'),
      [],
    );
    assert.ok((await site.find(autoscalers, 'watched')) !== undefined);
  });

  test('Secrets come by name only, and one that is missing is no reason to take it away elsewhere', async () => {
    await using site = await suite().openSite();
    const secret = (name: string): KubeObject => ({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name, labels: edgeLabel },
      type: 'Opaque',
      data: { key: 'dmFsdWU=' },
    });
    for (const name of ['db', 'other']) await create(site, secret(name));
    await using mirror = new MirrorUnderTest(suite().cluster.access);
    mirror.reader.setOrders([orderOf({ namespaces: [site.namespace], secrets: ['db'] })]);
    const report = await mirror.until('it is read', ({ digest }) => digest !== '');
    assert.deepEqual(mirror.manifests(report), [secret('db')]);
    await site.client.delete(secrets, { namespace: site.namespace, name: 'db' });
    const fault = await mirror.until('it is missed', ({ digest }) => digest === '');
    assert.match(fault.message ?? '', /Secret db .* is not there/);
  });

  test('a paused Deployment holds the whole set back until it is resumed', async () => {
    await using site = await suite().openSite();
    await create(site, labelled(workload({ name: 'shop' })));
    await using mirror = new MirrorUnderTest(suite().cluster.access);
    mirror.reader.setOrders([orderOf({ namespaces: [site.namespace] })]);
    const first = await mirror.until('it is read', ({ digest }) => digest !== '');
    await site.patch(deployments, 'shop', { spec: { paused: true } });
    const held = await mirror.until('it is held', ({ digest }) => digest === '');
    assert.match(held.message ?? '', /Deployment\/shop is paused/);
    assert.notEqual(mirror.reader.content(first.uid, first.digest), undefined);
    await site.patch(deployments, 'shop', { spec: { paused: null, minReadySeconds: 3 } });
    const next = await mirror.until('it is resumed', ({ digest }) => digest !== '');
    assert.notEqual(next.digest, first.digest);
  });

  test('an API that goes and comes back with other objects loses nothing', async () => {
    await using site = await suite().openSite();
    await create(site, labelled(workload({ name: 'shop' })));
    await using mirror = new MirrorUnderTest(suite().cluster.access);
    mirror.reader.setOrders([orderOf({ namespaces: [site.namespace] })]);
    const first = await mirror.until('it is read', ({ digest }) => digest !== '');
    await suite().cluster.stop();
    await systemClock.sleep(3000);
    assert.equal(mirror.reader.reports()[0]?.digest, first.digest);
    await suite().cluster.restart();
    await eventually(
      async () => site.patch(services, 'nothing', {}).catch((error: Error) => error.message),
      (message) => /not found/.test(message ?? ''),
      'the API answers',
    );
    await site.client.delete(deployments, { namespace: site.namespace, name: 'shop' });
    await create(site, labelled(workload({ name: 'next' })));
    const second = await mirror.until(
      'the other is read',
      ({ digest, objects }) => objects === 1 && digest !== '' && digest !== first.digest,
    );
    assert.deepEqual(mirror.manifests(second).map(nameOf), ['Deployment/next']);
  });

  test('what may not be read, is not there or is too large is named, and never an empty list', async () => {
    await using site = await suite().openSite();
    const namespaces = [site.namespace];
    await create(site, labelled(webDeployment));
    await using mirror = new MirrorUnderTest(suite().cluster.access, {
      agentNamespace: site.agentNamespace,
      allowedNamespaces: [site.namespace, site.agentNamespace],
    });
    const faultOf = async (order: Parameters<typeof orderOf>[0]): Promise<string> => {
      mirror.reader.setOrders([orderOf(order)]);
      return (await mirror.until('it is refused', ({ digest }) => digest === '')).message ?? '';
    };
    assert.match(await faultOf({ namespaces: [site.agentNamespace] }), /is the agent's own/);
    assert.match(await faultOf({ namespaces: ['kube-system'] }), /--mirror-namespaces/);
    assert.match(
      await faultOf({ namespaces, kinds: [{ apiVersion: 'v1', kind: 'Secret' }] }),
      /by name only/,
    );
    assert.match(
      await faultOf({ namespaces, kinds: [{ apiVersion: 'apps/v1', kind: 'Deploymnet' }] }),
      /no kind Deploymnet in apps\/v1: take it out/,
    );
    assert.match(
      await faultOf({ namespaces, kinds: [{ apiVersion: 'v1', kind: 'Namespace' }] }),
      /is of no namespace/,
    );
    for (const n of [1, 2, 3]) {
      const data = { large: 'x'.repeat(900_000) };
      await create(
        site,
        labelled({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: `c${n}` }, data }),
      );
    }
    assert.match(await faultOf({ namespaces }), /4 objects of 2\.6 MiB are selected, the limit is 2\.0 MiB/);

    const nobody = await suite().cluster.accessFor({ name: 'nobody', groups: [] });
    await using blind = new MirrorUnderTest(nobody, { agentNamespace });
    blind.reader.setOrders([orderOf({ namespaces })]);
    const denied = await blind.until('it may not', ({ digest }) => digest === '');
    assert.match(denied.message ?? '', /may not list and watch \w+ in namespace shop-.*forbidden/s);
  });
});

function statefulSetWithClaim(name: string): KubeObject {
  const spec = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } };
  const template = { metadata: { name: 'data', labels: edgeLabel }, spec };
  return workload({ kind: 'StatefulSet', name, spec: { volumeClaimTemplates: [template] } });
}
