import type { CachedObject } from './cached-object.ts';

/** One change of one object, shared by all who watch. */
export class Change {
  readonly type: 'put' | 'delete';
  /** The new state; of a deletion the last one, under the revision of the deletion. */
  readonly object: CachedObject;
  /** The state before, absent for a new object. */
  readonly previous: CachedObject | undefined;
  readonly #encodings = new Map<string, Buffer | Promise<Buffer>>();

  constructor(type: Change['type'], object: CachedObject, previous: CachedObject | undefined) {
    this.type = type;
    this.object = object;
    this.previous = previous;
  }

  get revision(): number {
    return this.object.revision;
  }

  /** Text of its states, in bytes, as it is when it is unpacked: what is made of it for watchers is as long. */
  get bytes(): number {
    return this.object.length + (this.previous?.length ?? 0);
  }

  /** The event as watchers of one form get it, made for the first of them. */
  encoded(form: string, encode: () => Buffer | Promise<Buffer>): Buffer | Promise<Buffer> {
    const known = this.#encodings.get(form);
    if (known) return known;
    const made = encode();
    this.#encodings.set(form, made);
    // Whoever asks next tries again.
    if (made instanceof Promise) made.catch(() => this.#encodings.delete(form));
    return made;
  }

  /** When all but late watchers have been told. */
  forgetEncodings(): void {
    this.#encodings.clear();
  }
}

/** Nothing more up to this revision. */
export interface Progress {
  readonly type: 'progress';
  readonly revision: number;
}
