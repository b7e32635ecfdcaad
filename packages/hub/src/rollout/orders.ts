import type { ReleaseName } from '@selvedge/api';
import type { DeliveryRow } from '@selvedge/store';
import type { PlannedAssignment } from './rollout-input.ts';
import type { RolloutView } from './rollout-view.ts';

/** What the row orders, but not to be activated before the hub says so; where it runs, it runs on. */
export function hold(row: DeliveryRow): PlannedAssignment {
  const { activateAt: _, ...terms } = row.terms;
  const { site, release, digest, wave, deadlineSeconds } = row;
  return { site, release, digest, wave, terms: { ...terms, activate: 'Hold' }, deadlineSeconds };
}

export interface Way {
  readonly site: string;
  readonly to: ReleaseName;
  readonly activate: 'Now' | 'Window';
  readonly fallback: ReleaseName | undefined;
}

/** To a release other than that of the rollout, outside its waves. */
export function goTo({ input, releases, strategy }: RolloutView, way: Way): PlannedAssignment {
  const { site, to, activate, fallback } = way;
  // The very release that goes out now, as what ran before: not this rollout's attempt, which is for its waves to make.
  const attempt = to.digest === input.release.digest ? input.number - 1 : (releases.numberOf(to.digest) ?? 0);
  return {
    site,
    release: to.release,
    digest: to.digest,
    wave: '',
    terms: {
      activate,
      attempt: Math.max(1, attempt),
      prepareSeconds: strategy.prepareSeconds,
      ...(fallback === undefined ? {} : { fallback: { release: fallback.release, digest: fallback.digest } }),
    },
    deadlineSeconds: strategy.deadlineSeconds,
  };
}

/** Back to what ran before; where that was nothing, the release at least is not activated. */
export function leave(view: RolloutView, row: DeliveryRow): PlannedAssignment | undefined {
  const back = view.releases.wayBack(row);
  if (back !== undefined) return goTo(view, { site: row.site, to: back, activate: 'Now', fallback: back });
  return row.terms.activate === 'Hold' ? undefined : hold(row);
}
