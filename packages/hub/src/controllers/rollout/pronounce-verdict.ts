import { type Release, type ReleaseStatus, type Rollout, releases } from '@selvedge/api';
import { withCondition } from '../../rollout/conditions.ts';
import type { RolloutPlan } from '../../rollout/rollout-input.ts';
import type { ControllerContext } from '../controller-context.ts';

/**
 * Writes into the Release what its rollout found out about it; before anything else of the plan, so that nobody offers a
 * condemned release, whatever breaks off behind it.
 */
export async function pronounceVerdict(
  { client, clock }: ControllerContext,
  release: Release,
  { rollout, plan }: { rollout: Rollout; plan: RolloutPlan },
): Promise<void> {
  if (!plan.verdict) return;
  const time = plan.status.breach?.time ?? clock.now().toISOString();
  const status =
    plan.verdict.kind === 'Approved'
      ? approved(release, { rollout, time })
      : condemned(release, { rollout, time, ...plan.verdict });
  if (status) await client.updateStatus(releases, { ...release, status });
}

interface Finding {
  readonly rollout: Rollout;
  readonly time: string;
}

function approved({ status = {} }: Release, { rollout, time }: Finding): ReleaseStatus | undefined {
  if (status.approvedTime !== undefined || status.condemned !== undefined) return undefined;
  const message = `Passed every wave of Rollout ${rollout.metadata.name}.`;
  const finding = { type: 'Approved', status: 'True', reason: 'EveryWavePassed', message } as const;
  const conditions = withCondition(status.conditions ?? [], finding, time);
  return { ...status, approvedTime: time, conditions };
}

/** Takes an approval away: should a person lift the condemnation, it has to pass every wave again. */
function condemned(
  { metadata, status = {} }: Release,
  { rollout: { metadata: condemning }, time, reason, message }: Finding & { reason: string; message: string },
): ReleaseStatus | undefined {
  if (status.condemned !== undefined) return undefined;
  const { approvedTime: _, conditions = [], ...rest } = status;
  const help = `"selvedge rollout lift ${metadata.name}" lets it be rolled out again.`;
  const finding = {
    type: 'Condemned',
    status: 'True',
    reason,
    message: `Failed in Rollout ${condemning.name}: ${message}. ${help}`,
  } as const;
  const unapproved = { type: 'Approved', status: 'False', reason: 'Condemned', message } as const;
  return {
    ...rest,
    condemned: {
      time,
      rollout: condemning.name,
      ...(condemning.uid === undefined ? {} : { rolloutUid: condemning.uid }),
      reason,
      message,
    },
    conditions: withCondition(withCondition(conditions, finding, time), unapproved, time),
  };
}
