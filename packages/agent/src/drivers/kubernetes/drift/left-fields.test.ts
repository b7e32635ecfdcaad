import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { KubeObject } from '@selvedge/api';
import type { PlannedObject } from '../release/planned-object.ts';
import { isAutoscaled } from './autoscaled.ts';
import { leaveFields, leftFields } from './left-fields.ts';

/** As an API server shows them: shapes as recorded from kube-apiserver 1.36. */
const entry = (manager: string, fieldsV1: object, rest: object = { operation: 'Update' }) => ({
  manager,
  apiVersion: 'apps/v1',
  fieldsType: 'FieldsV1',
  fieldsV1,
  ...rest,
});
const ours = (fieldsV1: object) => entry('selvedge', fieldsV1, { operation: 'Apply' });

const container = (image: string) => ({ name: 'web', image, args: ['-v'], ports: [{ containerPort: 80 }] });
const planned: PlannedObject = {
  ref: { apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'shop', name: 'web' },
  object: {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', namespace: 'shop', annotations: { 'a/b': 'planned' } },
    spec: { replicas: 2, template: { spec: { containers: [container('web:2')] } } },
  },
};
const containerFields = (...names: string[]) => ({
  'f:spec': {
    'f:template': {
      'f:spec': {
        'f:containers': {
          'k:{"name":"web"}': { '.': {}, ...Object.fromEntries(names.map((name) => [`f:${name}`, {}])) },
        },
      },
    },
  },
});
const live = (...managedFields: object[]): KubeObject =>
  ({
    ...planned.object,
    metadata: { name: 'web', namespace: 'shop', annotations: { 'a/b': 'live' }, managedFields },
    spec: {
      replicas: 7,
      template: { spec: { containers: [{ name: 'sidecar', image: 'mesh:1' }, container('web:live')] } },
    },
  }) as unknown as KubeObject;
const ignore = (...jsonPointers: string[]) => ({
  isAutoscaled: false,
  ignoreDifferences: [{ apiVersion: 'apps/v1', kind: 'Deployment', jsonPointers }],
});

describe('fields that are left to others', () => {
  test('are not named when another manager has them', () => {
    const object = live(ours({}), entry('kubectl-edit', { 'f:spec': { 'f:replicas': {} } }));
    const left = leftFields(object, planned, ignore('/spec/replicas'));
    assert.deepEqual(left, [{ pointer: '/spec/replicas', because: 'IgnoreDifferences' }]);
    assert.deepEqual(Object.keys(leaveFields(planned.object, left)['spec'] as object), ['template']);
  });

  test('are named with their value there while only we have them, as they would go otherwise', () => {
    const object = live(ours({ 'f:spec': { 'f:replicas': {} } }));
    const left = leftFields(object, planned, ignore('/spec/replicas'));
    assert.deepEqual(left, [{ pointer: '/spec/replicas', because: 'IgnoreDifferences', keep: 7 }]);
    assert.equal((leaveFields(planned.object, left)['spec'] as { replicas: number }).replicas, 7);
  });

  test('are found by the keys of their item, wherever it stands there', () => {
    const object = live(ours(containerFields('name', 'image')));
    const left = leftFields(object, planned, ignore('/spec/template/spec/containers/0/image'));
    assert.deepEqual(
      left.map(({ keep }) => keep),
      ['web:live'],
    );
  });

  test('below a pointer are told apart, and what names an item stays', () => {
    const object = live(ours(containerFields('name', 'args')), entry('set-image', containerFields('image')));
    const left = leftFields(object, planned, ignore('/spec/template/spec/containers/0'));
    assert.deepEqual(
      left.map(({ pointer, keep }) => [pointer.split('/').at(-1), keep]),
      [
        ['image', undefined],
        ['args', ['-v']],
        ['ports', undefined],
      ],
    );
    const applied = leaveFields(planned.object, left) as unknown as typeof planned.object;
    assert.deepEqual(applied['spec'], {
      replicas: 2,
      template: { spec: { containers: [{ name: 'web', args: ['-v'] }] } },
    });
  });

  test('may have names with slashes, and are not named again when somebody took them away', () => {
    const object = live(ours({}));
    delete object.metadata.annotations;
    assert.deepEqual(leftFields(object, planned, ignore('/metadata/annotations/a~1b')), [
      { pointer: '/metadata/annotations/a~1b', because: 'IgnoreDifferences' },
    ]);
  });

  test('are none where nothing is planned, for other objects, and for what an object is known by', () => {
    const object = live(ours({}));
    assert.deepEqual(
      leftFields(object, planned, ignore('/spec/paused', '/metadata/name', '/metadata', '/kind')),
      [],
    );
    const other = { ...ignore('/spec/replicas') };
    const rules = { ...other, ignoreDifferences: other.ignoreDifferences.map((r) => ({ ...r, name: 'db' })) };
    assert.deepEqual(leftFields(object, planned, rules), []);
  });

  test('are those that an autoscaler set, and only if there is one', () => {
    const scale = entry(
      'kube-controller-manager',
      { 'f:spec': { 'f:replicas': {} } },
      { operation: 'Update', subresource: 'scale' },
    );
    const object = live(ours(containerFields('image')), scale);
    assert.deepEqual(leftFields(object, planned, { isAutoscaled: true }), [
      { pointer: '/spec/replicas', because: 'Autoscaler' },
    ]);
    assert.deepEqual(leftFields(object, planned, { isAutoscaled: false }), []);
  });
});

describe('an autoscaler', () => {
  const scaler = (namespace: string, spec: object): KubeObject =>
    ({
      apiVersion: 'autoscaling/v2',
      kind: 'HorizontalPodAutoscaler',
      metadata: { name: 'a', namespace },
      spec,
    }) as KubeObject;
  test('is one for the workload that it names, in its namespace', () => {
    const target = { scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' } };
    assert.equal(isAutoscaled(planned.ref, [scaler('shop', target)]), true);
    assert.equal(isAutoscaled(planned.ref, [scaler('other', target)]), false);
    assert.equal(isAutoscaled({ ...planned.ref, kind: 'StatefulSet' }, [scaler('shop', target)]), false);
    assert.equal(isAutoscaled(planned.ref, [scaler('shop', { scaleTargetRef: { name: 'web' } })]), true);
    assert.equal(isAutoscaled(planned.ref, [scaler('shop', {})]), false);
  });
});
