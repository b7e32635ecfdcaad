import type { Clock, Logger, MachineArchitecture, RackReport } from '@selvedge/api';
import { DepotError } from '../../depot/depot.ts';
import type { ArtifactLayer, ArtifactSource } from './artifact-source.ts';
import { ImageFault } from './image-fault.ts';
import { LayerDamaged } from './image-store.ts';

export type ImageState = RackReport['images'][number];

/** What is to be made of an artifact. */
export interface ArtifactUse {
  readonly name: string;
  /** Shown in the state. */
  readonly digest: string;
  readonly reference: string;
  readonly namespace: string;
  readonly architecture: MachineArchitecture;
  /** Whether it was made before and is whole: then nothing is asked for. */
  isHere(signal: AbortSignal): Promise<boolean>;
  /** Makes it. Throws ImageFault, LayerDamaged, or with the signal. */
  make(layers: readonly ArtifactLayer[], signal: AbortSignal): Promise<void>;
}

export interface ArtifactKeeperOptions {
  readonly use: ArtifactUse;
  readonly artifacts: ArtifactSource;
  /** Gives up what nobody needs; @returns whether that freed anything. */
  readonly freeSpace: () => Promise<boolean>;
  readonly onChange: () => void;
  readonly clock: Clock;
  readonly logger: Logger;
}

const firstPauseMs = 5000;
const longestPauseMs = 600_000;
const shownSteps = 20;

/** Has one artifact here, and goes on until it is told to stop: tries again what failed, makes anew what was lost. */
export class ArtifactKeeper {
  readonly #o: ArtifactKeeperOptions;
  readonly #stop = new AbortController();
  #mayFetch: boolean;
  #state: ImageState;
  #fault: ImageFault | undefined;
  /** Ends what must not go on when fetching is no longer allowed. */
  #fetching: AbortController | undefined;
  #wake: AbortController = new AbortController();
  readonly #work: Promise<void>;

  constructor(options: ArtifactKeeperOptions, mayFetch: boolean) {
    this.#o = options;
    this.#mayFetch = mayFetch;
    const { name, digest } = options.use;
    this.#state = { name, digest, state: 'Fetching' };
    this.#work = this.#run();
  }

  get use(): ArtifactUse {
    return this.#o.use;
  }

  get state(): ImageState {
    return this.#state;
  }

  /** Why it is not here, when that will not mend itself by waiting for what is under way. */
  get fault(): ImageFault | undefined {
    return this.#fault;
  }

  setMayFetch(mayFetch: boolean): void {
    if (mayFetch === this.#mayFetch) return;
    this.#mayFetch = mayFetch;
    if (!mayFetch) this.#fetching?.abort(new Error('nothing may be fetched now'));
    if (this.#state.state !== 'Ready') this.wake();
  }

  /** Something has changed: it is looked at again at once. */
  wake(): void {
    this.#wake.abort();
  }

  /** What is under way breaks off; what has arrived stays. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#work;
  }

  async #run(): Promise<void> {
    const { clock } = this.#o;
    const { signal } = this.#stop;
    for (let failures = 0; !signal.aborted; ) {
      this.#wake = new AbortController();
      const woken = AbortSignal.any([signal, this.#wake.signal]);
      try {
        const isHere = await this.#bring(signal);
        failures = 0;
        if (isHere) this.#set({ state: 'Ready' });
        else this.#set({ state: 'Fetching', message: 'waits until downloads are allowed' });
        await aborted(woken);
      } catch (error) {
        if (signal.aborted) return;
        failures += 1;
        this.#failed(error);
        const pauseMs = Math.min(longestPauseMs, firstPauseMs * 2 ** (failures - 1));
        await clock.sleep(pauseMs * (0.75 + Math.random() / 2), woken);
      }
    }
  }

  /** False: it may not be fetched now. */
  async #bring(signal: AbortSignal): Promise<boolean> {
    const { use, freeSpace } = this.#o;
    if (await use.isHere(signal)) return true;
    for (;;) {
      try {
        const layers = await this.#fetch(signal);
        if (layers === undefined) return false;
        this.#set({ state: 'Fetching', message: 'is being unpacked' });
        await use.make(layers, signal);
        return true;
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof LayerDamaged && (await this.#doubt())) continue;
        const isFull = error instanceof DepotError && error.reason === 'StorageFull';
        if (!isFull || !(await freeSpace())) throw error;
      }
    }
  }

  async #fetch(signal: AbortSignal): Promise<readonly ArtifactLayer[] | undefined> {
    const { use, artifacts } = this.#o;
    const { reference, namespace, architecture } = use;
    const request = { reference, namespace, architecture, onProgress: this.#progressed };
    const here = await artifacts.bring({ ...request, mayFetch: false, signal });
    if (here !== undefined || !this.#mayFetch) return here;
    this.#set({ state: 'Fetching' });
    const fetching = new AbortController();
    this.#fetching = fetching;
    try {
      const either = AbortSignal.any([signal, fetching.signal]);
      return await artifacts.bring({ ...request, mayFetch: true, signal: either });
    } catch (error) {
      if (fetching.signal.aborted && !signal.aborted) return undefined;
      throw error;
    } finally {
      this.#fetching = undefined;
    }
  }

  /** The parts that are damaged are gone from the depot, and are fetched again. */
  async #doubt(): Promise<boolean> {
    const { artifacts, use, logger } = this.#o;
    const wasDamaged = await artifacts.doubt(use.reference);
    if (wasDamaged)
      logger.warn('an image was damaged in the depot; it is fetched again', { image: use.name });
    return wasDamaged;
  }

  readonly #progressed = ({ doneBytes, totalBytes }: { doneBytes: number; totalBytes: number }): void => {
    if (this.#state.state === 'Ready' || totalBytes === 0) return;
    const step = (bytes: number) => Math.floor((bytes / totalBytes) * shownSteps);
    const { doneBytes: former } = this.#state;
    if (former !== undefined && step(former) === step(doneBytes)) return;
    this.#set({ state: 'Fetching', doneBytes, totalBytes });
  };

  #failed(error: unknown): void {
    const { use, logger } = this.#o;
    const message = (error as Error).message;
    logger.warn('a machine image cannot be had now', { image: use.name, error });
    const reason =
      error instanceof ImageFault
        ? error.reason
        : error instanceof DepotError && error.reason === 'DigestMismatch'
          ? 'ImageMismatch'
          : 'ImageUnavailable';
    // That a registry is out of reach is no failure: it goes on by itself.
    const isAway = error instanceof DepotError && error.reason === 'Unavailable';
    this.#set({ state: isAway ? 'Fetching' : 'Failed', message });
    this.#fault = new ImageFault(reason, message, { cause: error });
  }

  #set(state: Omit<ImageState, 'name' | 'digest'>): void {
    const { use, onChange } = this.#o;
    const { name, digest } = use;
    const next = { name, digest, ...state };
    const isSame = JSON.stringify(next) === JSON.stringify(this.#state);
    this.#state = next;
    // A new try is no news yet: what went wrong before stands until it gets somewhere.
    if (state.state !== 'Fetching' || state.doneBytes !== undefined || state.message !== undefined) {
      this.#fault = undefined;
    }
    if (!isSame) onChange();
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
}
