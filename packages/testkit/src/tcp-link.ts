import { createServer, connect, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';

/** A TCP way to somewhere that can be cut like a cable: nothing is refused, nothing arrives, no end sees the other's end. */
export interface TcpLink {
  /** On 127.0.0.1. */
  readonly port: number;
  /** Connections that are open now. */
  readonly connections: number;
  /** For how long nothing has passed, in milliseconds. */
  readonly idleMs: number;
  /** From now on nothing passes; open connections are not told. New ones are taken and stay silent. */
  cut(): void;
  /** What was held back goes on its way, as TCP would send it again. */
  restore(): void;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Listens on a free port of 127.0.0.1 and passes everything to `target`. */
export async function startTcpLink(options: {
  target: { host?: string; port: number };
  port?: number;
}): Promise<TcpLink> {
  const pairs = new Set<LinkedPair>();
  let isCut = false;
  let passedAt = performance.now();
  const onPass = () => {
    passedAt = performance.now();
  };
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (near) => {
    const pair = new LinkedPair(near, options.target, { onPass, onGone: () => pairs.delete(pair) });
    pairs.add(pair);
    if (!isCut) pair.flow();
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  const close = async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const pair of pairs) pair.destroy();
    await closed;
  };
  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return pairs.size;
    },
    get idleMs() {
      return performance.now() - passedAt;
    },
    cut() {
      isCut = true;
      for (const pair of pairs) pair.hold();
    },
    restore() {
      isCut = false;
      for (const pair of pairs) pair.flow();
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

interface LinkListener {
  readonly onPass: () => void;
  readonly onGone: () => void;
}

/** Two sockets, one connection. While held, ends and errors of one side are kept from the other. */
class LinkedPair {
  readonly #near: Socket;
  readonly #target: { host?: string; port: number };
  readonly #on: LinkListener;
  #far: Socket | undefined;
  #isHeld = true;
  #whenFlowing: (() => void)[] = [];

  constructor(near: Socket, target: { host?: string; port: number }, on: LinkListener) {
    this.#near = near;
    this.#target = target;
    this.#on = on;
    near.on('error', () => {});
    near.on('close', () => this.#later(() => this.destroy()));
  }

  flow(): void {
    this.#isHeld = false;
    this.#far ??= this.#dial();
    for (const action of this.#whenFlowing.splice(0)) action();
    this.#near.resume();
    this.#far.resume();
  }

  hold(): void {
    this.#isHeld = true;
    this.#near.pause();
    this.#far?.pause();
  }

  destroy(): void {
    this.#near.destroy();
    this.#far?.destroy();
    this.#on.onGone();
  }

  #dial(): Socket {
    const far = connect({
      host: this.#target.host ?? '127.0.0.1',
      port: this.#target.port,
      allowHalfOpen: true,
    });
    far.on('error', () => {});
    far.on('close', () => this.#later(() => this.destroy()));
    this.#pass(this.#near, far);
    this.#pass(far, this.#near);
    return far;
  }

  #pass(from: Socket, to: Socket): void {
    from.on('data', (chunk: Buffer) => {
      this.#later(() => {
        this.#on.onPass();
        if (!to.write(chunk) && !this.#isHeld) {
          from.pause();
          to.once('drain', () => {
            if (!this.#isHeld) from.resume();
          });
        }
      });
    });
    from.on('end', () => this.#later(() => to.end()));
  }

  #later(action: () => void): void {
    if (this.#isHeld) this.#whenFlowing.push(action);
    else action();
  }
}
