import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import {
  apiVersionOf,
  applications,
  configMaps,
  type Delivery,
  defaultItemTerms,
  deliveries,
  enrollmentTokens,
  isStatusError,
  type KubeObject,
  type Release,
  type ResourceRef,
  type Rollout,
  releases,
  resourceName,
  rollouts,
  type Secret,
  type Site,
  secrets,
  sites,
} from '@selvedge/api';
import { type JsonSchema, createApiServer } from '@selvedge/apiserver';
import { createLogger } from '@selvedge/api/node';
import { openSqliteStore } from '@selvedge/store';
import { FakeClock } from '@selvedge/testkit';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hubResourceDefinitions, sensitiveResources } from './index.ts';

const clock = new FakeClock();
const logger = createLogger({ level: 'silent' });
const directory = await mkdtemp(join(tmpdir(), 'selvedge-resources-'));
const store = await openSqliteStore({ path: join(directory, 'store.db'), clock, logger });
const definitions = hubResourceDefinitions({
  fleet: store.fleet,
  objects: store.objects,
  clock,
  connectedWithinSeconds: 60,
  issueEnrollmentToken: (token) => Promise.resolve(token),
  client: () => client,
});
const api = await createApiServer({ definitions, store: store.objects, clock, logger });
const client = api.client({ name: 'test', groups: ['system:masters'] });

after(async () => {
  await api.close();
  await store.close();
  await rm(directory, { recursive: true, force: true });
});

let count = 0;
/** Fields that are refused, and the whole message. */
async function refusal(ref: ResourceRef, body: Record<string, unknown>, name = `x-${++count}`) {
  const object = {
    apiVersion: ref.group === '' ? ref.version : `${ref.group}/${ref.version}`,
    kind: ref.kind,
    metadata: { name, ...(ref.namespaced ? { namespace: 'default' } : {}) },
    ...body,
  } as KubeObject;
  try {
    await client.create(ref, object);
  } catch (error) {
    if (!isStatusError(error)) throw error;
    return { fields: (error.details.causes ?? []).map((cause) => cause.field), message: error.message };
  }
  return { fields: [], message: '' };
}

const fingerprint = `SHA256:${'x'.repeat(43)}`;
const manifest = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' } };
const application = (spec: object = {}) => ({
  spec: { source: { inline: { manifests: [manifest] } }, placement: { siteSelector: {} }, ...spec },
});
const waves = (...list: object[]) => application({ rollout: { waves: list } });

describe('an Application is refused', () => {
  test('never, when it is in order', async () => {
    const good = application({
      rollout: {
        waves: [
          { name: 'canary', sites: 1, soak: '10m' },
          { name: 'early', percent: 10 },
          { name: 'rest', percent: 100 },
        ],
        budget: { failed: '2%' },
        deadline: '15m',
      },
    });
    assert.equal((await refusal(applications, good)).message, '');
  });

  test('without a source', async () => {
    const { fields, message } = await refusal(applications, application({ source: {} }));
    assert.deepEqual(fields, ['spec.source']);
    assert.match(message, /exactly one of inline/);
  });

  test('with nothing in it, or with half of what it needs', async () => {
    assert.deepEqual((await refusal(applications, {})).fields, ['spec']);
    assert.deepEqual((await refusal(applications, { spec: {} })).fields, ['spec.source', 'spec.placement']);
    const { placement, source } = application().spec;
    assert.deepEqual((await refusal(applications, { spec: { source } })).fields, ['spec.placement']);
    const empty = { spec: { placement, source: { inline: {} } } };
    assert.deepEqual((await refusal(applications, empty)).fields, ['spec.source.inline.manifests']);
  });

  test('with an invalid label selector', async () => {
    const siteSelector = { matchExpressions: [{ key: 'tier', operator: 'In' }] };
    const { fields } = await refusal(applications, application({ placement: { siteSelector } }));
    assert.deepEqual(fields, ['spec.placement.siteSelector.matchExpressions[0].values']);
  });

  test('with waves that never reach every site, do not grow, or say too much or too little', async () => {
    const never = await refusal(applications, waves({ name: 'a', sites: 1 }, { name: 'b', percent: 50 }));
    assert.deepEqual(never.fields, ['spec.rollout.waves']);
    assert.match(never.message, /never reach every site: the last wave must have percent: 100/);
    const shrinking = await refusal(
      applications,
      waves({ name: 'a', percent: 50 }, { name: 'b', percent: 20 }, { name: 'c', percent: 100 }),
    );
    assert.deepEqual(shrinking.fields, ['spec.rollout.waves[1].percent']);
    const unclear = await refusal(
      applications,
      waves({ name: 'a' }, { name: 'b', sites: 1, percent: 5 }, { name: 'c', percent: 100 }),
    );
    assert.deepEqual(unclear.fields, ['spec.rollout.waves[0]', 'spec.rollout.waves[1]']);
    const twice = await refusal(applications, waves({ name: 'a', sites: 1 }, { name: 'a', percent: 100 }));
    assert.deepEqual(twice.fields, ['spec.rollout.waves[1]']);
    for (const name of ['\u001b[2J', 'a b', '-a', 'Canary', 'a\n']) {
      const unsafe = await refusal(applications, waves({ name, percent: 100 }));
      assert.deepEqual(unsafe.fields, ['spec.rollout.waves[0].name'], JSON.stringify(name));
    }
  });

  test('with durations that are none', async () => {
    const spec = { rollout: { deadline: 'soon', waves: [{ name: 'a', percent: 100, soak: '10' }] } };
    const { fields } = await refusal(applications, application(spec));
    assert.deepEqual(fields, ['spec.rollout.waves[0].soak', 'spec.rollout.deadline']);
  });

  test('with manifests that are none, or the same twice', async () => {
    const path = 'spec.source.inline.manifests';
    const inline = (...manifests: object[]) => application({ source: { inline: { manifests } } });
    assert.deepEqual((await refusal(applications, inline())).fields, [path]);
    assert.deepEqual((await refusal(applications, inline({ hello: 'world' }))).fields, [
      `${path}[0].apiVersion`,
      `${path}[0].kind`,
      `${path}[0].metadata.name`,
    ]);
    const twice = await refusal(applications, inline(manifest, manifest));
    assert.deepEqual(twice.fields, [`${path}[1]`]);
    assert.match(twice.message, /the same resource as spec\.source\.inline\.manifests\[0\]/);
  });

  test('with a name that cannot be part of others', async () => {
    assert.deepEqual((await refusal(applications, application(), 'a.b')).fields, ['metadata.name']);
    assert.deepEqual((await refusal(applications, application(), 'a'.repeat(60))).fields, ['metadata.name']);
  });
});

describe('a Site is refused', () => {
  test('with a time zone, duration or variable name that is none', async () => {
    const spec = {
      timeZone: 'Europe/Ulm',
      connectivity: { expected: 'daily' },
      variables: { city: 'Ulm', '2nd': 'x' },
    };
    const { fields } = await refusal(sites, { spec });
    assert.deepEqual(fields, ['spec.timeZone', 'spec.connectivity.expected', 'spec.variables']);
    assert.equal((await refusal(sites, { spec: { timeZone: 'Europe/Berlin' } })).message, '');
    assert.deepEqual((await refusal(sites, {}, 'a'.repeat(64))).fields, ['metadata.name']);
  });
});

describe('an EnrollmentToken is refused', () => {
  const refused = async (spec: object) => (await refusal(enrollmentTokens, { spec })).fields;

  test('unless it names exactly one site, or a template that makes many', async () => {
    assert.deepEqual(await refused({}), ['spec.siteName']);
    assert.deepEqual(await refused({ siteName: 'a', siteNameTemplate: 'b' }), ['spec.siteNameTemplate']);
    assert.deepEqual(await refused({ siteName: 'a', uses: 2 }), ['spec.siteName']);
    assert.deepEqual(await refused({ siteNameTemplate: 'shop', uses: 2 }), ['spec.siteNameTemplate']);
    assert.deepEqual(await refused({ siteNameTemplate: 'shop-{serial}' }), ['spec.siteNameTemplate']);
    assert.deepEqual(await refused({ siteName: 'Shop 1' }), ['spec.siteName']);
    assert.deepEqual(await refused({ siteNameTemplate: 'shop-{hostname}', uses: 2 }), []);
    assert.deepEqual(await refused({ siteName: 'shop-1' }), []);
  });

  test('with wrong labels, a wrong ttl, or approved keys that nobody asks for', async () => {
    const spec = { siteName: 'a', siteLabels: { 'a b': 'c' }, ttl: 'long', approvedKeys: [fingerprint] };
    assert.deepEqual(await refused(spec), ['spec.approvedKeys', 'spec.siteLabels', 'spec.ttl']);
    assert.deepEqual(await refused({ siteName: 'a', ttl: '99999999d' }), ['spec.ttl']);
  });

  test('with a fingerprint that none has: it would approve nobody', async () => {
    const spec = { siteName: 'a', approval: 'Manual', approvedKeys: ['shop-1'] };
    assert.deepEqual(await refused(spec), ['spec.approvedKeys[0]']);
    const site = await refusal(sites, { spec: { revokedKeys: [fingerprint, 'shop-1'] } });
    assert.deepEqual(site.fields, ['spec.revokedKeys[1]']);
  });
});

describe('what must not change', () => {
  test('a Release, and what a Rollout brings where', async () => {
    const digest = `sha256:${'0'.repeat(64)}`;
    const metadata = { name: 'r', namespace: 'default' };
    const apiVersion = 'selvedge.dev/v1alpha1' as const;
    const release = await client.create<Release>(releases, {
      apiVersion,
      kind: 'Release',
      metadata,
      spec: { application: 'a', digest, sizeBytes: 2 },
    });
    await assert.rejects(
      client.update(releases, { ...release, spec: { ...release.spec, sizeBytes: 3 } }),
      /spec: Forbidden: a Release is immutable/,
    );
    const rollout = await client.create<Rollout>(rollouts, {
      apiVersion,
      kind: 'Rollout',
      metadata,
      spec: { application: 'a', release: 'r', digest, strategy: {} },
    });
    await assert.rejects(
      client.update(rollouts, { ...rollout, spec: { ...rollout.spec, release: 'other' } }),
      /spec\.release: Forbidden/,
    );
    await client.update(rollouts, {
      ...rollout,
      spec: { ...rollout.spec, strategy: { budget: { failed: 5 } } },
    });
  });
});

describe('core kinds', () => {
  test('Secrets take texts, check base64 without quoting it, and can be immutable', async () => {
    const secret = await client.create<Secret>(secrets, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 's', namespace: 'default' },
      data: { a: 'YQ==' },
      stringData: { b: 'ü' },
      immutable: true,
    });
    assert.deepEqual(secret.data, { a: 'YQ==', b: 'w7w=' });
    assert.equal(secret.stringData, undefined);
    assert.equal(secret.type, 'Opaque');
    await assert.rejects(
      client.update(secrets, { ...secret, data: {} }),
      /data: Forbidden: the object is immutable/,
    );
    const { fields, message } = await refusal(secrets, { data: { a: 'hunter2!' } });
    assert.deepEqual(fields, ['data[a]']);
    assert.doesNotMatch(message, /hunter2/);
  });

  test('ConfigMaps have keys that can be file names', async () => {
    const { fields } = await refusal(configMaps, { data: { 'a/b': '' }, binaryData: { c: '' } });
    assert.deepEqual(fields, ['data[a/b]']);
  });
});

describe('reads', () => {
  test('fill in what is known of a site; what is sent back of it is not stored', async () => {
    const created = await client.create<Site>(sites, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Site',
      metadata: { name: 'seen' },
    });
    assert.deepEqual(created.status, {
      connectivity: 'NeverConnected',
      epoch: 0,
      applications: { wanted: 0, running: 0, progressing: 0, prepared: 0, failed: 0 },
    });
    const lastSeenAt = clock.now().toISOString();
    store.fleet.touch({ site: 'seen', lastSeenAt, agentEpoch: 0, agentStateDigest: '' });
    await clock.advance(1_000);
    const seen = await client.get<Site>(sites, { name: 'seen' });
    assert.equal(seen.status?.connectivity, 'Connected');
    assert.equal(seen.status?.lastSeenTime, lastSeenAt);
    const written = await client.updateStatus(sites, seen);
    assert.equal(written.metadata.resourceVersion, seen.metadata.resourceVersion);
    const stored = await store.objects.find({ resource: resourceName(sites), namespace: '', name: 'seen' });
    assert.equal('status' in JSON.parse(stored?.body ?? '{}'), false);
  });
});

describe('a watch of Deliveries', () => {
  test('that reads slower than rows change misses none, and holds few', async () => {
    const watching = new AbortController();
    const { metadata } = await client.list(deliveries);
    const events = client.watch<Delivery>(deliveries, {
      resourceVersion: metadata.resourceVersion,
      signal: watching.signal,
    });
    const assign = (first: number, count: number) =>
      store.fleet.assign(
        Array.from({ length: count }, (_, i) => ({
          site: `slow-${first + i}`,
          namespace: 'default',
          application: 'till',
          applicationUid: 'u',
          release: 'till-1',
          digest: `sha256:${'1'.repeat(64)}`,
          deadlineSeconds: 60,
          terms: defaultItemTerms,
          rollout: 'till-1',
          wave: 'a',
        })),
      );
    const first = events[Symbol.asyncIterator]().next();
    await assign(0, 1);
    await first;
    for (let i = 0; i < 5; i++) await assign(1 + i * 500, 500);
    const seen = new Set<string>();
    for await (const event of events) {
      if (event.type !== 'BOOKMARK') seen.add(event.object.spec.site);
      if (seen.has('slow-2500')) break;
    }
    watching.abort();
    for (let i = 1; i <= 2500; i++) assert.ok(seen.has(`slow-${i}`), `slow-${i}`);
  });
});

describe('definitions', () => {
  test('name the sensitive kinds for the store', () => {
    const sensitive = definitions.filter((d) => 'sensitive' in d && d.sensitive === true);
    assert.deepEqual(new Set(sensitive.map((d) => resourceName(d.ref))), sensitiveResources);
  });

  test('describe every field, for kubectl explain', () => {
    const bare: string[] = [];
    const visit = (schema: JsonSchema, path: string) => {
      const properties = (schema['properties'] ?? {}) as Record<string, JsonSchema>;
      for (const [name, property] of Object.entries(properties)) {
        const child = `${path}.${name}`;

        if (typeof property['description'] !== 'string') bare.push(child);
        visit(property, child);
      }
      if (schema['items']) visit(schema['items'] as JsonSchema, `${path}[]`);
    };
    for (const definition of definitions) visit(definition.schema, definition.ref.kind);
    assert.deepEqual(bare, []);
  });

  test('have short names and singulars that do not clash', () => {
    const shortNames = (d: (typeof definitions)[number]) => ('shortNames' in d ? (d.shortNames ?? []) : []);
    // An alias shares the names of its kind on purpose.
    const own = definitions.filter((d) => !('storedAs' in d));
    const names = own.flatMap((d) => [d.ref.plural, d.singular, ...shortNames(d)]);
    assert.deepEqual(names.length, new Set(names).size);
  });

  test('stand in docs/reference/kubernetes-api.md, with their field selectors', () => {
    const page = new URL('../../../../docs/reference/kubernetes-api.md', import.meta.url);
    const rows = readFileSync(page, 'utf8').split('\n');
    const missing = definitions.flatMap((definition) => {
      const { kind } = definition.ref;
      const apiVersion = apiVersionOf(definition.ref);
      const row = rows.find((r) => new RegExp(`^\\| [^|]*\\b${kind}\\b[^|]*\\| \`${apiVersion}\``).test(r));
      if (row === undefined) return [`${apiVersion} ${kind}`];
      const fields = 'selectableFields' in definition ? Object.keys(definition.selectableFields ?? {}) : [];
      return fields
        .map((field) => (/^(involvedObject|regarding)\./.test(field) ? field.replace(/\..*/, '.*') : field))
        .filter((field) => !row.includes(`\`${field}\``))
        .map((field) => `${apiVersion} ${kind} ${field}`);
    });
    assert.deepEqual(missing, []);
  });
});
