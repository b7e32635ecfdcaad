import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type KubeObject, readDockerConfig, secrets } from '@selvedge/api';
import { describeOnClusters } from './testing/driver-suite.ts';
import { eventually, type KubernetesTestSite } from './testing/kubernetes-test-site.ts';
import { configMap, deployments, workload } from './testing/sample-manifests.ts';

const annotation = 'selvedge.dev/secret-versions';
const registry = 'registry.example:5000';

/** A Deployment whose pods read the Secret. */
const reader = (): object =>
  workload({
    pod: {
      containers: [{ name: 'main', image: `${registry}/till:1`, envFrom: [{ secretRef: { name: 'keys' } }] }],
    },
  });

const release = (pin: string, version: string) => ({
  release: 'web-1',
  manifests: [reader()],
  secrets: { keys: { version, data: { pin } } },
});

async function pinOf(site: KubernetesTestSite): Promise<string | undefined> {
  const data = (await site.find(secrets, 'keys'))?.['data'] as Record<string, string> | undefined;
  return data?.['pin'] && Buffer.from(data['pin'], 'base64').toString();
}

async function getDeployment(site: KubernetesTestSite): Promise<KubeObject> {
  const found = await site.find(deployments, 'web');
  assert.ok(found);
  return found;
}

function markOf(deployment: KubeObject): string | undefined {
  const { template } = deployment['spec'] as { template: KubeObject };
  return template.metadata.annotations?.[annotation];
}

describeOnClusters('secrets of the hub', {}, (suite) => {
  test('another value is applied and rolls the pods that use it; the release is the same', async () => {
    await using site = await suite().openSite();
    site.assign(release('4711', 'v1'));
    await site.start();
    await site.until('Running');
    assert.equal(await pinOf(site), '4711');
    const before = markOf(await getDeployment(site));
    site.assign(release('4712', 'v2'));
    await eventually(
      () => pinOf(site),
      (pin) => pin === '4712',
      'the new value is there',
    );
    await eventually(
      () => getDeployment(site),
      (deployment) => markOf(deployment) !== before,
      'pods roll',
    );
    await site.until('Running');
  });

  test('after a restart the active release is understood with the values that it had', async () => {
    await using site = await suite().openSite();
    site.assign(release('4711', 'v1'));
    await site.start();
    await site.until('Running');
    const before = await getDeployment(site);
    await site.stop();
    site.reports.length = 0;
    await site.start();
    await site.until('Running');
    assert.equal((await getDeployment(site)).metadata.generation, before.metadata.generation);
  });

  test('a login becomes a pull secret; a renewed one changes that Secret and nothing else', async () => {
    await using site = await suite().openSite();
    const login = (password: string) => [{ registry, username: 'AWS', password }];
    site.assign({ ...release('4711', 'v1'), logins: login('first') });
    await site.start();
    await site.until('Running');
    const pulled = async () => {
      const data = (await site.find(secrets, 'selvedge-pull-web'))?.['data'] as
        | Record<string, string>
        | undefined;
      const text = Buffer.from(data?.['.dockerconfigjson'] ?? '', 'base64').toString();
      return readDockerConfig(text)?.[0]?.password;
    };
    assert.equal(await pulled(), 'first');
    const before = await getDeployment(site);
    site.assign({ ...release('4711', 'v1'), logins: login('second') });
    await eventually(pulled, (password) => password === 'second', 'the pull secret is new');
    assert.equal((await getDeployment(site)).metadata.generation, before.metadata.generation);
    await site.until('Running', { epoch: site.assign(release('4711', 'v1')) });
    assert.equal((await getDeployment(site)).metadata.generation, before.metadata.generation);
    assert.equal(await pulled(), 'second', 'what a release was given stays with it');
    site.remove();
    await site.until('Removed');
    assert.equal(await site.find(secrets, 'selvedge-pull-web'), undefined);
  });

  test('a login that comes to a healthy release rolls nothing; the next release pulls with it', async () => {
    await using site = await suite().openSite();
    const first = release('4711', 'v1');
    site.assign(first);
    await site.start();
    await site.until('Running');
    const before = await getDeployment(site);
    const logins = [{ registry, username: 'AWS', password: 'first' }];
    const epoch = site.assign({ ...first, logins });
    await site.until('Running', { epoch });
    assert.equal((await getDeployment(site)).metadata.generation, before.metadata.generation);
    assert.equal(await site.find(secrets, 'selvedge-pull-web'), undefined);
    const next = { ...first, release: 'web-2', manifests: [...first.manifests, configMap('more', {})] };
    site.assign({ ...next, logins });
    await site.until('Running', { release: 'web-2' });
    const { template } = (await getDeployment(site))['spec'] as { template: { spec: object } };
    assert.deepEqual(Reflect.get(template.spec, 'imagePullSecrets'), [{ name: 'selvedge-pull-web' }]);
    assert.ok(await site.find(secrets, 'selvedge-pull-web'));
  });
});
