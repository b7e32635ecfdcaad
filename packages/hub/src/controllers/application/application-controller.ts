import { isDeepStrictEqual } from 'node:util';
import {
  type Application,
  type ApplicationStatus,
  applications,
  isAlreadyExists,
  type ObjectClient,
  type Release,
  type Rollout,
  type RolloutPhase,
  releases,
  rollouts,
} from '@selvedge/api';
import { keysFromInformer, nameOfKey, type ReconcileResult, runController } from '@selvedge/kube';
import type { ControllerContext } from '../controller-context.ts';
import { findApprovedRelease } from '../rollout/release-facts.ts';
import { nextRolloutNumber } from '../rollout/next-rollout-number.ts';
import { keyOfApplication, latestFirst } from '../rollout/rollout-history.ts';
import { applicationStatus, storedStatus, unreleasedStatus } from './application-status.ts';
import { isOwnedBy, ownerReference } from './build-release.ts';
import { removalFinalizer, removeApplication } from './application-removal.ts';
import { ensureRelease } from './release-content.ts';
import { ReleaseMaker } from './release-maker.ts';
import { keysFromConfigMaps, keysFromLabels } from './release-sources.ts';

/** Makes Releases of Applications and Rollouts of Releases; on deletion, tombstones. */
export function runApplicationController(ctx: ControllerContext): Promise<void> {
  const { informers, clock, logger, signal } = ctx;
  const maker = new ReleaseMaker(ctx);
  return runController({
    name: 'application',
    sources: [
      keysFromInformer(informers.applications),
      keysFromInformer(informers.releases, keyOfApplication),
      keysFromInformer(informers.rollouts, keyOfApplication),
      keysFromConfigMaps(ctx),
      keysFromLabels(ctx, maker),
    ],
    concurrency: 4,
    reconcile: (key) => reconcile(ctx, key, maker),
    clock,
    logger,
    signal,
  });
}

async function reconcile(ctx: ControllerContext, key: string, maker: ReleaseMaker): Promise<ReconcileResult> {
  // The copy in memory will do: a write on an old one is a Conflict, and a newer one comes with an event of its own.
  const found = ctx.informers.applications.find(nameOfKey(key));
  if (!found || found.metadata.deletionTimestamp !== undefined) {
    maker.forget(key);
    return found ? ctx.applicationLock.run(key, () => removeApplication(ctx, found)) : 'done';
  }
  const made = await maker.make(key, await ensureFinalizer(ctx, found));
  const { application, images } = made;
  const ensured = made.fault ? made : await ensureRelease(ctx, application, made);
  const now = ctx.clock.now().toISOString();
  if (ensured.fault) {
    const about = { fault: ensured.fault, ...(images === undefined ? {} : { images }) };
    await writeStatus(ctx, application, unreleasedStatus(application, about, now));
    return made.retrySeconds === undefined ? 'done' : { requeueAfterSeconds: made.retrySeconds };
  }
  const { release } = ensured;
  const rollout = await ensureRollout(ctx, application, release);
  const approvedRelease = findApproved(ctx, application, rollout);
  const status = applicationStatus(application, { release, rollout, approvedRelease, images }, now);
  await writeStatus(ctx, application, status);
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

/**
 * The newest rollout is that of the newest release; going back to an older content makes a new one too, and so does lifting
 * the condemnation of the newest.
 */
async function ensureRollout(
  ctx: ControllerContext,
  application: Application,
  release: Release,
): Promise<Rollout> {
  const { client, informers } = ctx;
  const { name, namespace = '' } = application.metadata;
  const [known] = latestFirst(informers.rollouts.list(namespace), application);
  if (known && (await brings(client, known, release))) return known;
  // The copy in memory may not have heard of the newest yet, and no content gets two.
  const { items } = await client.list<Rollout>(rollouts, { namespace });
  const present = latestFirst(items, application);
  const [newest] = present;
  if (newest && (await brings(client, newest, release))) return newest;
  const number = await numberForNext(ctx, application, present);
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
    // Made in this moment, or left over from an application of this name.
    const present = await client.get<Rollout>(rollouts, rollout.metadata);
    if (!isOwnedBy(present, application)) await client.delete(rollouts, rollout.metadata);
    throw error;
  }
}

async function numberForNext(
  { client, fleet }: ControllerContext,
  application: Application,
  present: readonly Rollout[],
): Promise<number> {
  const { name, namespace = '', uid } = application.metadata;
  const [{ items }, { rows }] = await Promise.all([
    client.list<Release>(releases, { namespace }),
    fleet.listDeliveries({ namespace, application: name }),
  ]);
  return nextRolloutNumber({
    application,
    rollouts: present,
    releases: items.filter((release) => isOwnedBy(release, application)),
    rows: rows.filter((row) => row.applicationUid === uid),
  });
}

async function brings(client: ObjectClient, rollout: Rollout, release: Release): Promise<boolean> {
  return rollout.spec.digest === release.spec.digest && !(await isLifted(client, rollout));
}

const endedByCondemnation: ReadonlySet<RolloutPhase | undefined> = new Set(['Reverted', 'Blocked']);

/**
 * Whether the rollout has ended because its release was condemned, and a person has lifted that since. The release is read
 * after the rollout: one that is not condemned yet has no rollout that ended so.
 */
async function isLifted(client: ObjectClient, { metadata, spec, status }: Rollout): Promise<boolean> {
  if (!endedByCondemnation.has(status?.phase)) return false;
  const { namespace = '' } = metadata;
  const release = await client.find<Release>(releases, { namespace, name: spec.release });
  // A Release that was deleted and made again is not condemned either, but nobody said that it may be tried again.
  return release?.status?.condemned === undefined && release?.status?.lifted !== undefined;
}

function findApproved(
  { informers }: ControllerContext,
  application: Application,
  newest: Rollout,
): string | undefined {
  const { name, namespace } = application.metadata;
  const own = informers.releases
    .list(namespace)
    .filter((release) => release.spec.application === name && isOwnedBy(release, application));
  const [known, ...older] = latestFirst(informers.rollouts.list(namespace), application);
  // The informer may not have heard of the newest yet.
  const history =
    known === undefined || known.metadata.uid === newest.metadata.uid ? older : [known, ...older];
  return findApprovedRelease(own, [newest, ...history]);
}

async function writeStatus(
  { client }: ControllerContext,
  application: Application,
  status: ApplicationStatus,
): Promise<void> {
  if (isDeepStrictEqual(storedStatus(application), status)) return;
  await client.updateStatus(applications, { ...application, status });
}
