import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type KubeObject, readDockerConfig, type ScopedLogin } from '@selvedge/api';
import { addPullSecrets } from './pull-secrets.ts';
import { markPods, secretVersionsAnnotation } from './secret-marks.ts';

const application = { namespace: 'shop', name: 'till' };
const logins: ScopedLogin[] = [
  { registry: 'registry.example:5000', username: 'all', password: 'one' },
  { registry: 'registry.example:5000/team', username: 'team', password: 'two' },
];

const registries = logins.map(({ registry }) => registry);

function deployment(
  name: string,
  image: string,
  options: { namespace?: string; spec?: object } = {},
): KubeObject {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, ...(options.namespace === undefined ? {} : { namespace: options.namespace }) },
    spec: { template: { spec: { containers: [{ name: 'main', image }], ...options.spec } } },
  } as KubeObject;
}

const podSpec = (object: KubeObject | undefined) =>
  (object as unknown as { spec: { template: { spec: { imagePullSecrets?: { name: string }[] } } } }).spec
    .template.spec;

test('pods whose images a login opens pull with it, in each namespace; other pods are as they were', () => {
  const own = deployment('own', 'registry.example:5000/team/till:1');
  const away = deployment('away', 'registry.example:5000/other@sha256:aa', { namespace: 'back' });
  const free = deployment('free', 'docker.io/library/nginx');
  const placed = addPullSecrets([own, away, free], { registries, logins }, application);
  assert.deepEqual(podSpec(placed[0]).imagePullSecrets, [{ name: 'selvedge-pull-till' }]);
  assert.equal(placed[2], free);
  const secrets = placed.filter(({ kind }) => kind === 'Secret');
  assert.deepEqual(
    secrets.map(({ metadata }) => metadata.namespace),
    ['shop'],
    'an image with a digest that is none is no image',
  );
  const data = (secrets[0] as { data?: Record<string, string> } | undefined)?.data;
  const text = Buffer.from(data?.['.dockerconfigjson'] ?? '', 'base64');
  assert.deepEqual(readDockerConfig(text.toString()), [logins[1]]);
  assert.equal(podSpec(own).imagePullSecrets, undefined, 'what was given is not changed');
});

test('pull secrets of the manifests stay, before the one of the hub', () => {
  const object = deployment('own', 'registry.example:5000/a', {
    spec: { imagePullSecrets: [{ name: 'mine' }] },
  });
  const [placed] = addPullSecrets([object], { registries, logins }, application);
  assert.deepEqual(podSpec(placed).imagePullSecrets, [{ name: 'mine' }, { name: 'selvedge-pull-till' }]);
});

test('without a login that fits nothing changes', () => {
  const objects = [deployment('free', 'ghcr.io/a/b')];
  assert.deepEqual(addPullSecrets(objects, { registries, logins }, application), objects);
  assert.equal(addPullSecrets(objects, { registries: [], logins }, application), objects);
});

test('pods name the Secret by the registry, whatever logins there are; without one there is no Secret', () => {
  const objects = [deployment('own', 'registry.example:5000/team/till:1')];
  const withAll = addPullSecrets(objects, { registries, logins }, application);
  const without = addPullSecrets(objects, { registries, logins: [] }, application);
  assert.deepEqual(without, withAll.slice(0, 1));
  assert.deepEqual(podSpec(without[0]).imagePullSecrets, [{ name: 'selvedge-pull-till' }]);
  assert.deepEqual(addPullSecrets(objects, { registries: ['other.example'], logins }, application), objects);
});

const uses: readonly [string, object][] = [
  ['a variable', { containers: [{ env: [{ valueFrom: { secretKeyRef: { name: 'keys', key: 'pin' } } }] }] }],
  ['all variables', { containers: [{ envFrom: [{ secretRef: { name: 'keys' } }] }] }],
  ['a volume', { volumes: [{ name: 'v', secret: { secretName: 'keys' } }] }],
  [
    'a projected volume',
    { volumes: [{ name: 'v', projected: { sources: [{ secret: { name: 'keys' } }] } }] },
  ],
];

const rules = { secrets: [{ name: 'till-keys', as: 'keys' }] };
const markOf = (object: KubeObject | undefined): string | undefined =>
  (object as unknown as { spec: { template: { metadata?: { annotations?: Record<string, string> } } } }).spec
    .template.metadata?.annotations?.[secretVersionsAnnotation];

for (const [what, spec] of uses) {
  test(`pods that use a Secret by ${what} are others when its version is another`, () => {
    const object = deployment('own', 'a', { spec });
    const first = markOf(markPods([object], rules, { 'till-keys': 'v1' })[0]);
    assert.ok(first);
    assert.equal(markOf(markPods([object], rules, { 'till-keys': 'v1' })[0]), first);
    assert.notEqual(markOf(markPods([object], rules, { 'till-keys': 'v2' })[0]), first);
  });
}

test('pods that do not use it are as they were, also those that only pull with it', () => {
  const objects = [
    deployment('own', 'a'),
    deployment('pulls', 'a', { spec: { imagePullSecrets: [{ name: 'keys' }] } }),
    { ...deployment('once', 'a', { spec: uses[2]?.[1] ?? {} }), apiVersion: 'batch/v1', kind: 'Job' },
  ];
  assert.deepEqual(markPods(objects, rules, { 'till-keys': 'v1' }), objects);
});
