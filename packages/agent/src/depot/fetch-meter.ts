import type { Clock } from '@selvedge/api';
import type { BlobDescriptor } from './blob-files.ts';
import type { DepotProgress } from './depot.ts';

export interface FetchMeterOptions {
  readonly clock: Clock;
  readonly monotonicMs: () => number;
  readonly receivedOf: (blob: BlobDescriptor) => Promise<number>;
  readonly onProgress: (progress: DepotProgress) => void;
}

const lookMs = 1000;
/** The pace of the last while counts; what was long ago says little about a thin link. */
const paceMs = 30_000;

/** Looks every second how far an image is, and reckons when it will be whole. */
export class FetchMeter {
  readonly #o: FetchMeterOptions;
  #parts: readonly BlobDescriptor[] = [];
  readonly #samples: { readonly atMs: number; readonly bytes: number }[] = [];

  constructor(options: FetchMeterOptions) {
    this.#o = options;
  }

  setParts(parts: readonly BlobDescriptor[]): void {
    this.#parts = parts;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.look();
      await this.#o.clock.sleep(lookMs, signal);
    }
  }

  async look(): Promise<void> {
    if (this.#parts.length === 0) return;
    const { clock, monotonicMs, receivedOf, onProgress } = this.#o;
    let doneBytes = 0;
    // How far it is never ends what is under way: whoever fetches says what ails the disk.
    for (const part of this.#parts) doneBytes += await receivedOf(part).catch(() => 0);
    const totalBytes = this.#parts.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const atMs = monotonicMs();
    this.#samples.push({ atMs, bytes: doneBytes });
    while (this.#samples.length > 2 && (this.#samples[0]?.atMs ?? 0) < atMs - paceMs) this.#samples.shift();
    const first = this.#samples[0];
    const arrived = doneBytes - (first?.bytes ?? doneBytes);
    const leftMs = ((atMs - (first?.atMs ?? atMs)) * (totalBytes - doneBytes)) / arrived;
    const isKnown = arrived > 0 && leftMs < longestLeftMs;
    const doneAt = isKnown ? { doneAt: new Date(clock.now().getTime() + leftMs) } : {};
    onProgress({ doneBytes, totalBytes, ...doneAt });
  }
}

/** What takes longer than this is as good as not known. */
const longestLeftMs = 30 * 86_400_000;
