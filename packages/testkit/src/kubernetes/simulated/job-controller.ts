import type { ReconcileResult } from '@selvedge/kube';
import { makePod } from './pod-making.ts';
import { toTime } from './pod-script.ts';
import { counts, deleteObject, listOwned, patchStatus, randomSuffix, type Simulation } from './simulation.ts';
import { type Condition, isActive, isReady, type Pod, type Workload } from './workload-objects.ts';
import { jobs, pods } from './workload-resources.ts';

/** pkg/controller/job: pods until enough have succeeded, or more than `backoffLimit` have failed. */
export async function reconcileJob(simulation: Simulation, job: Workload): Promise<ReconcileResult> {
  const { status = {}, spec } = job;
  const isOver = status.conditions?.some(
    ({ type, status: value }) => value === 'True' && (type === 'Complete' || type === 'Failed'),
  );
  if (isOver || job.metadata.deletionTimestamp !== undefined || spec.suspend === true) return 'done';
  const now = simulation.clock.now();
  const owned = await listOwned<Pod>(simulation, pods, job);
  const active = owned.filter(isActive);
  const succeeded = owned.filter((pod) => pod.status?.phase === 'Succeeded').length;
  const failed = owned.filter((pod) => pod.status?.phase === 'Failed').length;
  const completions = spec.completions ?? spec.parallelism ?? 1;
  const startTime = (status['startTime'] as string | undefined) ?? toTime(now);
  const isComplete = succeeded >= completions;
  const hasFailed = failed > (spec.backoffLimit ?? 6);
  const shared = {
    startTime,
    uncountedTerminatedPods: {},
    ...counts({ succeeded, failed }),
  };
  if (isComplete || hasFailed) {
    for (const pod of active) await deleteObject(simulation, [pods, pod]);
    // Conditions come when no pod is left: `TerminatingPods` and KEP-4368.
    if (active.length > 0) return { requeueAfterSeconds: 0.1 };
    await patchStatus(simulation, [jobs, job], { ...shared, active: undefined, ready: 0, terminating: 0 });
    await patchStatus(simulation, [jobs, job], {
      conditions: isComplete ? completed(now) : failedOver(now),
      ...(isComplete ? { completionTime: toTime(now) } : {}),
    });
    return 'done';
  }
  const wanted = Math.min(spec.parallelism ?? 1, completions - succeeded);
  for (let i = active.length; i < wanted; i += 1) {
    await makePod(simulation, {
      owner: job,
      name: `${job.metadata.name}-${randomSuffix()}`,
      template: spec.template,
      labels: { 'batch.kubernetes.io/job-name': job.metadata.name, 'job-name': job.metadata.name },
    });
  }
  await patchStatus(simulation, [jobs, job], {
    ...shared,
    ...counts({ active: active.length }),
    ready: active.filter(isReady).length,
    terminating: 0,
  });
  return { requeueAfterSeconds: 0.5 };
}

interface JobCondition extends Condition {
  readonly lastProbeTime: string;
}

function condition(
  type: string,
  reason: string,
  { message, now }: { message: string; now: Date },
): JobCondition {
  const time = toTime(now);
  return { type, status: 'True', reason, message, lastTransitionTime: time, lastProbeTime: time };
}

function completed(now: Date): JobCondition[] {
  const message = 'Reached expected number of succeeded pods';
  return ['SuccessCriteriaMet', 'Complete'].map((type) =>
    condition(type, 'CompletionsReached', { message, now }),
  );
}

function failedOver(now: Date): JobCondition[] {
  const message = 'Job has reached the specified backoff limit';
  return ['FailureTarget', 'Failed'].map((type) => condition(type, 'BackoffLimitExceeded', { message, now }));
}
