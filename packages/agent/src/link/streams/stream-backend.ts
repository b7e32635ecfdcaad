import type { IncomingHttpHeaders } from 'node:http';
import type { Duplex, Readable, Writable } from 'node:stream';

/** What a client asked for with `pods/exec` or `pods/attach`. */
export interface RemoteCommand {
  /** Program and arguments; empty for attach. */
  readonly command: readonly string[];
  readonly hasStdin: boolean;
  readonly hasStdout: boolean;
  readonly hasStderr: boolean;
  /** A terminal: what the program writes is one stream, stdout. */
  readonly isTerminal: boolean;
}

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** A client's side of a program. The backend reads and writes with back-pressure; it need not end what it writes to. */
export interface CommandStreams {
  /** Ends when the client closed its standard input. Empty when it asked for none. */
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Called with each new size of the client's terminal; sizes that came before are told at once. */
  onResize(listener: (size: TerminalSize) => void): void;
  /** Fires when the client is gone. */
  readonly signal: AbortSignal;
}

/** What stands behind the streaming requests of one container (exec, attach) or pod (port-forward). */
export interface StreamBackend {
  /** Runs the command to its end and resolves with its exit code once all output was written. Rejects when it cannot be run. */
  exec(command: RemoteCommand, streams: CommandStreams): Promise<number>;
  /** Joins the running program until it ends or the client is gone. */
  attach(command: RemoteCommand, streams: CommandStreams): Promise<void>;
  /** A connection to a port of the pod, as seen inside of it. Rejects when nobody listens there. */
  portForward(port: number, signal: AbortSignal): Promise<Duplex>;
}

export type StreamVerb = 'exec' | 'attach' | 'portforward';

/** A request to upgrade to one of the streaming protocols. */
export interface StreamRequest {
  readonly verb: StreamVerb;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** Value of the `Upgrade` header in lower case: `websocket` or `spdy/3.1`. */
  readonly protocol: string;
  /** Ends the session. */
  readonly signal: AbortSignal;
}
