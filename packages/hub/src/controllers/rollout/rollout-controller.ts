import { isDeepStrictEqual } from 'node:util';
import {
  type Application,
  applications,
  isNotFound,
  type Release,
  type Rollout,
  type RolloutStatus,
  rollouts,
} from '@selvedge/api';
import {
  type KeySource,
  keysFromInformer,
  nameOfKey,
  type ReconcileResult,
  runController,
} from '@selvedge/kube';
import { planRollout } from '../../rollout/plan-rollout.ts';
import type { RolloutInput, RolloutPlan } from '../../rollout/rollout-input.ts';
import { removeFromSites } from '../application/application-removal.ts';
import type { ControllerContext } from '../controller-context.ts';
import { coalesced } from '../key-sources.ts';
import { passTakeover, withFormer } from '../removal/takeover-guard.ts';
import { highestAttempt } from './next-rollout-number.ts';
import { observeRollout } from './observe-rollout.ts';
import { pronounceVerdict } from './pronounce-verdict.ts';
import { pruneHistory } from './prune-history.ts';
import { rolloutConditions } from './rollout-conditions.ts';
import { rolloutEvents } from './rollout-events.ts';
import { isFinished, keyOfApplication, latestFirst } from './rollout-history.ts';
import { keysFromDeliveries, keysFromSites } from './rollout-sources.ts';

/** A fleet that reports all at once is looked at this often. */
const coalesceMilliseconds = 250;
/** Rows per write to the fleet store: each write is one long step for it. */
const assignmentsPerWrite = 500;

/** Brings the newest Rollout of each Application on its way. Keys are those of Applications. */
export function runRolloutController(ctx: ControllerContext): Promise<void> {
  const { informers, fleet, clock, logger, signal } = ctx;
  tellOfLifts(ctx);
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

/** A person takes a condemnation away through the API; here it is told. */
function tellOfLifts({ informers, recorder }: ControllerContext): void {
  informers.releases.onChange({
    update: (release, { status: before }) => {
      const { lifted, conditions } = release.status ?? {};
      if (lifted === undefined || lifted.time === before?.lifted?.time) return;
      const said = conditions?.find(({ type }) => type === 'Condemned')?.message ?? `Lifted by ${lifted.by}.`;
      const message = `Release ${release.metadata.name}: ${said}`;
      const { namespace = '' } = release.metadata;
      const application = informers.applications.find({ namespace, name: release.spec.application });
      for (const about of application ? [application, release] : [release]) {
        recorder.record(about, { type: 'Normal', reason: 'ReleaseLifted', message });
      }
    },
  });
}

async function reconcile(ctx: ControllerContext, key: string): Promise<ReconcileResult> {
  const { client, informers } = ctx;
  let application = await client.find<Application>(applications, nameOfKey(key));
  if (!application || application.metadata.deletionTimestamp !== undefined) return 'done';
  const history = latestFirst(informers.rollouts.list(application.metadata.namespace), application);
  const [newest, ...older] = history;
  if (!newest) return 'done';
  for (const rollout of older) await supersede(ctx, { application, rollout, successor: newest });
  // Planned on what is stored now: the informer may not have heard of our own last write.
  const rollout = await client.find<Rollout>(rollouts, newest.metadata);
  const observed = rollout && (await observeRollout(ctx, { application, rollout, history }));
  if (!rollout || !observed) return 'done';
  application = await rememberAttempts(ctx, application, observed.input);
  const planned = planRollout(observed.input);
  const takeover = await passTakeover(ctx, application, observed.former);
  application = takeover.application;
  const isHeld = takeover.lookInSeconds !== undefined;
  const plan = { ...planned, assign: withFormer(planned.assign, observed.former, isHeld) };
  await carryOut(ctx, { application, rollout, release: observed.release, plan });
  // One question at a time: what is to be left waits for the answer too.
  if (isHeld)
    return {
      requeueAfterSeconds: Math.min(takeover.lookInSeconds, plan.wakeInSeconds ?? Number.POSITIVE_INFINITY),
    };
  const removal = { unwanted: observed.unwanted, selected: observed.input.sites.length };
  const removalLookInSeconds = await removeFromSites(ctx, application, removal);
  await pruneHistory(ctx, application, history);
  const wakes = [plan.wakeInSeconds, removalLookInSeconds].filter((seconds) => seconds !== undefined);
  return wakes.length === 0 ? 'done' : { requeueAfterSeconds: Math.min(...wakes) };
}

/**
 * Sites know of rollouts that this hub does not: it was restored from a backup. Kept before this rollout takes the place of what
 * they were told, so that the next one has a number that is new to them.
 */
async function rememberAttempts(
  { client }: ControllerContext,
  application: Application,
  { number, rows }: RolloutInput,
): Promise<Application> {
  const highest = highestAttempt([...rows.values()]);
  if (highest <= Math.max(number, application.status?.highestAttempt ?? 0)) return application;
  const status = { ...application.status, highestAttempt: highest };
  return client.updateStatus<Application>(applications, { ...application, status });
}

interface Step {
  readonly application: Application;
  readonly rollout: Rollout;
  readonly release: Release;
  readonly plan: RolloutPlan;
}

/** In this order, so that a crash at any place leaves something from which the same plan follows. */
async function carryOut(ctx: ControllerContext, step: Step): Promise<void> {
  const { fleet } = ctx;
  const { application, rollout, release, plan } = step;
  const { uid = '', name, namespace = '' } = rollout.metadata;
  await pronounceVerdict(ctx, release, { rollout, plan });
  await writeStatus(ctx, step);
  if (plan.join.length > 0) await fleet.addRolloutMembers(uid, plan.join);
  const assignments = plan.assign.map((assignment) => ({
    ...assignment,
    namespace,
    application: application.metadata.name,
    applicationUid: application.metadata.uid ?? '',
    rollout: name,
  }));
  for (let first = 0; first < assignments.length; first += assignmentsPerWrite) {
    await fleet.assign(assignments.slice(first, first + assignmentsPerWrite));
  }
}

async function writeStatus(ctx: ControllerContext, { application, rollout, plan }: Step): Promise<void> {
  const { client, clock } = ctx;
  const { generation = 0 } = rollout.metadata;
  const conditions = rolloutConditions(plan.status, rollout.status?.conditions, clock.now().toISOString());
  const status: RolloutStatus = { observedGeneration: generation, ...plan.status, conditions };
  if (isDeepStrictEqual(status, rollout.status)) return;
  await client.updateStatus(rollouts, { ...rollout, status });
  tell(ctx, { application, rollout, status });
}

/** Of the Rollout itself, and of its Application, where people look first. */
function tell(
  { recorder }: ControllerContext,
  { application, rollout, status }: { application: Application; rollout: Rollout; status: RolloutStatus },
): void {
  const names = { name: rollout.metadata.name, release: rollout.spec.release };
  for (const event of rolloutEvents(names, rollout.status, status)) {
    recorder.record(application, event);
    recorder.record(rollout, event);
  }
}

async function supersede(
  ctx: ControllerContext,
  { application, rollout, successor }: { application: Application; rollout: Rollout; successor: Rollout },
): Promise<void> {
  if (isFinished(rollout)) return;
  const now = ctx.clock.now().toISOString();
  const ended = {
    ...rollout.status,
    phase: 'Superseded',
    message: `Rollout ${successor.metadata.name} took over`,
    completionTime: now,
  } as const;
  const status: RolloutStatus = {
    ...ended,
    conditions: rolloutConditions(ended, rollout.status?.conditions, now),
  };
  try {
    await ctx.client.updateStatus(rollouts, { ...rollout, status });
  } catch (error) {
    if (!isNotFound(error)) throw error;
    return;
  }
  tell(ctx, { application, rollout, status });
}
