import { isDeepStrictEqual } from 'node:util';
import {
  type Application,
  type ApplicationStatus,
  applications,
  isAlreadyExists,
  isNotFound,
  type Release,
  type Rollout,
  releases,
  rollouts,
} from '@selvedge/api';
import {
  keyOfObject,
  keysFromInformer,
  nameOfKey,
  type ReconcileResult,
  runController,
} from '@selvedge/kube';
import type { ControllerContext } from '../controller-context.ts';
import { keyOfApplication, latestFirst, rolloutNumber } from '../rollout/rollout-history.ts';
import { applicationStatus, unreleasedStatus } from './application-status.ts';
import { isOwnedBy, ownerReference, ReleaseBuilder } from './build-release.ts';
import { deleteRelease, ensureRelease } from './release-content.ts';
import { counted } from '../../rollout/counted.ts';

/** Holds a deleted Application until the removal from its sites is written down. */
export const removalFinalizer = 'selvedge.dev/removal';

/** Makes Releases of Applications and Rollouts of Releases; on deletion, tombstones. */
export function runApplicationController(ctx: ControllerContext): Promise<void> {
  const { informers, clock, logger, signal } = ctx;
  const builder = new ReleaseBuilder();
  return runController({
    name: 'application',
    sources: [
      keysFromInformer(informers.applications),
      keysFromInformer(informers.releases, keyOfApplication),
      keysFromInformer(informers.rollouts, keyOfApplication),
    ],
    concurrency: 4,
    reconcile: (key) => reconcile(ctx, key, builder),
    clock,
    logger,
    signal,
  });
}

async function reconcile(
  ctx: ControllerContext,
  key: string,
  builder: ReleaseBuilder,
): Promise<ReconcileResult> {
  // The copy in memory will do: a write on an old one is a Conflict, and a newer one comes with an event of its own.
  const found = ctx.informers.applications.find(nameOfKey(key));
  if (!found || found.metadata.deletionTimestamp !== undefined) {
    builder.forget(key);
    if (found) await ctx.applicationLock.run(key, () => remove(ctx, found));
    return 'done';
  }
  const application = await ensureFinalizer(ctx, found);
  const ensured = await ensureRelease(ctx, application, builder.build(key, application));
  const now = ctx.clock.now().toISOString();
  if ('fault' in ensured) {
    await writeStatus(ctx, application, unreleasedStatus(application, ensured.fault, now));
    return 'done';
  }
  const { release } = ensured;
  const rollout = await ensureRollout(ctx, application, release);
  await writeStatus(ctx, application, applicationStatus(application, { release, rollout }, now));
  return 'done';
}

/** Before anything goes out: what reaches a site has to be taken back from it some day. */
async function ensureFinalizer(
  { client }: ControllerContext,
  application: Application,
): Promise<Application> {
  const finalizers = application.metadata.finalizers ?? [];
  if (finalizers.includes(removalFinalizer)) return application;
  return client.update(applications, {
    ...application,
    metadata: { ...application.metadata, finalizers: [...finalizers, removalFinalizer] },
  });
}

/** The newest rollout is that of the newest release; going back to an older content makes a new one too. */
async function ensureRollout(
  { client, informers }: ControllerContext,
  application: Application,
  release: Release,
): Promise<Rollout> {
  const { name, namespace = '' } = application.metadata;
  const [newest] = latestFirst(informers.rollouts.list(namespace), application);
  if (newest?.spec.digest === release.spec.digest) return newest;
  const number = newest ? rolloutNumber(newest) + 1 : 1;
  const rollout: Rollout = {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Rollout',
    metadata: {
      name: `${name}-${number}`,
      namespace,
      labels: { 'selvedge.dev/application': name },
      ownerReferences: [ownerReference(application)],
    },
    spec: {
      application: name,
      release: release.metadata.name,
      digest: release.spec.digest,
      strategy: application.spec.rollout ?? {},
    },
  };
  try {
    return await client.create(rollouts, rollout);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    // The informer has not heard of it yet, or it is left over from an application of this name.
    const present = await client.get<Rollout>(rollouts, rollout.metadata);
    if (!isOwnedBy(present, application)) await client.delete(rollouts, rollout.metadata);
    throw error;
  }
}

async function writeStatus(
  { client }: ControllerContext,
  application: Application,
  status: ApplicationStatus,
): Promise<void> {
  const { sites: _sites, phase: _phase, ...present } = application.status ?? {};
  if (!isDeepStrictEqual(present, status))
    await client.updateStatus(applications, { ...application, status });
}

/** Written in this order, so that a crash at any place leaves the finalizer, and the rest is done again. */
async function remove(ctx: ControllerContext, application: Application): Promise<void> {
  const { client, fleet } = ctx;
  const { name, namespace = '', uid, finalizers = [] } = application.metadata;
  if (!finalizers.includes(removalFinalizer)) return;
  const { rows } = await fleet.listDeliveries({ namespace, application: name });
  const held = rows.filter((row) => row.applicationUid === uid && row.phase === 'Wanted');
  await fleet.remove(held.map(({ site }) => ({ site, namespace, application: name })));

  for (const rollout of (await client.list<Rollout>(rollouts, { namespace })).items) {
    if (!isOwnedBy(rollout, application)) continue;
    // First, so that a crash in between leaves a Rollout that leads here again.
    await fleet.removeRolloutMembers(rollout.metadata.uid ?? '');
    await client.delete(rollouts, rollout.metadata).catch(ignoreNotFound);
  }
  for (const release of (await client.list<Release>(releases, { namespace })).items) {
    if (isOwnedBy(release, application)) await deleteRelease(ctx, release);
  }
  if (held.length > 0) {
    ctx.recorder.record(application, {
      type: 'Normal',
      reason: 'Removing',
      message: `Removed from ${counted(held.length, 'site')}; who is away removes it on return`,
    });
  }
  const newest = await client.find<Application>(applications, application.metadata);
  if (newest?.metadata.uid !== uid || !newest) return;
  await client.update(applications, {
    ...newest,
    metadata: {
      ...newest.metadata,
      finalizers: (newest.metadata.finalizers ?? []).filter((finalizer) => finalizer !== removalFinalizer),
    },
  });
  ctx.logger.info('application removed', { object: keyOfObject(application), sites: held.length });
}

function ignoreNotFound(error: unknown): void {
  if (!isNotFound(error)) throw error;
}
