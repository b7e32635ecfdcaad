import type { ReadSourceKind } from './source-readers.ts';
import type { SourceFault } from './source-reading.ts';

export type LookResult = 'changed' | 'unchanged' | SourceFault;

/** How the source of one Application stands. */
export interface SourceState {
  readonly namespace: string;
  readonly application: string;
  readonly kind: ReadSourceKind;
  readonly isReady: boolean;
}

/** What the hub has read since it was started; of several hubs only the leading one reads. */
export class SourceCounts {
  readonly #looks = new Map<string, { kind: ReadSourceKind; result: LookResult; count: number }>();
  readonly #seconds = new Map<ReadSourceKind, number>();
  readonly #states = new Map<string, SourceState>();

  count(kind: ReadSourceKind, result: LookResult): void {
    const key = `${kind} ${result}`;
    const count = (this.#looks.get(key)?.count ?? 0) + 1;
    this.#looks.set(key, { kind, result, count });
  }

  took(kind: ReadSourceKind, seconds: number): void {
    this.#seconds.set(kind, (this.#seconds.get(kind) ?? 0) + seconds);
  }

  /** `undefined`: the Application is gone, or holds its manifests itself. */
  note(key: string, state: SourceState | undefined): void {
    if (state) this.#states.set(key, state);
    else this.#states.delete(key);
  }

  /** It leads no more: another hub says how the sources stand. */
  forgetStates(): void {
    this.#states.clear();
  }

  looks(): readonly { kind: ReadSourceKind; result: LookResult; count: number }[] {
    return [...this.#looks.values()];
  }

  seconds(): readonly (readonly [ReadSourceKind, number])[] {
    return [...this.#seconds];
  }

  states(): readonly SourceState[] {
    return [...this.#states.values()];
  }
}
