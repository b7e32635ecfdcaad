import { isStatusError, StatusError, statusErrorFromBody } from '@selvedge/api';
import type { Kubeconfig } from '@selvedge/kube';
import type { RawData, WebSocket } from 'ws';
import type { CliProcess, CommandContext } from '../program/terminal.ts';

export interface RemoteCommand {
  /** Of `pods/exec`, below the hub. */
  readonly path: string;
  /** Absent where the path leads to no pod. */
  readonly container?: string;
  readonly command: readonly string[];
  /** Typed by a person, it ends the session with code 0, and is not sent. */
  readonly detachByte?: number;
  readonly hasStdin: boolean;
  /** A terminal, if standard input is one. */
  readonly wantsTerminal: boolean;
}

const channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;
const protocol = 'v5.channel.k8s.io';
/** As a shell ends after Ctrl-C. */
const interrupted = 130;
const openMilliseconds = 60_000;
const longestRefusal = 64 * 1024;
/** A connection that dies without a word is noticed after two of these. */
const pingMilliseconds = 15_000;

/** Runs a command in a pod over WebSocket with our own standard streams. @returns its exit code. Throws StatusError. */
export async function runRemoteCommand(
  kubeconfig: Kubeconfig,
  wanted: RemoteCommand,
  ctx: CommandContext,
): Promise<number> {
  const terminal = wanted.wantsTerminal ? openTerminal(ctx) : undefined;
  const webSocket = await openWebSocket(
    kubeconfig,
    `${wanted.path}?${queryOf(wanted, terminal !== undefined)}`,
  );
  const session = new CommandSession(webSocket, ctx.process);
  try {
    terminal?.begin((size) => session.resize(size));
    if (wanted.hasStdin) session.sendInput(wanted.detachByte);
    return await session.ended;
  } finally {
    session.close();
    terminal?.end();
  }
}

function queryOf({ command, container, hasStdin }: RemoteCommand, isTerminal: boolean): string {
  const query = new URLSearchParams({ stdin: String(hasStdin), stdout: 'true' });
  if (container !== undefined) query.set('container', container);
  query.set('stderr', String(!isTerminal));
  query.set('tty', String(isTerminal));
  for (const word of command) query.append('command', word);
  return query.toString();
}

/** Rejects with the refusal as StatusError. */
async function openWebSocket(kubeconfig: Kubeconfig, path: string): Promise<WebSocket> {
  const { WebSocket: Client } = await import('ws');
  const { server, ca, cert, key, token, tlsServerName, insecureSkipTlsVerify } = kubeconfig;
  const { promise, resolve, reject } = Promise.withResolvers<WebSocket>();
  const webSocket = new Client(`${server.replace(/^http/, 'ws')}${path}`, [protocol], {
    handshakeTimeout: openMilliseconds,
    perMessageDeflate: false,
    headers: {
      'user-agent': 'selvedge',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    // As Go does: whatever the kubeconfig names is trusted, be it the server's own certificate.
    ...(ca === undefined ? {} : { ca, allowPartialTrustChain: true }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(tlsServerName === undefined ? {} : { servername: tlsServerName }),
    rejectUnauthorized: !insecureSkipTlsVerify,
  });
  webSocket.on('unexpected-response', (req, res) => {
    const parts: Buffer[] = [];
    let length = 0;
    const refuse = () => {
      reject(statusErrorFromBody(parse(Buffer.concat(parts).toString('utf8')), res.statusCode ?? 500));
      req.destroy();
    };
    res.on('data', (part: Buffer) => {
      parts.push(part);
      length += part.length;
      // The site's words, passed on by the hub: they need not end.
      if (length > longestRefusal) refuse();
    });
    for (const event of ['end', 'close']) res.on(event, refuse);
  });
  webSocket.on('error', (cause) => {
    reject(new StatusError('ServiceUnavailable', `${server} cannot be reached: ${cause.message}`, { cause }));
  });
  webSocket.on('open', () => resolve(webSocket));
  return await promise;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

interface Size {
  readonly columns: number;
  readonly rows: number;
}

class CommandSession {
  readonly #webSocket: WebSocket;
  readonly #process: CliProcess;
  readonly #end = Promise.withResolvers<number>();
  #isOver = false;
  #isAlive = true;
  #stopPinging: () => void = () => undefined;

  constructor(webSocket: WebSocket, process: CliProcess) {
    this.#webSocket = webSocket;
    this.#process = process;
    webSocket.on('message', (data: RawData) => this.#take(data as Buffer));
    webSocket.on('pong', () => {
      this.#isAlive = true;
    });
    webSocket.on('close', () => {
      this.#end.reject(
        new StatusError(
          'ServiceUnavailable',
          'the connection to the site broke off; the command may still run',
        ),
      );
    });
    process.signal.addEventListener('abort', () => this.#end.resolve(interrupted), { once: true });
    if (process.signal.aborted) this.#end.resolve(interrupted);
    void this.#ping();
  }

  /** Exit code of the command. */
  get ended(): Promise<number> {
    return this.#end.promise;
  }

  resize({ columns, rows }: Size): void {
    this.#send(channel.resize, Buffer.from(JSON.stringify({ Width: columns, Height: rows })));
  }

  /**
   * Sends what comes in on standard input until it ends, or the byte comes that ends the session; stops reading while the site does not keep
   * up.
   */
  sendInput(detachByte?: number): void {
    const { stdin } = this.#process;
    stdin.on('data', (chunk: Buffer | string) => {
      const bytes = Buffer.from(chunk);
      const end = detachByte === undefined ? -1 : bytes.indexOf(detachByte);
      stdin.pause();
      this.#send(channel.stdin, end === -1 ? bytes : bytes.subarray(0, end), () => {
        if (end !== -1) this.#end.resolve(0);
        else if (!this.#isOver) stdin.resume();
      });
    });
    stdin.on('end', () => this.#send(channel.close, Buffer.from([channel.stdin])));
    stdin.resume();
  }

  close(): void {
    this.#isOver = true;
    this.#stopPinging();
    const { stdin } = this.#process;
    stdin.pause();
    // A terminal or pipe that is still open would keep this process.
    (stdin as { unref?: () => void }).unref?.();
    this.#webSocket.close();
    if (this.#process.signal.aborted) this.#webSocket.terminate();
  }

  #take(message: Buffer): void {
    const payload = message.subarray(1);
    const { stdout, stderr } = this.#process;
    switch (message[0]) {
      case channel.stdout:
        this.#write(stdout, payload);
        break;
      case channel.stderr:
        this.#write(stderr, payload);
        break;
      case channel.error:
        this.#finish(payload);
        break;
      default:
    }
  }

  #write(stream: CliProcess['stdout'], bytes: Buffer): void {
    if (bytes.length === 0 || stream.write(bytes)) return;
    this.#webSocket.pause();
    stream.once('drain', () => this.#webSocket.resume());
  }

  #finish(payload: Buffer): void {
    if (payload.length === 0) return;
    try {
      this.#end.resolve(exitCodeOf(payload));
    } catch (error) {
      this.#end.reject(error);
    }
  }

  #send(number: number, payload: Buffer, callback?: () => void): void {
    if (this.#webSocket.readyState !== this.#webSocket.OPEN) return;
    this.#webSocket.send(Buffer.concat([Buffer.from([number]), payload]), () => callback?.());
  }

  async #ping(): Promise<void> {
    const stop = new AbortController();
    this.#stopPinging = () => stop.abort();
    while (!stop.signal.aborted) {
      await this.#process.clock.sleep(pingMilliseconds, stop.signal);
      if (stop.signal.aborted) return;
      if (!this.#isAlive) {
        this.#webSocket.terminate();
        return;
      }
      this.#isAlive = false;
      // Paused, nothing is read, so no answer could come.
      if (this.#webSocket.isPaused) this.#isAlive = true;
      else this.#webSocket.ping();
    }
  }
}

interface CommandStatus {
  readonly status?: string;
  readonly message?: string;
  readonly reason?: string;
  readonly code?: number;
  readonly details?: { readonly causes?: readonly { readonly reason?: string; readonly message?: string }[] };
}

/** The Status that ends a command. Throws StatusError when it was not run. */
function exitCodeOf(payload: Buffer): number {
  const status = parse(payload.toString('utf8')) as CommandStatus | undefined;
  if (status?.status === 'Success') return 0;
  if (status?.reason === 'NonZeroExitCode') {
    const cause = status.details?.causes?.find(({ reason }) => reason === 'ExitCode');
    const code = Number(cause?.message);
    if (Number.isInteger(code)) return code;
  }
  const error = statusErrorFromBody({ kind: 'Status', ...status }, status?.code ?? 500);
  throw isStatusError(error) && status?.message !== undefined
    ? new StatusError('InternalError', status.message)
    : error;
}

interface Terminal {
  begin(onResize: (size: Size) => void): void;
  end(): void;
}

/** Our own terminal as one for the command; undefined, with a word about it, when standard input is none. */
function openTerminal({ process, hint }: CommandContext): Terminal | undefined {
  const stdin = process.stdin as CliProcess['stdin'] & { setRawMode?: (isRaw: boolean) => void };
  const stdout = process.stdout as CliProcess['stdout'] & { columns?: number; rows?: number };
  if (stdin.isTTY !== true || stdin.setRawMode === undefined) {
    hint('no terminal is used: standard input is none');
    return undefined;
  }
  let tell: () => void = () => undefined;
  return {
    begin: (onResize) => {
      tell = () => {
        if (stdout.columns && stdout.rows) onResize({ columns: stdout.columns, rows: stdout.rows });
      };
      stdin.setRawMode?.(true);
      stdout.on('resize', tell);
      tell();
    },
    end: () => {
      stdout.off('resize', tell);
      stdin.setRawMode?.(false);
    },
  };
}
