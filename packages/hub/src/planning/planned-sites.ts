import type { PlannedSites } from '@selvedge/api';

/** More names than this nobody reads; the count is always exact. */
const maxNames = 100;

export function plannedSites(names: readonly string[]): PlannedSites {
  return { count: names.length, names: names.toSorted().slice(0, maxNames) };
}
