import { Writable } from 'node:stream';
import { type CommandChannels, emptyInput, TerminalSizes } from './command-session.ts';
import { SpdyConnection } from './spdy/spdy-connection.ts';
import type { SpdyStream } from './spdy/spdy-stream.ts';
import type { RemoteCommand } from './stream-backend.ts';
import type { Duplex } from 'node:stream';

/** Versions of exec and attach over SPDY, best first. From v4 on the error stream has a Status, from v3 on there are sizes. */
export const spdyCommandProtocols = [
  'v4.channel.k8s.io',
  'v3.channel.k8s.io',
  'v2.channel.k8s.io',
  'channel.k8s.io',
] as const;

/** Waits until the client has opened a stream for each channel, then resolves; undefined when it left before. */
export async function spdyChannels(
  socket: Duplex,
  protocol: string,
  command: RemoteCommand,
): Promise<CommandChannels | undefined> {
  const wanted = wantedStreams(protocol, command);
  const streams = new Map<string, SpdyStream>();
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const connection = new SpdyConnection(socket, (stream) => {
    const type = (stream.headers.get('streamtype') ?? '').toLowerCase();
    if (!wanted.has(type) || streams.has(type)) {
      stream.destroy();
      return;
    }
    streams.set(type, stream);
    if (streams.size === wanted.size) resolve(true);
  });
  connection.signal.addEventListener('abort', () => resolve(false), { once: true });
  void connection.run();
  if (!(await promise)) return undefined;
  const sizes = new TerminalSizes();
  streams.get('resize')?.on('data', (bytes: Buffer) => sizes.take(bytes));
  const errors = streams.get('error');
  errors?.resume();
  return {
    stdin: streams.get('stdin') ?? emptyInput(),
    stdout: streams.get('stdout') ?? nowhere(),
    stderr: streams.get('stderr') ?? nowhere(),
    sizes,
    signal: connection.signal,
    finish: (status) => {
      const isFailure = status.status === 'Failure';
      const text =
        protocol === 'v4.channel.k8s.io' ? JSON.stringify(status) : isFailure ? (status.message ?? '') : '';
      errors?.end(text, () => connection.close());
    },
  };
}

function wantedStreams(protocol: string, command: RemoteCommand): Set<string> {
  const hasSizes = protocol === 'v4.channel.k8s.io' || protocol === 'v3.channel.k8s.io';
  const { hasStdin, hasStdout, hasStderr, isTerminal } = command;
  return new Set([
    'error',
    ...(hasStdin ? ['stdin'] : []),
    ...(hasStdout ? ['stdout'] : []),
    ...(hasStderr && !isTerminal ? ['stderr'] : []),
    ...(isTerminal && hasSizes ? ['resize'] : []),
  ]);
}

function nowhere(): Writable {
  return new Writable({ write: (_chunk, _encoding, callback) => callback() });
}
