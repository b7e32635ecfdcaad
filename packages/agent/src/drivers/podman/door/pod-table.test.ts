import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { PodSpec } from '../manifest-model.ts';
import type { ObservedContainer, ObservedPod } from '../observe.ts';
import { parseFieldSelector } from './field-selector.ts';
import { readLogOptions } from './pod-log.ts';
import { podObject } from './pod-objects.ts';
import { podTable, shortDuration } from './pod-table.ts';

const now = Date.parse('2026-05-01T12:00:00Z');
const minute = 60_000;

const container = (name: string, change: Partial<ObservedContainer> = {}): ObservedContainer => ({
  id: `id-${name}`,
  name,
  isInfra: false,
  image: 'localhost/web:1',
  state: 'running',
  exitCode: 0,
  pid: 5,
  startedAt: now - minute,
  exitedAt: 0,
  ...change,
});

function objectOf(
  containers: readonly ObservedContainer[],
  { spec, restarts = 0 }: { spec?: Partial<PodSpec>; restarts?: number } = {},
) {
  const pod: ObservedPod = {
    id: 'p',
    name: 'selvedge-1-web-abc-0',
    role: 'pod',
    createdAt: now - 90 * minute,
    itemId: 'Application/shop/till',
    itemUid: 'u',
    release: 'r',
    digest: 'd',
    namespace: 'shop',
    workload: 'Deployment/shop/web',
    hash: 'abc',
    index: 0,
    labels: { app: 'web' },
    ports: {},
    service: '',
    serviceHash: '',
    infra: container(''),
    containers,
  };
  return podObject(pod, {
    site: { name: 'paris', uid: 'site' },
    template: { spec: { containers: [{ name: 'web', image: 'web:1' }], ...spec } },
    podIP: '10.1.2.3',
    hostIP: '127.0.0.1',
    isLeaving: false,
    isReady: () => true,
    restarts: () => restarts,
  });
}

function cellsOf(pod: ReturnType<typeof objectOf>, isLeaving = false): unknown[] {
  const { rows } = podTable([{ pod, isLeaving }], now, 'v1') as { rows: { cells: unknown[] }[] };
  return rows[0]?.cells.slice(0, 5) ?? [];
}

describe('a pod of a Podman site as kubectl shows it', () => {
  const exited = (exitCode: number) => container('web', { state: 'exited', exitCode, exitedAt: now });
  const init = [{ name: 'setup', image: 'web:1' }];
  const cases: readonly [string, ReturnType<typeof objectOf>, readonly [string, string, number]][] = [
    ['runs', objectOf([container('web')]), ['1/1', 'Running', 0]],
    ['is being made', objectOf([]), ['0/1', 'ContainerCreating', 0]],
    ['crashes', objectOf([exited(1)], { restarts: 3 }), ['0/1', 'CrashLoopBackOff', 3]],
    ['ended badly just now', objectOf([exited(1)]), ['0/1', 'Error', 0]],
    [
      'has done its work',
      objectOf([exited(0)], { spec: { restartPolicy: 'Never' } }),
      ['0/1', 'Completed', 0],
    ],
    [
      'waits for its first step',
      objectOf([container('setup')], { spec: { initContainers: init } }),
      ['0/1', 'Init:0/1', 0],
    ],
    [
      'failed in its first step',
      objectOf([container('setup', { state: 'exited', exitCode: 2 })], { spec: { initContainers: init } }),
      ['0/1', 'Init:Error', 0],
    ],
  ];
  for (const [what, pod, expected] of cases) {
    test(`one that ${what}`, () => {
      assert.deepEqual(cellsOf(pod), ['web-abc-0', ...expected, '90m']);
    });
  }

  test('one that is leaving', () => {
    assert.equal(cellsOf(objectOf([container('web')]), true)[2], 'Terminating');
  });

  test('it has the labels by which its application is found', () => {
    assert.deepEqual(objectOf([]).metadata.labels, {
      app: 'web',
      'selvedge.dev/application': 'till',
      'selvedge.dev/application-namespace': 'shop',
    });
  });

  test('ages are written as kubectl writes them', () => {
    const hour = 60 * minute;
    const ages = [
      5_000,
      119_000,
      3 * minute + 4_000,
      50 * minute,
      5 * hour + 2 * minute,
      30 * hour,
      80 * hour,
      400 * hour,
    ];
    assert.deepEqual(ages.map(shortDuration), ['5s', '119s', '3m4s', '50m', '5h2m', '30h', '3d8h', '16d']);
  });
});

describe('what a query asks', () => {
  test('field selectors select, and say which fields there are', () => {
    const pod = objectOf([container('web')]);
    assert.equal(parseFieldSelector('status.phase=Running,metadata.namespace==shop')(pod), true);
    assert.equal(parseFieldSelector('metadata.name!=web-abc-0')(pod), false);
    assert.throws(() => parseFieldSelector('spec.color=red'), /can be selected by metadata\.name/);
  });

  test('log options are checked', () => {
    const read = (query: string) => readLogOptions(new URLSearchParams(query), now);
    assert.deepEqual(read(''), { follow: false, timestamps: false });
    assert.deepEqual(read('follow=true&tailLines=0&sinceSeconds=60&timestamps=true&limitBytes=9'), {
      follow: true,
      timestamps: true,
      tailLines: 0,
      since: '2026-05-01T11:59:00.000Z',
      limitBytes: 9,
    });
    for (const wrong of ['tailLines=-1', 'tailLines=x', 'sinceSeconds=0', 'limitBytes=0', 'sinceTime=soon']) {
      assert.throws(() => read(wrong), /tailLines|sinceSeconds|limitBytes|sinceTime/);
    }
    assert.throws(() => read('sinceSeconds=5&sinceTime=2026-05-01T11:59:00Z'), /at most one/);
  });
});
