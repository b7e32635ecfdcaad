import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';
import type { CommandStreams, MachineBackend, RemoteCommand, StreamBackend } from '@selvedge/agent/testing';
import type { Clock } from '@selvedge/api';
import type { Container } from './workload-objects.ts';

export interface ProcessLine {
  readonly time: Date;
  readonly text: string;
}

/** More than tests look at; the first are forgotten. */
const keptLines = 10_000;

/**
 * A container of a simulated pod as a process of this machine: it has a folder of its own to work in, and neither the variables nor the
 * standard input of whoever tests. Its ports are those of the machine.
 */
export class ContainerProcess implements StreamBackend {
  readonly lines: ProcessLine[] = [];
  readonly #folder: string;
  readonly #process: ChildProcess;
  readonly #machine: MachineBackend;
  readonly #told = new EventEmitter<{ line: [ProcessLine]; end: [] }>().setMaxListeners(0);
  #isOver = false;

  private constructor(parts: {
    folder: string;
    process: ChildProcess;
    machine: MachineBackend;
    clock: Clock;
  }) {
    this.#folder = parts.folder;
    this.#process = parts.process;
    this.#machine = parts.machine;
    for (const output of [parts.process.stdout, parts.process.stderr]) {
      if (!output) continue;
      createInterface({ input: output }).on('line', (text) => {
        const line = { time: parts.clock.now(), text };
        this.lines.push(line);
        if (this.lines.length > keptLines) this.lines.shift();
        this.#told.emit('line', line);
      });
    }
    parts.process.once('close', () => this.#end());
    parts.process.once('error', () => this.#end());
  }

  static async start({ command = [], args = [] }: Container, clock: Clock): Promise<ContainerProcess> {
    // Only where a container is a process: whoever tests without need not load the agent.
    const { MachineBackend } = await import('@selvedge/agent/testing');
    const folder = await mkdtemp(join(tmpdir(), 'selvedge-container-'));
    const place = { cwd: folder, env: { PATH: process.env['PATH'], HOME: folder } };
    const [program = 'sleep', ...rest] = [...command, ...args];
    const child = spawn(program, rest, { ...place, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    return new ContainerProcess({ folder, process: child, machine: new MachineBackend(place), clock });
  }

  /** Calls back with each line from now on, until the signal fires; resolves then, or when the process has ended. */
  async follow(listener: (line: ProcessLine) => void, signal: AbortSignal): Promise<void> {
    if (this.#isOver || signal.aborted) return;
    this.#told.on('line', listener);
    try {
      await once(this.#told, 'end', { signal }).catch(() => undefined);
    } finally {
      this.#told.off('line', listener);
    }
  }

  exec(command: RemoteCommand, streams: CommandStreams): Promise<number> {
    return this.#machine.exec(command, streams);
  }

  /** What it says from now on. */
  async attach(_command: RemoteCommand, { stdout, signal }: CommandStreams): Promise<void> {
    await this.follow(({ text }) => stdout.write(`${text}\n`), signal);
  }

  portForward(port: number): Promise<Duplex> {
    return this.#machine.portForward(port);
  }

  /** With all that it has started. */
  async close(): Promise<void> {
    const { pid } = this.#process;
    if (!this.#isOver && pid !== undefined) {
      const ended = once(this.#told, 'end');
      try {
        process.kill(-pid, 'SIGKILL');
      } catch {
        // It has just ended.
      }
      await ended;
    }
    await rm(this.#folder, { recursive: true, force: true });
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#told.emit('end');
  }
}
