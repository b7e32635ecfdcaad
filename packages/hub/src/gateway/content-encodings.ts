import { type ContentDelta, type DesiredItem, longestContentDelta } from '@selvedge/api';
import {
  type ContentDictionary,
  type ContentEncoding,
  encodeContent,
  longestDictionaryBytes,
  withoutDeltaHeader,
} from '@selvedge/api/node';

/** In one answer. */
const mostDeltas = 20;

/** A blob as it goes over the wire. */
export interface EncodedContent {
  /** Absent: as it is. */
  readonly encoding?: ContentEncoding;
  readonly bytes: Uint8Array;
}

/** Reads content; undefined when it is gone. */
export type FindContent = (digest: string) => Promise<Uint8Array | undefined>;

/**
 * Compressed forms of content, each made once: the sites of a wave ask for the same difference within a minute. The newest are kept, up
 * to so many bytes.
 */
export class ContentEncodings {
  readonly #find: FindContent;
  readonly #maxBytes: number;
  readonly #kept = new Map<string, Promise<EncodedContent | undefined>>();
  readonly #sizes = new Map<string, number>();
  #bytes = 0;

  constructor(find: FindContent, maxBytes: number = 16 * 1024 * 1024) {
    this.#find = find;
    this.#maxBytes = maxBytes;
  }

  /**
   * The shortest form that the other side can read: a difference to `dictionary` when it is named and still here. Undefined: there is
   * no such content.
   */
  async find(
    digest: string,
    { canZstd, dictionary }: { canZstd: boolean; dictionary: string | undefined },
  ): Promise<EncodedContent | undefined> {
    const delta = dictionary === undefined ? undefined : await this.#keep(digest, dictionary);
    if (delta !== undefined) return delta;
    if (!canZstd) return this.#plain(digest);
    return this.#keep(digest, '');
  }

  /** Of new items, those contents that are small as a difference to what the site goes back to: it has that. */
  async findDeltas(items: readonly DesiredItem[]): Promise<ContentDelta[]> {
    const deltas: ContentDelta[] = [];
    for (const { digest, terms } of items.slice(0, mostDeltas)) {
      const dictionary = terms.fallback?.digest;
      if (dictionary === undefined || dictionary === digest) continue;
      const encoded = await this.#keep(digest, dictionary);
      if (encoded?.encoding !== 'dcz' || encoded.bytes.length > longestContentDelta) continue;
      const frame = withoutDeltaHeader(encoded.bytes);
      deltas.push({ digest, zstd: Buffer.from(frame).toString('base64') });
    }
    return deltas;
  }

  async #plain(digest: string): Promise<EncodedContent | undefined> {
    const bytes = await this.#find(digest);
    return bytes && { bytes };
  }

  #keep(digest: string, dictionary: string): Promise<EncodedContent | undefined> {
    const key = `${digest} ${dictionary}`;
    const known = this.#kept.get(key);
    if (known !== undefined) {
      this.#kept.delete(key);
      this.#kept.set(key, known);
      return known;
    }
    const made = this.#make(digest, dictionary);
    this.#kept.set(key, made);
    made.then(
      (encoded) => this.#count(key, encoded),
      () => this.#forget(key),
    );
    return made;
  }

  /** Undefined: the content or the dictionary is not here. */
  async #make(digest: string, dictionaryDigest: string): Promise<EncodedContent | undefined> {
    const bytes = await this.#find(digest);
    if (bytes === undefined) return undefined;
    if (dictionaryDigest === '') {
      const zstd = await encodeContent(bytes);
      return zstd.length < bytes.length ? { encoding: 'zstd', bytes: zstd } : { bytes };
    }
    const dictionary: ContentDictionary | undefined = await this.#findDictionary(dictionaryDigest);
    if (dictionary === undefined) return undefined;
    const dcz = await encodeContent(bytes, dictionary);
    return dcz.length < bytes.length ? { encoding: 'dcz', bytes: dcz } : { bytes };
  }

  async #findDictionary(digest: string): Promise<ContentDictionary | undefined> {
    const bytes = await this.#find(digest);
    if (bytes === undefined || bytes.length > longestDictionaryBytes) return undefined;
    return { digest, bytes };
  }

  #count(key: string, encoded: EncodedContent | undefined): void {
    // What is not here may come back.
    if (encoded === undefined || encoded.bytes.length > this.#maxBytes / 4) {
      this.#forget(key);
      return;
    }
    if (!this.#kept.has(key)) return;
    this.#sizes.set(key, encoded.bytes.length);
    this.#bytes += encoded.bytes.length;
    for (const [oldest] of this.#kept) {
      if (this.#bytes <= this.#maxBytes) break;
      if (oldest !== key && this.#sizes.has(oldest)) this.#forget(oldest);
    }
  }

  #forget(key: string): void {
    this.#kept.delete(key);
    this.#bytes -= this.#sizes.get(key) ?? 0;
    this.#sizes.delete(key);
  }
}
