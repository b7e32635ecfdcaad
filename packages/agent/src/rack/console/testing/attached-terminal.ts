import { once } from 'node:events';
import { setTimeout as wait } from 'node:timers/promises';
import { WebSocket } from 'ws';

/** A terminal that is attached to a console; what it shows, and how it ended. */
export class AttachedTerminal {
  readonly #webSocket: WebSocket;
  readonly closed: Promise<unknown>;
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
    this.closed = once(this.#webSocket, 'close');
  }

  type(keys: string): void {
    if (this.#webSocket.readyState !== WebSocket.OPEN) return;
    this.#webSocket.send(Buffer.concat([Buffer.from([0]), Buffer.from(keys)]));
  }

  async shows(part: string): Promise<void> {
    while (!this.shown.includes(part)) await once(this.#webSocket, 'message');
  }

  pause(milliseconds: number): Promise<void> {
    return wait(milliseconds);
  }

  leave(): void {
    this.#webSocket.close();
  }
}
