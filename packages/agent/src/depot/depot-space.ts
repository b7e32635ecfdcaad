import { statfs } from 'node:fs/promises';
import type { Clock, Logger } from '@selvedge/api';
import type { BlobFiles } from './blob-files.ts';
import { DepotError } from './depot.ts';
import type { ImageRecords } from './image-records.ts';
import { type Eviction, planEviction } from './plan-eviction.ts';

export interface DepotSpaceOptions {
  readonly directory: string;
  readonly files: BlobFiles;
  readonly records: ImageRecords;
  readonly neededKeys: () => ReadonlySet<string>;
  /** Most that the depot may hold; undefined: 80 % of what it could have. */
  readonly maxBytes: () => number | undefined;
  /** Left free on the disk. Default: 5 % of it, at most 1 GiB. */
  readonly reserveBytes?: number | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Bytes that somebody is about to write. */
export interface Reservation {
  /** So many of them are written. */
  use(bytes: number): void;
  end(): void;
}

const longestReserveBytes = 2 ** 30;
const reserveFraction = 0.05;
const shareOfDisk = 0.8;

/** Sees to it that there is room before anything is fetched, and gives up images that nobody needs for it. */
export class DepotSpace {
  readonly #o: DepotSpaceOptions;
  readonly #pins = new Map<string, number>();
  #reservedBytes = 0;
  /** One at a time: two must not count the same free bytes. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: DepotSpaceOptions) {
    this.#o = options;
  }

  /** Until the returned function is called, nothing of these is given up. */
  pin(digests: readonly string[]): () => void {
    for (const digest of digests) this.#pins.set(digest, (this.#pins.get(digest) ?? 0) + 1);
    return () => {
      for (const digest of digests) {
        const left = (this.#pins.get(digest) ?? 1) - 1;
        if (left === 0) this.#pins.delete(digest);
        else this.#pins.set(digest, left);
      }
    };
  }

  /** Throws DepotError StorageFull when there is no room for so many bytes, even without all that nobody needs. */
  async reserve(bytes: number, what: string): Promise<Reservation> {
    const work = this.#turn.then(() => this.#reserve(bytes, what));
    this.#turn = work.catch(() => {});
    return await work;
  }

  async #reserve(bytes: number, what: string): Promise<Reservation> {
    const missing = await this.#missingBytes(bytes);
    if (missing > 0 && bytes > 0) {
      const plan = await this.#plan(missing);
      // Nothing goes for what does not fit in the end: anybody's manifest may claim any size.
      if (plan.freedBytes < missing) throw await this.#shortage(bytes, what);
      await this.#evict(plan);
      const still = await this.#missingBytes(bytes);
      if (still > 0) throw await this.#shortage(bytes, what);
    }
    let left = bytes;
    this.#reservedBytes += bytes;
    const use = (used: number) => {
      const counted = Math.min(used, left);
      left -= counted;
      this.#reservedBytes -= counted;
    };
    return { use, end: () => use(left) };
  }

  /** How many bytes have to go before so many fit. */
  async #missingBytes(bytes: number): Promise<number> {
    const room = await this.#room();
    const wanted = this.#reservedBytes + bytes;
    const onDisk = wanted + room.reserveBytes - room.freeBytes;
    const inDepot = wanted + room.usedBytes - room.maxBytes;
    return Math.max(0, onDisk, inDepot);
  }

  async #room(): Promise<{ freeBytes: number; reserveBytes: number; usedBytes: number; maxBytes: number }> {
    const { directory, files, maxBytes, reserveBytes } = this.#o;
    const { bavail, blocks, bsize } = await statfs(directory);
    const freeBytes = bavail * bsize;
    const usual = Math.min(longestReserveBytes, Math.floor(blocks * bsize * reserveFraction));
    const all = [...(await files.listBlobs()), ...(await files.listPartials())];
    const usedBytes = all.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    return {
      freeBytes,
      reserveBytes: reserveBytes ?? usual,
      usedBytes,
      maxBytes: maxBytes() ?? Math.floor((freeBytes + usedBytes) * shareOfDisk),
    };
  }

  async #plan(bytesToFree: number): Promise<Eviction> {
    const { files, records, neededKeys, clock } = this.#o;
    return planEviction(
      {
        images: await records.all(),
        blobs: await files.listBlobs(),
        partials: await files.listPartials(),
        neededKeys: neededKeys(),
        pinned: new Set(this.#pins.keys()),
        nowMs: clock.now().getTime(),
      },
      bytesToFree,
    );
  }

  async #evict(plan: Eviction): Promise<void> {
    const { files, records, logger } = this.#o;
    // Records first: what a crash leaves without one belongs to no image.
    for (const key of plan.images) await records.remove(key);
    for (const digest of plan.blobs) await files.removeBlob(digest);
    for (const name of plan.partials) await files.removePartial(name);
    if (plan.freedBytes === 0) return;
    logger.info('images that nobody needs are given up for space', {
      images: plan.images.slice(0, 20),
      bytes: plan.freedBytes,
    });
  }

  async #shortage(bytes: number, what: string): Promise<DepotError> {
    const { directory, maxBytes } = this.#o;
    const room = await this.#room();
    const isLimit = room.usedBytes + this.#reservedBytes + bytes > room.maxBytes;
    const limit = maxBytes() === undefined ? '80 % of the disk' : 'Site.spec.depot.size';
    const why = isLimit
      ? `${shownSize(room.usedBytes)} of needed images are in the depot, and it may hold ${shownSize(room.maxBytes)} (${limit})`
      : `${shownSize(room.freeBytes)} are free below ${directory}, and ${shownSize(room.reserveBytes)} of it stay in reserve`;
    return new DepotError(
      'StorageFull',
      `${what} needs ${shownSize(bytes)} more and does not fit: ${why}; free some space${isLimit ? ', or raise the size' : ''}`,
      { isLasting: true },
    );
  }
}

export function shownSize(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${value.toFixed(value < 10 && unit > 0 ? 1 : 0)} ${units[unit]}`;
}
