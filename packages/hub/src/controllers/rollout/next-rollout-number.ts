import type { Application, Release, Rollout } from '@selvedge/api';
import type { DeliveryRow } from '@selvedge/store';
import { numberOfRollout } from './rollout-history.ts';

/** Higher ones were made up: no application has had so many rollouts. */
const highestNumber = 1_000_000_000;

export interface KnownAttempts {
  readonly application: Application;
  /** Rollouts, Releases and rows of this very application. */
  readonly rollouts: readonly Rollout[];
  readonly releases: readonly Release[];
  readonly rows: readonly DeliveryRow[];
}

/**
 * The number of the next Rollout, higher than any that is known to have been: sites remember at which attempt a release failed, and
 * refuse it at attempts up to that. Rollouts may have been deleted by hand, or be younger than the backup of a restored
 * hub; what was written about them, and what sites were told, stays.
 */
export function nextRolloutNumber({ application, rollouts, releases, rows }: KnownAttempts): number {
  const { status } = application;
  const names = [
    ...rollouts.map(({ metadata }) => metadata.name),
    ...releases.map((release) => release.status?.condemned?.rollout),
    status?.rollout,
  ];
  const numbers = [
    ...names.map((name) => (name === undefined ? 0 : numberOfRollout(name))),
    status?.highestAttempt ?? 0,
    highestAttempt(rows),
  ];
  return 1 + highestOf(numbers);
}

/** Of what sites were told; 0 without rows. */
export function highestAttempt(rows: readonly DeliveryRow[]): number {
  return highestOf(rows.map(({ terms }) => terms.attempt));
}

function highestOf(numbers: readonly number[]): number {
  return numbers.reduce((max, n) => (n > max && n < highestNumber ? n : max), 0);
}
