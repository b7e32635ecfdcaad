import { once } from 'node:events';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type OutgoingHttpHeaders,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { canonicalJson, linkProtocol, linkUserHeader, type LinkUser } from '@selvedge/api';
import { MessageStream, socketFor } from '@selvedge/api/node';
import { WebSocket, WebSocketServer } from 'ws';

/** The hub's end of a service link: takes the agent's WebSocket and speaks HTTP/2 as the client over it. */
export async function connectOverWebSocket(
  req: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<ClientHttp2Session> {
  const server = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    handleProtocols: (offered) => (offered.has(linkProtocol) ? linkProtocol : false),
  });
  const transport = await new Promise<Duplex>((resolve) => {
    server.handleUpgrade(req, socket, head, (webSocket) => resolve(new MessageStream(webSocket)));
  });
  return connectOver(transport);
}

/** Both ends of a WebSocket, as the hub and an agent have them. */
export async function openWebSocketPair(): Promise<{ near: Duplex; far: Duplex } & AsyncDisposable> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false });
  await once(server, 'listening');
  const far = new Promise<Duplex>((resolve) => {
    server.once('connection', (webSocket) => resolve(new MessageStream(webSocket)));
  });
  const { port } = server.address() as AddressInfo;
  const near = await new Promise<Duplex>((resolve, reject) => {
    const webSocket = new WebSocket(`ws://127.0.0.1:${port}`, { perMessageDeflate: false });
    webSocket.once('open', () => resolve(new MessageStream(webSocket)));
    webSocket.once('error', reject);
  });
  const ends = { near, far: await far };
  for (const end of Object.values(ends)) end.on('error', () => {});
  return {
    ...ends,
    [Symbol.asyncDispose]: async () => {
      for (const end of Object.values(ends)) end.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** HTTP/2 as a client over any connection, once the other side has told its settings. */
export async function connectOver(far: Duplex): Promise<ClientHttp2Session> {
  const transport = await socketFor(far);
  transport.on('error', () => {});
  const session = connect('http://site', { createConnection: () => transport });
  session.on('error', () => {});
  await new Promise<void>((resolve) => {
    session.once('remoteSettings', () => resolve());
    session.once('close', () => resolve());
  });
  return session;
}

export interface AskOptions {
  readonly method?: string;
  readonly path: string;
  readonly user?: LinkUser | undefined;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: string | Buffer;
}

export interface Answered {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

const anna: LinkUser = { name: 'anna', groups: ['shop'] };

export function userHeader(user: LinkUser): string {
  return Buffer.from(canonicalJson(user)).toString('base64url');
}

/** Begins a request. Without `user`: anna of group shop. */
export function startAsking(session: ClientHttp2Session, options: AskOptions): ClientHttp2Stream {
  const stream = session.request(
    {
      ':method': options.method ?? 'GET',
      ':path': options.path,
      [linkUserHeader]: userHeader(options.user ?? anna),
      ...options.headers,
    },
    { endStream: false },
  );
  stream.on('error', () => {});
  if (options.method !== 'CONNECT') stream.end(options.body);
  return stream;
}

/** Begins an upgrade; what comes after status 200 are the raw bytes. */
export function startUpgrade(
  session: ClientHttp2Session,
  options: AskOptions & { protocol: string },
): ClientHttp2Stream {
  const headers = { ...options.headers, ':protocol': options.protocol };
  return startAsking(session, { ...options, method: 'CONNECT', headers });
}

/** Status and headers; rejects when the stream ends without. */
export function answerHead(
  stream: ClientHttp2Stream,
): Promise<{ status: number; headers: IncomingHttpHeaders }> {
  return new Promise((resolve, reject) => {
    stream.once('response', (headers) => resolve({ status: headers[':status'] ?? 0, headers }));
    stream.once('close', () => reject(new Error(`no answer: the stream was closed (${stream.rstCode})`)));
  });
}

export async function ask(session: ClientHttp2Session, options: AskOptions): Promise<Answered> {
  const stream = startAsking(session, options);
  // From the beginning: a stream that nobody has read from is gone with its bytes when it closes.
  const bytes = stream.toArray() as Promise<Buffer[]>;
  bytes.catch(() => {});
  const head = await answerHead(stream);
  return { ...head, text: Buffer.concat(await bytes).toString('utf8') };
}
