import { createCipheriv, createDecipheriv, createHash, randomBytes, scrypt } from 'node:crypto';
import { BackupError } from './backup-stream.ts';

/**
 * How a backup lies in a file: one line that says so, then chunks. Each chunk: 4 bytes (the highest bit marks the last
 * one, the others give the length), then the content; sealed with AES-256-GCM under a key that scrypt makes of the
 * passphrase, or in clear. A chunk's nonce is its number and whether it is the last (the STREAM construction), the first
 * line is authenticated with each of them: no chunk can be changed, moved, left out or added.
 */
interface FileHeader {
  readonly cipher: 'aes-256-gcm' | 'none';
  readonly scrypt?: ScryptCost & { readonly salt: string };
  /** Tells a wrong passphrase from a damaged file. */
  readonly keyCheck?: string;
}

const magic = 'selvedge-backup 1 ';
const chunkBytes = 64 * 1024;
const tagBytes = 16;
const lastMark = 0x8000_0000;
const maxHeaderBytes = 1024;
/** About 0.4 s and 128 MiB for each passphrase that somebody tries. */
export const usualCost: ScryptCost = { N: 2 ** 17, r: 8, p: 1 };

export interface ScryptCost {
  readonly N: number;
  readonly r: number;
  readonly p: number;
}

/** The bytes of a backup file. Without a passphrase everybody who has the file has the hub's keys and secrets. */
export async function* sealBackupFile(
  content: AsyncIterable<Uint8Array>,
  passphrase: string | undefined,
  cost: ScryptCost = usualCost,
): AsyncGenerator<Uint8Array> {
  const salt = randomBytes(16).toString('base64');
  const key = passphrase === undefined ? undefined : await deriveKey(passphrase, { ...cost, salt });
  const header: FileHeader =
    key === undefined
      ? { cipher: 'none' }
      : { cipher: 'aes-256-gcm', scrypt: { ...cost, salt }, keyCheck: keyCheckOf(key) };
  const line = Buffer.from(`${magic}${JSON.stringify(header)}\n`);
  yield line;
  const chunks = new ChunkCodec(key, line);
  let pending = Buffer.alloc(0);
  for await (const bytes of content) {
    pending = Buffer.concat([pending, bytes]);
    // One byte at least stays for the last chunk, which is known only at the end.
    while (pending.length > chunkBytes) {
      yield chunks.seal(pending.subarray(0, chunkBytes), false);
      pending = pending.subarray(chunkBytes);
    }
  }
  yield chunks.seal(pending, true);
}

/** The content of a backup file. Throws BackupError when it is none, the passphrase is wrong, or it was cut or changed. */
export async function* openBackupFile(
  file: AsyncIterable<Uint8Array>,
  passphrase: string | undefined,
): AsyncGenerator<Uint8Array> {
  const bytes = new ByteReader(file);
  try {
    const line = await bytes.line(maxHeaderBytes);
    const key = await keyFor(parseHeader(line), passphrase);
    const chunks = new ChunkCodec(key, line);
    for (let isLast = false; !isLast; ) {
      const word = (await bytes.exactly(4)).readUInt32BE();
      isLast = word >= lastMark;
      const length = isLast ? word - lastMark : word;
      if (length > chunkBytes + tagBytes) throw damaged();
      yield chunks.open(await bytes.exactly(length), isLast);
    }
    if (!(await bytes.isAtEnd())) {
      throw new BackupError('the backup file goes on behind its end: it was changed');
    }
  } finally {
    await bytes.close();
  }
}

async function keyFor(header: FileHeader, passphrase: string | undefined): Promise<Buffer | undefined> {
  if (header.cipher === 'none') {
    if (passphrase === undefined) return undefined;
    throw new BackupError('this backup was made without a passphrase: read it with --no-passphrase');
  }
  if (header.scrypt === undefined) throw damaged();
  if (passphrase === undefined) {
    throw new BackupError('this backup is sealed with a passphrase: give it with --passphrase-file');
  }
  const key = await deriveKey(passphrase, header.scrypt);
  if (keyCheckOf(key) !== header.keyCheck)
    throw new BackupError('the passphrase is another than that of the backup');
  return key;
}

class ChunkCodec {
  readonly #key: Buffer | undefined;
  readonly #aad: Buffer;
  #number = 0n;

  constructor(key: Buffer | undefined, headerLine: Buffer) {
    this.#key = key;
    this.#aad = createHash('sha256').update(headerLine).digest();
  }

  seal(plain: Uint8Array, isLast: boolean): Buffer {
    const body = this.#key === undefined ? plain : this.#encrypt(this.#key, plain, isLast);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(body.length + (isLast ? lastMark : 0));
    return Buffer.concat([length, body]);
  }

  open(body: Buffer, isLast: boolean): Buffer {
    if (this.#key === undefined) return body;
    if (body.length < tagBytes) throw damaged();
    const decipher = createDecipheriv('aes-256-gcm', this.#key, this.#nonce(isLast))
      .setAAD(this.#aad)
      .setAuthTag(body.subarray(body.length - tagBytes));
    try {
      return Buffer.concat([decipher.update(body.subarray(0, body.length - tagBytes)), decipher.final()]);
    } catch (cause) {
      throw damaged(cause);
    }
  }

  #encrypt(key: Buffer, plain: Uint8Array, isLast: boolean): Buffer {
    const cipher = createCipheriv('aes-256-gcm', key, this.#nonce(isLast)).setAAD(this.#aad);
    return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  }

  /** Never twice under one key: the key is of this file alone, the number of this chunk. */
  #nonce(isLast: boolean): Buffer {
    const nonce = Buffer.alloc(12);
    nonce.writeBigUInt64BE(this.#number++, 3);
    nonce[11] = isLast ? 1 : 0;
    return nonce;
  }
}

/** Takes bytes off a stream as they are needed. */
class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #pending = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  async exactly(count: number): Promise<Buffer> {
    while (this.#pending.length < count) if (!(await this.#more())) throw cutOff();
    return this.#take(count);
  }

  async line(longest: number): Promise<Buffer> {
    for (;;) {
      const end = this.#pending.indexOf(10);
      if (end >= 0) return this.#take(end + 1);
      if (this.#pending.length > longest || !(await this.#more())) throw notOurs();
    }
  }

  async isAtEnd(): Promise<boolean> {
    while (this.#pending.length === 0) if (!(await this.#more())) return true;
    return false;
  }

  async close(): Promise<void> {
    await this.#source.return?.();
  }

  #take(count: number): Buffer {
    const taken = this.#pending.subarray(0, count);
    this.#pending = this.#pending.subarray(count);
    return taken;
  }

  async #more(): Promise<boolean> {
    const next = await this.#source.next();
    if (next.done === true) return false;
    this.#pending = Buffer.concat([this.#pending, next.value]);
    return true;
  }
}

function parseHeader(line: Buffer): FileHeader {
  const text = line.toString('utf8');
  if (!text.startsWith('selvedge-backup ')) throw notOurs();
  if (!text.startsWith(magic)) {
    throw new BackupError('this backup was made by a newer version: read it with that version');
  }
  try {
    const header = JSON.parse(text.slice(magic.length)) as FileHeader;
    if (header.cipher === 'none' || header.cipher === 'aes-256-gcm') return header;
  } catch {
    // said below
  }
  throw damaged();
}

function deriveKey(passphrase: string, options: ScryptCost & { readonly salt: string }): Promise<Buffer> {
  const { N, r, p } = options;
  // A hostile file must not make us take all memory.
  if (N * r > 2 ** 23 || p > 16)
    throw new BackupError('the backup asks for more memory than any of ours does');
  return new Promise((resolve, reject) => {
    const salt = Buffer.from(options.salt, 'base64');
    scrypt(passphrase.normalize('NFC'), salt, 32, { N, r, p, maxmem: 2 ** 31 }, (error, key) =>
      error === null ? resolve(key) : reject(error),
    );
  });
}

const keyCheckOf = (key: Buffer) =>
  createHash('sha256').update('selvedge backup key check').update(key).digest('hex').slice(0, 16);

const damaged = (cause?: unknown) => new BackupError('the backup file is damaged or was changed', { cause });
const cutOff = () => new BackupError('the backup file is cut off');
const notOurs = () => new BackupError('this is no backup file of a hub');
