import type { IncomingMessage } from 'node:http';
import type { Clock, Logger } from '@selvedge/api';
import { SharedWork } from '../concurrency/shared-work.ts';
import { type BlobDescriptor, type BlobFiles, partialName } from './blob-files.ts';
import { DepotError } from './depot.ts';
import { toDepotError } from './depot-error.ts';
import type { DepotSpace, Reservation } from './depot-space.ts';
import { FetchPace, GaveWay } from './fetch-pace.ts';
import { type FetchPlace, FetchPlaces } from './fetch-places.ts';
import { PartialBlob } from './partial-blob.ts';
import type { RegistryDoor } from './registry-door.ts';
import type { TokenBucket } from './token-bucket.ts';

export interface BlobFetcherOptions {
  readonly files: BlobFiles;
  readonly space: DepotSpace;
  readonly bucket: TokenBucket;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface BlobRequest {
  readonly door: RegistryDoor;
  readonly signal: AbortSignal;
}

interface Receiving extends BlobRequest {
  readonly reservation: Reservation;
  readonly pace: FetchPace;
  readonly what: string;
}

const mostAtOnce = 3;
/** Tries in a row that brought no byte, after which the caller is told. */
const mostFruitless = 4;
const firstPauseMs = 1000;
const longestPauseMs = 30_000;
/** An answer that says nothing for so many looks in a row is cut off, and asked for again from where it stands. */
const lookMs = 5000;
const mostSilentLooks = 6;

/**
 * Brings blobs here, at most three at a time and each once from a registry, whoever asks: goes on where an earlier attempt was cut off, also one
 * of an earlier process, and verifies before a blob counts. A registry that is slow holds up nobody who has the blob from another.
 */
export class BlobFetcher {
  readonly #o: BlobFetcherOptions;
  readonly #places = new FetchPlaces(mostAtOnce);
  readonly #shared = new SharedWork<void>();
  /** Who waits for a blob from wherever it comes first, by its digest. */
  readonly #awaited = new Map<string, Set<AbortController>>();
  /** Bytes that have arrived of what is being fetched, by the name of the part. */
  readonly #received = new Map<string, number>();

  constructor(options: BlobFetcherOptions) {
    this.#o = options;
  }

  /** Bytes of the blob that are here, verified or not, as far as a fetch from that registry can use them. */
  async receivedOf(blob: BlobDescriptor, source: string): Promise<number> {
    const { files } = this.#o;
    const name = partialName(blob.digest, source);
    const arriving = this.#received.get(name);
    if (arriving !== undefined) return arriving;
    if (await files.has(blob)) return blob.sizeBytes;
    return Math.min(blob.sizeBytes, await files.partialSize(name));
  }

  /** Has the blob here, verified. Throws DepotError, or with the signal. */
  async fetch(blob: BlobDescriptor, request: BlobRequest): Promise<void> {
    const { digest } = blob;
    const { door, signal } = request;
    const key = `${door.registry} ${digest}`;
    for (;;) {
      if (await this.#o.files.has(blob)) return;
      const isOthers = this.#shared.isUnderWay(key);
      const arrived = new AbortController();
      const awaited = this.#awaited.get(digest) ?? new Set();
      this.#awaited.set(digest, awaited.add(arrived));
      try {
        await this.#shared.join(key, AbortSignal.any([signal, arrived.signal]), (until) =>
          this.#fetchInTurn(blob, { door, signal: until }),
        );
        for (const other of awaited) if (other !== arrived) other.abort();
        return;
      } catch (error) {
        signal.throwIfAborted();
        // It is here, or what others may not have, or no longer want, this one may.
        if (!isOthers && !arrived.signal.aborted) throw error;
      } finally {
        awaited.delete(arrived);
        if (awaited.size === 0 && this.#awaited.get(digest) === awaited) this.#awaited.delete(digest);
      }
    }
  }

  async #fetchInTurn(blob: BlobDescriptor, request: BlobRequest): Promise<void> {
    const { door, signal } = request;
    for (let isPatient = false; ; isPatient = true) {
      const place = await this.#places.take({ source: door.registry, isPatient }, signal);
      try {
        await this.#fetch(blob, { ...request, place });
        return;
      } catch (error) {
        if (!(error instanceof GaveWay)) throw error;
        this.#o.logger.info('a slow registry gives way to others', { registry: door.registry });
      } finally {
        place.end();
      }
    }
  }

  async #fetch(
    blob: BlobDescriptor,
    { door, signal: until, place }: BlobRequest & { place: FetchPlace },
  ): Promise<void> {
    const { files, space, clock } = this.#o;
    const what = `a part of an image (${blob.digest.slice(0, 19)}…) from ${door.registry}`;
    const name = partialName(blob.digest, door.registry);
    const pace = new FetchPace(place, clock);
    const signal = AbortSignal.any([until, pace.signal]);
    let part: PartialBlob | undefined;
    let reservation: Reservation | undefined;
    try {
      part = await PartialBlob.open(blob, door.registry, files);
      this.#received.set(name, part.length);
      reservation = await space.reserve(blob.sizeBytes - part.length, what);
      await this.#receiveAll(part, { door, signal, reservation, pace, what });
    } catch (error) {
      signal.throwIfAborted();
      throw toDepotError(error, `${what} cannot be kept`);
    } finally {
      pace.end();
      reservation?.end();
      this.#received.delete(name);
      await part?.close();
    }
  }

  async #receiveAll(part: PartialBlob, request: Receiving): Promise<void> {
    const { clock, logger } = this.#o;
    const { signal, pace, what } = request;
    for (let fruitless = 0; ; ) {
      const before = part.length;
      try {
        if (!part.isWhole) await this.#receive(part, request);
        pace.isOurs = true;
        if (await part.complete()) return;
        const isPieced = part.isPieced;
        await part.restart();
        if (!isPieced) throw mismatch(part.blob, request.door);
        logger.info('what was kept of a part of an image is wrong; it is fetched from the beginning', {
          digest: part.blob.digest,
        });
      } catch (error) {
        signal.throwIfAborted();
        const trouble = toDepotError(error, `${what} did not arrive`);
        fruitless = part.length > before ? 0 : fruitless + 1;
        if (trouble.reason !== 'Unavailable' || fruitless >= mostFruitless) throw trouble;
        logger.debug('fetching goes on', {
          digest: part.blob.digest,
          at: part.length,
          error: trouble.message,
        });
        const pauseMs = Math.min(longestPauseMs, firstPauseMs * 2 ** fruitless);
        await clock.sleep(pauseMs * (0.75 + Math.random() / 2), signal);
        signal.throwIfAborted();
      }
    }
  }

  async #receive(part: PartialBlob, { door, signal, reservation, pace, what }: Receiving): Promise<void> {
    const { blob } = part;
    const from = part.length;
    const name = partialName(blob.digest, door.registry);
    pace.isOurs = false;
    const answer = await door.open({
      path: `blobs/${blob.digest}`,
      headers: {
        accept: '*/*',
        'accept-encoding': 'identity',
        ...(from === 0 ? {} : { range: `bytes=${from}-` }),
      },
      signal,
    });
    const over = new AbortController();
    try {
      await this.#checkBeginning(answer, { part, door, what });
      const watch = this.#watch(answer, over.signal);
      for await (const chunk of answer as AsyncIterable<Buffer>) {
        if (part.length + chunk.length > blob.sizeBytes) throw mismatch(blob, door);
        watch.isWaiting = false;
        pace.isOurs = true;
        await this.#o.bucket.take(chunk.length, signal);
        signal.throwIfAborted();
        await part.append(chunk);
        reservation.use(chunk.length);
        this.#received.set(name, part.length);
        pace.bytes += chunk.length;
        pace.isOurs = false;
        watch.isWaiting = true;
        watch.silentLooks = 0;
      }
    } finally {
      over.abort();
      answer.destroy();
    }
    if (!part.isWhole) throw new Error('the answer ended too early');
  }

  async #checkBeginning(
    answer: IncomingMessage,
    { part, door, what }: { part: PartialBlob; door: RegistryDoor; what: string },
  ): Promise<void> {
    const { statusCode = 0, headers } = answer;
    if (statusCode === 404) {
      throw new DepotError('NotFound', `${door.registry} does not have ${part.blob.digest}`, {
        isLasting: true,
      });
    }
    const start = /^bytes (\d+)-/.exec(headers['content-range'] ?? '')?.[1];
    const isNext = statusCode === 206 && Number(start) === part.length;
    if (statusCode !== 200 && !isNext) {
      // Nothing beyond what is held, or something else than was asked for.
      if (statusCode === 416 || statusCode === 206) await part.restart();
      throw new DepotError('Unavailable', `${what} did not arrive: ${door.registry} answered ${statusCode}`, {
        isLasting: false,
      });
    }
    if (statusCode === 200 && part.length > 0) await part.restart();
    part.notePiece();
    const rest = part.blob.sizeBytes - part.length;
    const length = headers['content-length'];
    // Its bytes need not be paid for to know that they are wrong.
    if (length !== undefined && Number(length) !== rest) throw mismatch(part.blob, door);
    const encoding = headers['content-encoding'] ?? 'identity';
    if (encoding !== 'identity') throw new Error(`it came with content encoding ${encoding}`);
  }

  /** Cuts an answer that has stopped coming; one that waits for us is not silent. */
  #watch(answer: IncomingMessage, until: AbortSignal): { isWaiting: boolean; silentLooks: number } {
    const watch = { isWaiting: true, silentLooks: 0 };
    const look = async () => {
      while (!until.aborted) {
        await this.#o.clock.sleep(lookMs, until);
        watch.silentLooks = watch.isWaiting ? watch.silentLooks + 1 : 0;
        if (watch.silentLooks >= mostSilentLooks) answer.destroy(new Error('the answer stands still'));
      }
    };
    void look();
    return watch;
  }
}

function mismatch({ digest, sizeBytes }: BlobDescriptor, door: RegistryDoor): DepotError {
  return new DepotError(
    'DigestMismatch',
    `what ${door.registry} sends as ${digest} (${sizeBytes} bytes) is something else: the registry, or something on the way, changes images`,
    { isLasting: true },
  );
}
