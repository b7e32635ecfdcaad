import { applicationOf } from '../../resolve-for-site.ts';
import { type ObjectRef, refKey } from '../release/planned-object.ts';
import type { ItemObservation, ObservedObject } from '../observe/observer.ts';
import { shownRef } from './apply-problem.ts';

const firstPauseMs = 2_000;
const longestPauseMs = 600_000;
/** What stayed as it is for so long is no longer fought over. */
const peaceMs = 1_800_000;
/** Put back this often within the peace time: something keeps changing it. */
const foughtCount = 4;
/** As many as a report may carry. */
const shownDrift = 20;

interface Correction {
  readonly count: number;
  readonly at: number;
}

/** Remembers what was put back when, so that a fight over an object is fought slowly, and said. */
export class DriftCorrections {
  readonly #corrections = new Map<string, Correction>();

  /** What is to be put back now. */
  due(observation: ItemObservation, now: number): ObjectRef[] {
    return driftedOf(observation)
      .map(({ ref }) => ref)
      .filter((ref) => this.#nextAt(ref) <= now);
  }

  /** When the next one is due (ms). */
  wakeAt(observation: ItemObservation): number {
    return Math.min(Number.POSITIVE_INFINITY, ...driftedOf(observation).map(({ ref }) => this.#nextAt(ref)));
  }

  note(refs: readonly ObjectRef[], now: number): void {
    for (const [key, { at }] of this.#corrections) if (now - at > peaceMs) this.#corrections.delete(key);
    for (const ref of refs) {
      const count = (this.#corrections.get(refKey(ref))?.count ?? 0) + 1;
      this.#corrections.set(refKey(ref), { count, at: now });
    }
  }

  forget(): void {
    this.#corrections.clear();
  }

  isFought(ref: ObjectRef): boolean {
    return (this.#corrections.get(refKey(ref))?.count ?? 0) >= foughtCount;
  }

  /** Objects that something keeps changing, and how often they were put back. */
  fought(): ReadonlyMap<string, number> {
    return new Map(
      [...this.#corrections]
        .filter(([, { count }]) => count >= foughtCount)
        .map(([key, { count }]) => [key, count]),
    );
  }

  #nextAt(ref: ObjectRef): number {
    const before = this.#corrections.get(refKey(ref));
    if (before === undefined) return 0;
    return before.at + Math.min(firstPauseMs * 2 ** (before.count - 1), longestPauseMs);
  }
}

/** What is not as planned; what is on its way out is looked at when it is gone. */
export function driftedOf({ objects }: ItemObservation): ObservedObject[] {
  return objects.filter(
    ({ exists, drift, health }) => (!exists || drift.length > 0) && health.status !== 'Terminating',
  );
}

/** For `ItemReport.drift`. */
export function shownDriftOf(
  drifted: readonly ObservedObject[],
  itemId: string,
  fought: ReadonlyMap<string, number>,
): string[] {
  const { namespace } = applicationOf(itemId);
  return drifted
    .map(({ ref, exists, drift }) => {
      const count = fought.get(refKey(ref));
      const fields = exists ? drift.slice(0, 10).join(', ') : 'is not there';
      const more = exists && drift.length > 10 ? ` and ${drift.length - 10} more` : '';
      const fight = count === undefined ? '' : ` (put back ${count} times, something keeps changing it)`;
      return `${shownRef(ref, namespace)}: ${fields}${more}${fight}`;
    })
    .sort()
    .slice(0, shownDrift);
}
