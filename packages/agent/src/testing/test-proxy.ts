import { createServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import type { TestCertificate } from './test-certificates.ts';

export interface TestProxy {
  readonly port: number;
  /** Targets asked for, and credentials as they came. */
  readonly asked: { target: string; authorization: string | undefined }[];
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** An HTTP proxy that knows CONNECT. */
export async function startTestProxy(
  options: { credentials?: string /** Speaks TLS to its clients. */; certificate?: TestCertificate } = {},
): Promise<TestProxy> {
  const asked: TestProxy['asked'] = [];
  const sockets = new Set<Socket>();
  const { certificate } = options;
  const server: Server = certificate === undefined ? createServer() : createTlsServer(certificate);
  server.on('request', (_req, res) => {
    res.writeHead(405);
    res.end();
  });
  server.on('connect', (req: IncomingMessage, near: Socket) => {
    const target = req.url ?? '';
    const authorization = req.headers['proxy-authorization'];
    asked.push({ target, authorization });
    const wanted = options.credentials && `Basic ${Buffer.from(options.credentials).toString('base64')}`;
    if (wanted !== undefined && wanted !== authorization) {
      near.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
      return;
    }
    const [, host, port] = /^(.+):(\d+)$/.exec(target) ?? [];
    const far = connect({ host: host ?? '', port: Number(port) }, () => {
      near.write('HTTP/1.1 200 Connection established\r\n\r\n');
      near.pipe(far).pipe(near);
    });
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        near.destroy();
        far.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    close,
    [Symbol.asyncDispose]: close,
  };
}
