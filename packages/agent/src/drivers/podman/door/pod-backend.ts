import type { Duplex, Writable } from 'node:stream';
import type { Clock } from '@selvedge/api';
import type {
  CommandStreams,
  RemoteCommand,
  StreamBackend,
  TerminalSize,
} from '../../../link/streams/stream-backend.ts';
import { isMissing, type LibpodClient } from '../libpod-client.ts';
import { secretEnvironmentPath, withSecretEnvironment } from '../pod-environment.ts';
import type { PodNetworkAccess } from '../pod-network-access.ts';
import { type OutputPart, readOutput } from './output-reader.ts';

export interface PodTarget {
  readonly clock: Clock;
  readonly client: LibpodClient;
  readonly network: PodNetworkAccess;
  /** Podman's id; '' for a port-forward. */
  readonly containerId: string;
  /** Address of the pod, '' when it has none, and the process that holds its network. */
  readonly address: { readonly ip: string; readonly pid: number };
}

const exitPollMs = 200;

/** What Podman would take for the wish to leave a terminal. Its default is ctrl-p, which shells need; nobody types this. */
const detachKeys = 'ctrl-_,ctrl-^,ctrl-_,ctrl-^';

/** exec, attach and port-forward of a pod that Podman runs. */
export class PodBackend implements StreamBackend {
  readonly #target: PodTarget;

  constructor(target: PodTarget) {
    this.#target = target;
  }

  async exec(command: RemoteCommand, streams: CommandStreams): Promise<number> {
    const { client, containerId } = this.#target;
    const line = (await this.#hasSecretVariables())
      ? withSecretEnvironment(command.command)
      : command.command;
    const { Id: id } = await client.call<{ Id: string }>({
      method: 'POST',
      path: `/containers/${containerId}/exec`,
      body: {
        Cmd: line,
        AttachStdin: command.hasStdin,
        AttachStdout: command.hasStdout,
        AttachStderr: command.hasStderr && !command.isTerminal,
        Tty: command.isTerminal,
        DetachKeys: detachKeys,
        ...(command.isTerminal ? { Env: ['TERM=xterm'] } : {}),
      },
    });
    const socket = await client.hijack({
      path: `/exec/${id}/start`,
      body: { Detach: false, Tty: command.isTerminal },
    });
    const sizes = this.#followSizes(streams, `/exec/${id}/resize`, command.isTerminal);
    let failure: Error | undefined;
    try {
      await carry(socket, command, streams);
    } catch (error) {
      // A program that could not be started, or that ends without reading its input, resets the connection.
      failure = error instanceof Error ? error : new Error(String(error));
    } finally {
      sizes.stop();
      socket.destroy();
    }
    if (streams.signal.aborted) await this.#hangUp(id);
    return await this.#exitCode(id, { failure, signal: streams.signal });
  }

  /** Output may end a moment before the program does. */
  async #exitCode(
    execId: string,
    { failure, signal }: { failure: Error | undefined; signal: AbortSignal },
  ): Promise<number> {
    const { client, clock } = this.#target;
    for (;;) {
      const found = await client.call<{ Running: boolean; ExitCode: number }>({
        path: `/exec/${execId}/json`,
      });
      if (!found.Running || signal.aborted) return found.ExitCode;
      if (failure !== undefined) throw failure;
      await clock.sleep(exitPollMs, signal);
    }
  }

  async attach(command: RemoteCommand, streams: CommandStreams): Promise<void> {
    // No container of ours has a standard input or a terminal, so there is nothing to send it to.
    streams.stdin.resume();
    const socket = await this.#target.client.hijack({
      path: `/containers/${this.#target.containerId}/attach`,
      query: { stream: true, stdin: false, stdout: command.hasStdout, stderr: command.hasStderr },
    });
    try {
      await carry(socket, { ...command, hasStdin: false, isTerminal: false }, streams);
    } finally {
      socket.destroy();
    }
  }

  async portForward(port: number): Promise<Duplex> {
    return await this.#target.network.forward(this.#target.address, port);
  }

  async #hasSecretVariables(): Promise<boolean> {
    const { Mounts: mounts } = await this.#target.client.call<{ Mounts?: { Destination: string }[] | null }>({
      path: `/containers/${this.#target.containerId}/json`,
    });
    return (mounts ?? []).some((mount) => mount.Destination === secretEnvironmentPath);
  }

  #followSizes(streams: CommandStreams, path: string, isTerminal: boolean): { stop: () => void } {
    let isStopped = !isTerminal;
    let turn: Promise<void> = Promise.resolve();
    const { client } = this.#target;
    const resize = async ({ columns, rows }: TerminalSize) => {
      if (isStopped) return;
      // A size that comes before the program runs, or after, finds nobody; the next one will.
      await client.call({ method: 'POST', path, query: { w: columns, h: rows } }).catch(() => undefined);
    };
    if (isTerminal) {
      streams.onResize((size) => {
        turn = turn.then(() => resize(size));
      });
    }
    return {
      stop: () => {
        isStopped = true;
      },
    };
  }

  /** The client is gone: what it left running gets what a terminal that closes sends. */
  async #hangUp(execId: string): Promise<void> {
    try {
      const found = await this.#target.client.call<{ Running: boolean; Pid: number }>({
        path: `/exec/${execId}/json`,
      });
      if (found.Running && found.Pid > 1) process.kill(found.Pid, 'SIGHUP');
    } catch (error) {
      const isGone = isMissing(error) || (error as NodeJS.ErrnoException).code === 'ESRCH';
      if (!isGone) throw error;
    }
  }
}

/** Bytes between a client and Podman until the program's output has ended, or the client is gone. */
async function carry(socket: Duplex, command: RemoteCommand, streams: CommandStreams): Promise<void> {
  const { stdin, stdout, stderr, signal } = streams;
  const leave = () => socket.destroy();
  if (signal.aborted) leave();
  signal.addEventListener('abort', leave, { once: true });
  // Ended when the client ends its input. An error of the socket ends the loop below.
  if (command.hasStdin) stdin.pipe(socket);
  socket.on('error', () => undefined);
  try {
    const parts = command.isTerminal ? rawOutput(socket) : readOutput(socket);
    for await (const { from, bytes } of parts) await write(from === 'stdout' ? stdout : stderr, bytes);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    stdin.unpipe(socket);
    // Whatever else the client sends is for nobody.
    stdin.resume();
    signal.removeEventListener('abort', leave);
  }
}

async function* rawOutput(socket: Duplex): AsyncGenerator<OutputPart> {
  for await (const bytes of socket.iterator({ destroyOnReturn: false })) {
    yield { from: 'stdout', bytes: bytes as Buffer };
  }
}

/** Resolves when the client took it: a slow client slows the program. */
function write(stream: Writable, bytes: Buffer): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  stream.write(bytes, (error) => (error ? reject(error) : resolve()));
  return promise;
}
