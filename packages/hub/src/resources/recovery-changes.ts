import type { Site } from '@selvedge/api';
import type { DeliveryRow } from '@selvedge/store';
import type { MachineDifference } from '../machines/machine-differences.ts';

export type RecoveryAction = NonNullable<NonNullable<Site['status']>['recovery']>['action'];
export type FollowedApplication = NonNullable<
  NonNullable<Site['status']>['hubBehind']
>['applications'][number];

/** What the site follows, as far as `recoveryChanges` has to know it. */
export interface Followed {
  readonly applications: readonly FollowedApplication[];
  /** Those of which its rack was told something else than the hub has. */
  readonly machines?: readonly MachineDifference[];
}

export const maxRecoveryChanges = 100;
/** The rest is for applications. */
const maxMachineLines = 50;

/**
 * What `adopt` or `override` means for a site that is ahead of the hub, a line for people per application and machine. Machines come first: what is done to them cannot be
 * undone. Pure.
 * @param rows what the hub has of the site.
 */
export function recoveryChanges(
  action: RecoveryAction,
  { applications, machines = [] }: Followed,
  rows: readonly DeliveryRow[],
): string[] {
  return [
    ...machines.slice(0, maxMachineLines).map((machine) => machineLine(action, machine)),
    ...(machines.length > maxMachineLines ? [`and ${machines.length - maxMachineLines} more machines`] : []),
    ...applicationLines(action, applications, rows),
  ].slice(0, maxRecoveryChanges);
}

function machineLine(action: RecoveryAction, { name, followed, wanted }: MachineDifference): string {
  if (action === 'Override') return `machine ${name}: the rack was told ${followed}; it is told ${wanted}`;
  return `machine ${name}: the rack was told ${followed}, the hub has ${wanted}: it is left as it is (spec.protected) until somebody has put its spec right and takes the protection away`;
}

function applicationLines(
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
  return names.flatMap((name) => {
    const line = tell({ name, theirs: theirs.get(name), own: own.get(name), isRemoved: removed.has(name) });
    return line === undefined ? [] : [line];
  });
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
