import type { Site } from '@selvedge/api';
import type { DeliveryRow } from '@selvedge/store';

export type RecoveryAction = NonNullable<NonNullable<Site['status']>['recovery']>['action'];
export type FollowedApplication = NonNullable<
  NonNullable<Site['status']>['hubBehind']
>['applications'][number];

export const maxRecoveryChanges = 100;

/**
 * What `adopt` or `override` means for a site that is ahead of the hub, a line for people per application. Pure.
 * @param followed what the site is to run by the state that it follows.
 * @param rows what the hub has of the site.
 */
export function recoveryChanges(
  action: RecoveryAction,
  followed: readonly FollowedApplication[],
  rows: readonly DeliveryRow[],
): string[] {
  const theirs = new Map(followed.map((application) => [application.name, application]));
  const own = new Map(
    rows.filter((row) => row.phase === 'Wanted').map((row) => [`${row.namespace}/${row.application}`, row]),
  );
  const removed = new Set(
    rows.filter((row) => row.phase !== 'Wanted').map((row) => `${row.namespace}/${row.application}`),
  );
  const names = [...new Set([...theirs.keys(), ...own.keys()])].sort();
  const tell = action === 'Adopt' ? adoptedLine : overriddenLine;
  return names
    .flatMap((name) => {
      const line = tell({ name, theirs: theirs.get(name), own: own.get(name), isRemoved: removed.has(name) });
      return line === undefined ? [] : [line];
    })
    .slice(0, maxRecoveryChanges);
}

interface Compared {
  readonly name: string;
  readonly theirs: FollowedApplication | undefined;
  readonly own: DeliveryRow | undefined;
  readonly isRemoved: boolean;
}

function adoptedLine({ name, theirs, own }: Compared): string | undefined {
  if (theirs === undefined)
    return `${name}: the site was told to remove it; the hub no longer wants it there`;
  if (own === undefined) return `${name}: stays ${theirs.release}, which the hub did not want there`;
  if (own.digest === theirs.digest) return undefined;
  return `${name}: stays ${theirs.release}; the hub wanted ${own.release}`;
}

function overriddenLine({ name, theirs, own, isRemoved }: Compared): string | undefined {
  if (own === undefined) {
    if (isRemoved) return `${name}: is removed`;
    return `${name}: stays ${theirs?.release}, the hub knows nothing of it`;
  }
  if (theirs === undefined) return `${name}: is brought there again, ${own.release}`;
  if (own.digest === theirs.digest) return undefined;
  return `${name}: changes from ${theirs.release} to ${own.release}`;
}
