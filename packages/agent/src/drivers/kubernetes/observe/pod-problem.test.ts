import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { KubeObject } from '@selvedge/api';
import fc from 'fast-check';
import { findPodFault } from './pod-problem.ts';

/** Status as kubelet and scheduler 1.36 write it. */
const pod = (status: object, spec: object = { nodeName: 'n1' }): KubeObject =>
  ({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', namespace: 'n' }, spec, status }) as KubeObject;
const container = (state: object, rest: object = {}) => ({
  name: 'web',
  ready: false,
  restartCount: 0,
  state,
  lastState: {},
  ...rest,
});
const waiting = (reason: string, message?: string, rest: object = {}) =>
  pod({
    phase: 'Pending',
    containerStatuses: [container({ waiting: { reason, ...(message ? { message } : {}) } }, rest)],
  });
const ended = (exitCode: number, reason = 'Error') => ({ terminated: { exitCode, reason } });
const unready = { type: 'Ready', status: 'False', reason: 'ContainersNotReady' };

const cases: readonly (readonly [string, KubeObject, object | undefined])[] = [
  ['is ready', pod({ phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] }), undefined],
  ['has done its work', pod({ phase: 'Succeeded' }), undefined],
  ['has just been made', pod({ phase: 'Pending' }, {}), undefined],
  [
    'crashes for the first time',
    pod({
      phase: 'Running',
      containerStatuses: [
        container({ waiting: { reason: 'CrashLoopBackOff' } }, { restartCount: 1, lastState: ended(3) }),
      ],
    }),
    {
      reason: 'CrashLoopBackOff',
      isLasting: false,
      message: 'container web ended with exit code 3, restarted 1 times',
      container: { name: 'web', log: 'previous' },
    },
  ],
  [
    'crashes again and again',
    pod({
      phase: 'Running',
      containerStatuses: [
        container({ waiting: { reason: 'CrashLoopBackOff' } }, { restartCount: 3, lastState: ended(3) }),
      ],
    }),
    { reason: 'CrashLoopBackOff', isLasting: true },
  ],
  [
    'has just ended between two tries',
    pod({
      phase: 'Running',
      containerStatuses: [container(ended(3), { restartCount: 4, lastState: ended(3) })],
    }),
    { reason: 'CrashLoopBackOff', isLasting: true, container: { name: 'web', log: 'current' } },
  ],
  [
    'needs more memory than it may',
    pod({
      phase: 'Running',
      containerStatuses: [
        container(
          { waiting: { reason: 'CrashLoopBackOff' } },
          { restartCount: 2, lastState: ended(137, 'OOMKilled') },
        ),
      ],
    }),
    { reason: 'OOMKilled', isLasting: false },
  ],
  [
    'has an image of which the registry knows nothing',
    waiting(
      'ImagePullBackOff',
      'Back-off pulling image "x": ErrImagePull: rpc error: code = NotFound desc = failed to resolve reference "x": x: not found',
    ),
    { reason: 'ImagePullBackOff', isLasting: true, container: { name: 'web', log: 'none' } },
  ],
  [
    'has an image whose registry is away',
    waiting('ErrImagePull', 'dial tcp 127.0.0.1:80: connect: connection refused'),
    { reason: 'ErrImagePull', isLasting: false },
  ],
  [
    'has an image whose registry has no address',
    waiting('ErrImagePull', 'lookup registry.example: no such host: not found'),
    { isLasting: false },
  ],
  [
    'has an image with a wrong name',
    waiting('InvalidImageName', "couldn't parse image name"),
    { reason: 'InvalidImageName', isLasting: true },
  ],
  [
    'may not pull an image that is not there',
    waiting('ErrImageNeverPull', 'not present'),
    { reason: 'ErrImageNeverPull', isLasting: true },
  ],
  [
    'needs a ConfigMap that is not there',
    waiting('CreateContainerConfigError', 'configmap "gone" not found'),
    {
      reason: 'CreateContainerConfigError',
      message: 'container web: configmap "gone" not found',
      isLasting: false,
    },
  ],
  [
    'cannot be started',
    waiting('RunContainerError', 'exec: "x": not found in $PATH', { restartCount: 4 }),
    { reason: 'RunContainerError', isLasting: true },
  ],
  [
    'finds no node',
    pod(
      {
        phase: 'Pending',
        conditions: [
          {
            type: 'PodScheduled',
            status: 'False',
            reason: 'Unschedulable',
            message: '0/1 nodes are available',
          },
        ],
      },
      {},
    ),
    { reason: 'Unschedulable', message: '0/1 nodes are available', isLasting: false },
  ],
  [
    'has an init container that fails',
    pod({
      phase: 'Pending',
      initContainerStatuses: [{ ...container(ended(7), { restartCount: 1 }), name: 'init' }],
      containerStatuses: [container({ waiting: { reason: 'PodInitializing' } })],
    }),
    { reason: 'CrashLoopBackOff', message: 'container init ended with exit code 7, restarted 1 times' },
  ],
  [
    'was evicted',
    pod({ phase: 'Failed', reason: 'Evicted', message: 'The node was low on resource: memory.' }),
    { reason: 'Evicted', isLasting: false },
  ],
  [
    'has failed without being started again',
    pod({ phase: 'Failed', containerStatuses: [container(ended(1))] }),
    { reason: 'ContainerFailed' },
  ],
  [
    'fails its probe',
    pod({
      phase: 'Running',
      conditions: [unready],
      containerStatuses: [container({ running: {} }, { started: true })],
    }),
    { reason: 'NotReady', isVague: true, container: { name: 'web', log: 'current' } },
  ],
  [
    'waits for its startup probe',
    pod({
      phase: 'Running',
      conditions: [unready],
      containerStatuses: [container({ running: {} }, { started: false })],
    }),
    { reason: 'NotStarted', isVague: true },
  ],
  [
    'waits for a volume',
    pod({ phase: 'Pending', containerStatuses: [container({ waiting: { reason: 'ContainerCreating' } })] }),
    { reason: 'NotStarted', isVague: true },
  ],
];

describe('the fault of a pod', () => {
  for (const [name, subject, expected] of cases) {
    test(`that ${name}`, () => {
      const fault = findPodFault(subject);
      if (expected === undefined) assert.equal(fault, undefined);
      else assert.partialDeepStrictEqual(fault, expected);
    });
  }

  test('is none or has a reason, whatever the pod', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (status, state) => {
        for (const subject of [pod(status as object), pod({ containerStatuses: [{ state }, status] })]) {
          const fault = findPodFault(subject);
          assert.ok(fault === undefined || (fault.reason !== '' && fault.message !== ''));
        }
      }),
    );
  });
});
