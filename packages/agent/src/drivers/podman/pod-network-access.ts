import { spawn } from 'node:child_process';
import { connect } from 'node:net';
import { Duplex } from 'node:stream';

/** Debian keeps nft out of an ordinary user's PATH. */
const findPrograms = 'PATH=$PATH:/usr/sbin:/sbin exec "$@"';

/**
 * Ways into a pod's network. Rootful pods can be reached from the machine; rootless ones only from inside their own network
 * namespace, which is entered with nsenter.
 */
export class PodNetworkAccess {
  readonly #isRootless: boolean;

  constructor(isRootless: boolean) {
    this.#isRootless = isRootless;
  }

  /** Runs a program of this machine in the network namespace of `pid`. Rejects with its complaint. */
  run(
    pid: number,
    command: readonly string[],
    options: { input?: string; signal?: AbortSignal } = {},
  ): Promise<string> {
    const [program, ...args] = this.#enter(pid, ['/bin/sh', '-c', findPrograms, 'sh', ...command]);
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const child = spawn(program as string, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(options.signal ? { signal: options.signal, killSignal: 'SIGKILL' } : {}),
    });
    const output: Buffer[] = [];
    const complaints: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => complaints.push(chunk));
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve(Buffer.concat(output).toString('utf8'));
      else {
        const complaint = Buffer.concat(complaints).toString('utf8').trim();
        reject(new Error(`${command[0]} in the pod's network: ${complaint || `exit code ${code}`}`));
      }
    });
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
    return promise;
  }

  /** Bytes to and from an address as the pod's network sees it. An error is emitted when nobody listens. */
  dial(pid: number, address: { readonly host: string; readonly port: number }): Duplex {
    if (!this.#isRootless) return connect(address);
    // bash opens the connection; two cats carry the bytes.
    const script = 'exec 3<>"/dev/tcp/$0/$1" || exit 7; cat <&3 & cat >&3; wait';
    const [program, ...args] = this.#enter(pid, ['bash', '-c', script, address.host, String(address.port)]);
    const child = spawn(program as string, args, { stdio: ['pipe', 'pipe', 'ignore'], detached: true });
    const pipe = Duplex.from({ writable: child.stdin, readable: child.stdout });
    child.on('error', (error) => pipe.destroy(error));
    child.on('exit', (code) => {
      if (code === 7) pipe.destroy(new Error('connection refused'));
    });
    // The whole group: the cats outlive bash.
    pipe.on('close', () => killGroup(child.pid));
    return pipe;
  }

  /**
   * A connection to a port of the pod, also to one that only the pod itself can reach (127.0.0.1). Rejects when nobody listens. Through
   * the pod's network namespace the end of what is sent is not told to the program.
   */
  async forward(pod: { readonly pid: number; readonly ip: string }, port: number): Promise<Duplex> {
    if (!this.#isRootless && pod.ip !== '') {
      const socket = connect({ host: pod.ip, port, allowHalfOpen: true });
      const { promise, resolve } = Promise.withResolvers<boolean>();
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
      if (await promise) return socket;
    }
    return await this.#forwardInside(pod.pid, port);
  }

  async #forwardInside(pid: number, port: number): Promise<Duplex> {
    // A plus says that the connection stands.
    const script = `exec 3<>"/dev/tcp/127.0.0.1/$0" || exit 7; printf +; cat <&3 & cat >&3; wait`;
    const [program, ...args] = this.#enter(pid, ['bash', '-c', script, String(port)]);
    const child = spawn(program as string, args, { stdio: ['pipe', 'pipe', 'ignore'], detached: true });
    const pipe = Duplex.from({ writable: child.stdin, readable: child.stdout });
    // The whole group: the cats outlive bash.
    pipe.once('close', () => killGroup(child.pid));
    const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
    child.once('error', (error) => pipe.destroy(error));
    child.once('exit', (code) => {
      if (code === 7)
        pipe.destroy(new Error(`connection refused: nobody listens on port ${port} in the pod`));
    });
    pipe.once('error', reject);
    pipe.once('close', () => reject(new Error(`no connection to port ${port} of the pod`)));
    pipe.once('readable', () => {
      if (pipe.read(1) !== null) resolve(pipe);
    });
    return await promise;
  }

  /** Resolves when a TCP connection can be made. */
  async connect(pid: number, address: { host: string; port: number }, signal: AbortSignal): Promise<void> {
    if (this.#isRootless) {
      await this.run(pid, ['bash', '-c', ': <>"/dev/tcp/$0/$1"', address.host, String(address.port)], {
        signal,
      });
      return;
    }
    const socket = connect(address);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    socket.on('connect', resolve);
    socket.on('error', reject);
    signal.addEventListener('abort', () => reject(new Error('no connection in time')), { once: true });
    await promise.finally(() => socket.destroy());
  }

  #enter(pid: number, command: readonly string[]): string[] {
    const user = this.#isRootless ? ['-U', '--preserve-credentials'] : [];
    return ['nsenter', '-t', String(pid), ...user, '-n', '--', ...command];
  }
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Already gone.
  }
}
