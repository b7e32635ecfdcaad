import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Application,
  type ApplicationPlan,
  applications,
  canonicalJson,
  defaultItemTerms,
  type KubeObject,
  namespaces,
  type Release,
  releases,
  type Rollout,
  rollouts,
  type Site,
  sites,
  splitReleaseContent,
} from '@selvedge/api';
import { createLogger, sha256Digest } from '@selvedge/api/node';
import { createHttpClient, type HttpClient, loadKubeconfig, resourcePath } from '@selvedge/kube';
import { type Hub, startHub } from '../server/start-hub.ts';

type Change = Pick<Application['spec'], 'apply'> & { nodeGroups?: string[]; app?: string };

/** One hub and one application; each test goes on where the one before ended. */
describe('rules of an application, on a hub', () => {
  let folder = '';
  let hub: Hub;
  let client: HttpClient;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'selvedge-rules-'));
    const logger = createLogger({ level: 'silent' });
    hub = await startHub({ data: folder, listen: '127.0.0.1:0', logger });
    client = createHttpClient({ kubeconfig: await loadKubeconfig(hub.kubeconfigPath) });
    await client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
    for (const [name, groups] of Object.entries({ 'shop-1': ['edge'], 'shop-2': ['office'] })) {
      await client.create<Site>(sites, {
        apiVersion: 'selvedge.dev/v1alpha1',
        kind: 'Site',
        metadata: { name },
        spec: { nodeGroups: groups.map((group) => ({ name: group })) },
      });
    }
  });
  after(async () => {
    await client.close();
    await hub.close();
    await rm(folder, { recursive: true });
  });

  const manifestsOf = (app: string): KubeObject[] => [
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'till' },
      spec: { selector: { matchLabels: { app } }, template: { metadata: { labels: { app } } } },
    },
  ];
  const application = ({ apply, nodeGroups, app = 'till' }: Change): Application => ({
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Application',
    metadata: { name: 'till', namespace: 'shop' },
    spec: {
      source: { inline: { manifests: manifestsOf(app) } },
      placement: { siteSelector: {}, ...(nodeGroups === undefined ? {} : { nodeGroups }) },
      ...(apply === undefined ? {} : { apply }),
    },
  });
  const plan = async (change: Change) => {
    const path = resourcePath(applications, { namespace: 'shop', name: 'till', subresource: 'plan' });
    const body = application(change);
    return (await client.request<ApplicationPlan>({ method: 'POST', path, body })).status;
  };
  const name = { namespace: 'shop', name: 'till' };
  /** Applies it, and returns the release that it makes. */
  const released = async (change: Change): Promise<Release> => {
    await client.apply(applications, application(change), { fieldManager: 'test', force: true });
    const { digest } = (await plan(change)).release;
    for (let tries = 0; tries < 300; tries++) {
      const { items } = await client.list<Release>(releases, { namespace: 'shop' });
      const release = items.find(({ spec }) => spec.digest === digest);
      const present = await client.get<Application>(applications, name);
      if (release !== undefined && present.status?.release === release.metadata.name) return release;
      await sleep(50);
    }
    throw new Error('no release was made');
  };
  const contentOf = async ({ spec }: Release): Promise<KubeObject[]> => {
    const bytes = await hub.fleet.findBlob(spec.digest);
    return JSON.parse(new TextDecoder().decode(bytes)) as KubeObject[];
  };

  test('without rules the content is the manifests and nothing else, as it always was', async () => {
    const release = await released({ apply: { drift: 'Correct' } });
    assert.equal(release.spec.digest, sha256Digest(canonicalJson(manifestsOf('till'))));
    assert.deepEqual([release.spec.apply, release.spec.nodeGroups], [undefined, undefined]);
  });

  test('a change of the rules alone is a new release, shown as what it is', async () => {
    const apply = { drift: 'Report' as const };
    const planned = await plan({ apply, nodeGroups: ['edge', 'cloud'] });
    assert.equal(planned.change, 'Changed');
    assert.deepEqual(planned.manifests, { changes: [], unchanged: 1 });
    assert.match(planned.rules?.diff ?? '', /\+ {2}drift: Report/);
    assert.match(planned.rules?.diff ?? '', /\+ {2}- cloud/);
    assert.deepEqual(planned.missingNodeGroups, {
      count: 1,
      names: ['shop-2'],
      nodeGroups: ['cloud', 'edge'],
    });
    const release = await released({ apply, nodeGroups: ['edge', 'cloud'] });
    assert.deepEqual(release.spec.resources, ['Deployment/till']);
    assert.deepEqual(release.spec.nodeGroups, ['cloud', 'edge']);
    assert.equal(release.spec.apply?.drift, 'Report');
    const { manifests, rules } = splitReleaseContent(await contentOf(release));
    assert.deepEqual(manifests, manifestsOf('till'));
    assert.deepEqual(rules, { apply, nodeGroups: ['cloud', 'edge'] });
    assert.equal((await plan({ apply, nodeGroups: ['cloud', 'edge'] })).rules, undefined);
  });

  test('a site without any of the groups is named by the rollout', async () => {
    for (let tries = 0; ; tries++) {
      const { items } = await client.list<Rollout>(rollouts, { namespace: 'shop' });
      const failures = items.flatMap(({ status }) => status?.failures ?? []);
      if (failures.some(({ site, reason }) => site === 'shop-2' && reason === 'NoNodeGroup')) return;
      assert.ok(tries < 300, JSON.stringify(items.map(({ status }) => status)));
      await sleep(50);
    }
  });

  test('fields that cannot be changed in place are named, where something is there already', async () => {
    const apply = { drift: 'Report' as const };
    const change = { apply, nodeGroups: ['edge'], app: 'shop' };
    const { metadata, status } = await client.get<Application>(applications, name);
    const { spec } = await client.get<Release>(releases, { ...name, name: status?.release ?? '' });
    await hub.fleet.assign([
      {
        site: 'shop-1',
        namespace: 'shop',
        application: 'till',
        applicationUid: metadata.uid ?? '',
        release: status?.release ?? '',
        digest: spec.digest,
        rollout: '',
        wave: '',
        deadlineSeconds: 600,
        terms: defaultItemTerms,
      },
    ]);
    const [refused, ...others] = (await plan(change)).immutableChanges ?? [];
    assert.deepEqual(others, []);
    assert.deepEqual([refused?.resource, refused?.fields], ['Deployment/till', ['spec.selector']]);
    assert.equal(refused?.outcome, 'Refused');
    assert.match(refused.advice, /onImmutableChange: Replace/);
    const replacing = { ...change, apply: { ...apply, onImmutableChange: 'Replace' as const } };
    assert.equal((await plan(replacing)).immutableChanges?.[0]?.outcome, 'Replaced');
    const agent = { version: '1', keyFingerprint: 'SHA256:x', enrolledTime: new Date().toISOString() };
    for (const site of ['shop-1', 'shop-2']) {
      const status = { agent: { ...agent, runtime: 'podman 4.3.1' } };
      await client.mergePatch(sites, { name: site }, { status }, { subresource: 'status' });
    }
    assert.equal((await plan(change)).immutableChanges, undefined, 'Podman has no such rules');
  });
});
