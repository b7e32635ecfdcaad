import { isDeepStrictEqual } from 'node:util';
import {
  type Application,
  type ApplicationStatus,
  applications,
  type RemovalMode,
  type RemovalSet,
  removalSet,
} from '@selvedge/api';
import { removalDigest } from '@selvedge/api/node';
import { keyOfObject } from '@selvedge/kube';
import type { DeliveryRow } from '@selvedge/store';
import { momentOf, withHeldRemoval, withoutHeldRemoval } from '../../removal/held-removal.ts';
import {
  defaultRemovalLimits,
  judgeRemoval,
  type RemovalHoldReason,
  type RemovalVerdict,
  removalPeriodMilliseconds,
} from '../../removal/judge-removal.ts';
import { counted } from '../../rollout/counted.ts';
import type { ControllerContext } from '../controller-context.ts';
import { recentRemovals, withRemoval } from './recent-removals.ts';

/** Sites that an Application is to leave, all at once or not at all. */
export interface WantedRemoval {
  readonly targets: readonly string[];
  /** All rows of this very Application. */
  readonly rows: readonly DeliveryRow[];
  readonly doubt?: Exclude<RemovalHoldReason, 'TooMany'>;
  /** As in `till is to leave`; the default. */
  readonly what?: string;
}

/** `lookInSeconds`: the removal is held, and may be judged otherwise after that time. Absent: it is ordered. */
export interface GuardAnswer {
  readonly lookInSeconds?: number;
}

const lookAgainSeconds = 60;

/**
 * Orders the removal, or says in the Application's status why not. The tombstones are one write, so that a set which a person
 * approved is gone as a whole, or still there as a whole, whenever the hub ends. `application` is what is stored now; the
 * caller holds its lock.
 */
export async function passGuard(
  ctx: ControllerContext,
  application: Application,
  removal: WantedRemoval,
): Promise<GuardAnswer> {
  const { targets } = removal;
  const { approved } = application.spec.removal ?? {};
  if (targets.length === 0) {
    await clearHeld(ctx, application);
    return {};
  }
  const now = ctx.clock.now();
  const judged = judgeApplicationRemoval(application, removal, now);
  const { set, verdict } = judged;
  if (verdict.kind === 'Go') {
    const mode = modeOf(set, verdict.isApproved && approved?.volumes === true);
    const counted = await countRemoval(ctx, application, removal);
    await order(ctx, counted, { set, mode, isApproved: verdict.isApproved });
    return {};
  }
  return { lookInSeconds: await holdRemoval(ctx, application, { ...judged, verdict }) };
}

/** Says in the status that the removal waits. Resolves to the seconds after which to judge it again. */
export async function holdRemoval(
  ctx: ControllerContext,
  application: Application,
  { set, digest, population, recent, verdict }: Judged & { verdict: HeldVerdict },
): Promise<number> {
  const targets = set.sites;
  const { reason, message } = verdict;
  const held = {
    digest,
    reason,
    message: `${message} See: selvedge removal show ${application.metadata.name} -n ${application.metadata.namespace}`,
    sites: targets.length,
    of: population,
    names: targets,
    volumes: set.volumes === 'Delete',
    sinceTime: set.sinceTime,
  };
  await writeStatus(
    ctx,
    application,
    withHeldRemoval(application.status, held, momentOf(application, ctx.clock)),
  );
  const present = application.status?.heldRemoval;
  if (present?.digest !== digest || present.reason !== reason) {
    ctx.logger.warn('removal held', { object: keyOfObject(application), reason, sites: targets.length });
    ctx.recorder.record(application, { type: 'Warning', reason: 'RemovalHeld', message: held.message });
  }
  return Math.min(lookAgainSeconds, secondsToExpiry(recent, ctx.clock.now()));
}

/**
 * Whether the guard would say just what the status says already, so that nothing has to be read or written. Seconds after
 * which to look again; `undefined`: it has to be judged anew.
 */
export function findStillHeld(
  application: Application,
  removal: WantedRemoval,
  now: Date,
): number | undefined {
  const present = application.status?.heldRemoval;
  if (present === undefined || removal.targets.length === 0) return undefined;
  const { digest, recent, verdict } = judgeApplicationRemoval(application, removal, now);
  const isSame =
    verdict.kind === 'Held' && present.digest === digest && present.message.startsWith(verdict.message);
  return isSame ? Math.min(lookAgainSeconds, secondsToExpiry(recent, now)) : undefined;
}

type HeldVerdict = Extract<RemovalVerdict, { kind: 'Held' }>;

interface Judged {
  readonly set: RemovalSet;
  readonly digest: string;
  readonly population: number;
  readonly recent: readonly number[];
  readonly verdict: RemovalVerdict;
}

/** What the guard says of a removal, by the application and its rows alone. Pure: `selvedge plan` asks it too. */
export function judgeApplicationRemoval(
  application: Application,
  { targets, rows, doubt, what = `${application.metadata.name} is to leave` }: WantedRemoval,
  now: Date,
): Judged {
  const { instants: recent, returned } = recentRemovals(application.status, { rows, targets }, now);
  const sinceTime = application.status?.heldRemoval?.sinceTime ?? now.toISOString();
  const set = removalSet(application, { sites: targets, sinceTime });
  const digest = removalDigest(set);
  const { approved, guard } = application.spec.removal ?? {};
  const population = rows.filter(({ phase }) => phase === 'Wanted').length;
  const verdict = judgeRemoval({
    what: `${what} ${targets.length} of ${counted(population, 'site')}`,
    targets: targets.length,
    population,
    recent: recent.length,
    returned,
    limits: { ...defaultRemovalLimits, ...guard },
    ...(doubt === undefined ? {} : { doubt }),
    digest,
    ...(approved === undefined ? {} : { approvedDigest: approved.digest }),
  });
  return { set, digest, population, recent, verdict };
}

/** Nothing is to be removed: what was held has come to nothing. */
export async function clearHeld(ctx: ControllerContext, application: Application): Promise<void> {
  const { status } = application;
  if (status?.heldRemoval === undefined) return;
  const because = { reason: 'NothingToRemove', message: 'No site is to be left any more.' } as const;
  await writeStatus(ctx, application, withoutHeldRemoval(status, because, momentOf(application, ctx.clock)));
}

/** Written down before it is ordered: a hub that ends in between has counted it. */
export async function countRemoval(
  { client, clock }: ControllerContext,
  application: Application,
  removal: WantedRemoval,
): Promise<Application> {
  const status = withRemoval(application.status, removal, clock.now());
  return client.updateStatus<Application>(applications, { ...application, status });
}

async function order(
  ctx: ControllerContext,
  application: Application,
  { set, mode, isApproved }: { set: RemovalSet; mode: RemovalMode; isApproved: boolean },
): Promise<void> {
  const { name, namespace = '' } = application.metadata;
  await ctx.fleet.remove(set.sites.map((site) => ({ site, namespace, application: name, mode })));
  const message = orderMessage(set, mode);
  ctx.logger.info('removal ordered', {
    object: keyOfObject(application),
    sites: set.sites.length,
    mode,
    isApproved,
  });
  ctx.recorder.record(application, { type: 'Normal', reason: 'Removing', message });
  if (application.status?.heldRemoval === undefined) return;
  const reason = isApproved ? 'Approved' : 'WithinLimits';
  const status = withoutHeldRemoval(
    application.status,
    { reason, message },
    momentOf(application, ctx.clock),
  );
  await writeStatus(ctx, application, status);
}

function orderMessage(set: RemovalSet, mode: RemovalMode): string {
  const named = [...set.sites].sort().slice(0, 5).join(', ');
  const where = `${counted(set.sites.length, 'site')}: ${named}${set.sites.length > 5 ? ', …' : ''}`;
  if (mode === 'Orphan') return `Runs on unattended at ${where}`;
  const volumes =
    mode === 'DeleteVolumes'
      ? 'volumes with data go too'
      : set.volumes === 'Delete'
        ? 'volumes with data stay, because nobody consented to their end'
        : 'volumes with data stay';
  return `Removed from ${where}; ${volumes}; who is away removes it on return`;
}

function modeOf({ policy, volumes }: RemovalSet, isVolumesApproved: boolean): RemovalMode {
  if (policy === 'Orphan') return 'Orphan';
  return volumes === 'Delete' && isVolumesApproved ? 'DeleteVolumes' : 'Delete';
}

/** Until the first of them no longer counts. */
function secondsToExpiry(recent: readonly number[], now: Date): number {
  if (recent.length === 0) return Number.POSITIVE_INFINITY;
  const first = Math.min(...recent) + removalPeriodMilliseconds - now.getTime();
  return Math.max(1, Math.ceil(first / 1000));
}

async function writeStatus(
  { client }: ControllerContext,
  application: Application,
  status: ApplicationStatus,
): Promise<void> {
  if (isDeepStrictEqual(application.status, status)) return;
  await client.updateStatus(applications, { ...application, status });
}
