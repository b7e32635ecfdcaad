import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/**
 * Below the ports that Linux gives to who asks for any (32768 and up), and below the NodePorts of Kubernetes. A run that
 * was killed can leave a rule of Podman's that takes connections to a port to a container that is gone; no later
 * `listen(0)` may meet it.
 */
const firstPort = 20_000;
const lastPort = 29_999;

/** A TCP port of 127.0.0.1 that nobody listens on now, from 20000 to 29999. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 100; tries += 1) {
    const port = randomInt(firstPort, lastPort + 1);
    if (await isPortFree(port)) return port;
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
