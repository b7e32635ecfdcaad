import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type Application,
  canonicalJson,
  defaultMirrorKinds,
  findReferences,
  type KubeObject,
  type Site,
} from '@selvedge/api';
import { mirrorOrderDigest, sha256Digest } from '@selvedge/api/node';
import { manifestBytes } from '../source-content.ts';
import { SourceError } from '../source-reading.ts';
import { refreshAnnotation, sourceSpecDigest } from '../source-spec.ts';
import { mirrorOrder, mirrorOrders } from './mirror-orders.ts';
import { openMirrorReader } from './mirror-source-reader.ts';

type Mirrors = NonNullable<NonNullable<Site['status']>['mirrors']>;

const never = new AbortController().signal;
const configMaps = (...names: string[]): KubeObject[] =>
  names.map((name) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name },
    data: { script: 'echo ${HOME} $${site.name} $$' },
  }));

const application: Application = {
  apiVersion: 'selvedge.dev/v1alpha1',
  kind: 'Application',
  metadata: { name: 'till', namespace: 'shop', uid: 'uid-till' },
  spec: {
    source: { mirror: { site: 'cloud', namespaces: ['shop'], selector: {}, settle: '1m' } },
    placement: { siteSelector: {} },
  },
};

/** What was read last, as the source controller writes it. */
function having(
  manifests: readonly KubeObject[],
  change: Partial<Application['metadata']> = {},
): Application {
  return {
    ...application,
    metadata: { ...application.metadata, ...change },
    status: {
      source: {
        kind: 'mirror',
        revision: sha256Digest(canonicalJson(manifests)),
        digest: sha256Digest(manifestBytes(manifests)),
        specDigest: sourceSpecDigest(application),
        manifests: manifests.length,
        readTime: '2026-01-01T00:00:00.000Z',
      },
    },
  };
}

interface World {
  /** What the site has, by its own account. */
  readonly manifests?: readonly KubeObject[];
  readonly mirror?: Partial<Mirrors[number]>;
  readonly connectivity?: 'Connected' | 'Away';
  readonly link?: 'Disabled';
  /** What the hub has read of it before. */
  readonly before?: readonly KubeObject[];
  readonly hasContent?: boolean;
}

function open(world: World) {
  const {
    manifests = configMaps('a'),
    mirror,
    connectivity = 'Connected',
    before,
    hasContent = true,
  } = world;
  const bytes = new TextEncoder().encode(canonicalJson(manifests));
  const digest = sha256Digest(bytes);
  const order = mirrorOrder(application, 'cloud');
  assert.ok(order);
  const said: Mirrors[number] = {
    uid: 'uid-till',
    order: mirrorOrderDigest(order),
    digest,
    objects: manifests.length,
    observedTime: '2026-01-01T00:00:00.000Z',
    received: digest,
    ...mirror,
  };
  const site: Site = {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Site',
    metadata: { name: 'cloud' },
    ...(world.link === undefined ? {} : { spec: { link: world.link } }),
    status: {
      mirrors: [said],
      conditions: [
        {
          type: 'Connected',
          status: connectivity === 'Connected' ? 'True' : 'False',
          reason: connectivity,
          message: '',
          lastTransitionTime: '2026-01-02T00:00:00.000Z',
        },
      ],
    },
  };
  const blobs = new Map<string, Uint8Array>(hasContent ? [[digest, bytes]] : []);
  if (before) blobs.set(sha256Digest(manifestBytes(before)), manifestBytes(before));
  const reader = openMirrorReader({
    fleet: { findBlob: async (one: string) => blobs.get(one) } as never,
    sites: { list: () => [site], find: ({ name }) => (name === 'cloud' ? site : undefined) },
  });
  return { reader, digest };
}

async function faultOf(world: World, of: Application = application): Promise<string> {
  const { reader } = open(world);
  const error = await reader.read(of, never).then(
    () => assert.fail('it was read'),
    (cause: unknown) => cause,
  );
  assert.ok(error instanceof SourceError, String(error));
  return `${error.fault}: ${error.message}`;
}

describe('the source of kind mirror', () => {
  test('gives what the site has brought; texts of its objects stay texts', async () => {
    const { reader, digest } = open({});
    assert.equal(await reader.findRevision(application, never), digest);
    const { revision, manifests } = await reader.read(application, never);
    assert.equal(revision, digest);
    assert.deepEqual(findReferences(manifests), []);
    assert.deepEqual(manifests[0]?.['data'], { script: 'echo $${HOME} $$${site.name} $$' });
  });

  test('says who has to do what while there is nothing to read', async () => {
    const elsewhere = structuredClone(application);
    assert.ok(elsewhere.spec.source.mirror);
    elsewhere.spec.source.mirror.site = 'moon';
    assert.match(await faultOf({}, elsewhere), /^NotFound: There is no Site "moon"/);
    assert.match(await faultOf({ mirror: { uid: 'another' } }), /^SourceUnavailable: .* has not said yet/);
    assert.match(
      await faultOf({ mirror: { order: 'sha256:old' } }),
      /^SourceUnavailable: .* has not answered yet/,
    );
    assert.match(
      await faultOf({ mirror: { digest: '', message: 'the agent may not list Deployment' } }),
      /^SourceUnavailable: .* cannot read it: the agent may not list Deployment\./,
    );
    assert.match(await faultOf({ manifests: [] }), /^SourceEmpty: .* no object there has these labels/);
    assert.match(
      await faultOf({ hasContent: false }),
      /^SourceUnavailable: .* does not have what site "cloud" sent/,
    );
    const { digest, objects } = { digest: 'sha256:next', objects: 2 };
    const sending = { ...open({}), mirror: { digest, objects } };
    assert.match(
      await faultOf({ mirror: sending.mirror }),
      /^SourceUnavailable: .* is sending its 2 objects/,
    );
  });

  test('while a change is on its way, and while the site is away, what was read last stays', async () => {
    const before = configMaps('a');
    const known = having(before);
    const onItsWay = open({ mirror: { digest: 'sha256:next' } });
    assert.equal(await onItsWay.reader.findRevision(known, never), known.status?.source?.revision);
    assert.match(
      await faultOf({ connectivity: 'Away' }, known),
      /^SourceUnavailable: .* is away since 2026-01-02/,
    );
    // What it brought before it went away is taken all the same.
    const { manifests } = await open({ connectivity: 'Away', manifests: configMaps('b') }).reader.read(
      known,
      never,
    );
    assert.deepEqual(
      manifests.map(({ metadata }) => metadata.name),
      ['b'],
    );
  });

  test('a set that lost most of its objects is taken only when a person says so', async () => {
    const before = configMaps('a', 'b', 'c', 'd');
    const known = having(before);
    const shrunk = { before, manifests: configMaps('a', 'new') };
    assert.match(
      await faultOf(shrunk, known),
      /^SourceShrunk: At site "cloud" 3 of 4 objects are gone: ConfigMap\/b, .*selvedge app refresh till -n shop/,
    );
    const asked = having(before, { annotations: { [refreshAnnotation]: '2026-01-03T00:00:00Z' } });
    assert.equal((await open(shrunk).reader.read(asked, never)).manifests.length, 2);
    // Half of them may go, so may all of what another spec had named, and the only one.
    assert.equal(
      (await open({ before, manifests: configMaps('a', 'b') }).reader.read(known, never)).manifests.length,
      2,
    );
    assert.ok(known.status?.source);
    const renamed = { ...known, status: { source: { ...known.status.source, specDigest: 'sha256:other' } } };
    assert.equal((await open(shrunk).reader.read(renamed, never)).manifests.length, 2);
    const one = having(configMaps('a'));
    assert.equal(
      (await open({ before: configMaps('a'), manifests: configMaps('b') }).reader.read(one, never)).manifests
        .length,
      1,
    );
  });
});

const siteCalled = (name: string, spec: Site['spec'] = {}) => ({ metadata: { name }, spec });

test('a site with a closed link is not mirrored', async () => {
  for (const link of ['Read', 'Full'] as const) {
    assert.equal(mirrorOrders([application], siteCalled('cloud', { link })).length, 1);
  }
  assert.deepEqual(mirrorOrders([application], siteCalled('cloud', { link: 'Disabled' })), []);
  const { reader } = open({ link: 'Disabled' });
  for (const attempt of [reader.findRevision(application, never), reader.read(application, never)]) {
    await assert.rejects(attempt, (error) => {
      assert.ok(error instanceof SourceError);
      assert.equal(error.fault, 'SourceUnavailable');
      assert.match(error.message, /"cloud".*spec\.link is Disabled/);
      return true;
    });
  }
});

test('orders of a site are those of its applications that live, with the usual kinds', () => {
  const gone = { ...application, metadata: { ...application.metadata, deletionTimestamp: 'now' } };
  assert.deepEqual(mirrorOrders([gone], siteCalled('cloud')), []);
  assert.deepEqual(mirrorOrders([application], siteCalled('moon')), []);
  assert.deepEqual(mirrorOrders([application], siteCalled('cloud')), [
    {
      uid: 'uid-till',
      namespaces: ['shop'],
      selector: {},
      kinds: defaultMirrorKinds,
      secrets: [],
      settleSeconds: 60,
    },
  ]);
});
