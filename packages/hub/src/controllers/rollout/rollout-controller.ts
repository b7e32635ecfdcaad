import { isDeepStrictEqual } from 'node:util';
import {
  type Application,
  applications,
  isNotFound,
  matchesLabelSelector,
  type Rollout,
  type RolloutStatus,
  rollouts,
  type Site,
} from '@selvedge/api';
import {
  keyOfName,
  keyOfObject,
  type KeySource,
  keysFromInformer,
  nameOfKey,
  type ReconcileResult,
  runController,
} from '@selvedge/kube';
import { withCondition } from '../../rollout/conditions.ts';
import { planRollout } from '../../rollout/plan-rollout.ts';
import type { RolloutPlan } from '../../rollout/rollout-input.ts';
import { resolveDeadlineSeconds } from '../../rollout/wave-plan.ts';
import type { ControllerContext } from '../controller-context.ts';
import { coalesced } from '../key-sources.ts';
import { observeRollout } from './observe-rollout.ts';
import { pruneHistory } from './prune-history.ts';
import { rolloutEvents } from './rollout-events.ts';
import { isFinished, keyOfApplication, latestFirst } from './rollout-history.ts';

/** A fleet that reports all at once is looked at this often. */
const coalesceMilliseconds = 250;
/** Rows per write to the fleet store: each write is one long step for it. */
const assignmentsPerWrite = 500;

/** Brings the newest Rollout of each Application on its way. Keys are those of Applications. */
export function runRolloutController(ctx: ControllerContext): Promise<void> {
  const { informers, fleet, clock, logger, signal } = ctx;
  // Whoever deletes a Rollout by hand does not know of these.
  informers.rollouts.onChange({
    delete: ({ metadata }) => {
      void fleet.removeRolloutMembers(metadata.uid ?? '').catch((error: unknown) => {
        if (!signal.aborted) logger.warn('members of a deleted rollout not removed', { error });
      });
    },
  });
  const coalesce = (source: KeySource) =>
    coalesced(source, { clock, milliseconds: coalesceMilliseconds, signal });
  return runController({
    name: 'rollout',
    sources: [
      keysFromInformer(informers.applications),
      keysFromInformer(informers.rollouts, keyOfApplication),
      keysFromInformer(informers.releases, keyOfApplication),
      coalesce(keysFromSites(ctx)),
      coalesce(keysFromDeliveries(ctx)),
    ],
    concurrency: 4,
    reconcile: (key) => ctx.applicationLock.run(key, () => reconcile(ctx, key)),
    clock,
    logger,
    signal,
  });
}

function keysFromDeliveries({ fleet }: ControllerContext): KeySource {
  return {
    subscribe: (enqueue) =>
      fleet.onChange((change) => {
        if (change.kind !== 'delivery') return;
        const { namespace, application } = change.row;
        enqueue(keyOfName({ namespace, name: application }));
      }),
  };
}

/** Applications that select the site, as it was or as it is, when something that matters to them has changed. */
function keysFromSites({ informers }: ControllerContext): KeySource {
  const concerned = (site: Site): string[] =>
    informers.applications
      .list()
      .filter((a) => matchesLabelSelector(site.metadata.labels, a.spec.placement.siteSelector))
      .map(keyOfObject);
  return {
    synced: informers.sites.synced,
    subscribe: (enqueue) => {
      const tell = (site: Site) => {
        for (const key of concerned(site)) enqueue(key);
      };
      return informers.sites.onChange({
        add: tell,
        delete: tell,
        update: (site, previous) => {
          if (isDeepStrictEqual(relevantOf(site), relevantOf(previous))) return;
          tell(previous);
          tell(site);
        },
      });
    },
  };
}

function relevantOf({ metadata, spec, status }: Site): unknown[] {
  const connected = status?.conditions?.find((c) => c.type === 'Connected')?.status;
  return [metadata.labels, spec?.variables, connected];
}

async function reconcile(ctx: ControllerContext, key: string): Promise<ReconcileResult> {
  const { client, informers } = ctx;
  const application = await client.find<Application>(applications, nameOfKey(key));
  if (!application || application.metadata.deletionTimestamp !== undefined) return 'done';
  const [newest, ...older] = latestFirst(
    informers.rollouts.list(application.metadata.namespace),
    application,
  );
  for (const rollout of older) await supersede(ctx, rollout);
  if (!newest) return 'done';
  // Planned on what is stored now: the informer may not have heard of our own last write.
  const rollout = await client.find<Rollout>(rollouts, newest.metadata);
  const observed = rollout && (await observeRollout(ctx, application, rollout));
  if (!rollout || !observed) return 'done';
  const plan = planRollout(observed.input);
  await carryOut(ctx, { application, rollout, plan });
  await removeFrom(ctx, application, observed.unwanted);
  await pruneHistory(ctx, application, [newest, ...older]);
  return plan.wakeInSeconds === undefined ? 'done' : { requeueAfterSeconds: plan.wakeInSeconds };
}

interface Step {
  readonly application: Application;
  readonly rollout: Rollout;
  readonly plan: RolloutPlan;
}

/** In this order, so that a crash at any place leaves something from which the same plan follows. */
async function carryOut(ctx: ControllerContext, { application, rollout, plan }: Step): Promise<void> {
  const { client, fleet, recorder } = ctx;
  const { uid = '', name, namespace = '', generation = 0 } = rollout.metadata;
  const status: RolloutStatus = { observedGeneration: generation, ...plan.status };
  if (!isDeepStrictEqual(status, rollout.status)) {
    await client.updateStatus(rollouts, { ...rollout, status });
    const names = { name, release: rollout.spec.release };
    for (const event of rolloutEvents(names, rollout.status, status)) recorder.record(application, event);
  }
  if (plan.join.length > 0) await fleet.addRolloutMembers(uid, plan.join);
  const assignments = plan.assign.map(({ site, wave }) => ({
    site,
    namespace,
    application: application.metadata.name,
    applicationUid: application.metadata.uid ?? '',
    release: rollout.spec.release,
    digest: rollout.spec.digest,
    deadlineSeconds: resolveDeadlineSeconds(rollout.spec.strategy),
    rollout: name,
    wave,
  }));
  for (let first = 0; first < assignments.length; first += assignmentsPerWrite) {
    await fleet.assign(assignments.slice(first, first + assignmentsPerWrite));
  }
}

async function removeFrom(
  { fleet, recorder }: ControllerContext,
  application: Application,
  unwanted: readonly string[],
): Promise<void> {
  if (unwanted.length === 0) return;
  const { name, namespace = '' } = application.metadata;
  await fleet.remove(unwanted.map((site) => ({ site, namespace, application: name })));
  const named = unwanted.slice(0, 5).join(', ');
  recorder.record(application, {
    type: 'Normal',
    reason: 'RemovedFromSites',
    message: `The placement no longer selects ${unwanted.length} of its sites: ${named}${unwanted.length > 5 ? ', …' : ''}`,
  });
}

async function supersede({ client, clock }: ControllerContext, rollout: Rollout): Promise<void> {
  if (isFinished(rollout)) return;
  const now = clock.now().toISOString();
  const finding = { status: 'False', reason: 'Superseded', message: 'A newer rollout took over.' } as const;
  let conditions = withCondition(rollout.status?.conditions ?? [], { type: 'Progressing', ...finding }, now);
  conditions = withCondition(conditions, { type: 'Completed', ...finding }, now);
  const status: RolloutStatus = {
    ...rollout.status,
    phase: 'Superseded',
    message: 'a newer rollout took over',
    completionTime: now,
    conditions,
  };
  await client.updateStatus(rollouts, { ...rollout, status }).catch((error: unknown) => {
    if (!isNotFound(error)) throw error;
  });
}
