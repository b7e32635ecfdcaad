import { appendFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { poll } from './poll.ts';

/**
 * Which processes a lab has started, on disk, so that a lab whose own process was killed is cleaned up by the next one.
 * A process is known by its id, its start time and the boot, because ids are used again. The first line is the lab
 * itself; the others lead process groups.
 */
export class ProcessLedger {
  readonly #file: string;

  private constructor(file: string) {
    this.#file = file;
  }

  /** Ends what an earlier lab left running. Throws when that lab is alive. */
  static async open(file: string): Promise<ProcessLedger> {
    const [owner, ...started] = readLines(file);
    if (owner !== undefined && isAlive(owner) && pidOf(owner) !== process.pid) {
      throw new Error(
        `process ${pidOf(owner)} works on this data folder; stop it with Ctrl-C, or give another folder with --data`,
      );
    }
    for (const line of started.filter(isAlive)) signalGroup(pidOf(line), 'SIGTERM');
    await poll(async () => (started.some(isAlive) ? undefined : true), {
      seconds: 15,
      what: 'end of what an earlier lab started',
    }).catch(() => {
      for (const line of started.filter(isAlive)) signalGroup(pidOf(line), 'SIGKILL');
    });
    writeFileSync(file, `${describeProcess(process.pid)}\n`, { mode: 0o600 });
    return new ProcessLedger(file);
  }

  add(pid: number): void {
    const line = describeProcess(pid);
    if (line !== undefined) appendFileSync(this.#file, `${line}\n`);
  }

  remove(): void {
    rmSync(this.#file, { force: true });
  }
}

function readLines(file: string): string[] {
  try {
    return readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line !== '');
  } catch {
    return [];
  }
}

function pidOf(line: string): number {
  return Number(line.split(' ')[0]);
}

function isAlive(line: string): boolean {
  return describeProcess(pidOf(line)) === line;
}

/** Undefined when there is no such process, or only its remains. */
function describeProcess(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return state === 'Z' ? undefined : `${pid} ${fields[18]} ${boot}`;
  } catch {
    return undefined;
  }
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // It has ended meanwhile.
  }
}
