import type { Condition, Machine, MachineClaim } from '@selvedge/api';
import { withCondition } from '../../rollout/conditions.ts';

type ClaimStatus = NonNullable<MachineClaim['status']>;
type Finding = Pick<Condition, 'status' | 'reason' | 'message'>;

function withFindings(
  claim: MachineClaim,
  { bound, ready }: { bound: Finding; ready: Finding },
  now: Date,
): Condition[] {
  const observedGeneration = claim.metadata.generation ?? 0;
  const time = now.toISOString();
  const first = withCondition(
    claim.status?.conditions ?? [],
    { type: 'Bound', ...bound, observedGeneration },
    time,
  );
  return withCondition(first, { type: 'Ready', ...ready, observedGeneration }, time);
}

export function pendingStatus(
  claim: MachineClaim,
  { why, candidates, now }: { why: string; candidates: number; now: Date },
): ClaimStatus {
  const bound: Finding = { status: 'False', reason: 'NoMachine', message: why };
  const ready: Finding = { status: 'False', reason: 'NoMachine', message: 'It has no machine yet.' };
  return { phase: 'Pending', candidates, conditions: withFindings(claim, { bound, ready }, now) };
}

export function lostStatus(claim: MachineClaim, machineName: string, now: Date): ClaimStatus {
  const message = `Machine ${machineName} is gone, or was given to somebody else: delete this claim and make another.`;
  const finding: Finding = { status: 'False', reason: 'MachineLost', message };
  const { candidates: _, ...rest } = claim.status ?? {};
  const conditions = withFindings(claim, { bound: finding, ready: finding }, now);
  return { ...rest, phase: 'Lost', conditions };
}

export function boundStatus(claim: MachineClaim, machine: Machine, now: Date): ClaimStatus {
  const { name } = machine.metadata;
  const bound: Finding = {
    status: 'True',
    reason: 'Bound',
    message: `Machine ${name} at site ${machine.spec.siteName}.`,
  };
  const ready = readiness(claim, machine);
  return {
    phase: ready.status === 'True' ? 'Ready' : 'Bound',
    machineName: name,
    boundTime:
      claim.status?.machineName === name && claim.status.boundTime
        ? claim.status.boundTime
        : now.toISOString(),
    conditions: withFindings(claim, { bound, ready }, now),
  };
}

function readiness({ spec }: MachineClaim, { metadata, spec: wanted, status }: Machine): Finding {
  const { phase = 'New', error, waiting, provisioned } = status ?? {};
  const { name } = metadata;
  if (error) return { status: 'False', reason: error.reason, message: `Machine ${name}: ${error.message}` };
  const isSeen = (status?.observedGeneration ?? 0) >= (metadata.generation ?? 0);
  if (!isSeen) {
    const message = `The rack of site ${wanted.siteName} has not said yet that it knows of it.`;
    return { status: 'False', reason: 'WaitingForSite', message };
  }
  const hasImage =
    provisioned?.image === spec.image && provisioned?.instanceId === wanted.provision?.instanceId;
  const isDone = spec.image === undefined ? phase === 'Allocated' : phase === 'Provisioned' && hasImage;
  if (isDone) {
    const message =
      spec.image === undefined ? `Machine ${name} is allocated.` : `Machine ${name} runs ${spec.image}.`;
    return { status: 'True', reason: phase, message };
  }
  const step = waiting?.step === undefined ? '' : ` (${waiting.step})`;
  const message = `Machine ${name} is ${phase}${step}; selvedge machine show ${name} tells what is waited for.`;
  return { status: 'False', reason: phase, message };
}
