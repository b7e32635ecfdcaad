import { PassThrough, type Readable, type Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { CommandStreams, RemoteCommand, StreamBackend, TerminalSize } from './stream-backend.ts';

/** How a command ended, as the error channel tells it: the parts of `metav1.Status` that clients read. */
export interface CommandStatus {
  readonly metadata: Record<string, never>;
  readonly status: 'Success' | 'Failure';
  readonly message?: string;
  readonly reason?: 'NonZeroExitCode' | 'InternalError';
  readonly details?: {
    readonly causes: readonly { readonly reason: 'ExitCode'; readonly message: string }[];
  };
  readonly code?: number;
}

/** The channels of one exec or attach, whatever protocol carries them. */
export interface CommandChannels {
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly sizes: TerminalSizes;
  readonly signal: AbortSignal;
  /** Tells how it ended and closes the session. All output was sent. */
  finish(status: CommandStatus): void;
}

/** Runs a command, or joins one, for a client. Never rejects: what goes wrong is told to the client. */
export async function runCommandSession(
  command: RemoteCommand,
  channels: CommandChannels,
  { verb, backend }: { verb: 'exec' | 'attach'; backend: StreamBackend },
): Promise<void> {
  const { stdin, stdout, stderr, sizes, signal } = channels;
  // A client that leaves makes them fail; the signal tells of it.
  for (const stream of [stdin, stdout, stderr]) stream.on('error', () => undefined);
  const streams: CommandStreams = {
    stdin,
    stdout,
    stderr,
    signal,
    onResize: (listener) => sizes.listen(listener),
  };
  let status: CommandStatus;
  try {
    if (verb === 'exec') status = exitStatus(await backend.exec(command, streams));
    else {
      await backend.attach(command, streams);
      status = exitStatus(0);
    }
  } catch (error) {
    status = failedStatus(error);
  }
  if (signal.aborted) return;
  await Promise.all([endOf(stdout), endOf(stderr)]);
  channels.finish(status);
}

function exitStatus(code: number): CommandStatus {
  if (code === 0) return { metadata: {}, status: 'Success' };
  return {
    metadata: {},
    status: 'Failure',
    message: `command terminated with non-zero exit code: exit status ${code}`,
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: String(code) }] },
  };
}

function failedStatus(error: unknown): CommandStatus {
  const message = error instanceof Error ? error.message : String(error);
  return { metadata: {}, status: 'Failure', message, reason: 'InternalError', code: 500 };
}

async function endOf(stream: Writable): Promise<void> {
  if (!stream.destroyed) stream.end();
  await finished(stream, { readable: false }).catch(() => undefined);
}

/** Sizes of the client's terminal, from JSON texts `{"Width":80,"Height":24}` one after another. */
export class TerminalSizes {
  #last: TerminalSize | undefined;
  #listener: ((size: TerminalSize) => void) | undefined;
  #text = '';

  /** Whatever cannot be read is left out. */
  take(bytes: Buffer): void {
    this.#text += bytes.toString('utf8');
    for (let end = this.#text.indexOf('}'); end !== -1; end = this.#text.indexOf('}')) {
      this.#set(this.#text.slice(0, end + 1));
      this.#text = this.#text.slice(end + 1);
    }
    if (this.#text.length > 1000) this.#text = '';
  }

  listen(listener: (size: TerminalSize) => void): void {
    this.#listener = listener;
    if (this.#last) listener(this.#last);
  }

  #set(text: string): void {
    try {
      const { Width: columns, Height: rows } = JSON.parse(text) as { Width: unknown; Height: unknown };
      if (!isCount(columns) || !isCount(rows)) return;
      this.#last = { columns, rows };
      this.#listener?.(this.#last);
    } catch {
      // Not a size.
    }
  }
}

const isCount = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value > 0 && value < 65_536;

/** A stream that has nothing. */
export function emptyInput(): Readable {
  const empty = new PassThrough();
  empty.end();
  return empty;
}
