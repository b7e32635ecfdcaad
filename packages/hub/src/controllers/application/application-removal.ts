import { isDeepStrictEqual } from 'node:util';
import {
  type Application,
  applications,
  isMirrored,
  isPlaced,
  type Release,
  type Rollout,
  releases,
  rollouts,
  type Site,
  sites,
} from '@selvedge/api';
import { keyOfObject, type ReconcileResult } from '@selvedge/kube';
import type { DeliveryRow } from '@selvedge/store';
import { removalHeld } from '../../removal/held-removal.ts';
import { removalFinalizer } from '../../removal/removal-finalizer.ts';
import { isProvenHubBehind } from '../../resources/site-hold.ts';
import { withCondition } from '../../rollout/conditions.ts';
import { counted } from '../../rollout/counted.ts';
import type { ControllerContext } from '../controller-context.ts';
import { clearHeld, findStillHeld, passGuard } from '../removal/application-guard.ts';
import { deleteRollout } from '../rollout/delete-rollout.ts';
import { isOwnedBy } from './build-release.ts';
import { deleteIfPresent } from '../delete-if-present.ts';

export { removalFinalizer } from '../../removal/removal-finalizer.ts';

/** Of Kubernetes: who is owned is to stay, without its owner. */
const orphanFinalizer = 'orphan';

/** How often a removal that waits is looked at, beside what happens. */
const lookAgainSeconds = 60;

/**
 * Takes a deleted Application from its sites, when the guard lets it, then lets go of it. Written in this order, so that a
 * crash at any place leaves the finalizer, and the rest is done again.
 */
export async function removeApplication(ctx: ControllerContext, seen: Application): Promise<ReconcileResult> {
  const { client, informers } = ctx;
  ctx.deselected.forget(seen.metadata.uid ?? '');
  const application = await client.find<Application>(applications, seen.metadata);
  if (application?.metadata.deletionTimestamp === undefined) return 'done';
  if (application.metadata.uid !== seen.metadata.uid) return 'done';
  const { name, namespace = '', uid, finalizers = [] } = application.metadata;
  if (!finalizers.includes(removalFinalizer)) return 'done';

  const rows = await rowsOf(ctx, application);
  const present = rows.filter(({ phase }) => phase === 'Wanted').map(({ site }) => site);
  const targets = present.filter((site) => !followsNobody(informers.sites.find({ name: site })));
  const { lookInSeconds } = await passGuard(ctx, application, { targets, rows });
  if (lookInSeconds !== undefined) return { requeueAfterSeconds: Math.min(lookInSeconds, lookAgainSeconds) };
  const behind = present.filter((site) => !targets.includes(site));
  if (behind.length > 0) {
    await tellBehind(ctx, application, behind);
    return { requeueAfterSeconds: lookAgainSeconds };
  }

  await deleteHistory(ctx, application);
  const newest = await client.find<Application>(applications, { namespace, name });
  if (newest?.metadata.uid !== uid || !newest) return 'done';
  await client.update(applications, {
    ...newest,
    metadata: {
      ...newest.metadata,
      finalizers: (newest.metadata.finalizers ?? []).filter((finalizer) => finalizer !== removalFinalizer),
    },
  });
  ctx.logger.info('application removed', { object: keyOfObject(application), sites: targets.length });
  return 'done';
}

/** Somebody has to decide first what counts there: the site or the hub. */
async function tellBehind(
  { client, clock }: ControllerContext,
  { metadata }: Application,
  behind: readonly string[],
): Promise<void> {
  const application = await client.find<Application>(applications, metadata);
  if (!application) return;
  const named = [...behind].sort().slice(0, 5).join(', ');
  const message = `It is still at ${counted(behind.length, 'site')} ahead of this hub (${named}${behind.length > 5 ? ', …' : ''}): selvedge site adopt or override each first.`;
  const observedGeneration = application.metadata.generation ?? 0;
  const finding = {
    type: removalHeld,
    status: 'True',
    reason: 'HubBehind',
    message,
    observedGeneration,
  } as const;
  const before = application.status?.conditions ?? [];
  const conditions = withCondition(before, finding, clock.now().toISOString());
  if (isDeepStrictEqual(conditions, before)) return;
  await client.updateStatus(applications, { ...application, status: { ...application.status, conditions } });
}

/** Its Rollouts and Releases; those of `kubectl delete --cascade=orphan` are left for the garbage collector to set free. */
async function deleteHistory(ctx: ControllerContext, application: Application): Promise<void> {
  const { client } = ctx;
  const { namespace = '', finalizers = [] } = application.metadata;
  if (finalizers.includes(orphanFinalizer)) return;
  for (const rollout of (await client.list<Rollout>(rollouts, { namespace })).items) {
    if (isOwnedBy(rollout, application)) await deleteRollout(ctx, rollout);
  }
  for (const release of (await client.list<Release>(releases, { namespace })).items) {
    if (isOwnedBy(release, application)) await deleteIfPresent(client, releases, release.metadata);
  }
}

/**
 * Takes the application from sites that are there and that its placement no longer selects, when the guard lets it. Resolves
 * to the seconds after which to look again.
 */
export async function removeFromSites(
  ctx: ControllerContext,
  application: Application,
  { unwanted, selected }: { unwanted: readonly string[]; selected: number },
): Promise<number | undefined> {
  const { uid = '' } = application.metadata;
  if (unwanted.length === 0) {
    ctx.deselected.forget(uid);
    await clearHeld(ctx, application);
    return undefined;
  }
  const known = {
    targets: unwanted.filter((name) => !followsNobody(ctx.informers.sites.find({ name }))),
    ...(selected === 0 ? { doubt: 'SelectorEmpty' as const } : {}),
  };
  const settlesInSeconds = ctx.deselected.secondsLeft(uid, known.targets, ctx.clock.now());
  if (settlesInSeconds > 0) return settlesInSeconds;
  const seen = { ...known, rows: await rowsOf(ctx, application) };
  const stillHeldSeconds = findStillHeld(application, seen, ctx.clock.now());
  if (stillHeldSeconds !== undefined) return stillHeldSeconds;
  // The copy in memory has led here; what is removed is decided by what is stored now.
  const deselected = await readDeselected(ctx, application, unwanted);
  if (deselected === 'Changed') return 1;
  const rows = await rowsOf(ctx, application);
  const { lookInSeconds } = await passGuard(ctx, application, { ...deselected, rows });
  return lookInSeconds;
}

type Deselected = { readonly targets: string[]; readonly doubt?: 'SelectorEmpty' | 'SourceFailed' };

async function readDeselected(
  { client, logger }: ControllerContext,
  application: Application,
  unwanted: readonly string[],
): Promise<Deselected | 'Changed'> {
  let present: Map<string, Site>;
  try {
    const newest = await client.get<Application>(applications, application.metadata);
    if (newest.metadata.generation !== application.metadata.generation) return 'Changed';
    const { items } = await client.list<Site>(sites);
    present = new Map(items.map((site) => [site.metadata.name, site]));
  } catch (error) {
    logger.warn('Sites not read, nothing is removed', { object: keyOfObject(application), error });
    return { targets: [...unwanted], doubt: 'SourceFailed' };
  }
  // No Site at all, where some were just now: that is no list to remove by.
  if (present.size === 0) return { targets: [...unwanted], doubt: 'SourceFailed' };
  const isSelected = (site: Site) => isPlaced(application, site);
  const targets = unwanted.filter((name) => {
    const site = present.get(name);
    const isKept = site === undefined || isSelected(site) || isMirrored(application, site);
    return !isKept && !followsNobody(site);
  });
  const isEmpty = ![...present.values()].some(isSelected);
  return { targets, ...(isEmpty ? { doubt: 'SelectorEmpty' as const } : {}) };
}

async function rowsOf({ fleet }: ControllerContext, { metadata }: Application): Promise<DeliveryRow[]> {
  const { namespace = '', name, uid } = metadata;
  const { rows } = await fleet.listDeliveries({ namespace, application: name });
  return rows.filter(({ applicationUid }) => applicationUid === uid);
}

/** A site that has shown that it is ahead of this hub takes no orders of it. */
function followsNobody(site: Site | undefined): boolean {
  return site !== undefined && isProvenHubBehind(site);
}
