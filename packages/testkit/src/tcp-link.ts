import { createServer, connect, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';

/** A TCP way to somewhere that can be cut like a cable: nothing is refused, nothing arrives, no end sees the other's end. */
export interface TcpLink {
  /** On 127.0.0.1. */
  readonly port: number;
  /** Connections that are open now. */
  readonly connections: number;
  /** For how long nothing has passed, in milliseconds. */
  readonly idleMs: number;
  /** What has passed so far: bytes of TCP payload. */
  readonly passed: { readonly toTarget: number; readonly fromTarget: number };
  /** Ends every open connection, both ends told, as a router that restarts does. */
  drop(): void;
  /** How thin the way is from now on, in both directions. */
  shape(shape: LinkShape): void;
  /** From now on nothing passes; open connections are not told. New ones are taken and stay silent. */
  cut(): void;
  /** What was held back goes on its way, as TCP would send it again. */
  restore(): void;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** What a thin link does to what passes. */
export interface LinkShape {
  /** Of all connections together, in each direction. */
  readonly bytesPerSecond?: number;
  /** Of each piece that passes. */
  readonly delayMs?: number;
  /** Packets of a hundred that have to be sent again: what comes after them waits for a retransmission. */
  readonly lossPercent?: number;
}

const packetBytes = 1460;
/** TCP's first retransmission on an empty way. */
const retransmissionMs = 200;

/** Listens on a free port of 127.0.0.1 and passes everything to `target`. */
export async function startTcpLink(options: {
  target: { host?: string; port: number };
  port?: number;
}): Promise<TcpLink> {
  const pairs = new Set<LinkedPair>();
  let isCut = false;
  let passedAt = performance.now();
  const passed = { toTarget: 0, fromTarget: 0 };
  const onPass = (bytes: number, direction: keyof typeof passed) => {
    passedAt = performance.now();
    passed[direction] += bytes;
  };
  const way = new ThinWay();
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (near) => {
    const pair = new LinkedPair(near, options.target, { way, onPass, onGone: () => pairs.delete(pair) });
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
    get passed() {
      return { ...passed };
    },
    shape(next) {
      way.shape = next;
    },
    drop() {
      for (const pair of pairs) pair.destroy();
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

/** Says when a piece has arrived at the other end. */
class ThinWay {
  shape: LinkShape = {};
  readonly #freeAt = { toTarget: 0, fromTarget: 0 };

  get isThin(): boolean {
    return Object.values(this.shape).some((value) => value !== undefined && value > 0);
  }

  async carry(bytes: number, direction: 'toTarget' | 'fromTarget'): Promise<void> {
    const { bytesPerSecond = Number.POSITIVE_INFINITY, delayMs = 0, lossPercent = 0 } = this.shape;
    const now = performance.now();
    const sentAt = Math.max(now, this.#freeAt[direction]) + (bytes / bytesPerSecond) * 1000;
    this.#freeAt[direction] = sentAt;
    let lostMs = 0;
    for (let packet = 0; packet < bytes / packetBytes; packet++) {
      if (Math.random() * 100 < lossPercent) lostMs += retransmissionMs;
    }
    await wait(sentAt - now + delayMs + lostMs);
  }
}

interface LinkListener {
  readonly way: ThinWay;
  readonly onPass: (bytes: number, direction: 'toTarget' | 'fromTarget') => void;
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
    this.#pass('toTarget', this.#near, far);
    this.#pass('fromTarget', far, this.#near);
    return far;
  }

  #pass(direction: 'toTarget' | 'fromTarget', from: Socket, to: Socket): void {
    const { way, onPass } = this.#on;
    // In order: what has ended overtakes nothing that is still on its way.
    let carried: Promise<void> | undefined;
    const arrive = (action: () => void) => {
      if (carried === undefined) this.#later(action);
      else void carried.then(() => this.#later(action));
    };
    from.on('data', (chunk: Buffer) => {
      if (way.isThin || carried !== undefined) {
        from.pause();
        const before = carried ?? Promise.resolve();
        const mine = before
          .then(() => way.carry(chunk.length, direction))
          .then(() => {
            if (carried === mine) carried = undefined;
            if (!this.#isHeld) from.resume();
          });
        carried = mine;
      }
      arrive(() => {
        onPass(chunk.length, direction);
        if (!to.write(chunk) && !this.#isHeld) {
          from.pause();
          to.once('drain', () => {
            if (!this.#isHeld) from.resume();
          });
        }
      });
    });
    from.on('end', () => arrive(() => to.end()));
  }

  #later(action: () => void): void {
    if (this.#isHeld) this.#whenFlowing.push(action);
    else action();
  }
}
