import type { Duplex } from 'node:stream';
import { finished } from 'node:stream/promises';
import { SpdyConnection } from './spdy/spdy-connection.ts';
import type { SpdyStream } from './spdy/spdy-stream.ts';
import type { StreamBackend } from './stream-backend.ts';

export const portForwardProtocol = 'portforward.k8s.io';
/** The same inside of a WebSocket (KEP-4006). */
export const tunnelledPortForwardProtocol = `SPDY/3.1+${portForwardProtocol}`;

/** Two streams for each connection: one for its bytes, one for what went wrong. */
interface StreamPair {
  data?: SpdyStream;
  error?: SpdyStream;
}

/** Serves a client that forwards ports until it leaves. */
export async function runPortForward(
  socket: Duplex,
  backend: Pick<StreamBackend, 'portForward'>,
): Promise<void> {
  const pairs = new Map<string, StreamPair>();
  const connection = new SpdyConnection(socket, (stream) => {
    const port = Number(stream.headers.get('port'));
    const type = stream.headers.get('streamtype')?.toLowerCase();
    const id = stream.headers.get('requestid');
    const isValid = Number.isInteger(port) && port > 0 && port < 65_536 && id !== undefined;
    if (!isValid || (type !== 'data' && type !== 'error')) {
      stream.destroy();
      return;
    }
    const pair = pairs.get(id) ?? {};
    if (pair[type]) {
      stream.destroy();
      return;
    }
    pair[type] = stream;
    pairs.set(id, pair);
    stream.once('close', () => {
      if (pairs.get(id) === pair) pairs.delete(id);
    });
    const { data, error } = pair;
    if (!data || !error) return;
    pairs.delete(id);
    void forward({ port, data, error }, backend, connection.signal);
  });
  await connection.run();
}

async function forward(
  { port, data, error }: { port: number; data: SpdyStream; error: SpdyStream },
  backend: Pick<StreamBackend, 'portForward'>,
  signal: AbortSignal,
): Promise<void> {
  error.resume();
  try {
    const target = await backend.portForward(port, signal);
    await join(data, target);
    error.end();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    error.end(`error forwarding port ${port}: ${reason}`, () => data.destroy());
  }
}

/**
 * Carries bytes both ways until both sides have ended. A client that resets its stream wants no more: kubectl does so each time that the
 * program ends a connection first, and gives up forwarding when it is told of an error then.
 */
async function join(client: Duplex, target: Duplex): Promise<void> {
  client.pipe(target);
  target.pipe(client);
  let hasLeft = false;
  const clientDone = finished(client).catch(() => {
    hasLeft = true;
    target.destroy();
  });
  try {
    await Promise.all([clientDone, finished(target)]);
  } catch (error) {
    if (!hasLeft) throw error;
  } finally {
    client.destroy();
    target.destroy();
  }
}
