import { createInflate, type Inflate } from 'node:zlib';
import { headerDictionary, headerDictionaryId } from './header-dictionary.ts';

/** What the headers of one frame may come to. A few bytes can be told to become very many. */
const longestBlock = 64 * 1024;

/** Reads the headers of a connection's frames: they are one compressed stream, so every block has to be read, and in order. */
export class HeaderReader {
  readonly #inflate: Inflate;
  #parts: Buffer[] = [];
  #length = 0;

  constructor() {
    this.#inflate = createInflate({ dictionary: headerDictionary() });
    this.#inflate.on('data', (part: Buffer) => {
      this.#length += part.length;
      if (this.#length > longestBlock)
        this.#inflate.destroy(new Error('headers of a SPDY frame are too long'));
      else this.#parts.push(part);
    });
    // Told to whoever waits for the block.
    this.#inflate.on('error', () => undefined);
  }

  /** Names are in lower case. Rejects when the block cannot be read; nothing after it can be either. */
  async read(block: Buffer): Promise<Map<string, string>> {
    this.#parts = [];
    this.#length = 0;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#inflate.once('error', reject);
    this.#inflate.once('close', () => reject(new Error('the compressed headers have ended')));
    this.#inflate.write(block, (error) => (error ? reject(error) : resolve()));
    try {
      await promise;
    } finally {
      this.#inflate.off('error', reject);
      this.#inflate.removeAllListeners('close');
    }
    return parsePairs(Buffer.concat(this.#parts));
  }

  close(): void {
    this.#inflate.destroy();
  }
}

function parsePairs(block: Buffer): Map<string, string> {
  let at = 0;
  const number = (): number => {
    const value = block.readUInt32BE(at);
    at += 4;
    return value;
  };
  const text = (): string => {
    const length = number();
    if (at + length > block.length) throw new RangeError('headers of a SPDY frame are cut off');
    const value = block.toString('latin1', at, at + length);
    at += length;
    return value;
  };
  const pairs = new Map<string, string>();
  for (let left = number(); left > 0; left -= 1) {
    const name = text().toLowerCase();
    pairs.set(name, text());
  }
  return pairs;
}

/** The empty header block, compressed by not compressing: `isFirst` of its direction, which begins the zlib stream. */
export function emptyHeaderBlock(isFirst: boolean): Buffer {
  // A stored block: not the last one, 4 bytes and the complement of that number, then the count of pairs. The empty block after it is
  // what lets a reader know that nothing more comes for now.
  const stored = Buffer.from([0x00, 0x04, 0x00, 0xfb, 0xff, 0, 0, 0, 0, 0x00, 0x00, 0x00, 0xff, 0xff]);
  if (!isFirst) return stored;
  const start = Buffer.from([0x78, 0xbb, 0, 0, 0, 0]);
  start.writeUInt32BE(headerDictionaryId, 2);
  return Buffer.concat([start, stored]);
}
