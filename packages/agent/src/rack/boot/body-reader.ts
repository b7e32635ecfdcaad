import { type Exchange, HttpRefusal } from './http-answer.ts';

/**
 * Reads what boxes send. Bodies that are under way hold the memory of the rack, the longer the slower they come: all together have a limit, and so have those of one address.
 * Strangers, the small words of boxes that proved themselves, and their large ones have a limit each, so none of them keeps the others out.
 */
export class BodyReader {
  readonly #strange = new HeldBytes({ each: 256 * kibibyte, all: 4 * mebibyte });
  readonly #small = new HeldBytes({ each: 512 * kibibyte, all: 8 * mebibyte });
  /** The largest body and others beside it. */
  readonly #large = new HeldBytes({ each: 10 * mebibyte, all: 32 * mebibyte });

  /**
   * @param from `hasSession`: it showed the token of a session.
   * @throws HttpRefusal 413 when there is more than `mostBytes`, 503 when too much is under way; what is left of it is not read.
   */
  async read(
    { req, address }: Pick<Exchange, 'req' | 'address'>,
    mostBytes: number,
    { hasSession }: { hasSession: boolean },
  ): Promise<string> {
    const length = req.headers['content-length'];
    const announced = length === undefined ? mostBytes : Number(length);
    if (announced > mostBytes) throw tooLarge(mostBytes);
    const known = announced <= mostSmall ? this.#small : this.#large;
    const held = hasSession ? known : this.#strange;
    const pieces: Buffer[] = [];
    let size = 0;
    try {
      for await (const piece of req as AsyncIterable<Buffer>) {
        size += piece.length;
        held.add(address, piece.length);
        if (size > mostBytes) throw tooLarge(mostBytes);
        pieces.push(piece);
      }
      return Buffer.concat(pieces).toString('utf8');
    } finally {
      held.remove(address, size);
    }
  }
}

const kibibyte = 1024;
const mebibyte = 1024 * kibibyte;
/** How far a task is, what it came to, most logs. */
const mostSmall = 64 * kibibyte;

class HeldBytes {
  readonly #limits: { readonly each: number; readonly all: number };
  readonly #held = new Map<string, number>();
  #allHeld = 0;

  constructor(limits: { readonly each: number; readonly all: number }) {
    this.#limits = limits;
  }

  /** @throws HttpRefusal 503 with the bytes counted: they are to be removed all the same. */
  add(address: string, bytes: number): void {
    const held = (this.#held.get(address) ?? 0) + bytes;
    this.#held.set(address, held);
    this.#allHeld += bytes;
    if (held > this.#limits.each || this.#allHeld > this.#limits.all) {
      throw new HttpRefusal(503, 'too much is being sent at once; send it again later');
    }
  }

  remove(address: string, bytes: number): void {
    const held = (this.#held.get(address) ?? 0) - bytes;
    this.#allHeld -= bytes;
    if (held > 0) this.#held.set(address, held);
    else this.#held.delete(address);
  }
}

const tooLarge = (mostBytes: number) => new HttpRefusal(413, `at most ${mostBytes} bytes`);
