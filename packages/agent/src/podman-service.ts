import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readFile, rm, stat } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import type { Clock, Logger } from '@selvedge/api';
import { writeFileAtomically } from '@selvedge/api/node';
import { BackOff } from './sync/back-off.ts';

export interface PodmanServiceOptions {
  readonly stateDir: string;
  /** Short folders of this user alone, tried when the path of a socket in the state directory is too long. */
  readonly runtimeDir: string;
  /** For Podman as it is: CONTAINERS_CONF, XDG_RUNTIME_DIR and the like choose whose containers these are. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly program?: string;
}

/**
 * `podman system service` as a child of the agent: started again when it ends, stopped with the agent. Containers do not
 * depend on it. What a killed agent left behind is found by its pid file and ended.
 */
export class PodmanService {
  readonly socketPath: string;
  readonly #options: PodmanServiceOptions;
  readonly #stop = new AbortController();
  #stopped: Promise<void> | undefined;

  constructor(options: PodmanServiceOptions) {
    this.#options = options;
    this.socketPath = chooseSocketPath(options);
  }

  /** Resolves when the socket answers, or after `waitMs`: the driver copes with a Podman that is not there yet. */
  async start(waitMs = 10_000): Promise<void> {
    this.#stopped = this.#keepRunning();
    const { clock } = this.#options;
    const deadlineMs = performance.now() + waitMs;
    while (performance.now() < deadlineMs && !(await answers(this.socketPath))) {
      await clock.sleep(50, this.#stop.signal);
      if (this.#stop.signal.aborted) return;
    }
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#stopped;
  }

  async #keepRunning(): Promise<void> {
    const { clock, logger } = this.#options;
    const { signal } = this.#stop;
    const backOff = new BackOff();
    while (!signal.aborted) {
      const startedMs = performance.now();
      const outcome = await this.#runOnce().catch((error: Error) => ({ code: null, output: error.message }));
      if (signal.aborted) break;
      if (performance.now() - startedMs > steadyMs) backOff.reset();
      const waitMs = backOff.nextMs();
      logger.warn('podman system service ended; starting it again', {
        code: outcome.code,
        output: outcome.output,
        retryMs: Math.round(waitMs),
      });
      await clock.sleep(waitMs, signal);
    }
    await rm(this.socketPath, { force: true });
    await rm(this.#pidPath, { force: true });
  }

  async #runOnce(): Promise<{ code: number | null; output: string }> {
    await mkdir(dirname(this.socketPath), { recursive: true, mode: 0o700 });
    await refuseForeignDirectory(dirname(this.socketPath));
    await this.#endLeftover();
    await rm(this.socketPath, { force: true });
    if (this.#stop.signal.aborted) return { code: null, output: '' };
    const child = spawn(
      this.#options.program ?? 'podman',
      ['system', 'service', '--time=0', `unix://${this.socketPath}`],
      // A group of its own: rootless Podman is two processes, and the second outlives the first.
      { env: this.#options.environment, stdio: ['ignore', 'ignore', 'pipe'], detached: true },
    );
    return this.#waitForEnd(child);
  }

  async #waitForEnd(child: ChildProcess): Promise<{ code: number | null; output: string }> {
    let output = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      output = (output + chunk.toString('utf8')).slice(-longestOutput);
    });
    const ended = new Promise<number | null>((resolveEnd, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => resolveEnd(code));
    });
    const { signal } = this.#stop;
    const end = () => void this.#endGently(child);
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
    try {
      // Read back by `#endLeftover` after a SIGKILL of the agent.
      if (child.pid !== undefined) await writePid(this.#pidPath, child.pid);
      return { code: await ended, output: output.trim() };
    } finally {
      signal.removeEventListener('abort', end);
    }
  }

  async #endGently(child: ChildProcess): Promise<void> {
    const hasEnded = () => child.exitCode !== null || child.signalCode !== null;
    signalGroup(child.pid, 'SIGTERM');
    for (let waited = 0; waited < gentleMs && !hasEnded(); waited += 100)
      await this.#options.clock.sleep(100);
    if (!hasEnded()) signalGroup(child.pid, 'SIGKILL');
  }

  /** Only a process whose command line names our own socket is ours; its pid may have been given to another. */
  async #endLeftover(): Promise<void> {
    const pid = Number(await readFile(this.#pidPath, 'utf8').catch(() => ''));
    if (!Number.isSafeInteger(pid) || pid <= 1) return;
    const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (!commandLine.split('\0').includes(`unix://${this.socketPath}`)) return;
    signalGroup(pid, 'SIGTERM');
  }

  get #pidPath(): string {
    return join(this.#options.stateDir, 'podman-service.pid');
  }
}

/** `sun_path` has 108 bytes with the final NUL. */
const longestSocketPath = 107;
const longestOutput = 2000;
const steadyMs = 60_000;
const gentleMs = 3000;

function chooseSocketPath(options: Pick<PodmanServiceOptions, 'stateDir' | 'runtimeDir'>): string {
  const stateDir = resolve(options.stateDir);
  const preferred = join(stateDir, 'podman.sock');
  if (Buffer.byteLength(preferred) <= longestSocketPath) return preferred;
  const name = createHash('sha256').update(stateDir).digest('hex').slice(0, 16);
  return join(options.runtimeDir, `selvedge-${name}`, 'podman.sock');
}

/** In a folder that everybody may write to (/tmp), somebody else could have made ours first. */
async function refuseForeignDirectory(path: string): Promise<void> {
  const { uid } = await stat(path);
  if (process.getuid !== undefined && uid !== process.getuid()) {
    throw new Error(`${path} belongs to another user; remove it, or choose a shorter --state path`);
  }
}

function signalGroup(pid: number | undefined, signal: 'SIGTERM' | 'SIGKILL'): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // It has just ended by itself.
  }
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolveAnswer) => {
    const socket = connect(socketPath);
    const done = (result: boolean) => {
      socket.destroy();
      resolveAnswer(result);
    };
    socket.once('connect', () => done(true));
    socket.once('error', () => done(false));
  });
}

async function writePid(path: string, pid: number): Promise<void> {
  // A full disk must not keep Podman from starting.
  await writeFileAtomically(path, String(pid), { durable: false }).catch(() => {});
}
