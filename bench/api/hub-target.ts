import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadKubeconfig } from '@selvedge/kube';
import { bundledPrograms } from '../../quickstart/lab/lab.ts';
import { freePort } from '@selvedge/testkit';
import type { Target } from './target.ts';

export interface HubTargetOptions {
  /** Folder for its data; default: a new one in the system's folder for temporary files. */
  readonly parent?: string;
  /** Arguments of node, as `--cpu-prof`. */
  readonly nodeArguments?: readonly string[];
}

/** The bundled hub as a process of its own, on a durable store in a new folder. */
export async function startHubTarget({ parent, nodeArguments = [] }: HubTargetOptions): Promise<Target> {
  const folder = await mkdtemp(join(parent ?? tmpdir(), 'svg-bench-api-'));
  const data = join(folder, 'hub');
  const kubeconfig = join(data, 'admin.kubeconfig');
  const listen = `127.0.0.1:${await freePort()}`;
  let hub = await start();
  // However the bench ends, the hub that it started ends with it.
  const killHub = () => void hub.kill('SIGKILL');
  const leave = () => process.exit(1);
  process.once('exit', killHub);
  process.once('SIGINT', leave);
  process.once('SIGTERM', leave);
  await ready(hub);
  return {
    name: 'hub',
    address: () => loadKubeconfig(kubeconfig),
    pids: async () => (hub.pid === undefined ? [] : [hub.pid]),
    async restart() {
      await stop(hub);
      const started = performance.now();
      hub = await start();
      return started;
    },
    async close() {
      await stop(hub);
      process.off('exit', killHub);
      process.off('SIGINT', leave);
      process.off('SIGTERM', leave);
      await rm(folder, { recursive: true, force: true });
    },
  };

  async function start(): Promise<ChildProcess> {
    const [node, ...program] = bundledPrograms.cli;
    const log = await open(join(folder, 'hub.log'), 'w');
    const withArguments = program.toSpliced(-1, 0, ...nodeArguments);
    const args = [...withArguments, 'hub', '--data', data, '--listen', listen];
    const child = spawn(node, args, { stdio: ['ignore', log.fd, log.fd], cwd: parent ?? folder });
    await log.close();
    return child;
  }

  async function ready(child: ChildProcess): Promise<void> {
    for (;;) {
      const log = await readFile(join(folder, 'hub.log'), 'utf8');
      if (log.includes('"hub ready"')) return;
      if (child.exitCode !== null) throw new Error(`the hub has ended: ${log}`);
      await sleep(20);
    }
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}
