import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { PodSpec } from './manifest-model.ts';
import type { ObservedContainer, ObservedPod } from './observe.ts';
import { type PodStatusContext, type ProbeState, podStatus } from './pod-status.ts';
import { RestartBackoff } from './restart-backoff.ts';

const spec: PodSpec = {
  initContainers: [
    { name: 'first', image: 'i' },
    { name: 'second', image: 'i' },
  ],
  containers: [
    { name: 'web', image: 'i' },
    { name: 'helper', image: 'i' },
  ],
};
const second = 1000;
const now = 1_000 * second;

function container(name: string, change: Partial<ObservedContainer> = {}): ObservedContainer {
  const running = { state: 'running' as const, exitCode: 0, pid: 5, startedAt: now - second, exitedAt: 0 };
  return { id: `id-${name}`, name, isInfra: false, image: 'i', ...running, ...change };
}
const ended = (name: string, exitCode: number, ago = 0) =>
  container(name, { state: 'exited', exitCode, startedAt: now - 60 * second, exitedAt: now - ago });

function pod(
  containers: readonly ObservedContainer[],
  infra: ObservedContainer | undefined = container(''),
): ObservedPod {
  return {
    id: 'p',
    name: 'pod',
    role: 'pod',
    createdAt: 0,
    itemId: '',
    itemUid: '',
    release: '',
    digest: '',
    namespace: 'shop',
    workload: 'Deployment/shop/web',
    hash: 'h',
    index: 0,
    labels: {},
    ports: {},
    service: '',
    serviceHash: '',
    infra,
    containers,
  };
}

const ready: ProbeState = { isStarted: true, isReady: true };
function look(containers: readonly ObservedContainer[], change: Partial<PodStatusContext> = {}) {
  return podStatus(pod(containers), {
    spec,
    probes: () => ready,
    backoff: new RestartBackoff(),
    now,
    ...change,
  });
}
const initDone = [ended('first', 0), ended('second', 0)];

describe('what is to be done next to a pod', () => {
  test('it is made anew when its own container does not run', () => {
    const stopped = pod([], container('', { state: 'created' }));
    const status = podStatus(stopped, { spec, probes: () => ready, backoff: new RestartBackoff(), now });
    assert.deepEqual(status.action, { type: 'RecreatePod' });
  });

  test('init containers are started one after the other, each when the one before has succeeded', () => {
    assert.deepEqual(look([]).action, { type: 'StartContainer', container: 'first' });
    assert.equal(look([container('first')]).action, undefined);
    assert.deepEqual(look([ended('first', 0)]).action, { type: 'StartContainer', container: 'second' });
    assert.deepEqual(look(initDone).action, { type: 'StartContainer', container: 'web' });
    assert.deepEqual(look([...initDone, container('web')]).action, {
      type: 'StartContainer',
      container: 'helper',
    });
  });

  test('it is ready when all its containers are', () => {
    const all = [...initDone, container('web'), container('helper')];
    assert.equal(look(all).isReady, true);
    const probes = (id: string) =>
      id === 'id-web' ? { isStarted: true, isReady: false, message: 'HTTP 503' } : ready;
    const status = look(all, { probes });
    assert.equal(status.isReady, false);
    assert.equal(status.problem?.reason, 'ProbeFailed');
    assert.equal(status.problem?.message, 'container web: HTTP 503');
  });

  test('a container that fails its liveness probe is stopped', () => {
    const probes = () => ({
      isStarted: true,
      isReady: true,
      mustRestart: 'liveness probe failed: exit code 1',
    });
    const status = look([...initDone, container('web'), container('helper')], { probes });
    assert.equal(status.action?.type, 'StopContainer');
  });

  test('a container that ended is started at once the first time, then after 10, 20, 40 seconds', () => {
    const backoff = new RestartBackoff();
    const crashed = ended('web', 1);
    const at = () => look([...initDone, crashed, container('helper')], { backoff });
    assert.equal(at().action?.type, 'StartContainer');
    for (const seconds of [10, 20, 40]) {
      backoff.recordRestart('pod/web', crashed);
      assert.equal(at().action, undefined);
      assert.equal(at().wakeAt, now + seconds * second);
    }
    assert.equal(at().problem?.isLasting, true);
    for (let more = 0; more < 10; more++) backoff.recordRestart('pod/web', crashed);
    assert.equal(at().wakeAt, now + 300 * second);
  });

  test('a container that ran for ten minutes starts over', () => {
    const backoff = new RestartBackoff();
    const crashed = ended('web', 1);
    for (let more = 0; more < 5; more++) backoff.recordRestart('pod/web', crashed);
    const old = container('web', {
      state: 'exited',
      exitCode: 1,
      startedAt: now - 700 * second,
      exitedAt: now,
    });
    assert.equal(look([...initDone, old, container('helper')], { backoff }).action?.type, 'StartContainer');
    backoff.recordRestart('pod/web', old);
    assert.equal(backoff.restarts('pod/web'), 1);
  });

  test('the restart policy decides what an end means', () => {
    const both = [...initDone, ended('web', 0), ended('helper', 0)];
    assert.equal(look(both, { spec: { ...spec, restartPolicy: 'OnFailure' } }).isCompleted, true);
    const failed = [...initDone, ended('web', 2), ended('helper', 0)];
    const never = look(failed, { spec: { ...spec, restartPolicy: 'Never' } });
    assert.equal(never.action, undefined);
    assert.equal(never.problem?.reason, 'ContainerFailed');
    assert.equal(
      look(failed, { spec: { ...spec, restartPolicy: 'OnFailure' } }).action?.type,
      'StartContainer',
    );
  });

  test('an init container that fails holds everything up', () => {
    const status = look([ended('first', 1)], { spec: { ...spec, restartPolicy: 'Never' } });
    assert.deepEqual(status.action, undefined);
    assert.equal(status.problem?.reason, 'InitFailed');
    assert.equal(status.problem?.isLasting, true);
  });
});
