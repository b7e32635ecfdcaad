import { type Application, isPlaced, matchesLabelSelector, type Site } from '@selvedge/api';
import { SourceError } from '../source-reading.ts';

/** Each is a rendering of the chart, and its difference a part of the release. */
export const maxCombinations = 50;

/**
 * Names of overrides with Helm values that select the same site, in their order; every combination that meets at a site of the placement,
 * once, sorted. The one without any is not among them: it is the base.
 */
export function helmCombinations(application: Application, sites: readonly Site[]): string[][] {
  const { spec } = application;
  const overrides = (spec.overrides ?? []).filter(({ helmValues }) => helmValues !== undefined);
  if (overrides.length === 0) return [];
  const found = new Map<string, string[]>();
  for (const site of sites) {
    if (!isPlaced(application, site)) continue;
    const names = overrides
      .filter(({ siteSelector }) => matchesLabelSelector(site.metadata.labels, siteSelector))
      .map(({ name }) => name);
    if (names.length > 0) found.set(names.join('+'), names);
  }
  return [...found].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, names]) => names);
}

/** Throws `SourceError` when there are too many to render. */
export function checkCombinations(combinations: readonly (readonly string[])[]): void {
  if (combinations.length <= maxCombinations) return;
  throw new SourceError(
    'LimitExceeded',
    `At the sites ${combinations.length} combinations of overrides with helmValues meet, the limit is ${maxCombinations}: use patches or variables for what differs at single sites.`,
  );
}

/**
 * Combinations that a chart is rendered for by and by: those that are, as long as there is room, and those that are needed now. One that no
 * site needs for the moment stays, so that the release does not change with a label that comes and goes.
 */
export function combinationsToKeep(
  rendered: readonly (readonly string[])[],
  needed: readonly (readonly string[])[],
): string[][] {
  const isNeeded = (names: readonly string[]) => needed.some((other) => isSame(other, names));
  const spare = rendered.filter((names) => !isNeeded(names));
  const room = Math.max(0, maxCombinations - needed.length);
  return [...needed, ...spare.slice(0, room)]
    .map((names) => [...names])
    .toSorted((a, b) => (a.join('+') < b.join('+') ? -1 : 1));
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a.join('+') === b.join('+');
}
