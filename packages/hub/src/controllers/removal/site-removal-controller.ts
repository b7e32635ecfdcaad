import { isConflict, isNotFound, type Site, sites } from '@selvedge/api';
import { siteRemovalDigest } from '@selvedge/api/node';
import { type KeySource, type ReconcileResult, runController } from '@selvedge/kube';
import { momentOf, withHeldRemoval } from '../../removal/held-removal.ts';
import { isLeaving, judgeSiteRemovals } from '../../removal/judge-site-removals.ts';
import { removalFinalizer } from '../../removal/removal-finalizer.ts';
import type { ControllerContext } from '../controller-context.ts';
import { RemovedSites } from './removed-sites.ts';

/** A list of Sites is deleted one by one: what belongs together is known when no more come. */
const settleSeconds = 2;
const longestSettleSeconds = 30;
const lookAgainSeconds = 60;
/** All of them are judged together. */
const onlyKey = 'sites';

/** Lets deleted Sites go, or holds them: the guard of the fleet itself. */
export function runSiteRemovalController(ctx: ControllerContext): Promise<void> {
  const { clock, logger, signal } = ctx;
  const removed = new RemovedSites(ctx.client);
  return runController({
    name: 'site-removal',
    sources: [leavingSites(ctx)],
    concurrency: 1,
    reconcile: () => reconcile(ctx, removed),
    clock,
    logger,
    signal,
  });
}

function leavingSites({ informers }: ControllerContext): KeySource {
  return {
    synced: informers.sites.synced,
    subscribe: (enqueue) => {
      const tell = (site: Site) => {
        if (isLeaving(site)) enqueue(onlyKey);
      };
      return informers.sites.onChange({ add: tell, update: tell });
    },
  };
}

async function reconcile(ctx: ControllerContext, removed: RemovedSites): Promise<ReconcileResult> {
  const { client, clock, removalLimits } = ctx;
  if (!ctx.informers.sites.list().some(isLeaving)) return 'done';
  const { items } = await client.list<Site>(sites);
  const leaving = items.filter(isLeaving);
  if (leaving.length === 0) return 'done';
  const now = clock.now();
  const settlesInSeconds = secondsToSettle(leaving, now);
  if (settlesInSeconds > 0) return { requeueAfterSeconds: settlesInSeconds };
  const recent = await removed.recent(now);
  const verdict = judgeSiteRemovals({ sites: items, recent: recent.uids, limits: removalLimits });
  if (verdict.go.length > 0) {
    await removed.add(verdict.go, now);
  }
  let isComplete = true;
  for (const site of verdict.go) isComplete = (await isWritten(letGo(ctx, site))) && isComplete;
  const facts = {
    digest: siteRemovalDigest(verdict.held),
    message: verdict.message,
    sites: verdict.held.length,
    of: items.length - verdict.go.length,
  };
  for (const site of verdict.held) isComplete = (await isWritten(hold(ctx, site, facts))) && isComplete;
  if (!isComplete) return { requeueAfterSeconds: 1 };
  if (verdict.held.length === 0) return 'done';
  return { requeueAfterSeconds: Math.min(lookAgainSeconds, recent.expireInSeconds ?? lookAgainSeconds) };
}

/** `false`: somebody wrote the Site at the same time. One that is gone needs nothing more. */
async function isWritten(write: Promise<void>): Promise<boolean> {
  try {
    await write;
    return true;
  } catch (error) {
    if (isConflict(error)) return false;
    if (isNotFound(error)) return true;
    throw error;
  }
}

/** Until no Site was deleted for a moment; those that never end are judged as they come. */
function secondsToSettle(leaving: readonly Site[], now: Date): number {
  const ages = leaving
    .filter(({ status }) => status?.heldRemoval === undefined)
    .map(({ metadata }) => (now.getTime() - Date.parse(metadata.deletionTimestamp ?? '')) / 1000);
  if (ages.length === 0 || Math.max(...ages) > longestSettleSeconds) return 0;
  return Math.max(0, Math.min(settleSeconds, settleSeconds - Math.min(...ages)));
}

async function letGo({ client, recorder, logger }: ControllerContext, site: Site): Promise<void> {
  const { metadata } = site;
  const finalizers = (metadata.finalizers ?? []).filter((finalizer) => finalizer !== removalFinalizer);
  await client.update<Site>(sites, { ...site, metadata: { ...metadata, finalizers } });
  logger.info('site leaves the fleet', { site: metadata.name });
  recorder.record(site, {
    type: 'Normal',
    reason: 'SiteRemoved',
    message: `Site ${metadata.name} left the fleet; what runs there runs on, and its agent is refused`,
  });
}

/** Said once, as it was then: a fleet that is deleted Site by Site must not write every Site for every other. */
async function hold(
  ctx: ControllerContext,
  site: Site,
  { digest, message, sites: count, of }: { digest: string; message: string; sites: number; of: number },
): Promise<void> {
  const { client, clock, recorder, logger } = ctx;
  if (site.status?.heldRemoval !== undefined) return;
  const { name } = site.metadata;
  const held = {
    digest,
    reason: 'TooMany',
    message: `${message} See: selvedge removal show --sites`,
    sites: count,
    of,
    names: [name],
    volumes: false,
    sinceTime: clock.now().toISOString(),
  };
  const status = withHeldRemoval(site.status, held, momentOf(site, clock));
  await client.updateStatus<Site>(sites, { ...site, status });
  logger.warn('removal held', { site: name, sites: count });
  recorder.record(site, { type: 'Warning', reason: 'RemovalHeld', message: held.message });
}
