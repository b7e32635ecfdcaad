/** Splits what `cat-file --batch` writes into blobs. */
export class BlobSplitter {
  readonly #onBlob: (oid: string, content: Buffer) => void;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #blob: { oid: string; bytes: number } | undefined;
  #count = 0;

  constructor(onBlob: (oid: string, content: Buffer) => void) {
    this.#onBlob = onBlob;
  }

  push(chunk: Buffer): void {
    this.#pending.push(chunk);
    this.#pendingBytes += chunk.length;
    while (this.#takeOne());
  }

  /** Throws when not all of them came. */
  finish(expected: number): void {
    if (this.#count === expected && this.#pendingBytes === 0) return;
    throw new Error(`git gave ${this.#count} of ${expected} files`);
  }

  /** Takes a header, or a blob with the line end behind it; false: more has to come. */
  #takeOne(): boolean {
    if (this.#blob === undefined) return this.#takeHeader();
    const { oid, bytes } = this.#blob;
    if (this.#pendingBytes < bytes + 1) return false;
    const data = this.#joined();
    this.#onBlob(oid, data.subarray(0, bytes));
    this.#count += 1;
    this.#blob = undefined;
    this.#keep(data.subarray(bytes + 1));
    return true;
  }

  #takeHeader(): boolean {
    if (this.#pendingBytes === 0) return false;
    const data = this.#joined();
    const end = data.indexOf(10);
    this.#keep(data);
    if (end === -1) return false;
    const header = data.subarray(0, end).toString('latin1');
    const [oid = '', kind, bytes] = header.split(' ');
    if (kind !== 'blob') throw new Error(`git has no such file: ${header}`);
    this.#blob = { oid, bytes: Number(bytes) };
    this.#keep(data.subarray(end + 1));
    return true;
  }

  #joined(): Buffer {
    const [only] = this.#pending;
    return this.#pending.length === 1 && only !== undefined ? only : Buffer.concat(this.#pending);
  }

  #keep(data: Buffer): void {
    this.#pending = data.length === 0 ? [] : [data];
    this.#pendingBytes = data.length;
  }
}
