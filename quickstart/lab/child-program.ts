import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { ProcessLedger } from './leftovers.ts';
import { poll } from './poll.ts';

export interface ProgramOptions {
  /** For messages, as in `hub`. */
  name: string;
  command: readonly string[];
  env?: NodeJS.ProcessEnv;
  /** Everything it writes is appended here. */
  logFile: string;
  /** Notes it, so that it is ended later though we are killed. */
  ledger?: ProcessLedger;
}

/**
 * A long-running program of the lab. It leads a process group of its own, so that Ctrl-C in the terminal reaches only
 * the lab, which stops things in order, and so that a simulated power cut takes its children along.
 */
export class ChildProgram {
  readonly name: string;
  readonly pid: number;
  readonly logFile: string;
  readonly #child: ChildProcess;
  readonly #exited: Promise<string>;
  #exit: string | undefined;

  private constructor(options: ProgramOptions, child: ChildProcess, pid: number) {
    this.name = options.name;
    this.pid = pid;
    this.logFile = options.logFile;
    this.#child = child;
    this.#exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        this.#exit = `ended with ${signal ?? `exit code ${code}`}`;
        resolve(this.#exit);
      });
    });
  }

  static async start(options: ProgramOptions): Promise<ChildProgram> {
    const [program = '', ...args] = options.command;
    const log = openSync(options.logFile, 'a', 0o600);
    try {
      const child = spawn(program, args, {
        detached: true,
        stdio: ['ignore', log, log],
        env: options.env ?? process.env,
      });
      const pid = await new Promise<number>((resolve, reject) => {
        child.once('error', (error) => reject(new Error(`cannot start ${options.name}: ${error.message}`)));
        child.once('spawn', () => resolve(child.pid ?? 0));
      });
      options.ledger?.add(pid);
      return new ChildProgram(options, child, pid);
    } finally {
      closeSync(log);
    }
  }

  /** Undefined while it runs. */
  get exit(): string | undefined {
    return this.#exit;
  }

  /** Polls `probe` until it gives a value; throws with the last log lines when the program ends or time is up. */
  async ready<T>(
    probe: () => Promise<T | undefined>,
    options: { seconds: number; what: string },
  ): Promise<T> {
    try {
      return await poll(
        async () => {
          if (this.#exit !== undefined) throw new Error(`${this.name} ${this.#exit}`);
          return await probe();
        },
        { seconds: options.seconds, what: `${this.name}: ${options.what}`, everyMilliseconds: 20 },
      );
    } catch (error) {
      throw new Error(
        `${error instanceof Error ? error.message : String(error)}\n${await this.lastLines()}`,
        {
          cause: error,
        },
      );
    }
  }

  /** SIGTERM, and SIGKILL to the whole group when that is not enough. */
  async stop(graceSeconds = 15): Promise<void> {
    if (this.#exit === undefined) {
      this.#child.kill('SIGTERM');
      const timer = setTimeout(() => this.#signalGroup(), graceSeconds * 1000);
      await this.#exited;
      clearTimeout(timer);
    }
    this.#signalGroup();
  }

  /** SIGKILL to this process alone, as when it crashes: its children live on. */
  async crash(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }

  /** SIGKILL to it and all its children, as in a power cut. */
  async powerOff(): Promise<void> {
    this.#signalGroup();
    await this.#exited;
  }

  async lastLines(count = 15): Promise<string> {
    const text = await readFile(this.logFile, 'utf8').catch(() => '');
    const lines = text.trimEnd().split('\n').slice(-count);
    return [`last lines of ${this.logFile}:`, ...lines.map((line) => `  ${line}`)].join('\n');
  }

  #signalGroup(): void {
    try {
      process.kill(-this.pid, 'SIGKILL');
    } catch {
      // Nothing of the group is left.
    }
  }
}
