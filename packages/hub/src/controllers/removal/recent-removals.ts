import type { ApplicationStatus } from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import type { DeliveryRow } from '@selvedge/store';
import { removalPeriodMilliseconds } from '../../removal/judge-removal.ts';

type RecentRemoval = NonNullable<ApplicationStatus['recentRemovals']>[number];

/** Beyond this the oldest are counted as one: a status has to stay small. */
const maxKept = 100;

/** Removals within the last hour: one instant per site, in no order, and how many of those sites have the application again. */
export interface RecentRemovals {
  readonly instants: readonly number[];
  readonly returned: number;
}

/**
 * By what the status remembers, which a site that came back does not take away, and by the tombstones that there are. An order that
 * was written down and broke off before it reached `targets` is this very removal, and no second one.
 */
export function recentRemovals(
  status: ApplicationStatus | undefined,
  { rows, targets }: { rows: readonly DeliveryRow[]; targets: readonly string[] },
  now: Date,
): RecentRemovals {
  const tombstones = rows
    .filter(({ phase }) => phase !== 'Wanted')
    .map(({ assignedAt }) => Date.parse(assignedAt))
    .filter((instant) => isRecent(instant, now));
  const instants = kept(status, now)
    .filter((removal) => !isUnfinished(removal, { rows, targets }))
    .flatMap(({ time, sites }) => Array<number>(sites).fill(Date.parse(time)));
  return instants.length > tombstones.length
    ? { instants, returned: instants.length - tombstones.length }
    : { instants: tombstones, returned: 0 };
}

/** The status with one more removal; to be stored before that is ordered. */
export function withRemoval(
  status: ApplicationStatus | undefined,
  { rows, targets }: { rows: readonly DeliveryRow[]; targets: readonly string[] },
  now: Date,
): ApplicationStatus {
  const others = kept(status, now).filter((removal) => !isUnfinished(removal, { rows, targets }));
  const removal = { time: now.toISOString(), sites: targets.length, set: setOf(targets) };
  return { ...status, recentRemovals: merged([...others, removal]) };
}

function kept(status: ApplicationStatus | undefined, now: Date): RecentRemoval[] {
  return (status?.recentRemovals ?? []).filter(({ time }) => isRecent(Date.parse(time), now));
}

function merged([first, second, ...rest]: RecentRemoval[]): RecentRemoval[] {
  if (first === undefined || second === undefined || rest.length + 2 <= maxKept) {
    return [first, second, ...rest].filter((removal) => removal !== undefined);
  }
  return merged([{ ...second, sites: first.sites + second.sites, set: '' }, ...rest]);
}

/** All of its sites still have what they had when it was ordered. */
function isUnfinished(
  { time, set }: RecentRemoval,
  { rows, targets }: { rows: readonly DeliveryRow[]; targets: readonly string[] },
): boolean {
  if (set !== setOf(targets)) return false;
  const since = new Map(
    rows.filter(({ phase }) => phase === 'Wanted').map((row) => [row.site, row.assignedAt]),
  );
  return targets.every((site) => {
    const assignedAt = since.get(site);
    return assignedAt !== undefined && Date.parse(assignedAt) < Date.parse(time);
  });
}

function setOf(targets: readonly string[]): string {
  return sha256Digest(new TextEncoder().encode(JSON.stringify([...targets].sort())));
}

function isRecent(instant: number, now: Date): boolean {
  return instant > now.getTime() - removalPeriodMilliseconds;
}
