import { spawn } from 'node:child_process';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { loadKubeconfig } from '@selvedge/kube';
import type { ApiAddress } from './connection.ts';

/** An API server that is measured. */
export interface Target {
  readonly name: string;
  address(): Promise<ApiAddress>;
  /** Processes whose memory counts; none when they cannot be known. */
  pids(): Promise<readonly number[]>;
  /** Stops it and starts it on the same data; returns when the new one was started, as `performance.now()`. */
  readonly restart: (() => Promise<number>) | undefined;
  close(): Promise<void>;
}

export interface NamedServerOptions {
  readonly kubeconfig: string;
  /** Default: the process of this machine that listens on the server's port. */
  readonly pids: readonly number[];
  readonly stopCommand: string | undefined;
  readonly startCommand: string | undefined;
}

/** A server that somebody else started, as a kubeconfig names it. */
export function namedTarget(options: NamedServerOptions): Target {
  const { kubeconfig, stopCommand, startCommand } = options;
  return {
    name: 'the other',
    address: () => loadKubeconfig(kubeconfig),
    async pids() {
      if (options.pids.length > 0) return options.pids;
      const { server } = await loadKubeconfig(kubeconfig);
      const pid = await findListener(Number(new URL(server).port));
      return pid === undefined ? [] : [pid];
    },
    restart:
      stopCommand === undefined || startCommand === undefined
        ? undefined
        : async () => {
            await runShell(stopCommand);
            const started = performance.now();
            await runShell(startCommand);
            return started;
          },
    close: async () => {},
  };
}

function runShell(command: string): Promise<void> {
  return new Promise((resolve, reject) => {
    // What it starts goes on behind it, so it must not hold our pipes.
    const child = spawn('/bin/sh', ['-c', command], { stdio: ['ignore', 'ignore', 'ignore'] });
    child.on('error', reject);
    child.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`${command}: exit code ${code}`))));
  });
}

/** The process of this machine that listens on a TCP port, where we may see it. */
async function findListener(port: number): Promise<number | undefined> {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const tables = await Promise.all(
    ['/proc/net/tcp', '/proc/net/tcp6'].map((path) => readFile(path, 'utf8').catch(() => '')),
  );
  const sockets = tables
    .flatMap((table) => table.split('\n').slice(1))
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state]) => local?.endsWith(wanted) && state === '0A')
    .map((columns) => `socket:[${columns[9]}]`);
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const folder = `/proc/${pid}/fd`;
    for (const fd of await readdir(folder).catch(() => [])) {
      const link = await readlink(`${folder}/${fd}`).catch(() => '');
      if (sockets.includes(link)) return Number(pid);
    }
  }
  return undefined;
}
