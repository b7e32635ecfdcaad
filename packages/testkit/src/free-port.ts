import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/**
 * Below the ports that Linux gives to who asks for any (32768 and up), and below the NodePorts of Kubernetes. A run that
 * was killed can leave a rule of Podman's that takes connections to a port to a container that is gone; no later
 * `listen(0)` may meet it.
 */
const firstPort = 20_000;
const lastPort = 29_999;

/**
 * A TCP port of 127.0.0.1 that nobody listens on now, from 20000 to 29999. No other call of this machine gets it as long as this process lives: who asked may
 * take its time, and start again what listens there.
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 100; tries += 1) {
    const port = randomInt(firstPort, lastPort + 1);
    if ((await reserve(port)) && (await isPortFree(port))) return port;
  }
  throw new Error(`no port from ${firstPort} to ${lastPort} is free`);
}

/** Whether nobody listens on `port` of `host`. */
export function isPortFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, host, () => server.close(() => resolve(true)));
  });
}

/** By a name among Linux's abstract sockets: one process can have it, and it goes with the process, however that ends. */
function reserve(port: number): Promise<boolean> {
  if (process.platform !== 'linux') return Promise.resolve(true);
  const server = createServer((socket) => socket.destroy()).unref();
  return new Promise((resolve) => {
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'EADDRINUSE'));
    server.listen({ path: `\0selvedge-port-${port}`, exclusive: true }, () => resolve(true));
  });
}
