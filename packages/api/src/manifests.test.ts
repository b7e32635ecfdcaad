import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { describeManifests, manifestsLimitBytes, validateManifests } from './manifests.ts';
import type { KubeObject } from './object-meta.ts';

const path = 'spec.source.inline.manifests';
const faults = (...manifests: unknown[]) =>
  validateManifests(manifests, path, 'shop').map((e) => [e.field.replace(path, ''), e.message]);

const configMap = (name: string, rest: object = {}) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name },
  ...rest,
});
const deployment = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web' },
  spec: {
    replicas: '${site.variables.replicas}',
    template: {
      spec: {
        initContainers: [{ name: 'a', image: 'registry.example/init@sha256:1' }],
        containers: [
          {
            name: 'b',
            image: 'registry.example/web:1',
            env: [{ name: 'X', value: '${site.variables.city}' }],
          },
          { name: 'c', image: 'registry.example/web:1' },
        ],
      },
    },
  },
};

describe('manifests at the door', () => {
  test('good ones pass', () => {
    const role = {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: 'system:x' },
    };
    assert.deepEqual(faults(deployment, configMap('web'), configMap('other'), role), []);
  });

  test('no manifests at all are refused: that would empty every site', () => {
    assert.match(
      faults()[0]?.[1] ?? '',
      /at least one manifest; to remove the application everywhere, delete it/,
    );
  });

  test('what is no Kubernetes object is refused with its path', () => {
    assert.deepEqual(
      faults(
        'text',
        [],
        { hello: 'world' },
        { apiVersion: 'a/b/c', kind: 'x y', metadata: { name: 'A_b' } },
      ).map(([field]) => field),
      [
        '[0]',
        '[1]',
        '[2].apiVersion',
        '[2].kind',
        '[2].metadata.name',
        '[3].apiVersion',
        '[3].kind',
        '[3].metadata.name',
      ],
    );
  });

  test('a List is to be split, a generated name is not the same everywhere', () => {
    const [list, generated, varying] = faults(
      { apiVersion: 'v1', kind: 'List', items: [deployment] },
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { generateName: 'x-' } },
      configMap('x-${site.name}'),
    );
    assert.match(String(list), /\[0\]\.kind.*split it/);
    assert.match(String(generated), /\[1\]\.metadata\.name.*generateName makes none/);
    assert.match(String(varying), /\[2\]\.metadata\.name.*same at every site/);
  });

  test('the same resource twice is named with both indexes, whether or not its namespace is written', () => {
    assert.deepEqual(
      faults(configMap('a'), deployment, configMap('a', { metadata: { name: 'a', namespace: 'shop' } })),
      [['[2]', `Duplicate value: "ConfigMap/shop/a": the same resource as ${path}[0]`]],
    );
    assert.deepEqual(faults(configMap('a'), configMap('a', { metadata: { name: 'a', namespace: 'b' } })), []);
  });

  test('a reference of unknown form is refused, and never quoted out of a Secret', () => {
    assert.deepEqual(
      faults(configMap('a', { data: { 'run.sh': 'echo ${HOME}' } })).map(([field]) => field),
      ['[0].data[run.sh]'],
    );
    const [secret] = faults({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'a' },
      stringData: { password: 'ab${hunter2}' },
    });
    assert.equal(secret?.[0], '[0].stringData.password');
    assert.doesNotMatch(secret?.[1] ?? '', /hunter2/);
  });

  test('too many bytes are refused with the size and the limit', () => {
    const big = configMap('big', { data: { x: 'ü'.repeat(manifestsLimitBytes / 2) } });
    assert.match(
      faults(big)[0]?.[1] ?? '',
      /2\.1 MiB of manifests, the limit is 2\.0 MiB: split the application/,
    );
  });
});

test('a release is described by its images, resources and variables', () => {
  const elsewhere = configMap('b', { metadata: { name: 'b', namespace: 'other' } });
  assert.deepEqual(describeManifests([deployment, elsewhere] as KubeObject[], 'shop'), {
    images: ['registry.example/init@sha256:1', 'registry.example/web:1'],
    resources: ['ConfigMap/other/b', 'Deployment/web'],
    variables: ['city', 'replicas'],
  });
});
