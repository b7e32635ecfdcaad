import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { isStatusError, StatusError } from '@selvedge/api';
import type { LinkCall, LinkDoor } from '../link-door.ts';
import { acceptUpgrade } from '../streams/accept-upgrade.ts';

export interface DoorServer {
  readonly url: string;
  close(): Promise<void>;
}

/** Serves a door over HTTPS without hub and link, for whoever asks; for tests. */
export async function serveDoor(
  door: LinkDoor,
  { key, certificate }: { readonly key: string; readonly certificate: string },
): Promise<DoorServer> {
  const server = createServer({ key, cert: certificate }, (req, res) => void answer(door, req, res));
  const sockets = new Set<Duplex>();
  server.on('secureConnection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.on('upgrade', (req, socket, head) => void upgrade(door, req, { socket, head }));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

function callOf(req: IncomingMessage, signal: AbortSignal): LinkCall {
  const { connection: _, upgrade: __, host: ___, ...headers } = req.headers;
  const user = { name: 'tester', groups: [] };
  return { method: req.method ?? 'GET', path: req.url ?? '/', headers, user, signal };
}

async function answer(door: LinkDoor, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const gone = new AbortController();
  res.on('close', () => gone.abort());
  try {
    const { status, headers, body } = await door.answer(callOf(req, gone.signal), req);
    res.writeHead(status, headers);
    res.flushHeaders();
    await pipeline(body, res);
  } catch (error) {
    if (res.headersSent) res.destroy();
    else
      refuse(error, (status, text) =>
        res.writeHead(status, { 'content-type': 'application/json' }).end(text),
      );
  }
}

async function upgrade(
  door: LinkDoor,
  req: IncomingMessage,
  { socket, head }: { socket: Duplex; head: Buffer },
): Promise<void> {
  const gone = new AbortController();
  socket.on('error', () => gone.abort());
  socket.on('close', () => gone.abort());
  try {
    const answered = await door.upgrade(callOf(req, gone.signal), (req.headers.upgrade ?? '').toLowerCase());
    if (!('socket' in answered))
      throw new StatusError('InternalError', 'the door answered without upgrading');
    acceptUpgrade(socket, head, answered);
  } catch (error) {
    refuse(error, (status, text) => {
      const length = Buffer.byteLength(text);
      socket.end(
        `HTTP/1.1 ${status} Refused\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\nConnection: close\r\n\r\n${text}`,
      );
    });
  }
}

function refuse(error: unknown, write: (status: number, text: string) => void): void {
  const status = isStatusError(error) ? error : new StatusError('InternalError', String(error));
  write(status.code, JSON.stringify(status.toBody()));
}
