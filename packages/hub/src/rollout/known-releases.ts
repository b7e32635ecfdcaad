import type { ReleaseName } from '@selvedge/api';
import type { DeliveryRow } from '@selvedge/store';
import { evidenceOf } from './evidence.ts';
import type { ReleaseFacts, RolloutInput } from './rollout-input.ts';

/** The releases of the application: which may be offered, and which a site can go back to. */
export class KnownReleases {
  readonly #byDigest: ReadonlyMap<string, ReleaseFacts>;
  /** Newest release that passed every wave and is not condemned, that of this rollout aside. */
  readonly base: ReleaseFacts | undefined;
  readonly #badDigest: string | undefined;

  /** @param isBreached this rollout's own release counts as condemned, whatever is stored already. */
  constructor({ release, others }: RolloutInput, isBreached: boolean) {
    this.#byDigest = new Map([...others, release].map((known) => [known.digest, known]));
    this.#badDigest = isBreached ? release.digest : undefined;
    this.base = newestFirst(others).find((r) => r.isApproved && !this.isCondemned(r.digest));
  }

  isCondemned(digest: string): boolean {
    return digest === this.#badDigest || this.#byDigest.get(digest)?.isCondemned === true;
  }

  /** Undefined when no Release has this content: nothing is known of its age. */
  numberOf(digest: string): number | undefined {
    return this.#byDigest.get(digest)?.number;
  }

  /**
   * What the site of this row goes back to: what proved itself there last, else the newest that proved itself everywhere,
   * else whatever it said it runs. Undefined: there is nothing.
   */
  wayBack(row: DeliveryRow): ReleaseName | undefined {
    const { fallback } = row.terms;
    if (fallback !== undefined && this.#isUsable(fallback.digest, row)) return fallback;
    if (this.base !== undefined && this.#isUsable(this.base.digest, row)) return this.base;
    const running = this.#byDigest.get(row.report?.runningDigest ?? '');
    return running !== undefined && this.#isUsable(running.digest, row) ? running : undefined;
  }

  /** What to go back to from `next`, when that takes the place of the row: what the row says, if it runs well, else the row's own. */
  fallbackBehind(row: DeliveryRow | undefined, next: string): ReleaseName | undefined {
    if (row === undefined) return undefined;
    const runsWell = evidenceOf(row)?.state === 'Running';
    const candidates = [
      runsWell ? { release: row.release, digest: row.digest } : undefined,
      row.terms.fallback,
    ];
    return candidates.find((c) => c !== undefined && c.digest !== next && !this.isCondemned(c.digest));
  }

  #isUsable(digest: string, row: DeliveryRow): boolean {
    return digest !== row.digest && !this.isCondemned(digest);
  }
}

function newestFirst(releases: readonly ReleaseFacts[]): ReleaseFacts[] {
  return releases.toSorted((a, b) => b.number - a.number);
}
