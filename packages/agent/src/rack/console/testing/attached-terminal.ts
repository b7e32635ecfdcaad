import { once } from 'node:events';
import { setTimeout as wait } from 'node:timers/promises';
import { WebSocket } from 'ws';

/** A terminal that is attached to a console; what it shows, and how it ended. */
export class AttachedTerminal {
  readonly #webSocket: WebSocket;
  /** Also when it could not be attached. */
  readonly closed: Promise<void>;
  shown = '';
  end: { readonly status?: string; readonly message?: string } | undefined;

  constructor(port: number) {
    this.#webSocket = new WebSocket(`ws://127.0.0.1:${port}/attach?stdin=true&stdout=true&tty=true`, [
      'v5.channel.k8s.io',
    ]);
    this.#webSocket.on('message', (data) => {
      const message = data as Buffer;
      const payload = message.subarray(1).toString('utf8');
      if (message[0] === 1) this.shown += payload;
      if (message[0] === 3) this.end = JSON.parse(payload) as { status: string };
    });
    this.#webSocket.on('error', (error) => (this.end ??= { message: String(error) }));
    this.closed = new Promise((resolve) => this.#webSocket.once('close', () => resolve()));
  }

  get isOver(): boolean {
    return this.#webSocket.readyState === WebSocket.CLOSED;
  }

  type(keys: string): void {
    if (this.#webSocket.readyState !== WebSocket.OPEN) return;
    this.#webSocket.send(Buffer.concat([Buffer.from([0]), Buffer.from(keys)]));
  }

  async shows(part: string): Promise<void> {
    while (!this.shown.includes(part)) {
      if (this.isOver) {
        throw new Error(`it ended without "${part}": ${this.shown} ${JSON.stringify(this.end)}`);
      }
      const over = new AbortController();
      const news = once(this.#webSocket, 'message', { signal: over.signal }).catch(() => undefined);
      await Promise.race([news, this.closed]);
      over.abort();
    }
  }

  pause(milliseconds: number): Promise<void> {
    return wait(milliseconds);
  }

  leave(): void {
    this.#webSocket.close();
  }
}
