import { randomBytes, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type ListenOptions, type NetConnectOpts, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** Where the two ends meet for a moment. */
export interface MeetingPoint {
  readonly listen: ListenOptions;
  readonly connect: (bound: { port: number } | undefined) => NetConnectOpts;
}

/**
 * A name that the kernel keeps, in no folder: nothing to write to, no limit of a path's length, and nothing left when the process dies.
 * Only Linux has such names.
 */
export function abstractName(): MeetingPoint {
  const path = `\0selvedge-link-${randomBytes(16).toString('hex')}`;
  return { listen: { path }, connect: () => ({ path }) };
}

export function loopbackPort(): MeetingPoint {
  const host = '127.0.0.1';
  return { listen: { host, port: 0 }, connect: (bound) => ({ host, port: bound?.port ?? 0, noDelay: true }) };
}

/**
 * A true socket in front of a stream that is none. HTTP/2 over any other stream ends the whole process with an assertion when the session
 * writes its last GOAWAY while another write is under way, which the far side can bring about as it likes; a socket of the system's knows
 * no such state. The end of one is the end of the other.
 *
 * Whoever else on the machine connects in that moment is cut off: the socket's own first bytes are a secret of this call.
 */
export async function socketFor(
  transport: Duplex,
  point: MeetingPoint = process.platform === 'linux' ? abstractName() : loopbackPort(),
): Promise<Socket> {
  transport.on('error', () => transport.destroy());
  const secret = randomBytes(32);
  const server = createServer({ noDelay: true });
  const met = Promise.withResolvers<Socket>();
  server.on('connection', (stranger) => {
    stranger.on('error', () => stranger.destroy());
    void isOurs(stranger, secret).then((ours) => (ours ? met.resolve(stranger) : stranger.destroy()));
  });
  try {
    server.listen(point.listen);
    await once(server, 'listening');
    const address = server.address();
    const near = connect(
      point.connect(typeof address === 'object' && address !== null ? address : undefined),
    );
    await once(near, 'connect');
    near.write(secret);
    tie(await met.promise, transport);
    return near;
  } finally {
    server.close();
  }
}

async function isOurs(socket: Socket, secret: Buffer): Promise<boolean> {
  const first = await new Promise<Buffer | null>((resolve) => {
    const onReadable = () => {
      const bytes = socket.read(secret.length) as Buffer | null;
      if (bytes === null && !socket.readableEnded && !socket.destroyed) return;
      socket.off('readable', onReadable);
      resolve(bytes);
    };
    socket.on('readable', onReadable);
    socket.once('close', () => resolve(null));
  });
  return first?.length === secret.length && timingSafeEqual(first, secret);
}

/** As fast as the slower takes it. */
function tie(inner: Socket, transport: Duplex): void {
  inner.once('close', () => transport.destroy());
  transport.once('close', () => inner.destroy());
  inner.pipe(transport);
  transport.pipe(inner);
  if (transport.destroyed) inner.destroy();
}
