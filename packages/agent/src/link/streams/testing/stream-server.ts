import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { isStatusError } from '@selvedge/api';
import { acceptUpgrade } from '../accept-upgrade.ts';
import { openStreams } from '../open-streams.ts';
import type { StreamBackend, StreamVerb } from '../stream-backend.ts';

export interface StreamServer extends AsyncDisposable {
  readonly port: number;
}

/** `/exec?command=…`, `/attach`, `/portforward` on a true socket; for tests. */
export async function serveStreams(backend: StreamBackend): Promise<StreamServer> {
  const server = createServer();
  const sockets = new Set<Duplex>();
  server.on('upgrade', (req, socket, head) => {
    sockets.add(socket);
    void answer(req, { socket, head }, backend);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

async function answer(
  req: IncomingMessage,
  { socket, head }: { socket: Duplex; head: Buffer },
  backend: StreamBackend,
): Promise<void> {
  const gone = new AbortController();
  socket.on('error', () => gone.abort());
  socket.on('close', () => gone.abort());
  const url = new URL(req.url ?? '/', 'http://test');
  try {
    const upgrade = await openStreams(
      {
        verb: url.pathname.slice(1) as StreamVerb,
        query: url.searchParams,
        headers: req.headers,
        protocol: (req.headers.upgrade ?? '').toLowerCase(),
        signal: gone.signal,
      },
      backend,
    );
    acceptUpgrade(socket, head, upgrade);
  } catch (error) {
    const [code, message] = isStatusError(error) ? [error.code, error.message] : [500, String(error)];
    socket.end(`HTTP/1.1 ${code} Refused\r\nContent-Length: ${Buffer.byteLength(message)}\r\n\r\n${message}`);
  }
}
