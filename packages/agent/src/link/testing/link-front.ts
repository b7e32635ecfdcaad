import { createServer, type IncomingMessage } from 'node:http';
import type { ClientHttp2Session, OutgoingHttpHeaders } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { linkUserHeader, type LinkUser } from '@selvedge/api';
import { userHeader } from './link-client.ts';

export interface LinkFront {
  readonly url: string;
  close(): Promise<void>;
}

/** What a hub does for its users, without asking who they are: HTTP/1.1 from kubectl on loopback, over the service link to the site. */
export async function startLinkFront(session: () => ClientHttp2Session, user: LinkUser): Promise<LinkFront> {
  const server = createServer();
  server.on('request', (req, res) => {
    const stream = session().request(headersOf(req, user), { endStream: false });
    req.pipe(stream);
    stream.on('response', ({ ':status': status = 502, ...headers }) => {
      res.writeHead(
        status,
        Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith(':'))),
      );
      res.flushHeaders();
      stream.pipe(res);
    });
    stream.on('error', () => res.destroy());
    stream.on('close', () => {
      if (!res.writableEnded) res.destroy();
    });
    res.on('close', () => stream.close());
  });
  server.on('upgrade', (req, socket, head) => {
    const protocol = String(req.headers.upgrade).toLowerCase();
    const stream = session().request(
      { ...withoutLength(headersOf(req, user)), ':method': 'CONNECT', ':protocol': protocol },
      { endStream: false },
    );
    stream.on('response', ({ ':status': status, ...headers }) => {
      const lines = Object.entries(headers)
        .filter(([name]) => !name.startsWith(':'))
        .map(([name, value]) => `${name}: ${String(value)}\r\n`);
      const first = status === 200 ? `101 Switching Protocols\r\nupgrade: ${protocol}` : `${status} Refused`;
      socket.write(
        `HTTP/1.1 ${first}\r\nconnection: ${status === 200 ? 'Upgrade' : 'close'}\r\n${lines.join('')}\r\n`,
      );
      if (head.length > 0) stream.write(head);
      stream.pipe(socket).pipe(stream);
    });
    stream.on('error', () => socket.destroy());
    stream.on('close', () => socket.end());
    socket.on('error', () => stream.close());
    socket.on('close', () => stream.close());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** kubectl's POST says `content-length: 0`, which would hold for all that goes over the upgraded connection in HTTP/2. */
function withoutLength({ 'content-length': _length, ...headers }: Record<string, unknown>) {
  return headers as OutgoingHttpHeaders;
}

const ofTheConnection = [
  'connection',
  'upgrade',
  'host',
  'keep-alive',
  'transfer-encoding',
  'proxy-connection',
];

function headersOf(req: IncomingMessage, user: LinkUser) {
  const kept = Object.entries(req.headers).filter(([name]) => !ofTheConnection.includes(name));
  return {
    ...Object.fromEntries(kept),
    ':method': req.method ?? 'GET',
    ':path': req.url ?? '/',
    [linkUserHeader]: userHeader(user),
  };
}
