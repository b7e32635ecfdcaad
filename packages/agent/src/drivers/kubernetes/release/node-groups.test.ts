import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { KubeObject, NodeGroup } from '@selvedge/api';
import fc from 'fast-check';
import { placeOnNodeGroups } from './node-groups.ts';

const region: NodeGroup = { name: 'region', nodeSelector: { zone: 'a' } };
const outpost: NodeGroup = {
  name: 'outpost',
  nodeSelector: { place: 'outpost', disk: 'ssd' },
  tolerations: [{ key: 'outpost', operator: 'Exists' }],
};
const site = { name: 'bern', nodeGroups: [region, outpost] };

function deployment(name: string, podSpec: object = {}): KubeObject {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name },
    spec: {
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels: { app: name } }, spec: { containers: [], ...podSpec } },
    },
  };
}

const service: KubeObject = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'till' },
  spec: { selector: { app: 'till' } },
};

function place(manifests: readonly KubeObject[], wanted: readonly string[]): readonly KubeObject[] {
  const placed = placeOnNodeGroups(manifests, wanted, site);
  if (placed.refusal) throw new Error(placed.refusal.message);
  return placed.manifests;
}

interface Pods {
  readonly selector: { matchLabels: Record<string, string> };
  readonly template: { metadata: { labels: Record<string, string> }; spec: Record<string, unknown> };
}
const podsOf = (object: KubeObject | undefined) => object?.['spec'] as Pods;
const termsOf = (object: KubeObject | undefined) =>
  (
    podsOf(object).template.spec['affinity'] as {
      nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: unknown[] } };
    }
  ).nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms;
const inValue = (key: string, value: string) => ({ key, operator: 'In', values: [value] });

describe('placing on node groups', () => {
  test('without named groups nothing changes', () => {
    const manifests = [deployment('till'), service];
    assert.deepEqual(placeOnNodeGroups(manifests, undefined, site).manifests, manifests);
    assert.deepEqual(placeOnNodeGroups(manifests, [], site).manifests, manifests);
  });

  test('a site that has none of the groups refuses, and says what it has', () => {
    const { refusal } = placeOnNodeGroups([service], ['moon'], site);
    assert.equal(refusal?.reason, 'NoNodeGroup');
    assert.match(refusal?.message ?? '', /moon.*region, outpost/);
  });

  test('one group pins the pods and leaves the names', () => {
    const [pinned, shared] = place([deployment('till'), service], ['outpost', 'moon']);
    assert.equal(pinned?.metadata.name, 'till');
    assert.deepEqual(podsOf(pinned).selector, { matchLabels: { app: 'till' } });
    assert.deepEqual(termsOf(pinned), [
      { matchExpressions: [inValue('place', 'outpost'), inValue('disk', 'ssd')] },
    ]);
    assert.deepEqual(podsOf(pinned).template.spec['tolerations'], outpost.tolerations);
    assert.deepEqual(shared, service);
  });

  test('every term that is there is narrowed; one that matches no node goes on doing so', () => {
    const terms = [
      { matchExpressions: [inValue('arch', 'arm64')] },
      { matchFields: [inValue('metadata.name', 'n1')] },
      {},
    ];
    const affinity = {
      nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms } },
    };
    const [pinned] = place([deployment('till', { affinity })], ['region']);
    assert.deepEqual(termsOf(pinned), [
      { matchExpressions: [inValue('arch', 'arm64'), inValue('zone', 'a')] },
      { matchFields: [inValue('metadata.name', 'n1')], matchExpressions: [inValue('zone', 'a')] },
      {},
    ]);
  });

  test('several groups make one workload of each; services are shared, autoscalers and budgets follow', () => {
    const scaler: KubeObject = {
      apiVersion: 'autoscaling/v2',
      kind: 'HorizontalPodAutoscaler',
      metadata: { name: 'till' },
      spec: { scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'till' } },
    };
    const budget: KubeObject = {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: { name: 'till' },
      spec: { selector: { matchLabels: { app: 'till' } } },
    };
    const foreign = {
      ...budget,
      metadata: { name: 'other' },
      spec: { selector: { matchLabels: { app: 'other' } } },
    };
    const placed = place([deployment('till'), service, scaler, budget, foreign], ['region', 'outpost']);
    assert.deepEqual(
      placed.map(({ kind, metadata }) => `${kind}/${metadata.name}`),
      [
        'Deployment/till-region',
        'Deployment/till-outpost',
        'Service/till',
        'HorizontalPodAutoscaler/till-region',
        'HorizontalPodAutoscaler/till-outpost',
        'PodDisruptionBudget/till-region',
        'PodDisruptionBudget/till-outpost',
        'PodDisruptionBudget/other',
      ],
    );
    const label = { 'selvedge.dev/node-group': 'region' };
    assert.deepEqual(podsOf(placed[0]).selector.matchLabels, { app: 'till', ...label });
    assert.deepEqual(podsOf(placed[0]).template.metadata.labels, { app: 'till', ...label });
    assert.deepEqual(placed[0]?.metadata.labels, label);
    assert.deepEqual(placed[2], service);
    const scaled = placed[3]?.['spec'] as { scaleTargetRef: { name: string } } | undefined;
    assert.equal(scaled?.scaleTargetRef.name, 'till-region');
    assert.deepEqual(podsOf(placed[5]).selector.matchLabels, { app: 'till', ...label });
  });

  test('a name that gets too long, or that is taken, is refused', () => {
    const long = placeOnNodeGroups([deployment('x'.repeat(60))], ['region', 'outpost'], site);
    assert.match(long.refusal?.message ?? '', /longer than 63/);
    const taken = placeOnNodeGroups(
      [deployment('till'), deployment('till-region')],
      ['region', 'outpost'],
      site,
    );
    assert.equal(taken.refusal, undefined);
    const double = placeOnNodeGroups(
      [deployment('till'), { ...deployment('till-region'), apiVersion: 'apps/v1' }, deployment('till')],
      ['region', 'outpost'],
      site,
    );
    assert.match(double.refusal?.message ?? '', /twice/);
  });

  test('the manifests stay as they are, and the same input gives the same output', () => {
    const tolerations = [{ key: 'outpost', operator: 'Exists' }];
    fc.assert(
      fc.property(
        fc.subarray(['region', 'outpost', 'moon'], { minLength: 1 }),
        fc.boolean(),
        (wanted, isTolerant) => {
          const manifests = [deployment('till', isTolerant ? { tolerations } : {}), service];
          const before = structuredClone(manifests);
          const placed = placeOnNodeGroups(manifests, wanted, site);
          assert.deepEqual(manifests, before);
          assert.deepEqual(placeOnNodeGroups(manifests, wanted, site), placed);
          for (const object of placed.manifests ?? []) {
            const list = podsOf(object).template?.spec['tolerations'] as unknown[] | undefined;
            assert.equal(new Set((list ?? []).map((one) => JSON.stringify(one))).size, list?.length ?? 0);
          }
        },
      ),
    );
  });
});
