import { randomUUID } from 'node:crypto';
import { DistributionError } from '../distribution-error.ts';
import type { BlobStorage, StoredBytes } from '../storage/blob-storage.ts';
import type { UploadPart } from './registry-content.ts';

/** What one request brought. */
interface KeptPart {
  readonly offset: number;
  readonly sizeBytes: number;
  readonly digest: string;
  /** Where its bytes are. */
  readonly key: string;
}

interface Upload {
  readonly repository: string;
  readonly parts: readonly KeptPart[];
  readonly sizeBytes: number;
}

const idPattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** More than any client sends, and few enough to be read for each of them. */
const maxParts = 10_000;

/**
 * Uploads under way, all of them in the storage, so that any hub may get the next part and a crash loses only the part that was being written. A part is
 * bytes and, once they are whole, a note about them.
 */
export class Uploads {
  readonly #storage: BlobStorage;

  constructor(storage: BlobStorage) {
    this.#storage = storage;
  }

  async start(repository: string): Promise<string> {
    const id = randomUUID();
    await this.#storage.put(`uploads/${id}/started`, jsonBytes({ repository }));
    return id;
  }

  async size(repository: string, id: string): Promise<number> {
    return (await this.#get(repository, id)).sizeBytes;
  }

  async append(repository: string, id: string, { offset, body }: UploadPart): Promise<number> {
    const { sizeBytes, parts } = await this.#get(repository, id);
    if (offset !== undefined && offset !== sizeBytes) {
      throw new DistributionError(
        'RANGE_INVALID',
        `the upload goes on at byte ${sizeBytes}, not at ${offset}`,
      );
    }
    if (parts.length >= maxParts) {
      throw new DistributionError(
        'SIZE_INVALID',
        `an upload has at most ${maxParts} parts: send larger ones`,
      );
    }
    const place = String(sizeBytes).padStart(16, '0');
    const key = `uploads/${id}/data/${place}-${randomUUID()}`;
    const written = await this.#storage.write(key, body);
    if (written.sizeBytes === 0) {
      await this.#storage.delete(key);
      return sizeBytes;
    }
    const part: KeptPart = { offset: sizeBytes, ...written, key };
    await this.#storage.put(`uploads/${id}/parts/${place}`, jsonBytes(part));
    return sizeBytes + written.sizeBytes;
  }

  /** Puts the upload, if it has this digest, to where blobs are kept; it is over in any case. */
  async finish(upload: { repository: string; id: string }, digest: string, to: string): Promise<void> {
    const { repository, id } = upload;
    const { parts } = await this.#get(repository, id);
    const [only] = parts;
    let found: string;
    if (only !== undefined && parts.length === 1) {
      found = only.digest;
      if (found === digest) await this.#storage.move(only.key, to);
    } else {
      // Only reading all of it tells the digest: it is put together beside, and moved when it is right.
      const whole = `uploads/${id}/whole`;
      found = (await this.#storage.write(whole, this.#bytesOf(parts))).digest;
      if (found === digest) await this.#storage.move(whole, to);
    }
    await this.#remove(id);
    if (found === digest) return;
    throw new DistributionError(
      'DIGEST_INVALID',
      `the upload has the digest ${found}, not ${digest}: begin it again`,
    );
  }

  async cancel(repository: string, id: string): Promise<void> {
    await this.#get(repository, id);
    await this.#remove(id);
  }

  /** Removes uploads that nobody has gone on with since then; returns how many. */
  async removeStale(before: Date, signal: AbortSignal): Promise<number> {
    const newest = new Map<string, Date>();
    for await (const { key, modifiedAt } of this.#storage.list('uploads/')) {
      signal.throwIfAborted();
      const id = key.split('/')[1] ?? '';
      const known = newest.get(id);
      if (known === undefined || known < modifiedAt) newest.set(id, modifiedAt);
    }
    const stale = [...newest].filter(([, at]) => at < before);
    for (const [id] of stale) await this.#remove(id);
    return stale.length;
  }

  async #get(repository: string, id: string): Promise<Upload> {
    if (!idPattern.test(id)) throw unknownUpload();
    const started = await this.#storage.read(`uploads/${id}/started`);
    if (started === undefined) throw unknownUpload();
    // An upload belongs to the repository that it was begun in: the right to write was asked for that one.
    if ((JSON.parse(started.toString('utf8')) as { repository: string }).repository !== repository) {
      throw unknownUpload();
    }
    const notes: StoredBytes[] = [];
    for await (const note of this.#storage.list(`uploads/${id}/parts/`)) notes.push(note);
    notes.sort((a, b) => (a.key < b.key ? -1 : 1));
    const parts: KeptPart[] = [];
    let sizeBytes = 0;
    for (const { key } of notes) {
      const text = await this.#storage.read(key);
      const part = text && (JSON.parse(text.toString('utf8')) as KeptPart);
      // Of two that were written at once at the same place the last one's note counts; what does not join it does not.
      if (part?.offset !== sizeBytes) continue;
      parts.push(part);
      sizeBytes += part.sizeBytes;
    }
    return { repository, parts, sizeBytes };
  }

  async *#bytesOf(parts: readonly KeptPart[]): AsyncGenerator<Uint8Array> {
    for (const { key } of parts) {
      const bytes = await this.#storage.open(key);
      if (bytes === undefined) throw unknownUpload();
      yield* bytes as AsyncIterable<Uint8Array>;
    }
  }

  async #remove(id: string): Promise<void> {
    const keys: string[] = [];
    for await (const { key } of this.#storage.list(`uploads/${id}/`)) keys.push(key);
    for (const key of keys) await this.#storage.delete(key);
  }
}

function unknownUpload(): DistributionError {
  return new DistributionError(
    'BLOB_UPLOAD_UNKNOWN',
    'there is no such upload: it was given up, or finished; begin it again',
  );
}

function jsonBytes(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
