import { promisify } from 'node:util';

/** How content travels (RFC 8878, RFC 9842); none of them: as it is. */
export const contentEncodings = ['dcz', 'zstd'] as const;
export type ContentEncoding = (typeof contentEncodings)[number];

/** Content that both sides hold: with it as dictionary only what differs is sent. */
export interface ContentDictionary {
  readonly digest: string;
  readonly bytes: Uint8Array;
}

/** More is no help: searching in it takes longer than sending. */
export const longestDictionaryBytes = 16 * 1024 * 1024;

/** Compressed content, `dcz` with a dictionary and `zstd` without. In a thread of its own. */
export async function encodeContent(bytes: Uint8Array, dictionary?: ContentDictionary): Promise<Buffer> {
  const { constants, zstdCompress } = await import('node:zlib');
  const windowLog = Math.min(longestWindowLog, logOf(bytes.length));
  const params = {
    [constants.ZSTD_c_compressionLevel]: dictionary === undefined ? 9 : 6,
    [constants.ZSTD_c_windowLog]: windowLog,
    [constants.ZSTD_c_contentSizeFlag]: 1,
  };
  const compress = promisify<Uint8Array, object, Buffer>(zstdCompress);
  const pledgedSrcSize = bytes.length;
  if (dictionary === undefined) return compress(bytes, { params, pledgedSrcSize });
  // The default is too small to remember where everything stands in a dictionary of megabytes.
  params[constants.ZSTD_c_hashLog] = Math.min(24, logOf(bytes.length + dictionary.bytes.length));
  const frame = await compress(bytes, { params, pledgedSrcSize, dictionary: dictionary.bytes });
  return Buffer.concat([deltaHeader(dictionary.digest), frame]);
}

/** Undoes `encodeContent`. Throws when the encoded bytes are damaged, are for another dictionary, or give more than `maxBytes`. */
export async function decodeContent(
  encoded: Uint8Array,
  {
    encoding,
    dictionary,
    maxBytes,
  }: { encoding: ContentEncoding; dictionary?: ContentDictionary | undefined; maxBytes: number },
): Promise<Buffer> {
  const { constants, zstdDecompress } = await import('node:zlib');
  const decompress = promisify<Uint8Array, object, Buffer>(zstdDecompress);
  // A frame says itself how much memory it takes to undo it.
  const params = { [constants.ZSTD_d_windowLogMax]: longestWindowLog };
  const limits = { params, maxOutputLength: maxBytes };
  if (encoding === 'zstd') return decompress(encoded, limits);
  if (dictionary === undefined) throw new Error('the content is a difference to content that was not named');
  const header = deltaHeader(dictionary.digest);
  if (!header.equals(encoded.subarray(0, header.length))) {
    throw new Error('the content is a difference to other content than the one that was named');
  }
  return decompress(encoded.subarray(header.length), { ...limits, dictionary: dictionary.bytes });
}

/** Value of `Available-Dictionary`: RFC 9842 2.2, a byte sequence of RFC 8941. */
export function availableDictionary(digest: string): string {
  return `:${hashOf(digest).toString('base64')}:`;
}

/** The digest that such a header names; undefined when it is none. */
export function parseAvailableDictionary(header: string | undefined): string | undefined {
  const match = /^:([A-Za-z0-9+/]{43}=):$/.exec(header?.trim() ?? '');
  return match === null ? undefined : `sha256:${Buffer.from(match[1] ?? '', 'base64').toString('hex')}`;
}

/** Of what `encodeContent` makes with a dictionary: where both sides know which one it is, the header says nothing new. */
export function withoutDeltaHeader(encoded: Uint8Array): Uint8Array {
  return encoded.subarray(deltaHeaderBytes);
}

export function withDeltaHeader(frame: Uint8Array, dictionaryDigest: string): Buffer {
  return Buffer.concat([deltaHeader(dictionaryDigest), frame]);
}

const deltaHeaderBytes = 40;

/** Whether what follows was made with exactly this content: a skippable frame with its hash (RFC 9842 5). */
function deltaHeader(digest: string): Buffer {
  return Buffer.concat([Buffer.from('5e2a4d1820000000', 'hex'), hashOf(digest)]);
}

function hashOf(digest: string): Buffer {
  return Buffer.from(digest.slice('sha256:'.length), 'hex');
}

/** 8 MiB, as RFC 9659 bounds it for transfers. All of a dictionary can be reached until so much is undone. */
const longestWindowLog = 23;

function logOf(length: number): number {
  return Math.max(10, Math.ceil(Math.log2(Math.max(1, length))));
}
