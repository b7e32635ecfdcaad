import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';

/** A company proxy as shops have it: HTTP CONNECT only. Counts what goes through. */
export interface HttpProxy {
  readonly url: string;
  readonly port: number;
  readonly tunnels: number;
  close(): Promise<void>;
}

/** Listens on 127.0.0.1. */
export async function startHttpProxy(port = 0): Promise<HttpProxy> {
  let tunnels = 0;
  const open = new Set<{ destroy(): void }>();
  const server = createServer((_, res) => res.writeHead(405).end('only CONNECT\n'));
  server.on('connect', (req, near, head) => {
    const target = new URL(`http://${req.url}`);
    const far = connect(Number(target.port || 80), target.hostname, () => {
      tunnels += 1;
      near.write('HTTP/1.1 200 Connection established\r\n\r\n');
      far.write(head);
      near.pipe(far).pipe(near);
    });
    for (const socket of [near, far]) {
      open.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        open.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  const bound = (server.address() as AddressInfo).port;
  return {
    url: `http://127.0.0.1:${bound}`,
    port: bound,
    get tunnels() {
      return tunnels;
    },
    async close() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
