import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { defaultItemTerms, type KubeObject, releaseContent } from '@selvedge/api';
import fc from 'fast-check';
import { applyPhases, phaseOf } from './apply-phase.ts';
import { partOfLabel, planRelease, readRelease, type ReleasePlace } from './plan-release.ts';
import { refKey } from './planned-object.ts';
import { missingRefs, unitedRefs } from './release-difference.ts';

const place: ReleasePlace = {
  item: {
    id: 'Application/shop/till',
    uid: 'u1',
    epoch: 1,
    release: 'till-7',
    digest: 'sha256:00',
    deadlineSeconds: 600,
    terms: defaultItemTerms,
  },
  siteName: 'bern',
  variables: { city: 'Bern', tills: 3 },
  nodeGroups: [],
  applySetId: 'applyset-x-v1',
};

const clusterKinds = new Set(['Namespace', 'ClusterRole', 'CustomResourceDefinition', 'StorageClass']);
const scopeOf = (_apiVersion: string, kind: string) => !clusterKinds.has(kind);

function object(...[apiVersion, kind, name, rest = {}]: [string, string, string, object?]): KubeObject {
  return { apiVersion, kind, metadata: { name }, ...rest };
}

function plan(manifests: readonly KubeObject[], scope: typeof scopeOf | (() => undefined) = scopeOf) {
  const release = readRelease(releaseContent(manifests, {}, 'till'), place);
  if (release.refusal) throw new Error(release.refusal.message);
  return planRelease(release, place, scope);
}

const kinds: readonly (readonly [string, string])[] = [
  ['v1', 'Namespace'],
  ['v1', 'ConfigMap'],
  ['v1', 'Secret'],
  ['v1', 'Service'],
  ['apps/v1', 'Deployment'],
  ['batch/v1', 'Job'],
  ['rbac.authorization.k8s.io/v1', 'ClusterRole'],
  ['apiextensions.k8s.io/v1', 'CustomResourceDefinition'],
  ['example.com/v1', 'Widget'],
];
const anyManifests = fc.uniqueArray(
  fc
    .record({ kind: fc.constantFrom(...kinds), name: fc.stringMatching(/^[a-z]{1,6}$/) })
    .map(({ kind: [apiVersion, kind], name }) => object(apiVersion, kind, name, { spec: {} })),
  { maxLength: 30, selector: ({ kind, metadata }) => `${kind}/${metadata.name}` },
);

describe('the plan of a release', () => {
  test('has every manifest once, with our label, and in the order of the phases', () => {
    fc.assert(
      fc.property(anyManifests, (manifests) => {
        const { objects } = plan(manifests);
        assert.equal(objects.length, manifests.length);
        assert.equal(new Set(objects.map(({ ref }) => refKey(ref))).size, manifests.length);
        const phases = objects.map(({ ref }) => applyPhases.indexOf(phaseOf(ref)));
        assert.deepEqual(
          phases,
          phases.toSorted((a, b) => a - b),
        );
        for (const planned of objects) {
          assert.equal(planned.object.metadata.labels?.[partOfLabel], 'applyset-x-v1');
          const isClusterWide = clusterKinds.has(planned.ref.kind);
          assert.equal(planned.object.metadata.namespace, isClusterWide ? undefined : 'shop');
          assert.equal(planned.ref.namespace, planned.object.metadata.namespace);
        }
      }),
    );
  });

  test('does not depend on what was in the manifests from a cluster, and leaves them as they are', () => {
    const manifest = object('v1', 'ConfigMap', 'a', { data: { x: '1' }, status: { y: 1 } });
    manifest.metadata.resourceVersion = '12';
    manifest.metadata.uid = 'u';
    manifest.metadata.managedFields = [];
    const before = structuredClone(manifest);
    const [planned] = plan([manifest]).objects;
    assert.deepEqual(planned?.object, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'a', namespace: 'shop', labels: { [partOfLabel]: 'applyset-x-v1' } },
      data: { x: '1' },
    });
    assert.deepEqual(manifest, before);
  });

  test('knows the scope of kinds that the release defines itself, and names those that nobody knows', () => {
    const crd = object('apiextensions.k8s.io/v1', 'CustomResourceDefinition', 'widgets.example.com', {
      spec: { group: 'example.com', scope: 'Cluster', names: { kind: 'Widget' } },
    });
    const known = (_: string, kind: string) => (kind === 'CustomResourceDefinition' ? false : undefined);
    const manifests = [object('example.com/v1', 'Widget', 'w'), object('other.com/v1', 'Gadget', 'g'), crd];
    const { objects, unknownKinds } = plan(manifests, known as typeof scopeOf);
    assert.deepEqual(
      objects.map(({ ref }) => [ref.kind, ref.namespace]),
      [
        ['CustomResourceDefinition', undefined],
        ['Widget', undefined],
      ],
    );
    assert.deepEqual(unknownKinds, ['other.com/v1/Gadget']);
  });

  test('fills in variables, and refuses when one is missing', () => {
    const [planned] = plan([
      object('v1', 'ConfigMap', 'a', { data: { text: 'in ${site.variables.city}', n: '${site.name}' } }),
    ]).objects;
    assert.deepEqual(planned?.object['data'], { text: 'in Bern', n: 'bern' });
    const { refusal } = readRelease(
      [object('v1', 'ConfigMap', 'a', { data: { a: '${site.variables.no}' } })],
      place,
    );
    assert.equal(refusal?.reason, 'VariableUndefined');
    assert.match(refusal?.message ?? '', /bern.*no\b/);
  });

  test('writes the texts of a Secret as data', () => {
    const secret = object('v1', 'Secret', 's', { data: { a: 'eA==' }, stringData: { b: 'y' } });
    const [planned] = plan([secret]).objects;
    assert.deepEqual(planned?.object['data'], { a: 'eA==', b: 'eQ==' });
    assert.equal(planned?.object['stringData'], undefined);
  });

  test('labels pods with their application, but not what selects them', () => {
    const [planned] = plan([
      object('apps/v1', 'Deployment', 'd', {
        spec: { selector: { matchLabels: { app: 'd' } }, template: { metadata: { labels: { app: 'd' } } } },
      }),
    ]).objects;
    const spec = planned?.object['spec'] as { selector: object; template: { metadata: { labels: object } } };
    assert.deepEqual(spec.selector, { matchLabels: { app: 'd' } });
    assert.deepEqual(spec.template.metadata.labels, {
      app: 'd',
      'selvedge.dev/application': 'till',
      'selvedge.dev/application-namespace': 'shop',
    });
  });
});

describe('the difference of two releases', () => {
  const refs = anyManifests.map((manifests) => plan(manifests).objects.map(({ ref }) => ref));

  test('is what the first has and the second has not; nothing of the second is ever in it', () => {
    fc.assert(
      fc.property(refs, refs, (before, after) => {
        const gone = new Set(missingRefs(before, after).map(refKey));
        for (const ref of after) assert.ok(!gone.has(refKey(ref)));
        for (const ref of before) {
          assert.equal(gone.has(refKey(ref)), !after.some((one) => refKey(one) === refKey(ref)));
        }
        const united = unitedRefs(before, after).map(refKey);
        assert.equal(new Set(united).size, united.length);
        assert.deepEqual(new Set(united), new Set([...before, ...after].map(refKey)));
      }),
    );
  });

  test('an object that only changed its version is the same object', () => {
    const at = { namespace: 'shop', name: 'a' };
    const before = [{ apiVersion: 'autoscaling/v1', kind: 'HorizontalPodAutoscaler', ...at }];
    const after = [{ apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler', ...at }];
    assert.deepEqual(missingRefs(before, after), []);
  });
});
