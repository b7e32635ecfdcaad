import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KubeObject, ResourceRef } from '@selvedge/api';
import { behaviourAnnotation, freePort, getTool, SimulatedWorkloads } from '@selvedge/testkit';
import type { LinkedCluster } from '../../quickstart/lab/linked-cluster.ts';
import { poll } from '../../quickstart/lab/poll.ts';
import { type Figure, figure, median } from '../figure.ts';
import { inTurns, timed, type WayName, wayNames } from './ways.ts';

const megabytes = 32;
const rounds = 3;
const pings = 100;

const pods: ResourceRef = { group: '', version: 'v1', plural: 'pods', kind: 'Pod', namespaced: true };

/** Sends so many bytes to whoever connects and says `get`, and back what others say. */
const serverScript = (port: number) => `
  const bytes = Buffer.alloc(${megabytes * 1_000_000}, 'x');
  require('node:net').createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    socket.on('data', (said) => (String(said) === 'get' ? socket.end(bytes) : socket.write(said)));
  }).listen(${port}, '127.0.0.1');
`;

/** Real kubectl, and behind the API server the simulated kubelet, which is in this process: both ways go through them. */
export async function measureForward(linked: LinkedCluster): Promise<Figure[]> {
  const { cluster, folder } = linked;
  await using stack = new AsyncDisposableStack();
  const workloads = await SimulatedWorkloads.start(cluster);
  stack.defer(() => workloads.close());
  const port = await freePort();
  const client = cluster.client();
  await client.create(pods, serverPod(port));
  await poll(
    async () => {
      const pod = await client.get<KubeObject & { status?: { phase?: string } }>(pods, serverName);
      return pod.status?.phase === 'Running' ? true : undefined;
    },
    { seconds: 60, what: 'the pod runs' },
  );
  const kubeconfigs: Record<WayName, string> = {
    direct: cluster.kubeconfigPath,
    through: linked.kubeconfigPath,
  };
  const forwards = {} as Record<WayName, Forward>;
  for (const way of wayNames) {
    const env = { ...process.env, KUBECONFIG: kubeconfigs[way], KUBECACHEDIR: join(folder, `cache-${way}`) };
    forwards[way] = await Forward.start(port, env);
    stack.defer(() => forwards[way].stop());
  }
  for (const way of wayNames) await fetchAll(forwards[way].port);
  const rates = await inTurns(rounds, async (way) => {
    return megabytes / (await timed(() => fetchAll(forwards[way].port)));
  });
  const echoes = {
    direct: await openEcho(forwards.direct.port),
    through: await openEcho(forwards.through.port),
  };
  stack.defer(() => {
    for (const way of wayNames) echoes[way].close();
  });
  for (let i = 0; i < 20; i++) for (const way of wayNames) await echoes[way].ping();
  const trips = await inTurns(pings, (way) => timed(() => echoes[way].ping()));
  const [directRate, throughRate] = [median(rates.direct), median(rates.through)];
  const [direct, through] = [median(trips.direct) * 1000, median(trips.through) * 1000];
  return [
    figure(`port-forward, ${megabytes} MB: direct`, directRate, { unit: 'MB/s' }),
    figure('port-forward: through the link', throughRate, { unit: 'MB/s' }),
    figure('port-forward: through the link to direct', throughRate / directRate, { unit: '×' }),
    figure('port-forward, there and back: direct, median', direct, { unit: 'ms' }),
    figure('port-forward, there and back: through the link', through, { unit: 'ms' }),
    figure('port-forward: added by the link', through - direct, { unit: 'ms', mark: { atMost: 20 } }),
  ];
}

const serverName = { namespace: 'linked', name: 'server' };

function serverPod(port: number): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...serverName, annotations: { [behaviourAnnotation]: 'process' } },
    spec: {
      containers: [
        { name: 'main', image: 'example/server', command: [process.execPath, '-e', serverScript(port)] },
      ],
    },
  };
}

/** One `kubectl port-forward`. */
class Forward {
  readonly port: number;
  readonly #program: ChildProcess;

  private constructor(port: number, program: ChildProcess) {
    this.port = port;
    this.#program = program;
  }

  static async start(port: number, env: NodeJS.ProcessEnv): Promise<Forward> {
    const { namespace, name } = serverName;
    const args = ['port-forward', '--address', '127.0.0.1', '-n', namespace, `pod/${name}`, `:${port}`];
    const program = spawn(getTool('kubectl'), args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    program.stdout?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    const near = () => Number(/127\.0\.0\.1:(\d+) ->/.exec(said)?.[1]);
    for (let i = 0; !(near() > 0); i++) {
      if (program.exitCode !== null || i > 600) throw new Error(`kubectl forwards no port: ${said}`);
      await sleep(50);
    }
    return new Forward(near(), program);
  }

  async stop(): Promise<void> {
    if (this.#program.exitCode !== null || this.#program.signalCode !== null) return;
    this.#program.kill('SIGTERM');
    await once(this.#program, 'exit');
  }
}

async function fetchAll(port: number): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  socket.write('get');
  let bytes = 0;
  socket.on('data', (chunk) => (bytes += chunk.length));
  await once(socket, 'close');
  if (bytes !== megabytes * 1_000_000) throw new Error(`only ${bytes} bytes came through port-forward`);
}

async function openEcho(port: number): Promise<{ ping(): Promise<void>; close(): void }> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  await once(socket, 'connect');
  return {
    ping: async () => {
      const answered = once(socket, 'data');
      socket.write('p');
      await answered;
    },
    close: () => socket.destroy(),
  };
}
