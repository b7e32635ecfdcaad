import {
  createSecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from 'node:http2';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Logger } from '@selvedge/api';
import type { UserInfo } from '../authentication/user-info.ts';
import { peerUser } from '../authentication/peer-user.ts';

/** A request and its response, over HTTP/2 or HTTP/1.1. */
export type HttpRequest = IncomingMessage | Http2ServerRequest;
export type HttpResponse = ServerResponse | Http2ServerResponse;

export interface HttpsServerOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly tls: {
    readonly key: string;
    readonly cert: string;
    /** Whom client certificates must be issued by; they are asked for, not required. */
    readonly clientCa: string;
  };
  readonly handle: (req: HttpRequest, res: HttpResponse, peer: Peer) => Promise<void> | void;
  readonly logger: Logger;
  /** A connection without a request is closed after this long without a byte. Default: 120 s. */
  readonly idleMilliseconds?: number;
}

export interface Peer {
  /** Absent without a valid client certificate. */
  readonly user?: UserInfo;
}

export interface HttpsServer {
  readonly port: number;
  /** For connections from now on. */
  setTls(tls: { key: string; cert: string }): void;
  /** No new connections; requests under way get a moment to end. Resolves when every connection is closed. */
  close(): Promise<void>;
}

const backlog = 4096;
const keepAliveMs = 30_000;
const graceMs = 2_000;
const defaultIdleMs = 120_000;

/** HTTP/2 and HTTP/1.1 on one TLS port. Rejects when the port cannot be had. */
export async function startHttpsServer(options: HttpsServerOptions): Promise<HttpsServer> {
  const { tls, logger } = options;
  let secure = { key: tls.key, cert: tls.cert };
  const server = createSecureServer({
    ...secure,
    ca: tls.clientCa,
    allowHTTP1: true,
    minVersion: 'TLSv1.2',
    requestCert: true,
    rejectUnauthorized: false,
    settings: { maxConcurrentStreams: 1000 },
    // Counts answers that wait to be sent: one long list must not refuse the next request on the connection.
    maxSessionMemory: 128,
  });
  const sockets = new Set<Socket>();
  const sessions = new Set<ServerHttp2Session>();
  const idleMs = options.idleMilliseconds ?? defaultIdleMs;
  server.on('secureConnection', (socket: TLSSocket) => {
    sockets.add(socket);
    if (socket.alpnProtocol !== 'h2') socket.setTimeout(idleMs);
    socket.setKeepAlive(true, keepAliveMs);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('session', (session) => {
    sessions.add(session);
    closeSessionWhenIdle(session, idleMs);
    session.on('error', () => session.destroy());
    session.once('close', () => sessions.delete(session));
  });
  server.on('tlsClientError', (error) => logger.debug('TLS handshake failed', { error: error.message }));
  server.on('sessionError', (error) => logger.debug('HTTP/2 session failed', { error: error.message }));
  server.on('request', (req, res) => {
    // A request may wait long in silence. Behind it, Node's own keep-alive time-out holds.
    if (req.httpVersionMajor === 1) req.socket.setTimeout(0);
    void answer(req, res, options);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: options.host, port: options.port, backlog }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  server.on('error', (error) => logger.error('HTTPS server failed', { error }));
  return {
    port: (server.address() as AddressInfo).port,
    setTls: (renewed) => {
      secure = renewed;
      server.setSecureContext({ ...secure, ca: tls.clientCa, minVersion: 'TLSv1.2' });
    },
    close: () => closeGently(server, sockets, sessions),
  };
}

function closeSessionWhenIdle(session: ServerHttp2Session, idleMs: number): void {
  let streams = 0;
  session.on('stream', (stream) => {
    streams += 1;
    stream.once('close', () => {
      streams -= 1;
    });
  });
  session.setTimeout(idleMs, () => {
    if (streams === 0) session.close();
  });
}

async function answer(
  req: HttpRequest,
  res: HttpResponse,
  { handle, logger }: HttpsServerOptions,
): Promise<void> {
  try {
    const user = peerUser(req.socket as TLSSocket);
    await handle(req, res, user ? { user } : {});
  } catch (error) {
    logger.error('request handler failed', { error });
    res.destroy();
  }
}

async function closeGently(
  server: ReturnType<typeof createSecureServer>,
  sockets: ReadonlySet<Socket>,
  sessions: ReadonlySet<ServerHttp2Session>,
): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  // An idle HTTP/1.1 connection would keep the server open, a session ends when its last stream does.
  for (const session of sessions) session.close();
  const timer = setTimeout(() => {
    for (const session of sessions) session.destroy();
    for (const socket of sockets) socket.destroy();
  }, graceMs);
  await closed;
  clearTimeout(timer);
}
