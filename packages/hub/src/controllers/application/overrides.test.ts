import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type Application,
  applications,
  type ConfigMap,
  configMaps,
  type KubeObject,
  type Override,
  type Release,
  releases,
  type Site,
  sites,
  splitReleaseContent,
} from '@selvedge/api';
import type { ResolvedImage } from '../../images/image-resolver.ts';
import { TestHub } from '../testing/test-hub.ts';

type Spec = Partial<Application['spec']>;

const deployment = (image = 'registry.example/till:1', text = '') => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'till', annotations: { text } },
  spec: { replicas: 1, template: { spec: { containers: [{ name: 'till', image }] } } },
});
const of = (...manifests: object[]): Spec => ({
  source: { inline: { manifests } } as Application['spec']['source'],
});
const oneWave = { waves: [{ name: 'all', percent: 100 }] };
const forCountry = (country: string, rest: Partial<Override>): Override => ({
  name: country,
  siteSelector: { matchLabels: { country } },
  ...rest,
});

const find = (hub: TestHub) => hub.client.get<Application>(applications, { namespace: 'shop', name: 'till' });
const released = async (hub: TestHub) =>
  (await find(hub)).status?.conditions?.find(({ type }) => type === 'Released');

/** Waits until the hub has looked at the newest spec. */
async function settled(hub: TestHub): Promise<Application> {
  return hub.eventually(async () => {
    const application = await find(hub);
    assert.equal(application.status?.observedGeneration, application.metadata.generation);
    return application;
  });
}

async function releaseOf(hub: TestHub): Promise<Release> {
  const { status } = await settled(hub);
  return hub.client.get<Release>(releases, { namespace: 'shop', name: status?.release ?? '' });
}

async function contentOf(hub: TestHub, { spec }: Release) {
  const bytes = await hub.fleet.findBlob(spec.digest);
  return splitReleaseContent(JSON.parse(new TextDecoder().decode(bytes)) as KubeObject[]);
}

async function label(hub: TestHub, name: string, labels: Record<string, string>): Promise<void> {
  await hub.client.mergePatch<Site>(sites, { name }, { metadata: { labels } });
}

describe('overrides', () => {
  test('that match nothing give no release, and what went out before stays', async () => {
    await using hub = await TestHub.start();
    await hub.addSites('shop-1');
    await hub.apply({ ...of(deployment()), rollout: oneWave });
    const before = (await releaseOf(hub)).metadata.name;
    await hub.apply({
      ...of(deployment()),
      overrides: [forCountry('de', { replicas: [{ name: 'tell', count: 3 }] })],
    });
    await settled(hub);
    const condition = await released(hub);
    assert.deepEqual([condition?.status, condition?.reason], ['False', 'OverrideInvalid']);
    assert.match(condition?.message ?? '', /^spec\.overrides\[de\]\.replicas\[0\]: there is no .* tell$/);
    const [row] = await hub.rows();
    assert.equal((await find(hub)).status?.release, before);
    assert.equal(row?.release, before);
    // The same with the right name goes out, as the release's content and not as one of each site.
    await hub.apply({
      ...of(deployment()),
      overrides: [forCountry('de', { replicas: [{ name: 'till', count: 3 }] })],
    });
    const release = await releaseOf(hub);
    assert.notEqual(release.metadata.name, before);
    assert.deepEqual(release.spec.overrides, ['de']);
    const { manifests, rules } = await contentOf(hub, release);
    assert.deepEqual(manifests, [deployment()]);
    assert.deepEqual(rules.overrides?.[0]?.replicas, [{ name: 'till', count: 3 }]);
  });

  test('that fail only together give no release while they meet at a site, and one when they do not', async () => {
    await using hub = await TestHub.start();
    await hub.addSite('shop-1', { labels: { country: 'de', size: 's' } });
    await hub.addSite('shop-2', { labels: { country: 'de' } });
    const without = { target: { kind: 'Deployment' }, mergePatch: { spec: { template: null } } };
    const small: Override = {
      name: 'small',
      siteSelector: { matchLabels: { size: 's' } },
      images: [{ name: 'registry.example/till', newTag: '2' }],
    };
    const text = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'page' } };
    await hub.apply({
      ...of(deployment(), text),
      overrides: [forCountry('de', { patches: [without] }), small],
    });
    await settled(hub);
    const condition = await released(hub);
    assert.equal(condition?.reason, 'OverrideInvalid');
    assert.match(condition?.message ?? '', /^spec\.overrides\[small\]\.images\[0\]: .* \(at site shop-1\)$/);
    await label(hub, 'shop-1', { size: 'm' });
    await hub.eventually(async () => assert.equal((await released(hub))?.status, 'True'));
    await hub.eventually(async () => assert.equal((await hub.rows()).length, 2));
    // What was made stays made; the site that they meet at later is not given it, and is named.
    await hub.addSite('shop-3', { labels: { country: 'de', size: 's' } });
    await hub.apply({
      ...of(deployment(), text, { ...text, metadata: { name: 'more' } }),
      overrides: [
        forCountry('de', { patches: [without] }),
        { ...small, siteSelector: { matchLabels: { size: 'xs' } } },
      ],
    });
    await hub.eventually(async () => assert.equal((await hub.rows()).length, 3));
    await hub.addSite('shop-4', { labels: { country: 'de', size: 'xs' } });
    await hub.eventually(async () => {
      const status = (await hub.rollout((await find(hub)).status?.rollout ?? '')).status;
      const failure = status?.failures?.find(({ site }) => site === 'shop-4');
      assert.equal(failure?.reason, 'OverrideInvalid');
    });
    assert.equal((await released(hub))?.status, 'True');
    const newest = (await find(hub)).status?.release;
    const there = (await hub.rows()).find(({ site }) => site === 'shop-4');
    assert.notEqual(there?.release, newest);
  });
});

describe('variables', () => {
  test('a site that has none is named, and only sites that have one are given the release', async () => {
    await using hub = await TestHub.start();
    await hub.addSite('shop-1', { labels: { city: 'Ulm' } });
    await hub.addSite('shop-2', { spec: { variables: { city: 'Bonn' } } });
    await hub.addSite('shop-3');
    await hub.apply({
      ...of(deployment(undefined, '${variables.city}')),
      variables: [{ name: 'city', from: [{ siteVariable: 'city' }, { siteLabel: 'city' }] }],
      rollout: { ...oneWave, budget: { failed: '50%' } },
    });
    await hub.eventually(async () => {
      const failures = (await hub.rollout('till-1')).status?.failures;
      assert.deepEqual(
        failures?.map(({ site, reason }) => [site, reason]),
        [['shop-3', 'VariableUndefined']],
      );
      assert.match(
        failures?.[0]?.message ?? '',
        /variables\.city.* not in spec\.variables\.city of the Site, its label city, and it has no default/,
      );
      assert.deepEqual((await hub.rows()).map(({ site }) => site).sort(), ['shop-1', 'shop-2']);
    });
    assert.deepEqual((await releaseOf(hub)).spec.values, ['variables.city']);
    await label(hub, 'shop-3', { city: 'Jena' });
    await hub.eventually(async () => assert.equal((await hub.rows()).length, 3));
  });

  test('what stands in a ConfigMap is part of the release: another value is another release, another site is not', async () => {
    await using hub = await TestHub.start();
    await hub.addSites('shop-1', 'shop-2');
    const prices = (data: Record<string, string>): ConfigMap => ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'prices', namespace: 'shop' },
      data,
    });
    await hub.client.create(configMaps, prices({ tax: '19', 'shop-1.port': '81' }));
    await hub.apply({
      ...of(deployment(undefined, '${variables.tax} ${variables.port}')),
      variables: [
        { name: 'tax', from: [{ configMapKeyRef: { name: 'prices', key: 'tax' } }] },
        {
          name: 'port',
          from: [{ configMapKeyRef: { name: 'prices', key: '${site.name}.port' } }],
          default: 80,
        },
      ],
      rollout: oneWave,
    });
    const first = await releaseOf(hub);
    const { rules } = await contentOf(hub, first);
    assert.deepEqual(rules.variables, [
      { name: 'tax', from: [{ value: '19' }] },
      { name: 'port', from: [{ bySite: { 'shop-1': '81' } }], default: 80 },
    ]);
    await hub.addSites('shop-3');
    await hub.client.mergePatch(configMaps, { namespace: 'shop', name: 'prices' }, { data: { other: 'x' } });
    await hub.eventually(async () => assert.equal((await hub.rows()).length, 3));
    assert.equal((await find(hub)).status?.release, first.metadata.name);
    await hub.client.mergePatch(configMaps, { namespace: 'shop', name: 'prices' }, { data: { tax: '7' } });
    await hub.eventually(async () => {
      assert.notEqual((await find(hub)).status?.release, first.metadata.name);
      assert.ok((await hub.rows()).every(({ release }) => release !== first.metadata.name));
    });
  });
});

describe('a ConfigMap that is not there', () => {
  test('gives no release, and what went out before stays; a key that is not in one that is there has no value', async () => {
    await using hub = await TestHub.start();
    await hub.addSites('shop-1');
    const name = { namespace: 'shop', name: 'prices' };
    const prices: ConfigMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata: name, data: { tax: '19' } };
    await hub.client.create(configMaps, prices);
    const from = [{ configMapKeyRef: { name: 'prices', key: 'tax' } }];
    await hub.apply({
      ...of(deployment(undefined, '${variables.tax}')),
      variables: [{ name: 'tax', from, default: '7' }],
      rollout: oneWave,
    });
    const first = await releaseOf(hub);
    await hub.client.delete(configMaps, name);
    await hub.eventually(async () => {
      const condition = await released(hub);
      assert.deepEqual([condition?.status, condition?.reason], ['False', 'ReferenceMissing']);
      assert.match(condition?.message ?? '', /ConfigMap prices, which is not in namespace shop/);
    });
    assert.equal((await find(hub)).status?.release, first.metadata.name);
    assert.equal((await hub.row('shop-1'))?.release, first.metadata.name);
    await hub.client.create(configMaps, { ...prices, data: { other: 'x' } });
    await hub.eventually(async () => assert.equal((await released(hub))?.status, 'True'));
    const { rules } = await contentOf(hub, await releaseOf(hub));
    assert.deepEqual(rules.variables, [{ name: 'tax', from: [], default: '7' }]);
  });
});

describe('image tags', () => {
  /** A registry whose tags move. */
  class Registry {
    readonly tags = new Map<string, string>();
    asked = 0;
    readonly askedFor = new Set<string>();
    /** It is away: why. */
    fault: (() => string) | undefined;

    resolve(_namespace: string, images: readonly string[]): Promise<readonly ResolvedImage[]> {
      this.asked += 1;
      return Promise.resolve(
        images.map((image) => {
          this.askedFor.add(image);
          if (this.fault) return { image, unknown: this.fault(), isLasting: false };
          const digest = this.tags.get(image);
          if (digest === undefined) return { image, unknown: 'there is no such tag', isLasting: true };
          return { image, resolved: `${image}@sha256:${digest.repeat(64)}` };
        }),
      );
    }
  }

  async function restart(hub: TestHub, registry: Registry | undefined): Promise<void> {
    await hub.stopControllers();
    hub.imageResolver = registry;
    hub.startControllers();
  }

  /** The hub has looked at every Application again: what is new at a site has been brought there. */
  async function lookedAgain(hub: TestHub, site: string): Promise<void> {
    await hub.addSites(site);
    await hub.eventually(async () => assert.equal((await hub.row(site))?.report?.state, 'Running'));
  }

  const pinned = (image: string, digest: string) => `${image}@sha256:${digest.repeat(64)}`;
  const web = 'registry.example/till:1';

  test('become the digests of the moment in which the content was new, also in overrides, and never again', async () => {
    await using hub = await TestHub.start();
    await hub.stopControllers();
    const registry = new Registry();
    hub.imageResolver = registry;
    hub.startControllers();
    await hub.addSites('shop-1');
    registry.tags.set('registry.example/till:1', 'a');
    registry.tags.set('registry.example/till:2', 'b');
    const overrides = [forCountry('de', { images: [{ name: 'registry.example/till', newTag: '2' }] })];
    await hub.apply({ ...of(deployment()), overrides, rollout: oneWave });
    const release = await releaseOf(hub);
    assert.deepEqual(release.spec.images, [
      `registry.example/till:1@sha256:${'a'.repeat(64)}`,
      `registry.example/till:2@sha256:${'b'.repeat(64)}`,
    ]);
    const { rules } = await contentOf(hub, release);
    assert.deepEqual(rules.overrides?.[0]?.images, [
      { name: 'registry.example/till', newTag: '2', digest: `sha256:${'b'.repeat(64)}` },
    ]);
    // The tag moves; a new hub comes: nothing changes.
    const { asked } = registry;
    registry.tags.set('registry.example/till:1', 'c');
    await hub.stopControllers();
    hub.startControllers();
    await hub.addSites('shop-2');
    await hub.eventually(async () => assert.equal((await hub.rows()).length, 2));
    assert.equal((await find(hub)).status?.release, release.metadata.name);
    assert.equal(registry.asked, asked);
  });

  test('that nobody knows go out as they are and are named; with Resolve nothing goes out', async () => {
    await using hub = await TestHub.start();
    await hub.stopControllers();
    const registry = new Registry();
    hub.imageResolver = registry;
    hub.startControllers();
    await hub.addSites('shop-1');
    await hub.apply({ ...of(deployment()), rollout: oneWave });
    const first = await releaseOf(hub);
    assert.deepEqual(first.spec.images, ['registry.example/till:1']);
    const resolved = (await find(hub)).status?.conditions?.find(({ type }) => type === 'ImagesResolved');
    assert.deepEqual([resolved?.status, resolved?.reason], ['False', 'ImageUnknown']);
    assert.match(resolved?.message ?? '', /registry\.example\/till:1 \(there is no such tag\)/);
    await hub.apply({
      ...of(deployment('registry.example/till:3')),
      images: { tags: 'Resolve' },
      rollout: oneWave,
    });
    await settled(hub);
    assert.equal((await released(hub))?.reason, 'ImageUnknown');
    assert.equal((await find(hub)).status?.release, first.metadata.name);
    registry.tags.set('registry.example/till:3', 'd');
    await hub.pass(61_000);
    await hub.eventually(async () => assert.equal((await released(hub))?.status, 'True'));
    assert.deepEqual((await releaseOf(hub)).spec.images, [
      `registry.example/till:3@sha256:${'d'.repeat(64)}`,
    ]);
  });

  test('of what is out already are not looked up by a hub that begins to, and known digests outlive one that does not', async () => {
    await using hub = await TestHub.start();
    await hub.addSites('shop-1');
    await hub.apply({ ...of(deployment()), rollout: oneWave });
    const first = await releaseOf(hub);
    assert.deepEqual(first.spec.images, [web]);
    const registry = new Registry();
    registry.tags.set(web, 'a');
    await restart(hub, registry);
    await lookedAgain(hub, 'shop-2');
    const application = await hub.eventually(async () => {
      const found = await find(hub);
      assert.notEqual(found.status?.images, undefined);
      return found;
    });
    assert.equal(application.status?.release, first.metadata.name);
    assert.equal(registry.asked, 0);
    const condition = application.status?.conditions?.find(({ type }) => type === 'ImagesResolved');
    assert.match(condition?.message ?? '', /till:1 \(it went out with its tag before\)/);
    // Other content is a rollout anyhow: what has no digest gets one.
    await hub.apply({ ...of(deployment(web, 'two')), rollout: oneWave });
    const second = await releaseOf(hub);
    assert.deepEqual(second.spec.images, [pinned(web, 'a')]);
    await restart(hub, undefined);
    await lookedAgain(hub, 'shop-3');
    assert.equal((await find(hub)).status?.release, second.metadata.name);
    // Nor does it take a digest away from what it changes itself.
    await hub.apply({ ...of(deployment(web, 'three')), rollout: oneWave });
    assert.deepEqual((await releaseOf(hub)).spec.images, [pinned(web, 'a')]);
  });

  test('that are known keep their digest when other content comes, whatever the registry says: only new names are looked up', async () => {
    await using hub = await TestHub.start();
    const registry = new Registry();
    await restart(hub, registry);
    await hub.addSites('shop-1');
    registry.tags.set(web, 'a');
    await hub.apply({ ...of(deployment()), rollout: oneWave });
    await releaseOf(hub);
    registry.fault = () => 'registry.example is away';
    registry.askedFor.clear();
    const log = 'registry.example/log:7';
    const both = of(deployment(web, 'two'), { ...deployment(log), metadata: { name: 'log' } });
    await hub.apply({ ...both, rollout: oneWave });
    assert.deepEqual((await releaseOf(hub)).spec.images, [log, pinned(web, 'a')]);
    assert.deepEqual([...registry.askedFor], [log]);
  });

  test('are what they were when an application goes back to what it was before', async () => {
    await using hub = await TestHub.start();
    const registry = new Registry();
    await restart(hub, registry);
    await hub.addSites('shop-1');
    registry.tags.set(web, 'a').set('registry.example/till:2', 'b');
    await hub.apply({ ...of(deployment()), rollout: oneWave });
    const first = await releaseOf(hub);
    await hub.apply({ ...of(deployment('registry.example/till:2')), rollout: oneWave });
    assert.deepEqual((await releaseOf(hub)).spec.images, [pinned('registry.example/till:2', 'b')]);
    registry.tags.set(web, 'c');
    await hub.apply({ ...of(deployment()), rollout: oneWave });
    assert.equal((await releaseOf(hub)).metadata.name, first.metadata.name);
  });

  test('that cannot be looked up are asked for each minute, and not at every write', async () => {
    await using hub = await TestHub.start();
    const registry = new Registry();
    await restart(hub, registry);
    await hub.addSites('shop-1');
    let faults = 0;
    registry.fault = () => `fault ${faults++}`;
    await hub.apply({ ...of(deployment()), images: { tags: 'Resolve' }, rollout: oneWave });
    await settled(hub);
    for (let second = 0; second < 50; second++) await hub.pass(1_000);
    assert.ok(registry.asked <= 2, `${registry.asked} lookups within a minute`);
    registry.fault = undefined;
    registry.tags.set(web, 'a');
    await hub.pass(61_000);
    await hub.eventually(async () => assert.equal((await released(hub))?.status, 'True'));
  });

  test('with Resolve nothing goes out from a hub that asks no registry', async () => {
    await using hub = await TestHub.start();
    await hub.addSites('shop-1');
    await hub.apply({ ...of(deployment()), images: { tags: 'Resolve' }, rollout: oneWave });
    await settled(hub);
    const condition = await released(hub);
    assert.equal(condition?.reason, 'ImageUnknown');
    assert.match(condition?.message ?? '', /--no-registry-lookup/);
  });
});
