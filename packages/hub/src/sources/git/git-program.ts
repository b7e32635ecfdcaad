import { spawn } from 'node:child_process';

/** One call of git. */
export interface GitCall {
  /** The command and its arguments, as in `ls-remote …`. No secret: others on the machine can read them. */
  readonly args: readonly string[];
  /** `key=value` of git's configuration, over the safe ones. No secret. */
  readonly config?: readonly string[];
  /** Beside the safe ones. No secret: whoever may look at the process can read them. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly folder: string;
  readonly input?: string | Buffer;
  /** Takes the output as it comes instead of `GitOutput.text`; throws to end the call. */
  readonly onOutput?: (chunk: Buffer) => void;
  /** Schemes that it may speak; none: it stays on this machine. */
  readonly protocol?: 'https' | 'http' | 'ssh';
  readonly timeoutSeconds: number;
  /** No file that it writes gets larger. */
  readonly maxFileBytes?: number;
  readonly signal: AbortSignal;
}

/** A call of git that did not end well. `stderr` is the words of git and of the other side: not for people as it is. */
export class GitFailure extends Error {
  override readonly name = 'GitFailure';
  readonly why: 'missing' | 'failed' | 'late' | 'stopped' | 'tooMuch';
  readonly stderr: string;

  constructor(why: GitFailure['why'], stderr: string, options: { cause?: unknown } = {}) {
    super(`git: ${why}`, options);
    this.why = why;
    this.stderr = stderr;
  }
}

export interface GitProgramOptions {
  /** An empty folder: what git takes for the home of its user. */
  readonly home: string;
}

const maxOutputBytes = 8 * 1024 ** 2;
const maxErrorBytes = 64 * 1024;
const maxMemoryKilobytes = 2 * 1024 ** 2;
const defaultMaxFileBytes = 1024 ** 3;

/**
 * Nothing of a repository, of the machine or of its users has a say: no hook, filter, helper, proxy, agent or other configuration
 * runs, no prompt waits, no redirect is followed and only the one wanted protocol is spoken.
 */
const safeConfig = [
  'core.hooksPath=/dev/null',
  'core.fsmonitor=false',
  'core.askPass=',
  'core.attributesFile=/dev/null',
  'core.excludesFile=/dev/null',
  'core.bigFileThreshold=1m',
  'credential.helper=',
  'credential.interactive=never',
  'fetch.recurseSubmodules=false',
  'fetch.unpackLimit=1',
  'fetch.writeCommitGraph=false',
  'gc.auto=0',
  'http.followRedirects=false',
  'http.lowSpeedLimit=1000',
  'http.lowSpeedTime=30',
  'http.proxy=',
  'http.sslVerify=true',
  'maintenance.auto=false',
  'pack.threads=1',
  'protocol.allow=never',
  'protocol.version=2',
  'submodule.recurse=false',
  'transfer.bundleURI=false',
];

/**
 * The shell's limits hold for git and all that it starts; files are counted in blocks of 512 bytes. Of the hub's own environment only PATH
 * is left.
 */
const limitedScript =
  'ulimit -f "$1" && ulimit -v "$2" && ulimit -c 0 && shift 2 && exec env -i "PATH=${PATH:-/usr/local/bin:/usr/bin:/bin}" "$@"';

/** Calls git, each time in a process group of its own that ends with the call. */
export class GitProgram {
  readonly #o: GitProgramOptions;

  constructor(options: GitProgramOptions) {
    this.#o = options;
  }

  /** What it wrote to its standard output. Throws GitFailure. */
  async run(call: GitCall): Promise<string> {
    call.signal.throwIfAborted();
    const chunks: Buffer[] = [];
    let bytes = 0;
    const collect = (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > maxOutputBytes) throw new GitFailure('tooMuch', '');
      chunks.push(chunk);
    };
    const running = this.#start(call, call.onOutput ?? collect);
    const late = AbortSignal.timeout(call.timeoutSeconds * 1000);
    const onLate = () => running.stop(new GitFailure('late', ''));
    const onAbort = () => running.stop(new GitFailure('stopped', ''));
    late.addEventListener('abort', onLate, { once: true });
    call.signal.addEventListener('abort', onAbort, { once: true });
    try {
      await running.done;
      return Buffer.concat(chunks).toString('utf8');
    } finally {
      late.removeEventListener('abort', onLate);
      call.signal.removeEventListener('abort', onAbort);
    }
  }

  #start(call: GitCall, onOutput: (chunk: Buffer) => void): RunningGit {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const fileBlocks = Math.ceil((call.maxFileBytes ?? defaultMaxFileBytes) / 512);
    const environment = Object.entries(this.#environment(call)).map(([name, value]) => `${name}=${value}`);
    const words = [
      String(fileBlocks),
      String(maxMemoryKilobytes),
      ...environment,
      'git',
      ...gitArguments(call),
    ];
    const child = spawn('/bin/sh', ['-c', limitedScript, 'sh', ...words], {
      cwd: call.folder,
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    });
    let failure: Error | undefined;
    let stderr = '';
    const stop = (why: Error) => {
      failure ??= why;
      killGroup(child.pid);
    };
    child.stdout.on('data', (chunk: Buffer) => {
      if (failure !== undefined) return;
      try {
        onOutput(chunk);
      } catch (error) {
        stop(error as Error);
      }
    });
    child.stderr.on('data', (chunk: Buffer) => {
      if (stderr.length < maxErrorBytes) stderr += chunk.toString('utf8');
    });
    // git may end without having read all of it.
    child.stdin.on('error', () => undefined);
    child.stdin.end(call.input ?? '');
    child.on('error', (cause) => reject(new GitFailure('missing', '', { cause })));
    child.on('close', (code) => {
      if (failure !== undefined) reject(failure);
      else if (code === 0) resolve();
      else reject(new GitFailure(code === 127 ? 'missing' : 'failed', stderr));
    });
    // A helper that outlives git would keep the pipes open.
    child.on('exit', () => killGroup(child.pid));
    return { done: promise, stop };
  }

  #environment({ environment = {}, protocol }: GitCall): Record<string, string> {
    const { home } = this.#o;
    return {
      HOME: home,
      XDG_CONFIG_HOME: home,
      LC_ALL: 'C',
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: '/dev/null',
      GIT_ATTR_NOSYSTEM: '1',
      GIT_ALLOW_PROTOCOL: protocol ?? 'none',
      GIT_CEILING_DIRECTORIES: '/',
      GIT_LITERAL_PATHSPECS: '1',
      GIT_NO_REPLACE_OBJECTS: '1',
      GIT_OPTIONAL_LOCKS: '0',
      GIT_PROTOCOL_FROM_USER: '0',
      GIT_TERMINAL_PROMPT: '0',
      // Whoever forgets to say how to reach a host by ssh reaches none.
      GIT_SSH_COMMAND: 'false',
      GIT_SSH_VARIANT: 'ssh',
      ...environment,
    };
  }
}

function gitArguments({ config = [], protocol, args }: GitCall): string[] {
  const allowed = protocol === undefined ? [] : [`protocol.${protocol}.allow=always`];
  return [...safeConfig, ...allowed, ...config].flatMap((entry) => ['-c', entry]).concat(args);
}

interface RunningGit {
  readonly done: Promise<void>;
  stop(why: Error): void;
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // All of it has ended.
  }
}
