import { statfs } from 'node:fs/promises';
import type { Clock } from '@selvedge/api';

/** Images do not fit on this machine's disk: nothing was filled to find that out. */
export class InsufficientSpaceError extends Error {
  override readonly name = 'InsufficientSpaceError';
}

/** Left free beside images, unless told otherwise: logs, volumes and the agent itself need room. */
const longestReserveBytes = 2 ** 30;
const reserveFraction = 0.05;

const watchMs = 500;

/** What watches a pull. */
export interface SpaceGuard {
  /** Fires with InsufficientSpaceError when the disk runs low, or with the caller's own signal. */
  readonly signal: AbortSignal;
  end(): void;
}

/**
 * Sees to it that fetching images leaves room on the disks that it writes to. An image's size is not known before it was
 * here once, so a pull is watched, and broken off before the reserve is touched; how far it came is remembered, so that it is not
 * begun again before there is more room than then.
 */
export class ImageSpace {
  readonly #folders: readonly string[];
  readonly #reserveBytes: number | undefined;
  readonly #clock: Clock;
  /** By image: bytes that it takes, or at least. */
  readonly #known = new Map<string, number>();

  /** @param options.folders where Podman keeps images, and where it puts what it is fetching. */
  constructor(options: { folders: readonly string[]; reserveBytes: number | undefined; clock: Clock }) {
    this.#folders = [...new Set(options.folders)];
    this.#reserveBytes = options.reserveBytes;
    this.#clock = options.clock;
  }

  /** What an image takes, for the next time. */
  learn(image: string, sizeBytes: number): void {
    this.#known.set(image, sizeBytes);
  }

  /** Throws InsufficientSpaceError when the image cannot fit as far as its size is known. */
  async assertRoomFor(image: string): Promise<void> {
    const needed = this.#known.get(image) ?? 0;
    for (const folder of this.#folders) {
      const room = await this.#roomOf(folder);
      if (room && room.freeBytes - needed < room.reserveBytes)
        throw shortage({ image, needed, folder, ...room });
    }
  }

  /** Watches until `end`. */
  guard(image: string, signal: AbortSignal): SpaceGuard {
    const low = new AbortController();
    const ended = new AbortController();
    void this.#watch(image, low, AbortSignal.any([ended.signal, signal]));
    return { signal: AbortSignal.any([signal, low.signal]), end: () => ended.abort() };
  }

  async #watch(image: string, low: AbortController, until: AbortSignal): Promise<void> {
    const before = await Promise.all(this.#folders.map((folder) => this.#roomOf(folder)));
    while (!until.aborted) {
      for (const [index, folder] of this.#folders.entries()) {
        const room = await this.#roomOf(folder);
        if (!room || room.freeBytes >= room.reserveBytes) continue;
        const taken = (before[index]?.freeBytes ?? room.freeBytes) - room.freeBytes;
        const needed = Math.max(taken + 1, this.#known.get(image) ?? 0);
        this.#known.set(image, needed);
        low.abort(shortage({ image, needed, folder, ...room }));
        return;
      }
      await this.#clock.sleep(watchMs, until);
    }
  }

  async #roomOf(folder: string): Promise<{ freeBytes: number; reserveBytes: number } | undefined> {
    try {
      const { bavail, blocks, bsize } = await statfs(folder);
      const usual = Math.min(longestReserveBytes, Math.floor(blocks * bsize * reserveFraction));
      return { freeBytes: bavail * bsize, reserveBytes: this.#reserveBytes ?? usual };
    } catch {
      // A folder that is not there yet; Podman says so itself when that is a fault.
      return undefined;
    }
  }
}

function shortage(facts: {
  image: string;
  needed: number;
  folder: string;
  freeBytes: number;
  reserveBytes: number;
}): InsufficientSpaceError {
  const { image, needed, folder, freeBytes, reserveBytes } = facts;
  const need = needed === 0 ? '' : ` of at least ${shownSize(needed)}`;
  return new InsufficientSpaceError(
    `image ${image}${need} does not fit: ${shownSize(freeBytes)} are free below ${folder}, and ${shownSize(reserveBytes)} of it stay in reserve; free some space`,
  );
}

function shownSize(bytes: number): string {
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes / 1024;
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}
