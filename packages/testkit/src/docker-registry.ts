import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { freePort } from './free-port.ts';
import { getTool } from './require-tool.ts';

/** A real registry (Debian's docker-registry) without TLS, on loopback. */
export interface DockerRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT`; stays the same over `stop` and `start`. */
  readonly address: string;
  readonly port: number;
  /** Ends the program; what was pushed stays. */
  stop(): Promise<void>;
  /** Nothing happens while it runs. */
  start(): Promise<void>;
}

const longestStartMs = 30_000;

/** Of a registry that wants a login. */
export const dockerRegistryLogin = { username: 'till', password: 'secret' } as const;
/** The same, as htpasswd keeps it (bcrypt). */
const users = 'till:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n';

export async function startDockerRegistry({
  hasLogin = false,
}: {
  /** Only `dockerRegistryLogin` may read and write. */
  readonly hasLogin?: boolean;
} = {}): Promise<DockerRegistry> {
  const directory = await mkdtemp(join(tmpdir(), 'svg-registry-'));
  const port = await freePort();
  const configuration = join(directory, 'config.yml');
  await writeFile(join(directory, 'users'), users);
  await writeFile(
    configuration,
    JSON.stringify({
      version: 0.1,
      log: { level: 'error', accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: join(directory, 'data') }, delete: { enabled: true } },
      http: { addr: `127.0.0.1:${port}` },
      ...(hasLogin ? { auth: { htpasswd: { realm: 'test', path: join(directory, 'users') } } } : {}),
    }),
  );
  let child: ChildProcess | undefined;
  const start = async () => {
    if (child !== undefined) return;
    child = spawn(getTool('docker-registry'), ['serve', configuration], { stdio: 'ignore' });
    await waitForPort(port, child);
  };
  const stop = async () => {
    const ending = child;
    child = undefined;
    if (ending === undefined || ending.exitCode !== null) return;
    const ended = new Promise((resolve) => ending.once('exit', resolve));
    ending.kill('SIGKILL');
    await ended;
  };
  await start();
  return {
    address: `127.0.0.1:${port}`,
    port,
    start,
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function waitForPort(port: number, child: ChildProcess): Promise<void> {
  for (const from = performance.now(); performance.now() - from < longestStartMs; ) {
    if (child.exitCode !== null) throw new Error(`docker-registry ended with ${child.exitCode}`);
    if (await answers(port)) return;
    await wait(50);
  }
  throw new Error(`docker-registry did not listen within ${longestStartMs} ms`);
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
