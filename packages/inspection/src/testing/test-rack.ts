import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { formatSystemTask, imageChunkBytes, type MachineInventory, type SystemTask } from '@selvedge/api';

/** What a box answered to a task, as lines `key value`. */
export interface TaskAnswer {
  readonly id: number;
  readonly status: string;
  readonly fields: ReadonlyMap<string, string>;
  readonly values: ReadonlyMap<string, string>;
  readonly output: string;
}

/**
 * The rack's side of the conversation with an inspection system, over true HTTP: tasks one after another, an image, scripts and a seed. It decides nothing; tests
 * say what it gives and look at what came.
 */
export class TestRack {
  readonly nonce: string = randomUUID();
  readonly sessions: string[] = [];
  readonly inventories: MachineInventory[] = [];
  readonly progress: string[] = [];
  readonly requests: string[] = [];
  readonly scripts = new Map<string, string>();
  readonly seed = new Map<string, string>();
  readonly confirmations: string[] = [];
  image: Buffer = Buffer.alloc(0);
  log = '';
  /** Answers of the rack to come: to the next requests for chunks, something else than the chunk. */
  readonly chunkFaults: ('damaged' | 'cut' | 503 | undefined)[] = [];
  /** What progress hears. */
  progressAnswer: 'continue' | 'abort' = 'continue';
  /** Every request is answered with this status instead. */
  refusal: number | undefined;

  readonly #server: Server;
  #token: string | undefined;
  #task: { id: number; task: SystemTask; done: (answer: TaskAnswer) => void } | undefined;
  #lastId = 0;

  private constructor() {
    this.#server = createServer((req, res) => {
      this.#answer(req, res).catch(() => res.destroy());
    });
  }

  static async start(): Promise<TestRack> {
    const rack = new TestRack();
    rack.#server.listen(0, '127.0.0.1');
    await once(rack.#server, 'listening');
    return rack;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Gives the box a task; resolves when it answered. */
  give(task: SystemTask): Promise<TaskAnswer> {
    return new Promise((done) => {
      this.#lastId += 1;
      this.#task = { id: this.#lastId, task, done };
    });
  }

  /** As a rack that gives the nonce for another boot: the token of the last one is worth nothing. */
  forgetSession(): void {
    this.#token = undefined;
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }

  async #answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const path = req.url ?? '';
    this.requests.push(`${req.method} ${path}`);
    const body = await text(req);
    const say = (status: number, content: string | Buffer = '') => {
      res.writeHead(status, { 'content-length': Buffer.byteLength(content) }).end(content);
    };
    if (this.refusal !== undefined) return say(this.refusal);
    if (path === '/machine/v1/session') {
      // Once for each nonce.
      if (this.#token !== undefined || !body.includes(`nonce ${this.nonce}\n`)) return say(403);
      this.sessions.push(body);
      this.#token = randomUUID();
      return say(200, `token ${this.#token}\n`);
    }
    if (path.startsWith('/confirm/v1/')) {
      this.confirmations.push(`${path} ${body}`);
      return say(200, 'ok\n');
    }
    if (req.headers.authorization !== `Bearer ${this.#token}`) return say(401);
    const [, kind = '', name = ''] = /^\/machine\/v1\/([a-z]+)\/?(.*)$/.exec(path) ?? [];
    switch (kind) {
      case 'inventory':
        this.inventories.push(JSON.parse(body) as MachineInventory);
        return say(200);
      case 'task':
        return name === '' ? this.#giveTask(say) : this.#takeAnswer(Number(name), body, say);
      case 'progress':
        this.progress.push(body);
        return say(200, this.progressAnswer);
      case 'log':
        this.log += body;
        return say(200);
      case 'script':
        return sayOr404(this.scripts.get(name), say);
      case 'seed':
        return sayOr404(this.seed.get(name), say);
      case 'image':
        return name === 'map' ? say(200, this.#map()) : this.#chunk(Number(name.slice(6)), res, say);
      default:
        return say(404);
    }
  }

  async #giveTask(say: (status: number, content?: string) => void): Promise<void> {
    for (let waited = 0; this.#task === undefined && waited < 10; waited += 1) await delay(100);
    if (this.#task === undefined) say(204);
    else say(200, formatSystemTask(this.#task.id, this.#task.task));
  }

  #takeAnswer(id: number, body: string, say: (status: number) => void): void {
    if (this.#task?.id !== id) return say(409);
    const { done } = this.#task;
    this.#task = undefined;
    say(200);
    done(parseAnswer(id, body));
  }

  #map(): string {
    return this.#chunks()
      .map(({ offset, bytes }, index) => {
        const digest = bytes.every((byte) => byte === 0)
          ? 'zero'
          : createHash('sha256').update(bytes).digest('hex');
        return `${index} ${offset} ${bytes.length} ${digest}\n`;
      })
      .join('');
  }

  #chunk(index: number, res: ServerResponse, say: (status: number, content?: Buffer) => void): void {
    const bytes = this.#chunks()[index]?.bytes;
    if (bytes === undefined) return say(404);
    const fault = this.chunkFaults.shift();
    if (fault === undefined) return say(200, bytes);
    if (fault === 503) return say(503);
    if (fault === 'damaged') return say(200, Buffer.from(bytes.map((byte) => byte ^ 1)));
    res.writeHead(200, { 'content-length': bytes.length });
    res.write(bytes.subarray(0, bytes.length / 2), () => res.destroy());
  }

  #chunks(): { offset: number; bytes: Buffer }[] {
    const count = Math.ceil(this.image.length / imageChunkBytes);
    return Array.from({ length: count }, (_, index) => ({
      offset: index * imageChunkBytes,
      bytes: this.image.subarray(index * imageChunkBytes, (index + 1) * imageChunkBytes),
    }));
  }
}

function sayOr404(content: string | undefined, say: (status: number, content?: string) => void): void {
  if (content === undefined) say(404);
  else say(200, content);
}

function parseAnswer(id: number, body: string): TaskAnswer {
  const [head = '', output = ''] = body.split(/^output\n/m, 2);
  const fields = new Map<string, string>();
  const values = new Map<string, string>();
  for (const line of head.split('\n').filter((it) => it !== '')) {
    const [, key = '', value = ''] = /^(\S+) ?(.*)$/.exec(line) ?? [];
    if (key !== 'value') fields.set(key, value);
    else values.set(value.split(' ')[0] ?? '', value.slice(value.indexOf(' ') + 1));
  }
  return { id, status: fields.get('status') ?? '', fields, values, output };
}
