import semver from 'semver';
import { SourceError } from '../source-reading.ts';

/**
 * The newest version that a range takes; without a range the newest that is no prerelease. Ranges are written as Helm's, also with
 * commas. Throws `SourceError`: `NotFound`.
 */
export function chooseVersion(
  versions: readonly string[],
  { range, chart }: { range: string | undefined; chart: string },
): string {
  // Before any judging: a version that is named as it is is meant.
  const exact = versions.find((version) => version === range || version === `v${range ?? ''}`);
  if (range !== undefined && exact !== undefined) return exact;
  const wanted = semver.validRange((range ?? '*').replaceAll(',', ' '), { loose: true });
  if (wanted === null) {
    throw new SourceError(
      'NotFound',
      `"${range}" is no version and no range of versions: write 1.2.3, ^1.2 or >=1.0 <2.`,
    );
  }
  const known = versions.filter((version) => semver.valid(version, { loose: true }) !== null);
  const fitting = known.filter((version) => semver.satisfies(version, wanted, { loose: true }));
  const [newest] = fitting.toSorted((a, b) => semver.rcompare(a, b, { loose: true }));
  if (newest !== undefined) return newest;
  const some = known.toSorted((a, b) => semver.rcompare(a, b, { loose: true })).slice(0, 5);
  const has = some.length === 0 ? 'It has none.' : `The newest are ${some.join(', ')}.`;
  throw new SourceError(
    'NotFound',
    `Chart ${chart} has no version ${range ?? 'that is no prerelease'}. ${has}`,
  );
}
