import type { MachineOrder } from '@selvedge/api';
import type { ImageLibrary } from '../images/image-library.ts';
import type { ImageFacts } from './plan-facts.ts';
import type { RackWishes } from './rack-wishes.ts';

/** Which of the wanted images are whole here: kept, as the planner does not wait. */
export class ImageFactsCache {
  readonly #library: Pick<ImageLibrary, 'find' | 'fault' | 'states'>;
  readonly #wishes: RackWishes;
  /** By name and digest. */
  #facts: ReadonlyMap<string, ImageFacts> = new Map();
  #refreshing: Promise<void> = Promise.resolve();

  constructor(library: Pick<ImageLibrary, 'find' | 'fault' | 'states'>, wishes: RackWishes) {
    this.#library = library;
    this.#wishes = wishes;
  }

  /** Looks anew; one look after the other. Never throws. */
  refresh(): Promise<void> {
    this.#refreshing = this.#refreshing.then(() => this.#look());
    return this.#refreshing;
  }

  /** Undefined: the order names no image. */
  find(order: MachineOrder | undefined): ImageFacts | undefined {
    const name = order?.provision?.image;
    if (name === undefined) return undefined;
    const image = this.#wishes.imageOf(order);
    if (image === undefined) {
      return {
        isReady: false,
        hasFailed: true,
        message: `the hub gives the image ${name}: it is missing there, or not complete`,
      };
    }
    return (
      this.#facts.get(keyOf(image)) ?? {
        isReady: false,
        hasFailed: false,
        message: `the image ${name} is here`,
      }
    );
  }

  async #look(): Promise<void> {
    const facts = new Map<string, ImageFacts>();
    for (const image of this.#wishes.images) {
      const prepared = await this.#library.find(image).catch(() => undefined);
      if (prepared !== undefined) {
        const { digest, diskBytes, chunkCount } = prepared;
        facts.set(keyOf(image), { isReady: true, digest, diskBytes, chunks: chunkCount });
        continue;
      }
      const fault = this.#library.fault(image);
      const message =
        fault === undefined ? `the image ${image.name} is here` : `the image ${image.name}: ${fault.message}`;
      const reason = fault === undefined ? {} : { reason: fault.reason };
      facts.set(keyOf(image), { isReady: false, hasFailed: fault !== undefined, message, ...reason });
    }
    this.#facts = facts;
  }
}

function keyOf({ name, digest }: { name: string; digest: string }): string {
  return `${name} ${digest}`;
}
