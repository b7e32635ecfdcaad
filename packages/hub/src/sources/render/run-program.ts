import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SourceError } from '../source-reading.ts';

export interface ProgramRun {
  /** As in PATH: `kubectl`. */
  readonly program: string;
  readonly args: readonly string[];
  /** Its working directory. */
  readonly folder: string;
  /** Written to its standard input. */
  readonly input?: string;
  readonly limits?: RenderLimits;
  /** Where no network namespace can be had: run it all the same (`--allow-render-network`), else it is refused. */
  readonly allowsNetwork?: boolean;
  /** Default: what this machine lets the hub do. */
  readonly findIsolation?: () => Promise<readonly string[] | undefined>;
  readonly signal: AbortSignal;
}

export interface RenderLimits {
  readonly seconds: number;
  /** Address space; programs of Go reserve much more than they use. */
  readonly megabytes: number;
  readonly outputBytes: number;
  /** Of each file that it writes. */
  readonly fileMegabytes: number;
}

export interface ProgramOutput {
  readonly code: number | null;
  readonly stdout: string;
  /** The beginning of it. */
  readonly stderr: string;
}

/** What a program that renders what others wrote may use. */
export const renderLimits: RenderLimits = {
  seconds: 30,
  megabytes: 2_048,
  outputBytes: 8 * 1024 * 1024,
  fileMegabytes: 64,
};

const maxErrorBytes = 16 * 1024;

/** Nothing listens there: for programs that ask for a proxy, where there is no network namespace to be had. */
const deadProxy = 'http://127.0.0.1:9';

/**
 * `sh` sets the limits that it knows and becomes the program. Of the environment of the hub only PATH is left. Arguments are passed on
 * as they are, the first is the home.
 */
function limitScript({ megabytes, seconds, fileMegabytes }: RenderLimits): string {
  return [
    `ulimit -v ${megabytes * 1024} 2>/dev/null`,
    `ulimit -t ${seconds} 2>/dev/null`,
    `ulimit -f ${fileMegabytes * 2048} 2>/dev/null`,
    'ulimit -c 0 2>/dev/null',
    'home=$1; shift',
    [
      'exec env -i "PATH=${PATH:-/usr/local/bin:/usr/bin:/bin}" "HOME=$home" "TMPDIR=$home" LC_ALL=C.UTF-8',
      ...['http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY'].map(
        (name) => `${name}=${deadProxy}`,
      ),
      `GOMEMLIMIT=${megabytes / 2}MiB GIT_TERMINAL_PROMPT=0 GIT_CONFIG_NOSYSTEM=1 KUBECONFIG=/dev/null "$@"`,
    ].join(' '),
  ].join('; ');
}

/**
 * Runs a program that works on files of others: without network, with an empty home, nothing of the hub's environment, and with limits
 * on time, memory and output. Throws `SourceError`: `ProgramMissing` (also where it could not be kept from the network), `LimitExceeded`. How it
 * ended otherwise is the caller's to judge.
 */
export async function runProgram(run: ProgramRun): Promise<ProgramOutput> {
  const { program, allowsNetwork = false, findIsolation = findNetworkless } = run;
  const isolation = await findIsolation();
  if (isolation === undefined && !allowsNetwork) {
    throw new SourceError(
      'ProgramMissing',
      `${program} is not run, for this hub cannot keep it from the network: install unshare (util-linux) and let the hub make network ` +
        'namespaces (CAP_SYS_ADMIN, or user namespaces), or start it with --allow-render-network.',
    );
  }
  const home = await mkdtemp(join(tmpdir(), 'selvedge-render-'));
  try {
    return await runIn(home, run, isolation ?? []);
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

function runIn(home: string, run: ProgramRun, prefix: readonly string[]): Promise<ProgramOutput> {
  const { program, args, folder, input = '', limits = renderLimits, signal } = run;
  const ending = AbortSignal.any([signal, AbortSignal.timeout(limits.seconds * 1000)]);
  return new Promise((resolve, reject) => {
    const child = spawn('sh', ['-c', limitScript(limits), 'sh', home, ...prefix, program, ...args], {
      cwd: folder,
      stdio: ['pipe', 'pipe', 'pipe'],
      // A group of its own: what it starts ends with it.
      detached: true,
    });
    const stdout = new Collected(limits.outputBytes);
    const stderr = new Collected(maxErrorBytes);
    const end = () => killGroup(child.pid);
    ending.addEventListener('abort', end, { once: true });
    child.stdout.on('data', (chunk: Buffer) => {
      stdout.add(chunk);
      if (stdout.isFull) end();
    });
    child.stderr.on('data', (chunk: Buffer) => stderr.add(chunk));
    child.stdin.on('error', () => {
      // It ended without reading: its own affair.
    });
    child.stdin.end(input);
    child.on('error', reject);
    child.on('close', (code) => {
      ending.removeEventListener('abort', end);
      // What it started and left behind.
      killGroup(child.pid);
      if (signal.aborted) return reject(signal.reason as Error);
      const fault = faultOf(run, {
        code,
        isLate: ending.aborted,
        isFull: stdout.isFull,
        stderr: stderr.text,
      });
      if (fault) reject(fault);
      else resolve({ code, stdout: stdout.text, stderr: stderr.text });
    });
    // It may have fired before somebody listened.
    if (ending.aborted) end();
  });
}

function faultOf(
  { program, limits = renderLimits }: ProgramRun,
  ended: { code: number | null; isLate: boolean; isFull: boolean; stderr: string },
): SourceError | undefined {
  if (ended.isFull) {
    const megabytes = limits.outputBytes / 1024 / 1024;
    return new SourceError(
      'LimitExceeded',
      `${program} printed more than ${megabytes} MiB: split the application.`,
    );
  }
  if (ended.isLate || ended.code === null) {
    return new SourceError(
      'LimitExceeded',
      `${program} was ended: it took longer than ${limits.seconds} s, or more than ${limits.megabytes} MiB.`,
    );
  }
  if (ended.code === 127) {
    return new SourceError(
      'ProgramMissing',
      `There is no ${program} program on the hub: install it there, within the PATH of the hub.`,
    );
  }
  if (
    /out of memory|memory exhausted|cannot allocate memory|stack overflow|stack exceeds/i.test(ended.stderr)
  ) {
    return new SourceError(
      'LimitExceeded',
      `${program} needed more than ${limits.megabytes} MiB: something includes itself, or it is too large.`,
    );
  }
  return undefined;
}

class Collected {
  readonly #max: number;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(max: number) {
    this.#max = max;
  }

  add(chunk: Buffer): void {
    if (this.isFull) return;
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
  }

  get isFull(): boolean {
    return this.#bytes > this.#max;
  }

  get text(): string {
    return Buffer.concat(this.#chunks).subarray(0, this.#max).toString('utf8');
  }
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It is gone.
  }
}

let known: readonly string[] | undefined;

/**
 * What to put before a command so that it has no network: as root, or as anybody with user namespaces. `undefined`: this machine does not allow
 * it, or has no time for it now, so it is tried again the next time.
 */
async function findNetworkless(): Promise<readonly string[] | undefined> {
  if (known !== undefined) return known;
  for (const prefix of [
    ['unshare', '-n'],
    ['unshare', '-r', '-n'],
  ]) {
    if (await succeeds([...prefix, 'true'])) {
      known = prefix;
      return prefix;
    }
  }
  return undefined;
}

function succeeds([program = '', ...args]: readonly string[]): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: 'ignore' });
    child.on('error', () => resolve(false));
    child.on('close', (code) => resolve(code === 0));
  });
}
