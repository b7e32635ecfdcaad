import type { Readable, Writable } from 'node:stream';

export interface QmpEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

interface QmpMessage {
  readonly id?: number;
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
  readonly event?: string;
  readonly data?: Record<string, unknown>;
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** QEMU's control protocol over a pair of pipes: lines of JSON. */
export class QmpConnection {
  readonly #input: Writable;
  readonly #onEvent: (event: QmpEvent) => void;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  #rest = '';
  #isClosed = false;

  constructor(pipes: { input: Writable; output: Readable }, onEvent: (event: QmpEvent) => void) {
    this.#input = pipes.input;
    this.#onEvent = onEvent;
    pipes.input.on('error', () => this.close());
    pipes.output.setEncoding('utf8').on('data', (text: string) => this.#read(text));
    pipes.output.on('close', () => this.close());
  }

  /** Throws with QEMU's words when it refuses, and when QEMU ends before it answers. */
  execute(command: string, commandArguments?: Readonly<Record<string, unknown>>): Promise<unknown> {
    if (this.#isClosed) return Promise.reject(new Error(`${command}: QEMU has ended`));
    const id = ++this.#lastId;
    const answer = new Promise<unknown>((resolve, reject) => {
      this.#waiting.set(id, {
        resolve,
        reject: (error) => reject(new Error(`${command}: ${error.message}`, { cause: error })),
      });
    });
    this.#input.write(`${JSON.stringify({ execute: command, arguments: commandArguments, id })}\n`);
    return answer;
  }

  /** What still waits for an answer is told that there is none. */
  close(): void {
    this.#isClosed = true;
    for (const { reject } of this.#waiting.values()) reject(new Error('QEMU has ended'));
    this.#waiting.clear();
  }

  #read(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines.filter((entry) => entry.trim() !== ''))
      this.#take(JSON.parse(line) as QmpMessage);
  }

  #take(message: QmpMessage): void {
    if (message.event !== undefined) this.#onEvent({ event: message.event, data: message.data ?? {} });
    const waiting = message.id === undefined ? undefined : this.#waiting.get(message.id);
    if (message.id === undefined || waiting === undefined) return;
    this.#waiting.delete(message.id);
    if (message.error === undefined) waiting.resolve(message.return);
    else waiting.reject(new Error(message.error.desc));
  }
}
