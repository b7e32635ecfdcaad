import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { StatusError } from '@selvedge/api';
import type { WebSocket } from 'ws';
import { connectedPair } from './connected-pair.ts';

/** One message. kubectl sends 32 KiB at most; other clients send what they were given in one piece. */
const longestMessage = 4 * 2 ** 20;

export interface AcceptedWebSocket {
  readonly webSocket: WebSocket;
  /** Headers of the 101. */
  readonly headers: IncomingHttpHeaders;
  /** The bytes of the WebSocket. */
  readonly socket: Duplex;
  /** Fires when the connection is gone; a WebSocket that is paused does not tell. */
  readonly gone: AbortSignal;
}

/**
 * Takes a WebSocket's opening request. `protocol` is the sub-protocol that was chosen: it goes past `ws`, which holds names with a
 * slash (SPDY/3.1+portforward.k8s.io) for faulty.
 */
export async function acceptWebSocket(
  headers: IncomingHttpHeaders,
  protocol: string,
): Promise<AcceptedWebSocket> {
  const { WebSocketServer } = await import('ws');
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: longestMessage,
  });
  const { 'sec-websocket-protocol': _, 'sec-websocket-extensions': __, ...rest } = headers;
  const req = { method: 'GET', headers: { ...rest, upgrade: 'websocket', connection: 'Upgrade' } };
  const [socket, far] = connectedPair();
  const gone = new AbortController();
  far.once('close', () => gone.abort());
  let answer: IncomingHttpHeaders | undefined;
  let webSocket: WebSocket | undefined;
  server.on('headers', (lines: string[]) => {
    answer = Object.fromEntries(lines.slice(1).map((line) => splitHeader(line)));
  });
  server.handleUpgrade(req as unknown as IncomingMessage, far, Buffer.alloc(0), (made) => {
    webSocket = made;
  });
  // `ws` has written the 101 into the socket; here it is told by its headers.
  socket.read();
  if (!webSocket || !answer) {
    socket.destroy();
    throw new StatusError('BadRequest', 'the request does not open a WebSocket as RFC 6455 says');
  }
  return { webSocket, headers: { ...answer, 'sec-websocket-protocol': protocol }, socket, gone: gone.signal };
}

function splitHeader(line: string): [string, string] {
  const at = line.indexOf(':');
  return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()];
}
