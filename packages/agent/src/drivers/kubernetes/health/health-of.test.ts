import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { KubeObject } from '@selvedge/api';
import fc from 'fast-check';
import { healthOf } from './health-of.ts';
import { compileHealthRules, noHealthRules } from './health-rules.ts';
import { healthStatuses } from './object-health.ts';

/** Status as controllers of Kubernetes 1.36 write it. */
function object(...[apiVersion, kind, rest, metadata = {}]: [string, string, object, object?]): KubeObject {
  return {
    apiVersion,
    kind,
    metadata: { name: 'a', namespace: 'n', generation: 1, ...metadata },
    ...rest,
  } as KubeObject;
}
const condition = (...[type, status = 'True', reason = '', message = '']: string[]) => ({
  type,
  status,
  reason,
  message,
});
const available = [
  condition('Available', 'True', 'MinimumReplicasAvailable'),
  condition('Progressing', 'True', 'NewReplicaSetAvailable'),
];
const deployment = (status: object, spec: object = {}) =>
  object('apps/v1', 'Deployment', {
    spec: { replicas: 2, progressDeadlineSeconds: 600, ...spec },
    status: {
      observedGeneration: 1,
      replicas: 2,
      updatedReplicas: 2,
      readyReplicas: 2,
      availableReplicas: 2,
      conditions: available,
      ...status,
    },
  });
const statefulSet = (
  status: object,
  updateStrategy: object = { type: 'RollingUpdate', rollingUpdate: { partition: 0 } },
) =>
  object('apps/v1', 'StatefulSet', {
    spec: { replicas: 3, updateStrategy },
    status: {
      observedGeneration: 1,
      replicas: 3,
      readyReplicas: 3,
      updatedReplicas: 3,
      currentReplicas: 3,
      currentRevision: 'a-1',
      updateRevision: 'a-1',
      ...status,
    },
  });
const daemonSet = (status: object, spec: object = {}) =>
  object('apps/v1', 'DaemonSet', {
    spec: { updateStrategy: { type: 'RollingUpdate' }, ...spec },
    status: {
      observedGeneration: 1,
      desiredNumberScheduled: 2,
      currentNumberScheduled: 2,
      updatedNumberScheduled: 2,
      numberAvailable: 2,
      numberReady: 2,
      ...status,
    },
  });
const job = (status: object, spec: object = {}) =>
  object('batch/v1', 'Job', { spec: { completions: 2, parallelism: 1, ...spec }, status });
const pod = (status: object) => object('v1', 'Pod', { status }, { generation: undefined });
const crd = (...conditions: object[]) =>
  object('apiextensions.k8s.io/v1', 'CustomResourceDefinition', { status: { conditions } });
const custom = (status: object, metadata: object = {}) =>
  object('example.com/v1', 'Widget', { status }, metadata);

const cases: readonly (readonly [string, KubeObject, string, string?])[] = [
  ['a deployment whose pods are all there', deployment({}), 'Current'],
  [
    'a deployment that nobody looked at',
    object('apps/v1', 'Deployment', { spec: { replicas: 0 } }),
    'InProgress',
    'NotObserved',
  ],
  [
    'a deployment of which an older generation was seen',
    deployment({ observedGeneration: 0 }),
    'InProgress',
    'LatestGenerationNotObserved',
  ],
  ['a deployment with too few pods', deployment({ replicas: 1 }), 'InProgress', 'LessReplicas'],
  ['a deployment with pods of before', deployment({ updatedReplicas: 1 }), 'InProgress', 'LessUpdated'],
  ['a deployment with pods that are to end', deployment({ replicas: 3 }), 'InProgress', 'ExtraPods'],
  [
    'a deployment with pods that are not available',
    deployment({ availableReplicas: 1 }),
    'InProgress',
    'LessAvailable',
  ],
  [
    'a deployment that is scaled to nothing',
    deployment({ replicas: 0, updatedReplicas: 0, readyReplicas: 0, availableReplicas: 0 }, { replicas: 0 }),
    'Current',
  ],
  [
    'a deployment that has passed its deadline',
    deployment({ conditions: [condition('Progressing', 'False', 'ProgressDeadlineExceeded', 'timed out')] }),
    'Failed',
    'ProgressDeadlineExceeded',
  ],
  [
    'a deployment that may make no pods',
    deployment({
      replicas: 0,
      conditions: [condition('ReplicaFailure', 'True', 'FailedCreate', 'exceeded quota')],
    }),
    'InProgress',
    'FailedCreate',
  ],
  [
    'a deployment without deadline',
    deployment({ conditions: [available[0]] }, { progressDeadlineSeconds: 2147483647 }),
    'Current',
  ],
  [
    'a deployment whose new pods are not yet available',
    deployment({ conditions: [available[0], condition('Progressing', 'True', 'ReplicaSetUpdated')] }),
    'InProgress',
    'ReplicaSetNotAvailable',
  ],
  [
    'a replica set',
    object('apps/v1', 'ReplicaSet', {
      spec: { replicas: 1 },
      status: {
        observedGeneration: 1,
        replicas: 1,
        fullyLabeledReplicas: 1,
        availableReplicas: 1,
        readyReplicas: 1,
      },
    }),
    'Current',
  ],
  [
    'a replica set without a pod',
    object('apps/v1', 'ReplicaSet', {
      spec: { replicas: 1 },
      status: { observedGeneration: 1, replicas: 0 },
    }),
    'InProgress',
    'LessLabelled',
  ],
  ['a stateful set', statefulSet({}), 'Current'],
  [
    'a stateful set with a pod that is not ready',
    statefulSet({ readyReplicas: 2 }),
    'InProgress',
    'LessReady',
  ],
  [
    'a stateful set in the middle of an update',
    statefulSet({ updatedReplicas: 1, updateRevision: 'a-2' }),
    'InProgress',
    'LessUpdated',
  ],
  [
    'a stateful set at the end of an update',
    statefulSet({ updateRevision: 'a-2' }),
    'InProgress',
    'RevisionMismatch',
  ],
  [
    'a stateful set updated down to its partition',
    statefulSet(
      { updatedReplicas: 1, updateRevision: 'a-2' },
      { type: 'RollingUpdate', rollingUpdate: { partition: 2 } },
    ),
    'Current',
  ],
  [
    'a stateful set not yet updated down to its partition',
    statefulSet(
      { updatedReplicas: 1, updateRevision: 'a-2' },
      { type: 'RollingUpdate', rollingUpdate: { partition: 1 } },
    ),
    'InProgress',
    'PartitionRollout',
  ],
  [
    'a stateful set whose pods people replace',
    statefulSet({ updatedReplicas: 0, updateRevision: 'a-2' }, { type: 'OnDelete' }),
    'Current',
  ],
  [
    'a stateful set whose pods people replace, without pods',
    statefulSet({ replicas: 0, readyReplicas: 0 }, { type: 'OnDelete' }),
    'InProgress',
    'LessReplicas',
  ],
  ['a daemon set', daemonSet({}), 'Current'],
  [
    'a daemon set that no node is to have',
    daemonSet({
      desiredNumberScheduled: 0,
      currentNumberScheduled: 0,
      updatedNumberScheduled: 0,
      numberAvailable: 0,
      numberReady: 0,
    }),
    'Current',
  ],
  [
    'a daemon set that nobody looked at',
    object('apps/v1', 'DaemonSet', { spec: {} }),
    'InProgress',
    'NotObserved',
  ],
  [
    'a daemon set in the middle of an update',
    daemonSet({ updatedNumberScheduled: 1 }),
    'InProgress',
    'LessUpdated',
  ],
  [
    'a daemon set whose pods people replace',
    daemonSet({ updatedNumberScheduled: 0 }, { updateStrategy: { type: 'OnDelete' } }),
    'Current',
  ],
  ['a job that has not begun', job({}), 'InProgress', 'JobNotStarted'],
  [
    'a job that runs',
    job({ startTime: '2026-01-01T00:00:00Z', active: 1, succeeded: 1 }),
    'InProgress',
    'JobRunning',
  ],
  [
    'a job that is done',
    job({ succeeded: 2, conditions: [condition('SuccessCriteriaMet'), condition('Complete')] }),
    'Current',
  ],
  [
    'a job that has failed',
    job({
      failed: 1,
      conditions: [
        condition('FailureTarget', 'True', 'BackoffLimitExceeded', 'm'),
        condition('Failed', 'True', 'BackoffLimitExceeded', 'm'),
      ],
    }),
    'Failed',
    'BackoffLimitExceeded',
  ],
  [
    'a job that is suspended on purpose',
    job({ conditions: [condition('Suspended')] }, { suspend: true }),
    'Current',
  ],
  ['a job that is to be suspended', job({ active: 1 }, { suspend: true }), 'InProgress', 'Suspending'],
  ['a cron job', object('batch/v1', 'CronJob', { spec: {} }), 'Current'],
  ['a pod that nobody looked at', pod({}), 'InProgress', 'NotObserved'],
  ['a pod that is ready', pod({ phase: 'Running', conditions: [condition('Ready')] }), 'Current'],
  ['a pod that is done', pod({ phase: 'Succeeded' }), 'Current'],
  [
    'a pod that was evicted',
    pod({ phase: 'Failed', reason: 'Evicted', message: 'low on disk' }),
    'Failed',
    'Evicted',
  ],
  [
    'a pod that crashes',
    pod({
      phase: 'Running',
      containerStatuses: [{ name: 'c', state: { waiting: { reason: 'CrashLoopBackOff' } } }],
    }),
    'Failed',
    'ContainerCrashLooping',
  ],
  [
    'a pod that finds no node',
    pod({ phase: 'Pending', conditions: [condition('PodScheduled', 'False', 'Unschedulable', '0/1 nodes')] }),
    'InProgress',
    'Unschedulable',
  ],
  [
    'a claim without a volume',
    object('v1', 'PersistentVolumeClaim', { status: { phase: 'Pending' } }),
    'InProgress',
    'NotBound',
  ],
  [
    'a claim whose volume is gone',
    object('v1', 'PersistentVolumeClaim', { status: { phase: 'Lost' } }),
    'Failed',
    'VolumeLost',
  ],
  [
    'a claim with its volume',
    object('v1', 'PersistentVolumeClaim', { status: { phase: 'Bound' } }),
    'Current',
  ],
  ['a service', object('v1', 'Service', { spec: { type: 'ClusterIP' } }), 'Current'],
  [
    'a service of a load balancer without address in the cluster',
    object('v1', 'Service', { spec: { type: 'LoadBalancer' } }),
    'InProgress',
    'NoIPAssigned',
  ],
  [
    'a service of a load balancer that has given none',
    object('v1', 'Service', {
      spec: { type: 'LoadBalancer', clusterIP: '10.0.0.1' },
      status: { loadBalancer: {} },
    }),
    'Current',
  ],
  ['a definition that is established', crd(condition('NamesAccepted'), condition('Established')), 'Current'],
  [
    'a definition that is being installed',
    crd(condition('Established', 'False', 'Installing')),
    'InProgress',
    'Installing',
  ],
  [
    'a definition whose names are taken',
    crd(
      condition('NamesAccepted', 'False', 'ListKindConflict', 'taken'),
      condition('Established', 'False', 'NotAccepted'),
    ),
    'Failed',
    'ListKindConflict',
  ],
  [
    'an API service that does not answer',
    object('apiregistration.k8s.io/v1', 'APIService', {
      status: { conditions: [condition('Available', 'False', 'ServiceNotFound', 'no service')] },
    }),
    'InProgress',
    'ServiceNotFound',
  ],
  [
    'a budget',
    object('policy/v1', 'PodDisruptionBudget', {
      status: { observedGeneration: 1, conditions: [condition('DisruptionAllowed', 'False')] },
    }),
    'Current',
  ],
  [
    'a budget that nobody looked at since its change',
    object('policy/v1', 'PodDisruptionBudget', { status: { observedGeneration: 1 } }, { generation: 2 }),
    'InProgress',
    'LatestGenerationNotObserved',
  ],
  ['a namespace', object('v1', 'Namespace', { status: { phase: 'Active' } }), 'Current'],
  [
    'a namespace that ends',
    object('v1', 'Namespace', { status: { phase: 'Terminating' } }),
    'Terminating',
    'Terminating',
  ],
  ['an ingress, an autoscaler, a secret', object('networking.k8s.io/v1', 'Ingress', {}), 'Current'],
  ['a kind of others without conditions', custom({}), 'Current'],
  ['a kind of others that is ready', custom({ conditions: [condition('Ready')] }), 'Current'],
  [
    'a kind of others that is not ready',
    custom({ conditions: [condition('Ready', 'False', 'Waiting', 'for Godot')] }),
    'InProgress',
    'Waiting',
  ],
  [
    'a kind of others that is worked on',
    custom({ conditions: [condition('Ready'), condition('Reconciling', 'True', 'Upgrading')] }),
    'InProgress',
    'Upgrading',
  ],
  [
    'a kind of others that does not get on',
    custom({ conditions: [condition('Stalled', 'True', 'BadSpec', 'no')] }),
    'Failed',
    'BadSpec',
  ],
  [
    'a kind of others of which an older generation was seen',
    custom({ observedGeneration: 1, conditions: [condition('Ready')] }, { generation: 2 }),
    'InProgress',
    'LatestGenerationNotObserved',
  ],
  [
    'what is being deleted',
    custom(
      { conditions: [condition('Ready')] },
      { deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: ['a/b'] },
    ),
    'Terminating',
    'Terminating',
  ],
];

describe('health', () => {
  for (const [name, subject, status, reason] of cases) {
    test(`of ${name} is ${status}`, () => {
      const health = healthOf(subject, noHealthRules);
      assert.deepEqual([health.status, health.reason], [status, reason]);
      // Whoever is not healthy says why.
      assert.equal(health.message === undefined, status === 'Current');
    });
  }

  test('of any object whatever is one of the four, and never an error', async () => {
    const rules = await compileHealthRules([
      {
        apiVersion: 'example.com/v1',
        kind: 'Widget',
        current: "self.status.a == 'b'",
        failed: 'self.status.c > 1',
      },
    ]);
    const kinds = [...new Set(cases.map(([, { apiVersion, kind }]) => `${apiVersion} ${kind}`))];
    fc.assert(
      fc.property(fc.constantFrom(...kinds), fc.jsonValue(), fc.jsonValue(), (kind, spec, status) => {
        const [apiVersion = '', name = ''] = kind.split(' ');
        const health = healthOf(object(apiVersion, name, { spec, status }), rules);
        assert.ok(healthStatuses.includes(health.status));
      }),
      { numRuns: 300 },
    );
  });

  test('of a deployment never is Current while a number is short of what is wanted', () => {
    const few = fc.integer({ min: 0, max: 4 });
    fc.assert(
      fc.property(fc.tuple(few, few, few, few, few), ([replicas, total, updated, ready, up]) => {
        const status = {
          replicas: total,
          updatedReplicas: updated,
          readyReplicas: ready,
          availableReplicas: up,
        };
        const health = healthOf(deployment(status, { replicas }), noHealthRules);
        const isDone = total === replicas && updated >= replicas && ready >= replicas && up >= replicas;
        assert.equal(health.status === 'Current', isDone);
      }),
    );
  });
});

describe('health rules of an application', () => {
  const widget = { apiVersion: 'example.com/v1', kind: 'Widget' };
  const judge = async (rule: object, status: object, metadata: object = {}) => {
    const {
      status: health,
      reason,
      message,
    } = healthOf(custom(status, metadata), await compileHealthRules([{ ...widget, ...rule }]));
    return [health, reason, message];
  };

  test('by a condition wait for it, and say what it says', async () => {
    const rule = { condition: 'Synced' };
    assert.deepEqual(await judge(rule, {}), ['InProgress', 'NoCondition', 'it has no condition Synced yet']);
    assert.deepEqual(await judge(rule, { conditions: [condition('Synced', 'False', 'Slow', 'soon')] }), [
      'InProgress',
      'Slow',
      'soon',
    ]);
    assert.deepEqual(await judge(rule, { conditions: [condition('Synced'), condition('Ready', 'False')] }), [
      'Current',
      undefined,
      undefined,
    ]);
    const old = { ...condition('Synced'), observedGeneration: 1 };
    assert.equal(
      (await judge(rule, { conditions: [old] }, { generation: 2 }))[1],
      'LatestGenerationNotObserved',
    );
  });

  test('in CEL wait while they are false, and while fields are missing', async () => {
    const rule = { current: "self.status.phase == 'Bound'" };
    assert.deepEqual((await judge(rule, { phase: 'Bound' }))[0], 'Current');
    assert.deepEqual((await judge(rule, { phase: 'No' })).slice(0, 2), ['InProgress', 'HealthRule']);
    const [status, reason, message] = await judge(rule, {});
    assert.deepEqual([status, reason], ['InProgress', 'HealthRuleError']);
    assert.match(String(message), /No such key: phase/);
  });

  test('in CEL tell failures, which count first; one without an answer is none', async () => {
    const rule = { condition: 'Ready', failed: "self.status.phase == 'Broken'" };
    assert.deepEqual((await judge(rule, { phase: 'Broken', conditions: [condition('Ready')] }))[0], 'Failed');
    assert.deepEqual((await judge(rule, { conditions: [condition('Ready')] }))[0], 'Current');
  });

  test('that cannot be compiled, or cost too much, are said, not thrown', async () => {
    assert.deepEqual((await judge({ current: 'self.' }, {})).slice(0, 2), ['InProgress', 'HealthRuleError']);
    const items = Array.from({ length: 3000 }, (_, i) => i);
    const [status, , message] = await judge(
      { current: 'self.status.items.all(a, self.status.items.exists(b, a == b))' },
      { items },
    );
    assert.equal(status, 'InProgress');
    assert.match(String(message), /steps/);
  });

  test('are for a kind in all its versions, and bind nothing that is being deleted', async () => {
    const rules = await compileHealthRules([
      { apiVersion: 'example.com/v1beta1', kind: 'Widget', condition: 'Synced' },
    ]);
    assert.equal(healthOf(custom({}), rules).reason, 'NoCondition');
    const ending = custom(
      { conditions: [condition('Synced')] },
      { deletionTimestamp: '2026-01-01T00:00:00Z' },
    );
    assert.equal(healthOf(ending, rules).status, 'Terminating');
  });
});
