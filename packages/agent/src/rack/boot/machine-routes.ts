import type { ServerResponse } from 'node:http';
import { formatSystemTask } from '@selvedge/api';
import type { PreparedImage } from '../images/image-library.ts';
import { BodyReader } from './body-reader.ts';
import { parseInventory } from './check-inventory.ts';
import { type Exchange, HttpRefusal, sendBytes, sendNothing, sendText } from './http-answer.ts';
import type { MachineDesk, SystemSession } from './machine-desk.ts';
import { parseProgress, parseSessionProof, parseTaskResult } from './wire-lines.ts';

export const mostBytes = {
  session: 64 * 1024,
  inventory: 8 * 1024 * 1024,
  result: 1024 * 1024,
  progress: 4096,
  log: 256 * 1024,
} as const;

/** What the inspection system and the installed system say: `/machine/v1/…`, `/confirm/v1/…`; see inspection-wire.ts. */
export class MachineRoutes {
  readonly #desk: MachineDesk;
  readonly #bodies = new BodyReader();

  constructor(desk: MachineDesk) {
    this.#desk = desk;
  }

  /** @returns false when the path is none of these. */
  async serve(exchange: Exchange): Promise<boolean> {
    const parts = exchange.url.pathname.split('/').slice(1);
    if (parts[0] === 'machine' && parts[1] === 'v1') await this.#machine(exchange, parts.slice(2));
    else if (parts[0] === 'confirm' && parts[1] === 'v1' && parts.length === 3)
      await this.#confirm(exchange, parts);
    else return false;
    return true;
  }

  async #machine(exchange: Exchange, [what, ...rest]: readonly string[]): Promise<void> {
    const { req } = exchange;
    if (what === 'session' && rest.length === 0) return await this.#openSession(exchange);
    const session = this.#session(exchange);
    const route = `${req.method === 'PUT' ? 'POST' : req.method} ${[what, ...rest.slice(0, -1)].join('/')}`;
    const last = rest.at(-1);
    if (last === undefined) return await this.#plainRoute(exchange, session, `${req.method} ${what}`);
    switch (route) {
      case 'POST task':
        return await this.#taskDone(exchange, session, last);
      case 'GET script':
        return this.#send(exchange, await this.#desk.script(session, decode(last)));
      case 'GET seed':
        return this.#send(exchange, seedFile(await this.#desk.seed(session, exchange.rackUrl), last));
      case 'GET image':
        if (last !== 'map') break;
        return sendText(exchange.res, 200, imageMap(await this.#image(session)));
      case 'GET image/chunk':
        return await this.#chunk(exchange, session, last);
    }
    throw new HttpRefusal(404, 'there is no such path');
  }

  async #plainRoute(exchange: Exchange, session: SystemSession, route: string): Promise<void> {
    const { res } = exchange;
    switch (route) {
      case 'PUT inventory':
      case 'POST inventory':
        await this.#desk.inventoryTaken(
          session,
          parseInventory(await this.#body(exchange, mostBytes.inventory)),
        );
        return sendNothing(res);
      case 'GET task':
        return await this.#nextTask(exchange, session);
      case 'POST progress': {
        const progress = parseProgress(await this.#body(exchange, mostBytes.progress));
        return sendText(res, 200, this.#desk.progressed(session, progress) ? 'continue\n' : 'abort\n');
      }
      case 'POST log':
        this.#desk.logged(session, await this.#body(exchange, mostBytes.log));
        return sendNothing(res);
    }
    throw new HttpRefusal(404, 'there is no such path');
  }

  async #openSession(exchange: Exchange): Promise<void> {
    const { req, res, address } = exchange;
    if (req.method !== 'POST') throw new HttpRefusal(405, 'POST only');
    const proof = parseSessionProof(
      await this.#bodies.read(exchange, mostBytes.session, { hasSession: false }),
    );
    const session = await this.#desk.openSession({ ...proof, address });
    if (session === undefined)
      throw new HttpRefusal(403, 'the nonce is unknown, was used, or is not for you');
    sendText(res, 200, `token ${session.token}\n`);
  }

  #session({ req, address }: Exchange): SystemSession {
    const [, token] = /^Bearer +([\w.~+/=-]{1,512})$/i.exec(req.headers.authorization ?? '') ?? [];
    const session = token === undefined ? undefined : this.#desk.findSession(token, address);
    if (session === undefined) throw new HttpRefusal(401, 'boot from the network again');
    return session;
  }

  #body(exchange: Exchange, mostBytes: number): Promise<string> {
    return this.#bodies.read(exchange, mostBytes, { hasSession: true });
  }

  async #nextTask({ res, signal }: Exchange, session: SystemSession): Promise<void> {
    const next = await this.#desk.nextTask(session, signal);
    if (next === undefined) sendNothing(res);
    else sendText(res, 200, formatSystemTask(next.id, next.task));
  }

  async #taskDone(exchange: Exchange, session: SystemSession, idText: string): Promise<void> {
    const id = wholeNumber(idText);
    const result = parseTaskResult(await this.#body(exchange, mostBytes.result));
    if (!(await this.#desk.taskDone(session, id, result))) throw new HttpRefusal(409, 'ask for the task');
    sendNothing(exchange.res);
  }

  async #image(session: SystemSession): Promise<PreparedImage> {
    const image = await this.#desk.image(session);
    // Its file may have become damaged, and is fetched again.
    if (image === undefined) throw new HttpRefusal(503, 'the image is not whole here yet');
    return image;
  }

  async #chunk(exchange: Exchange, session: SystemSession, indexText: string): Promise<void> {
    const { res, signal } = exchange;
    const image = await this.#image(session);
    const index = wholeNumber(indexText);
    if (index >= image.chunkCount) throw new HttpRefusal(404, `the image has ${image.chunkCount} chunks`);
    const pieces = image.read(index, signal)[Symbol.asyncIterator]();
    // A disk that cannot be read is an answer; only what breaks later has to break the connection.
    const first = await pieces.next();
    res.writeHead(200, {
      'content-type': 'application/octet-stream',
      'content-length': image.chunk(index).length,
    });
    // A piece is good until the next one is asked for: it has left before that.
    if (first.done !== true) await writePiece(res, first.value, signal);
    for await (const piece of { [Symbol.asyncIterator]: () => pieces }) await writePiece(res, piece, signal);
    res.end();
  }

  async #confirm(exchange: Exchange, parts: readonly string[]): Promise<void> {
    const { req, res, address } = exchange;
    if (req.method !== 'POST') throw new HttpRefusal(405, 'POST only');
    const form = new URLSearchParams(
      await this.#bodies.read(exchange, mostBytes.session, { hasSession: false }),
    );
    const hostname = shortText(form.get('hostname'));
    const instanceId = shortText(form.get('instance_id'));
    const isTaken = await this.#desk.confirmed(decode(parts[2] ?? ''), {
      address,
      ...(hostname === undefined ? {} : { hostname }),
      ...(instanceId === undefined ? {} : { instanceId }),
    });
    if (!isTaken) throw new HttpRefusal(403, 'the token is unknown or was used');
    sendText(res, 200, 'ok\n');
  }

  #send({ res, req }: Exchange, text: string | undefined): void {
    if (req.method !== 'GET' && req.method !== 'HEAD') throw new HttpRefusal(405, 'GET only');
    if (text === undefined) throw new HttpRefusal(404, 'there is none');
    sendBytes(res, Buffer.from(text, 'utf8'));
  }
}

const seedFiles = ['meta-data', 'user-data', 'vendor-data', 'network-config'];

function seedFile(files: ReadonlyMap<string, string>, name: string): string | undefined {
  return seedFiles.includes(name) ? files.get(name) : undefined;
}

function imageMap(image: PreparedImage): string {
  let map = '';
  for (let index = 0; index < image.chunkCount; index += 1) {
    const { offset, length, sha256 } = image.chunk(index);
    map += `${index} ${offset} ${length} ${sha256}\n`;
  }
  return map;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new HttpRefusal(400, 'the path is not well-formed');
  }
}

function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new HttpRefusal(404, 'a number is expected');
  return Number(text);
}

function shortText(text: string | null): string | undefined {
  const line =
    text
      ?.replaceAll(/[\p{Cc}\p{Cf}]+/gu, ' ')
      .trim()
      .slice(0, 253) ?? '';
  return line === '' ? undefined : line;
}

/** Resolves when the system has taken the bytes. Rejects when the connection is gone, or with the signal. */
async function writePiece(res: ServerResponse, piece: Uint8Array, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const leave = () => reject(signal.reason as Error);
  signal.addEventListener('abort', leave, { once: true });
  res.write(piece, (error) => (error ? reject(error) : resolve()));
  try {
    await promise;
  } finally {
    signal.removeEventListener('abort', leave);
  }
}
