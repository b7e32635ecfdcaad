import { createHash } from 'node:crypto';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import type { Readable } from 'node:stream';
import type { Clock } from '@selvedge/api';
import { AwsV4Signer } from 'aws4fetch';
import { Limiter } from '../../concurrency/limiter.ts';
import { DistributionError } from '../distribution-error.ts';
import { collect, type OpenAnswer, openRegistry } from '../registry-request.ts';
import type { BlobStorage, BytesRange, StoredBytes, WrittenBytes } from './blob-storage.ts';
import { listedObjects, textOf, unfinishedUploads } from './s3-documents.ts';
import { checkKey } from './storage-key.ts';

export interface S3StorageOptions {
  readonly bucket: string;
  /** Before every key; without slashes at its ends, may be empty. */
  readonly prefix: string;
  readonly endpoint: URL;
  readonly region: string;
  /** Asked for at each request. */
  readonly credentials: () => Promise<{ readonly accessKeyId: string; readonly secretAccessKey: string }>;
  readonly clock: Clock;
  /** Of what is larger than one of them. Default: 8 MiB. S3 takes at most 10,000, of at least 5 MiB. */
  readonly partBytes?: number;
  /** What is larger is copied in parts. Default: 4 GiB; S3 copies at most 5 GiB at once. */
  readonly copyBytes?: number;
}

interface S3Request {
  readonly method: string;
  /** Absent: the bucket itself. */
  readonly key?: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

const defaultPartBytes = 8 * 1024 * 1024;
const defaultCopyBytes = 4 * 1024 * 1024 * 1024;
/** Each holds a part in memory. */
const maxWritesAtOnce = 12;
const answerMilliseconds = 60_000;
const maxDocumentBytes = 16 * 1024 * 1024;
const maxTries = 4;
const retryMilliseconds = 250;

/**
 * A bucket of an S3-compatible object store: path-style addresses, Signature Version 4, payloads signed. What is larger than a part goes by multipart upload, so
 * memory does not depend on how large a blob is.
 */
export class S3Storage implements BlobStorage {
  readonly name: string;
  readonly #o: S3StorageOptions;
  readonly #root: string;
  readonly #agent: HttpAgent;
  readonly #writes = new Limiter(maxWritesAtOnce);

  constructor(options: S3StorageOptions) {
    const { bucket, prefix, endpoint } = options;
    this.#o = options;
    this.#root = prefix === '' ? '' : `${prefix}/`;
    this.name = `the bucket ${bucket}${prefix === '' ? '' : `/${prefix}`} at ${endpoint.host}`;
    const settings = { keepAlive: true, maxSockets: 64, timeout: answerMilliseconds };
    this.#agent = endpoint.protocol === 'https:' ? new HttpsAgent(settings) : new HttpAgent(settings);
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    await this.#document({ method: 'PUT', key: this.#nameOf(key), body: bytes });
  }

  write(key: string, body: AsyncIterable<Uint8Array>): Promise<WrittenBytes> {
    return this.#writes.run(() => this.#write(this.#nameOf(key), body));
  }

  async find(key: string): Promise<StoredBytes | undefined> {
    const answer = await this.#send({ method: 'HEAD', key: this.#nameOf(key) });
    answer.body.resume();
    if (answer.status === 404) return undefined;
    if (answer.status !== 200) throw this.#refused(answer.status, '');
    return {
      key,
      sizeBytes: Number(answer.headers['content-length'] ?? Number.NaN),
      modifiedAt: new Date(answer.headers['last-modified'] ?? Number.NaN),
    };
  }

  async read(key: string): Promise<Buffer | undefined> {
    const answer = await this.#send({ method: 'GET', key: this.#nameOf(key) });
    const body = await this.#collect(answer);
    if (answer.status === 200) return body;
    if (answer.status === 404 && textOf(body, 'Code') !== 'NoSuchBucket') return undefined;
    throw this.#refused(answer.status, textOf(body, 'Code'));
  }

  async open(key: string, range?: BytesRange): Promise<Readable | undefined> {
    const { offset = 0, length } = range ?? {};
    const end = length === undefined ? '' : offset + length - 1;
    const headers: Record<string, string> = range === undefined ? {} : { range: `bytes=${offset}-${end}` };
    const answer = await this.#send({ method: 'GET', key: this.#nameOf(key), headers });
    if (answer.status === (range === undefined ? 200 : 206)) return answer.body;
    const code = textOf(await this.#collect(answer), 'Code');
    if (answer.status === 404 && code !== 'NoSuchBucket') return undefined;
    throw this.#refused(answer.status, code);
  }

  async move(from: string, to: string): Promise<void> {
    const source = await this.find(from);
    if (source === undefined) throw this.#failed(new Error(`${from} is gone`));
    const copied = `/${this.#o.bucket}/${this.#nameOf(from)}`;
    const key = this.#nameOf(to);
    if (source.sizeBytes <= (this.#o.copyBytes ?? defaultCopyBytes)) {
      await this.#document({ method: 'PUT', key, headers: { 'x-amz-copy-source': copied } });
    } else {
      await this.#copyInParts(copied, key, source.sizeBytes);
    }
    await this.delete(from);
  }

  async delete(key: string): Promise<void> {
    await this.#document({ method: 'DELETE', key: this.#nameOf(key) });
  }

  async *list(prefix: string): AsyncGenerator<StoredBytes> {
    if (prefix !== '') checkKey(prefix.replace(/\/$/, ''));
    let token: string | undefined;
    do {
      const query = {
        'list-type': '2',
        prefix: `${this.#root}${prefix}`,
        ...(token === undefined ? {} : { 'continuation-token': token }),
      };
      const document = await this.#document({ method: 'GET', query });
      for (const { key, ...object } of listedObjects(document)) {
        yield { ...object, key: key.slice(this.#root.length) };
      }
      token =
        textOf(document, 'IsTruncated') === 'true' ? textOf(document, 'NextContinuationToken') : undefined;
    } while (token !== undefined);
  }

  async removeUnfinished(before: Date): Promise<void> {
    const query = { uploads: '', prefix: this.#root };
    for (const { key, uploadId, startedAt } of unfinishedUploads(
      await this.#document({ method: 'GET', query }),
    )) {
      if (startedAt < before) await this.#document({ method: 'DELETE', key, query: { uploadId } });
    }
  }

  #nameOf(key: string): string {
    checkKey(key);
    return `${this.#root}${key}`;
  }

  async #write(key: string, body: AsyncIterable<Uint8Array>): Promise<WrittenBytes> {
    const hash = createHash('sha256');
    let sizeBytes = 0;
    let uploadId: string | undefined;
    const etags: string[] = [];
    try {
      for await (const { bytes, isLast } of parts(body, this.#o.partBytes ?? defaultPartBytes)) {
        hash.update(bytes);
        sizeBytes += bytes.length;
        if (isLast && uploadId === undefined) {
          await this.#document({ method: 'PUT', key, body: bytes });
        } else {
          uploadId ??= await this.#begin(key);
          const query = { partNumber: String(etags.length + 1), uploadId };
          const answer = await this.#send({ method: 'PUT', key, query, body: bytes });
          const document = await this.#collect(answer);
          if (answer.status !== 200) throw this.#refused(answer.status, textOf(document, 'Code'));
          etags.push(String(answer.headers.etag ?? ''));
        }
      }
      if (uploadId !== undefined) await this.#complete(key, uploadId, etags);
    } catch (error) {
      await this.#abandon(key, uploadId);
      throw error;
    }
    return { sizeBytes, digest: `sha256:${hash.digest('hex')}` };
  }

  async #copyInParts(source: string, key: string, sizeBytes: number): Promise<void> {
    const step = this.#o.copyBytes ?? defaultCopyBytes;
    const uploadId = await this.#begin(key);
    try {
      const etags: string[] = [];
      for (let start = 0; start < sizeBytes; start += step) {
        const end = Math.min(start + step, sizeBytes) - 1;
        const document = await this.#document({
          method: 'PUT',
          key,
          query: { partNumber: String(etags.length + 1), uploadId },
          headers: { 'x-amz-copy-source': source, 'x-amz-copy-source-range': `bytes=${start}-${end}` },
        });
        etags.push(textOf(document, 'ETag') ?? '');
      }
      await this.#complete(key, uploadId, etags);
    } catch (error) {
      await this.#abandon(key, uploadId);
      throw error;
    }
  }

  async #begin(key: string): Promise<string> {
    const uploadId = textOf(
      await this.#document({ method: 'POST', key, query: { uploads: '' } }),
      'UploadId',
    );
    if (uploadId === undefined) throw this.#failed(new Error('it gave no UploadId'));
    return uploadId;
  }

  async #complete(key: string, uploadId: string, etags: readonly string[]): Promise<void> {
    const listed = etags.map(
      (etag, i) => `<Part><PartNumber>${i + 1}</PartNumber><ETag>${etag}</ETag></Part>`,
    );
    const body = Buffer.from(
      `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${listed.join('')}</CompleteMultipartUpload>`,
    );
    await this.#document({ method: 'POST', key, query: { uploadId }, body });
  }

  /** What is left behind costs money until `removeUnfinished` finds it. */
  async #abandon(key: string, uploadId: string | undefined): Promise<void> {
    if (uploadId === undefined) return;
    await this.#document({ method: 'DELETE', key, query: { uploadId } }).catch(() => undefined);
  }

  /** A request whose answer is small; throws unless it succeeds. */
  async #document(request: S3Request): Promise<Buffer> {
    const answer = await this.#send(request);
    const document = await this.#collect(answer);
    const code = textOf(document, 'Code');
    // Copies and completions that fail half-way answer 200, and an error in the body.
    const isError =
      answer.status >= 300 || /^\s*(?:<\?xml[^>]*>)?\s*<Error>/.test(document.toString('utf8', 0, 200));
    if (isError && !(request.method === 'DELETE' && answer.status === 404))
      throw this.#refused(answer.status, code);
    return document;
  }

  /** Tried again while the store says that it is busy, or cannot be reached. */
  async #send(request: S3Request): Promise<OpenAnswer> {
    for (let tries = 1; ; tries += 1) {
      try {
        const answer = await this.#sendOnce(request);
        if (answer.status < 500 || tries === maxTries) return answer;
        answer.body.resume();
      } catch (error) {
        if (error instanceof DistributionError) throw error;
        if (tries === maxTries) throw this.#failed(error);
      }
      await this.#o.clock.sleep(retryMilliseconds * 2 ** tries);
    }
  }

  async #sendOnce({ method, key, query = {}, headers = {}, body }: S3Request): Promise<OpenAnswer> {
    const { bucket, endpoint, region, clock } = this.#o;
    const url = new URL(key === undefined ? `/${bucket}` : `/${bucket}/${key}`, endpoint);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    const payload = createHash('sha256')
      .update(body ?? '')
      .digest('hex');
    const signer = new AwsV4Signer({
      ...(await this.#o.credentials()),
      method,
      url: url.href,
      headers: { ...headers, 'x-amz-content-sha256': payload },
      service: 's3',
      region,
      datetime: clock
        .now()
        .toISOString()
        .replace(/[:-]|\.\d{3}/g, ''),
    });
    const signed = await signer.sign();
    return openRegistry(signed.url, {
      method,
      headers: {
        ...Object.fromEntries(signed.headers),
        ...(body === undefined && method !== 'PUT' ? {} : { 'content-length': String(body?.length ?? 0) }),
      },
      body,
      // The operator named it.
      isNamed: true,
      agent: this.#agent,
      signal: new AbortController().signal,
    });
  }

  async #collect(answer: OpenAnswer): Promise<Buffer> {
    try {
      return await collect(answer.body, maxDocumentBytes, AbortSignal.timeout(answerMilliseconds));
    } catch (error) {
      throw this.#failed(error);
    }
  }

  #refused(status: number, code: string | undefined): DistributionError {
    const cause = new Error(`it answered ${status} ${code ?? ''}`);
    if (status === 507 || code === 'QuotaExceeded') {
      return new DistributionError('STORAGE_FULL', `${this.name} is full`, { cause });
    }
    return this.#failed(cause);
  }

  /** What exactly is wrong is for the operator's log. */
  #failed(cause: unknown): DistributionError {
    return new DistributionError(
      'UNAVAILABLE',
      "the storage of the hub's registry cannot be used now: see the log of the hub",
      {
        cause: new Error(`${this.name}: ${cause instanceof Error ? cause.message : String(cause)}`, {
          cause,
        }),
      },
    );
  }
}

/** The stream in pieces of one size; the last one may be shorter, or the only one, and empty. */
async function* parts(
  body: AsyncIterable<Uint8Array>,
  partBytes: number,
): AsyncGenerator<{ readonly bytes: Uint8Array; readonly isLast: boolean }> {
  let held: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    for (let rest = chunk; rest.length > 0; ) {
      // Only when more comes is it known that a full one is not the last.
      if (size === partBytes) {
        yield { bytes: Buffer.concat(held), isLast: false };
        held = [];
        size = 0;
      }
      const taken = rest.subarray(0, partBytes - size);
      held.push(taken);
      size += taken.length;
      rest = rest.subarray(taken.length);
    }
  }
  yield { bytes: Buffer.concat(held), isLast: true };
}
