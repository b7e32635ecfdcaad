import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { KubeObject, ResourceRef } from '@selvedge/api';
import {
  behaviourAnnotation,
  freePort,
  requireCluster,
  requireTool,
  SimulatedWorkloads,
} from '@selvedge/testkit';
import { sourcePrograms } from '../../quickstart/lab/lab.ts';
import { LinkedCluster } from '../../quickstart/lab/linked-cluster.ts';
import { poll } from '../../quickstart/lab/poll.ts';
import { findKubectls, Kubectl } from './kubectl-program.ts';
import { podAccessChecks } from './pod-access-checks.ts';

const namespace = 'linked';
const pods: ResourceRef = { group: '', version: 'v1', plural: 'pods', kind: 'Pod', namespaced: true };

/** As `echoCommand`, with what every machine that runs these tests has. */
const echoScript = (port: number) => `
  require('node:net').createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket)).listen(${port}, '127.0.0.1');
  let i = 0;
  const say = () => console.log('line ' + ++i);
  say();
  say();
  setInterval(say, 1000);
`;

for (const kind of ['our api server', 'kube-apiserver'] as const) {
  const need = [requireCluster(kind), requireTool('kubectl')].find(({ skip }) => skip !== false);
  describe(`kubectl through hub and agent to ${kind}`, need ?? {}, () => {
    let linked: LinkedCluster;
    let workloads: SimulatedWorkloads;
    let port: number;

    before(async () => {
      linked = await LinkedCluster.start({ kind, programs: sourcePrograms });
      workloads = await SimulatedWorkloads.start(linked.cluster);
      port = await freePort();
      const client = linked.cluster.client();
      await client.create(pods, echoPod(port));
      await poll(
        async () => {
          const pod = await client.get<KubeObject & { status?: { phase?: string } }>(pods, {
            namespace,
            name: 'echo',
          });
          return pod.status?.phase === 'Running' ? true : undefined;
        },
        { seconds: 60, what: 'the pod runs' },
      );
    });
    after(async () => {
      await workloads?.close();
      await linked?.[Symbol.asyncDispose]();
    });

    const through = (path: string) =>
      new Kubectl(path, { kubeconfig: linked.kubeconfigPath, folder: linked.folder });

    for (const { path, version, minor } of findKubectls()) {
      describe(`kubectl ${version}`, () => {
        test('get and a change, as the one who asks', async () => {
          const kubectl = through(path);
          assert.match(await kubectl.run(['get', 'pod', '-n', namespace, 'echo']), /echo/);
          const name = `by-kubectl-${minor}`;
          await kubectl.run(['create', 'configmap', name, '-n', namespace, '--from-literal=a=b']);
          const labelled = await kubectl.run(['label', 'configmap', name, '-n', namespace, 'shown=yes']);
          assert.match(labelled, /labeled/);
          await kubectl.run(['delete', 'configmap', name, '-n', namespace]);
        });

        test('get -w tells of a change when it happens', async () => {
          const kubectl = through(path);
          const name = `watched-${minor}`;
          const watch = kubectl.follow(['get', 'configmaps', '-n', namespace, '-w', '-o', 'name']);
          try {
            await poll(async () => (await makeConfigMap(kubectl, name)) || undefined, {
              seconds: 30,
              what: 'a ConfigMap is made',
            });
            await poll(async () => watch.lines().includes(`configmap/${name}`) || undefined, {
              seconds: 30,
              what: 'the watch tells of it',
            });
          } finally {
            await watch.stop();
          }
        });

        if (kind === 'kube-apiserver') {
          podAccessChecks(() => ({
            kubectl: through(path),
            namespace,
            pod: 'echo',
            folder: linked.folder,
            port,
            closedPort: 1,
            file: 'file',
          }));
        } else {
          // No kubelet is behind our own API server; what it knows of a log is scripted.
          test('logs', async () => {
            assert.match(await through(path).run(['logs', '-n', namespace, 'echo']), /^main starts/);
          });
        }
      });
    }
  });

  async function makeConfigMap(kubectl: Kubectl, name: string): Promise<boolean> {
    return (await kubectl.try(['create', 'configmap', name, '-n', namespace])).code === 0;
  }

  function echoPod(port: number): KubeObject {
    return {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name: 'echo',
        namespace,
        annotations: { [behaviourAnnotation]: kind === 'kube-apiserver' ? 'process' : 'run' },
      },
      spec: {
        terminationGracePeriodSeconds: 1,
        containers: [
          { name: 'main', image: 'example/echo', command: [process.execPath, '-e', echoScript(port)] },
        ],
      },
    } as KubeObject;
  }
}
