import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Application, applications, namespaces, type Site, sites } from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import { type Hub, startHub } from '@selvedge/hub';
import { parseAllDocuments } from 'yaml';
import { type Captured, runCaptured } from '../testing/run-captured.ts';

const application: Application = {
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
            metadata: { name: 'till' },
            spec: { replicas: 1, template: { metadata: { annotations: { city: '${variables.city}' } } } },
          },
          { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'pin' }, stringData: { pin: 'very secret' } },
        ],
      },
    },
    placement: { siteSelector: { matchLabels: { tier: 'store' } } },
    variables: [{ name: 'city', from: [{ siteLabel: 'city' }] }],
    secrets: [{ name: 'keys', as: 'till-keys' }],
    overrides: [
      {
        name: 'de',
        siteSelector: { matchLabels: { country: 'de' } },
        replicas: [{ name: 'till', count: 3 }],
        patches: [{ target: { kind: 'Secret' }, mergePatch: { stringData: { pin: 'another secret' } } }],
      },
    ],
  },
};

describe('selvedge render and why, on a hub', () => {
  let folder = '';
  let hub: Hub;
  const cli = (...args: string[]): Promise<Captured> =>
    runCaptured([...args, '-n', 'shop'], { env: { SELVEDGE_KUBECONFIG: hub.kubeconfigPath } });
  const makeSite = (name: string, labels: Record<string, string>) =>
    hub.client.create<Site>(sites, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Site',
      metadata: { name, labels },
    });

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'selvedge-render-'));
    hub = await startHub({ data: folder, listen: '127.0.0.1:0', logger: createLogger({ level: 'silent' }) });
    await hub.client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
    await makeSite('ulm', { tier: 'store', country: 'de', city: 'Ulm' });
    await makeSite('graz', { tier: 'store', city: 'Graz' });
    await makeSite('nowhere', { tier: 'store' });
    await makeSite('office', { tier: 'office', city: 'Ulm' });
    await hub.client.create(applications, application);
    for (let tries = 0; ; tries++) {
      const present = await hub.client.get<Application>(applications, application.metadata);
      if (present.status?.rollout !== undefined) break;
      assert.ok(tries < 400, JSON.stringify(present.status));
      await sleep(50);
    }
  });
  after(async () => {
    await hub.close();
    await rm(folder, { recursive: true });
  });

  test('prints the manifests of one site, as other tools read them, and no value of a Secret', async () => {
    const { code, stdout, stderr } = await cli('render', 'till', '--site', 'ulm');
    assert.equal(code, 0, stderr);
    const [deployment, secret, ...rest] = parseAllDocuments(stdout).map((each) => each.toJS() as unknown);
    assert.deepEqual(rest, []);
    assert.deepEqual(deployment, {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'till' },
      spec: { replicas: 3, template: { metadata: { annotations: { city: 'Ulm' } } } },
    });
    assert.deepEqual((secret as { stringData: unknown }).stringData, { pin: 'masked' });
    assert.doesNotMatch(stdout + stderr, /secret"|very secret|another secret/);
    assert.match(stderr, /Release till-\w+ at ulm, with overrides de/);
    assert.match(stderr, /Secret till-keys is added there: that of keys at the hub/);
    const graz = JSON.parse((await cli('render', 'till', '--site', 'graz', '-o', 'json')).stdout);
    assert.equal(graz.items[0].spec.replicas, 1);
  });

  test('says which override changed what', async () => {
    const { stdout } = await cli('render', 'till', '--site', 'ulm', '--trace');
    assert.match(stdout, /Deployment\/till +overrides\[de\]\.replicas\[0\] +spec\.replicas/);
    assert.match(stdout, /Secret\/pin +overrides\[de\]\.patches\[0\] +stringData\.pin/);
    assert.match((await cli('render', 'till', '--site', 'graz', '--trace')).stdout, /No override changes/);
  });

  test('names what a site lacks, and that it is not in the placement', async () => {
    const { code, stdout, stderr } = await cli('render', 'till', '--site', 'nowhere');
    assert.equal(code, 1);
    assert.equal(stdout, '');
    assert.match(stderr, /the site has no variables\.city, and there is no default/);
    assert.match((await cli('render', 'till', '--site', 'office')).stderr, /not in the placement of till/);
    const unknown = await cli('render', 'till', '--site', 'moon');
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /"moon" not found/);
    const why = await cli('why', 'nowhere', 'till');
    assert.match(why.stdout, /variables\.city/);
    assert.match(why.stdout, /^Blocked/);
  });
});
