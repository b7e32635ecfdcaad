import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { canonicalJson } from '../canonical-json.ts';
import type { KubeObject } from '../object-meta.ts';
import { type DeliveryRules, type ReleaseOverride, releaseContent } from '../rules/delivery-rules.ts';
import { ReleaseResolver, type SiteFacts } from './release-resolver.ts';
import { variantOf } from './release-variant.ts';
import { resolveRelease } from './resolve-release.ts';

const identity = { release: 'till-0123456789', application: 'till', namespace: 'shop' };
const ulm: SiteFacts = { name: 'ulm', labels: { country: 'de', size: 's' }, variables: { city: 'Ulm' } };

const deployment = (changes: Record<string, unknown> = {}): KubeObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'till', labels: { app: 'till' } },
  spec: {
    replicas: 2,
    template: {
      spec: {
        containers: [
          { name: 'web', image: 'registry.example/web:1', env: [{ name: 'A', value: '1' }] },
          { name: 'log', image: 'registry.example:5000/log@sha256:' + 'a'.repeat(64) },
        ],
      },
    },
  },
  ...changes,
});
const page: KubeObject = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'page' },
  data: { a: 'b' },
};

const de = { matchLabels: { country: 'de' } };
const small = { matchLabels: { size: 's' } };
const override = (rest: Partial<ReleaseOverride>): ReleaseOverride => ({
  name: 'de',
  siteSelector: de,
  ...rest,
});
const targetTill = { kind: 'Deployment', name: 'till' };

function resolve(
  rules: DeliveryRules,
  site: SiteFacts = ulm,
  manifests: KubeObject[] = [deployment(), page],
) {
  return resolveRelease(releaseContent(manifests, rules, 'till'), site, identity);
}

function manifestsOf(resolved: ReturnType<typeof resolve>): readonly KubeObject[] {
  assert.ok(!resolved.faults, JSON.stringify(resolved.faults));
  return resolved.manifests;
}

function faultsOf(overrides: ReleaseOverride[], manifests?: KubeObject[]): readonly string[] {
  return resolve({ overrides }, ulm, manifests).faults?.overrides ?? [];
}

// oxlint-disable-next-line typescript/no-explicit-any -- manifests are looked into by hand
const first = (manifests: readonly KubeObject[]) => manifests[0] as any;

describe('overrides', () => {
  test('each kind of patch changes the manifests that it is for, in order, and says so', () => {
    const resolved = resolve({
      overrides: [
        override({
          patches: [
            { target: targetTill, jsonPatch: [{ op: 'replace', path: '/spec/replicas', value: 3 } as never] },
            { target: targetTill, mergePatch: { spec: { paused: true } } },
            {
              target: { group: 'apps', labelSelector: { matchLabels: { app: 'till' } } },
              strategicMergePatch: {
                spec: {
                  template: { spec: { containers: [{ name: 'web', env: [{ name: 'B', value: '2' }] }] } },
                },
              },
            },
          ],
        }),
      ],
    });
    const { spec } = first(manifestsOf(resolved));
    assert.equal(spec.replicas, 3);
    assert.equal(spec.paused, true);
    const [web, log] = spec.template.spec.containers;
    assert.deepEqual([web.name, web.image, log.name], ['web', 'registry.example/web:1', 'log']);
    assert.deepEqual(web.env.map(({ name }: { name: string }) => name).sort(), ['A', 'B']);
    assert.ok(!resolved.faults);
    assert.deepEqual(
      resolved.trace.map(({ manifest, override: by, fields }) => [manifest, by, fields[0]]),
      [
        ['Deployment/till', 'overrides[de].patches[0]', 'spec.replicas'],
        ['Deployment/till', 'overrides[de].patches[1]', 'spec.paused'],
        ['Deployment/till', 'overrides[de].patches[2]', 'spec.template.spec.containers[0].env'],
      ],
    );
  });

  test('within one come patches, then images, then replicas; a later override sees what an earlier one left', () => {
    const resolved = resolve({
      overrides: [
        override({
          images: [{ name: 'registry.example/web', newName: 'mirror.example/web', newTag: '2' }],
          replicas: [{ name: 'till', count: 5 }],
          patches: [{ target: targetTill, mergePatch: { spec: { replicas: 9 } } }],
        }),
        override({
          name: 'small',
          siteSelector: small,
          images: [{ name: 'mirror.example/web', digest: `sha256:${'b'.repeat(64)}` }],
        }),
      ],
    });
    const { spec } = first(manifestsOf(resolved));
    assert.equal(spec.replicas, 5);
    assert.equal(spec.template.spec.containers[0].image, `mirror.example/web@sha256:${'b'.repeat(64)}`);
  });

  test('a site that none selects gets the manifests of the content themselves', () => {
    const manifests = [deployment(), page];
    const rules = { overrides: [override({ replicas: [{ name: 'till', count: 5 }] })] };
    const away = { ...ulm, labels: { country: 'at' } };
    const resolved = manifestsOf(resolve(rules, away, manifests));
    assert.ok(resolved.every((manifest, index) => manifest === manifests[index]));
    // What an override leaves alone is not copied either.
    assert.equal(manifestsOf(resolve(rules, ulm, manifests))[1], page);
  });

  test('what matches nothing is a fault with its path, unless it is optional', () => {
    const patch = { target: { kind: 'Deployment', name: 'tell' }, mergePatch: { spec: {} } };
    assert.deepEqual(faultsOf([override({ patches: [patch] })]), [
      'overrides[de].patches[0]: matches no manifest (kind Deployment, name tell)',
    ]);
    assert.deepEqual(faultsOf([override({ patches: [{ ...patch, optional: true }] })]), []);
    assert.deepEqual(faultsOf([override({ images: [{ name: 'web', newTag: '2' }] })]), [
      'overrides[de].images[0]: no container has the image web',
    ]);
    assert.deepEqual(faultsOf([override({ replicas: [{ name: 'page', count: 2 }] })]), [
      'overrides[de].replicas[0]: there is no Deployment, StatefulSet or ReplicaSet page',
    ]);
  });

  test('a patch cannot make another object, or none, of a manifest', () => {
    const merge = (mergePatch: Record<string, unknown>) =>
      faultsOf([override({ patches: [{ target: targetTill, mergePatch }] })])[0] ?? '';
    assert.match(
      merge({ metadata: { name: 'other' } }),
      /Deployment\/till: metadata\.name cannot be changed/,
    );
    assert.match(merge({ metadata: { namespace: 'other' } }), /metadata\.namespace cannot be changed/);
    assert.match(merge({ kind: 'StatefulSet' }), /kind cannot be changed/);
    assert.match(merge({ metadata: null }), /makes no manifest of it: metadata\.name: Required value/);
    assert.match(merge({ spec: { x: '${nothing}' } }), /makes no manifest of it: spec\.x: .*are known/);
    assert.equal(merge({ metadata: { namespace: 'shop' } }), '', 'it is in that namespace already');
    const wrong = [{ op: 'remove', path: '/spec/none' }];
    assert.match(
      faultsOf([override({ patches: [{ target: targetTill, jsonPatch: wrong }] })])[0] ?? '',
      /overrides\[de\]\.patches\[0\]: Deployment\/till: .*operation 0/,
    );
  });

  test('a manifest is taken out by $patch: delete, but never the last', () => {
    const out = (kind: string) => ({ target: { kind }, strategicMergePatch: { $patch: 'delete' } });
    const resolved = resolve({ overrides: [override({ patches: [out('ConfigMap')] })] });
    assert.deepEqual(
      manifestsOf(resolved).map(({ kind }) => kind),
      ['Deployment'],
    );
    assert.deepEqual(faultsOf([override({ patches: [out('ConfigMap'), out('Deployment')] })]), [
      'overrides[de].patches[1]: leaves no manifest',
    ]);
  });

  test('lists of kinds that are not of Kubernetes are replaced as a whole', () => {
    const queue = {
      apiVersion: 'example.com/v1',
      kind: 'Queue',
      metadata: { name: 'q' },
      spec: { containers: [{ name: 'a' }] },
    };
    const patch = {
      target: { kind: 'Queue' },
      strategicMergePatch: { spec: { containers: [{ name: 'b' }] } },
    };
    const resolved = resolve({ overrides: [override({ patches: [patch] })] }, ulm, [queue]);
    assert.deepEqual(first(manifestsOf(resolved)).spec.containers, [{ name: 'b' }]);
  });

  test('every site gets the overrides that select it, one after the other, whoever was asked for before', () => {
    const label = fc.constantFrom('a', 'b', 'c');
    const overrides = fc.array(
      fc.record({ count: fc.integer({ min: 0, max: 9 }), on: label, value: label, key: label }),
      { maxLength: 5 },
    );
    const sites = fc.array(fc.dictionary(label, label, { maxKeys: 3 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(overrides, sites, (drawn, labels) => {
        const rules: DeliveryRules = {
          overrides: drawn.map(({ count, on, value, key }, index) => ({
            name: `o${index}`,
            siteSelector: { matchLabels: { [on]: value } },
            replicas: [{ name: 'till', count }],
            patches: [{ target: targetTill, mergePatch: { spec: { [key]: index } } }],
          })),
        };
        const content = releaseContent([deployment(), page], rules, 'till');
        const before = canonicalJson(content);
        const resolver = new ReleaseResolver(content, identity);
        for (const each of [...labels, ...labels.toReversed()]) {
          const site = { name: 'x', labels: each, variables: {} };
          const shared = resolver.resolve(site);
          assert.deepEqual(shared, resolveRelease(content, site, identity));
          // The plain meaning: one after the other, those that select it.
          const selected = drawn.filter(({ on, value }) => each[on] === value);
          const spec = first(manifestsOf(shared)).spec;
          assert.equal(spec.replicas, selected.at(-1)?.count ?? 2);
          for (const key of ['a', 'b', 'c']) {
            const last = drawn.findLastIndex((o) => o.key === key && each[o.on] === o.value);
            assert.equal(spec[key], last === -1 ? undefined : last);
          }
        }
        assert.equal(canonicalJson(content), before, 'the content is as it was');
      }),
      { numRuns: 60 },
    );
  });
});

describe('variables', () => {
  const text = (value: string): KubeObject => ({ ...page, data: { value } });
  const variables: DeliveryRules['variables'] = [
    { name: 'city', from: [{ siteVariable: 'city' }, { siteLabel: 'city' }], default: 'nowhere' },
    { name: 'country', from: [{ siteLabel: 'country' }] },
    { name: 'price', from: [{ bySite: { ulm: '9.5' } }, { value: '8' }] },
    { name: 'open', default: true },
  ];
  const valueAt = (reference: string, site: SiteFacts = ulm, declared = variables) => {
    const resolved = resolve({ variables: declared }, site, [text(reference)]);
    return resolved.faults
      ? resolved.faults.missingVariables
      : (first(resolved.manifests).data.value as unknown);
  };

  test('come from the first place that has one, else from the default', () => {
    assert.equal(valueAt('${variables.city}'), 'Ulm');
    assert.equal(
      valueAt('${variables.city}', { ...ulm, variables: {}, labels: { country: 'de', city: 'L' } }),
      'L',
    );
    assert.equal(valueAt('${variables.city}', { ...ulm, variables: {} }), 'nowhere');
    assert.equal(valueAt('${variables.price}'), '9.5');
    assert.equal(valueAt('${variables.price}', { ...ulm, name: 'bonn' }), '8');
    assert.equal(valueAt('${variables.open}'), true);
    assert.equal(valueAt('is ${variables.open}'), 'is true');
    assert.equal(
      valueAt('${variables.open}', { ...ulm, variables: { open: 0 } }),
      0,
      'of that name, by itself',
    );
    assert.equal(valueAt('${site.labels.country}/$${site.labels.x}'), 'de/${site.labels.x}');
  });

  test('what is nowhere is named; a declared one without default is asked for even where it is not used', () => {
    const nowhere = { name: 'ulm', labels: {}, variables: {} };
    assert.deepEqual(valueAt('none', nowhere), ['variables.country']);
    assert.deepEqual(valueAt('${site.labels.toString} ${variables.city}', nowhere, []), [
      'site.labels.toString',
      'variables.city',
    ]);
  });

  test('values are put in as values: they neither break the text around them nor are looked at again', () => {
    fc.assert(
      fc.property(fc.string(), (city) => {
        const site = { ...ulm, variables: { city } };
        assert.equal(valueAt('${variables.city}', site), city);
        assert.equal(valueAt('a ${site.variables.city} b', site), `a ${city} b`);
      }),
    );
    assert.equal(
      valueAt('${variables.city}', { ...ulm, variables: { city: '${site.name}' } }),
      '${site.name}',
    );
  });

  test('those that only an override brings in are asked for only where it selects', () => {
    const patch = { target: { kind: 'ConfigMap' }, mergePatch: { data: { value: '${site.variables.tax}' } } };
    const rules = { overrides: [override({ patches: [patch] })] };
    assert.deepEqual(resolve(rules).faults?.missingVariables, ['site.variables.tax']);
    assert.equal(resolve(rules, { ...ulm, labels: {} }).faults, undefined);
    // And one that an override takes away is not.
    const gone = { target: { kind: 'ConfigMap' }, mergePatch: { data: { value: 'x' } } };
    const taken = { overrides: [override({ patches: [gone] })] };
    assert.equal(resolve(taken, ulm, [text('${site.variables.tax}')]).faults, undefined);
  });
});

describe('Helm variants and Secrets', () => {
  test('a variant is what the chart gave with the values of exactly these overrides', () => {
    const base = [deployment(), page];
    const extra = { ...page, metadata: { name: 'extra' } };
    const other = [deployment({ spec: { replicas: 7 } }), extra];
    const variant = variantOf(base, { overrides: ['de'], manifests: other }, 'shop');
    assert.deepEqual([variant.set.length, variant.removed], [2, ['ConfigMap/shop/page']]);
    const rules: DeliveryRules = {
      overrides: [override({ helm: true }), override({ name: 'small', siteSelector: small, helm: true })],
      variants: [variant],
    };
    const onlyDe = { ...ulm, labels: { country: 'de' } };
    assert.deepEqual(manifestsOf(resolve(rules, onlyDe, base)), other);
    assert.deepEqual(manifestsOf(resolve(rules, { ...ulm, labels: {} }, base)), base);
    assert.deepEqual(resolve(rules, ulm, base).faults?.notRendered, ['de', 'small']);
  });

  test('Secrets are added under their names; those that have not come are named', () => {
    const rules = { secrets: [{ name: 'keys', as: 'till-keys' }, { name: 'cert' }] };
    const value = { type: 'Opaque', data: { pin: 'MTIzNA==' } };
    const some = { ...ulm, secrets: new Map([['keys', value]]) };
    assert.deepEqual(resolve(rules, some).faults?.missingSecrets, ['cert']);
    const all = {
      ...ulm,
      secrets: new Map([
        ['keys', value],
        ['cert', value],
      ] as const),
    };
    assert.deepEqual(manifestsOf(resolve(rules, all)).slice(2), [
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'till-keys', namespace: 'shop' }, ...value },
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'cert', namespace: 'shop' }, ...value },
    ]);
    assert.equal(manifestsOf(resolve(rules)).length, 2, 'plan and render know no values');
  });
});

test('a thousand sites share what their combinations of overrides made', () => {
  const manifests = Array.from({ length: 1000 }, (_, n) => deployment({ metadata: { name: `till-${n}` } }));
  const rules: DeliveryRules = {
    overrides: Array.from({ length: 10 }, (_, n) =>
      override({
        name: `o${n}`,
        siteSelector: { matchLabels: { [`l${n % 4}`]: 'x' } },
        replicas: [{ name: `till-${n}`, count: n }],
      }),
    ),
  };
  const resolver = new ReleaseResolver(releaseContent(manifests, rules, 'till'), identity);
  const made = new Set<KubeObject>();
  for (let n = 0; n < 1000; n++) {
    const labels = Object.fromEntries(
      [0, 1, 2, 3].filter((bit) => n & (1 << bit)).map((bit) => [`l${bit}`, 'x']),
    );
    const resolved = resolver.resolve({ name: `shop-${n}`, labels, variables: {} });
    for (const manifest of manifestsOf(resolved)) made.add(manifest);
  }
  // 16 combinations, in each of which at most ten manifests are other ones.
  assert.ok(made.size <= 1000 + 16 * 10, `${made.size} objects`);
});
