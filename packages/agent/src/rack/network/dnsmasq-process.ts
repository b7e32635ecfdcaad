import { type ChildProcess, spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Clock, Logger } from '@selvedge/api';
import { BackOff } from '../../sync/back-off.ts';

export interface DnsmasqProcessOptions {
  readonly program: string;
  readonly configFile: string;
  readonly onLine: (line: string) => void;
  /** It runs, or why it does not. */
  readonly onState: (problem: string | undefined) => void;
  readonly clock: Clock;
  readonly monotonicMs: () => number;
  readonly logger: Logger;
}

/** One dnsmasq as a child: started again when it ends, with longer and longer waits while it keeps ending. What a killed agent left behind is ended first. */
export class DnsmasqProcess {
  readonly #o: DnsmasqProcessOptions;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #child: ChildProcess | undefined;
  #isRestarting = false;
  /** Ends the wait before the next start. */
  #wake = new AbortController();

  constructor(options: DnsmasqProcessOptions) {
    this.#o = options;
    this.#running = this.#keepRunning();
  }

  /** Reads the hosts file again. */
  reload(): void {
    this.#child?.kill('SIGHUP');
  }

  /** With a new configuration. */
  restart(): void {
    this.#isRestarting = true;
    this.#child?.kill('SIGTERM');
    this.#wake.abort();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #keepRunning(): Promise<void> {
    const { clock, logger, monotonicMs, onState } = this.#o;
    const { signal } = this.#stop;
    const backOff = new BackOff({ firstMs: 500 });
    while (!signal.aborted) {
      const startedMs = monotonicMs();
      const outcome = await this.#runOnce().catch(explainStart);
      if (signal.aborted) return;
      if (this.#isRestarting) {
        this.#isRestarting = false;
        backOff.reset();
        continue;
      }
      if (monotonicMs() - startedMs > steadyMs) backOff.reset();
      const waitMs = backOff.nextMs();
      logger.warn('dnsmasq ended; starting it again', { outcome, retryMs: Math.round(waitMs) });
      onState(outcome);
      this.#wake = new AbortController();
      await clock.sleep(waitMs, AbortSignal.any([signal, this.#wake.signal]));
      this.#isRestarting = false;
    }
  }

  /** @returns why it ended. */
  async #runOnce(): Promise<string> {
    const { program, configFile, onLine, onState } = this.#o;
    await endLeftovers(configFile, this.#o.clock);
    if (this.#stop.signal.aborted) return '';
    const child = spawn(program, ['--keep-in-foreground', `--conf-file=${configFile}`], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const ended = new Promise<string>((resolve, reject) => {
      child.once('error', reject);
      // Not before its last words were read.
      child.once('close', (code, signal) => resolve(signal ?? `exit code ${code}`));
    });
    this.#child = child;
    let last = '';
    createInterface({ input: child.stderr }).on('line', (line) => {
      last = line;
      if (/^dnsmasq(\[\d+\])?: started/.test(line)) onState(undefined);
      onLine(line);
    });
    const end = () => void endChild(child, this.#o.clock);
    this.#stop.signal.addEventListener('abort', end);
    try {
      const how = await ended;
      return `dnsmasq ended (${how})${last === '' ? '' : `: ${last.replace(/^\s*dnsmasq(-\w+)?(\[\d+\])?: /, '').slice(0, 300)}`}`;
    } finally {
      this.#child = undefined;
      this.#stop.signal.removeEventListener('abort', end);
    }
  }
}

/** `dnsmasq --test`. @returns what it complains about; undefined: nothing. */
export async function checkDnsmasqConfig(program: string, configFile: string): Promise<string | undefined> {
  const child = spawn(program, ['--test', `--conf-file=${configFile}`], {
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: 20_000,
  });
  let output = '';
  child.stderr.on('data', (piece: Buffer) => (output = (output + piece.toString('utf8')).slice(0, 1000)));
  const code = await new Promise<number | null | NodeJS.ErrnoException>((resolve) => {
    child.once('error', resolve);
    child.once('close', resolve);
  });
  if (code instanceof Error) return explainStart(code);
  return code === 0 ? undefined : `dnsmasq refuses its configuration: ${output.trim()}`;
}

const steadyMs = 60_000;
const gentleMs = 3000;

function explainStart(error: NodeJS.ErrnoException): string {
  return error.code === 'ENOENT'
    ? 'dnsmasq is not installed: install the package dnsmasq-base (2.85 or later)'
    : `dnsmasq cannot be started: ${error.message}`;
}

async function endChild(child: ChildProcess, clock: Clock): Promise<void> {
  const hasEnded = () => child.exitCode !== null || child.signalCode !== null;
  child.kill('SIGTERM');
  for (let waited = 0; waited < gentleMs && !hasEnded(); waited += 50) await clock.sleep(50);
  if (!hasEnded()) child.kill('SIGKILL');
}

/** Only processes whose command line names our own configuration file are ours. */
async function endLeftovers(configFile: string, clock: Clock): Promise<void> {
  const pids = async () => {
    const names = await readdir('/proc').catch(() => []);
    const found: number[] = [];
    for (const name of names) {
      if (!/^\d+$/.test(name)) continue;
      const commandLine = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '');
      if (commandLine.split('\0').includes(`--conf-file=${configFile}`)) found.push(Number(name));
    }
    return found;
  };
  let left = await pids();
  for (let waited = 0; left.length > 0 && waited <= gentleMs; waited += 100) {
    for (const pid of left) sendSignal(pid, waited < gentleMs ? 'SIGTERM' : 'SIGKILL');
    await clock.sleep(100);
    left = await pids();
  }
}

function sendSignal(pid: number, signal: 'SIGTERM' | 'SIGKILL'): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has just ended by itself.
  }
}
