import {
  createSecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { IncomingMessage, ServerOptions, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createSecureContext, type TLSSocket } from 'node:tls';
import type { Clock, Logger } from '@selvedge/api';
import type { UserInfo } from '../authentication/user-info.ts';
import { ConnectionTable } from './connection-table.ts';
import type { ApiRequest, ApiResponse } from './exchange.ts';
import { http2Request, http2Response } from './http2-exchange.ts';
import { upgradeExchange } from './upgrade-exchange.ts';
import { PeerUsers } from '../authentication/peer-user.ts';

export interface HttpsServerOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly tls: TlsMaterial;
  /** Also gets what wants to upgrade (`ApiRequest.upgradeTo`): who does not take it just answers. */
  readonly handle: (req: ApiRequest, res: ApiResponse, peer: Peer) => Promise<void> | void;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A connection without a request is closed after this long without a byte. Default: 120 s. */
  readonly idleMilliseconds?: number;
  /** The head of a request over HTTP/1.1 that takes longer is given up. Default: 20 s. */
  readonly headersMilliseconds?: number;
  /** Beyond, a new one takes the place of one that is idle. Default: 20,000. */
  readonly maxConnections?: number;
}

/** PEM. */
export interface TlsMaterial {
  readonly key: string;
  /** With the certificates between it and its root, if any. */
  readonly cert: string;
  /** Whom client certificates must be issued by; they are asked for, not required. */
  readonly clientCa: string;
}

export interface Peer {
  /** Absent without a valid client certificate. */
  readonly user?: UserInfo;
}

export interface HttpsServer {
  readonly port: number;
  /**
   * Key and certificate are for connections from now on. Open ones go on; client certificates are judged by the new
   * authorities from their next request on. Throws, and changes nothing, when key and certificate do not fit.
   */
  setTls(tls: TlsMaterial): void;
  /** No new connections; requests under way get a moment to end. Resolves when every connection is closed. */
  close(): Promise<void>;
}

const backlog = 4096;
const keepAliveMs = 30_000;
const graceMs = 2_000;
const defaultIdleMs = 120_000;
/** An OIDC token of somebody in many groups fits. */
const maxHeaderBytes = 64 * 1024;
const handshakeMs = 20_000;
const defaultHeadersMs = 20_000;
/** For the whole request; endpoints are stricter with their bodies, and say so. */
const requestMs = 300_000;
const defaultMaxConnections = 20_000;

/** HTTP/2 and HTTP/1.1 on one TLS port. Rejects when the port cannot be had. */
export async function startHttpsServer(options: HttpsServerOptions): Promise<HttpsServer> {
  const { tls, clock, logger } = options;
  const idleMs = options.idleMilliseconds ?? defaultIdleMs;
  const headersTimeoutMs = options.headersMilliseconds ?? defaultHeadersMs;
  const peers = new PeerUsers({ authorities: tls.clientCa, clock });
  const http1Options: ServerOptions = {
    headersTimeout: headersTimeoutMs,
    requestTimeout: requestMs,
    keepAliveTimeout: idleMs,
    connectionsCheckingInterval: Math.min(idleMs, headersTimeoutMs, 5_000),
    maxHeaderSize: maxHeaderBytes,
  };
  const server = createSecureServer({
    key: tls.key,
    cert: tls.cert,
    ca: tls.clientCa,
    allowHTTP1: true,
    minVersion: 'TLSv1.2',
    requestCert: true,
    rejectUnauthorized: false,
    handshakeTimeout: handshakeMs,
    settings: { maxConcurrentStreams: 1000, maxHeaderListSize: maxHeaderBytes },
    // Counts answers that wait to be sent: one long list must not refuse the next request on the connection.
    maxSessionMemory: 128,
    maxSessionInvalidFrames: 100,
    maxOutstandingPings: 10,
    // As Node's default, in our own words: streams that a client opens and resets at once (CVE-2023-44487).
    streamResetBurst: 1000,
    streamResetRate: 33,
    http1Options,
  });
  const connections = new ConnectionTable(options.maxConnections ?? defaultMaxConnections, logger);
  const sockets = new Set<Socket>();
  const sessions = new Set<ServerHttp2Session>();
  server.on('connection', (socket: Socket) => connections.connects(socket));
  server.on('secureConnection', (socket: TLSSocket) => {
    sockets.add(socket);
    connections.handshakeEnds(socket);
    if (socket.alpnProtocol !== 'h2') {
      socket.setTimeout(idleMs);
      connections.isReady(socket);
    }
    socket.setKeepAlive(true, keepAliveMs);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => {
      sockets.delete(socket);
      connections.isClosed(socket);
    });
  });
  server.on('session', (session) => {
    sessions.add(session);
    connections.isReady(session);
    session.on('stream', (stream) => {
      connections.requestBegins(session);
      stream.once('close', () => connections.requestEnds(session));
    });
    session.setTimeout(idleMs, () => {
      if (connections.isIdle(session)) session.close();
    });
    session.on('error', () => session.destroy());
    session.once('close', () => {
      sessions.delete(session);
      connections.isClosed(session);
    });
  });
  server.on('tlsClientError', (error) => logger.debug('TLS handshake failed', { error: error.message }));
  server.on('sessionError', (error) => logger.debug('HTTP/2 session failed', { error: error.message }));
  const answering = { ...options, peers };
  server.on('request', (req: IncomingMessage, res: ServerResponse) => {
    const socket = req.socket as TLSSocket;
    // A request may wait long in silence. Behind it, Node's own keep-alive time-out holds.
    socket.setTimeout(0);
    connections.requestBegins(socket);
    res.once('close', () => connections.requestEnds(socket));
    void answer({ req, res, connection: socket, socket }, answering);
  });
  server.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) => {
    const connection = socket as TLSSocket;
    connection.setTimeout(0);
    connections.requestBegins(connection);
    const { upgrading, res } = upgradeExchange(req, connection, head);
    // Refused: a client that does not close its half, too, keeps no place for longer than the answer takes.
    res.once('finish', () => {
      connections.requestEnds(connection);
      connection.end();
      const closed = new AbortController();
      connection.once('close', () => closed.abort());
      void clock.sleep(graceMs, closed.signal).then(() => connection.destroy());
    });
    void answer({ req: upgrading, res, connection, socket: connection }, answering);
  });
  // Whoever listens to requests also gets Node's own ones over HTTP/2; ours cost less.
  server.removeAllListeners('stream');
  server.on(
    'stream',
    (...[stream, headers, , raw]: [ServerHttp2Stream, IncomingHttpHeaders, number, string[]]) => {
      const { session } = stream;
      if (!session) return;
      const req = http2Request(stream, headers, raw);
      const res = http2Response(stream, req.method ?? '');
      void answer({ req, res, connection: session, socket: session.socket as TLSSocket }, answering);
    },
  );
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
    setTls: ({ key, cert, clientCa }) => {
      // What it does not understand it must not have taken half of.
      createSecureContext({ key, cert, ca: clientCa });
      peers.setAuthorities(clientCa);
      server.setSecureContext({ key, cert, ca: clientCa, minVersion: 'TLSv1.2' });
    },
    close: () => closeGently(server, sockets, sessions),
  };
}

interface Exchange {
  readonly req: ApiRequest;
  readonly res: ApiResponse;
  /** The same object for every request of a connection. */
  readonly connection: object;
  readonly socket: TLSSocket;
}

async function answer(
  { req, res, connection, socket }: Exchange,
  { handle, logger, peers }: HttpsServerOptions & { peers: PeerUsers },
): Promise<void> {
  try {
    const user = peers.find(connection, socket);
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
