import { type Machine, type MachineClaim, machines } from '@selvedge/api';
import { withCondition } from '../../rollout/conditions.ts';
import type { ControllerContext } from '../controller-context.ts';

type ClaimStatus = NonNullable<MachineClaim['status']>;

/**
 * Lets the machine of a claim go that is being deleted. An erase takes as long as it takes: the claim stays until the machine has said that it is done,
 * and then the consent that the claim gave for it is taken back.
 * @returns what the claim waits for; undefined: it may go.
 */
export async function releaseMachine(
  ctx: ControllerContext,
  claim: MachineClaim,
  held: Machine | undefined,
): Promise<ClaimStatus | undefined> {
  const { client, clock } = ctx;
  const { erase = 'None', wipeConsent } = claim.spec.release ?? {};
  const waits = (reason: string, message: string) => waitingStatus(claim, { reason, message }, clock.now());
  if (held) {
    const { name } = held.metadata;
    if (erase !== 'None' && wipeConsent !== name) {
      return waits(
        'ConsentMissing',
        `release.erase is ${erase}, but release.wipeConsent does not name ${name}: set it to ${name}, or erase to None`,
      );
    }
    if (erase !== 'None' && held.spec.protected === true) {
      return waits('Protected', `machine ${name} is protected: nothing on it is erased (spec.protected)`);
    }
    await client.update<Machine>(machines, released(held, erase));
    return erase === 'None' ? undefined : waits('Releasing', `machine ${name} is being erased (${erase})`);
  }
  const { machineName } = claim.status ?? {};
  if (machineName === undefined || !(wipeConsent === machineName || isErasing(claim))) return undefined;
  const machine = await client.find<Machine>(machines, { name: machineName });
  // With the consent that was given below: that is the machine that was let go.
  if (!machine || machine.spec.wipeConsent !== machineName) return undefined;
  const isTaken = machine.spec.consumer !== undefined;
  if (erase !== 'None' && !isTaken && !isReleased(machine)) {
    return waits('Releasing', `machine ${machineName} is being erased (${erase})${whyNot(machine)}`);
  }
  const { wipeConsent: _, ...spec } = machine.spec;
  const stopped = erase === 'None' && !isTaken ? { release: { ...spec.release, erase } } : {};
  await client.update<Machine>(machines, { ...machine, spec: { ...spec, ...stopped } });
  return undefined;
}

/** It has let its machine go to be erased. */
function isErasing({ status }: MachineClaim): boolean {
  return status?.conditions?.some(({ type, reason }) => type === 'Ready' && reason === 'Releasing') ?? false;
}

function released(machine: Machine, erase: 'None' | 'Quick' | 'Secure'): Machine {
  const { consumer: _consumer, provision: _provision, ...rest } = machine.spec;
  const consent = erase === 'None' ? {} : { wipeConsent: machine.metadata.name };
  return { ...machine, spec: { ...rest, ...consent, release: { ...rest.release, erase } } };
}

/** The rack has seen that the machine was let go, and is done with it. */
function isReleased({ metadata, status }: Machine): boolean {
  const isSeen = (status?.observedGeneration ?? 0) >= (metadata.generation ?? 0);
  const phases = ['New', 'Inspecting', 'Available', 'Broken'];
  return isSeen && phases.includes(status?.phase ?? '') && status?.provisioned === undefined;
}

function whyNot({ status }: Machine): string {
  return status?.error ? `: ${status.error.message}` : '';
}

function waitingStatus(
  claim: MachineClaim,
  { reason, message }: { reason: string; message: string },
  now: Date,
): ClaimStatus {
  const before = claim.status?.conditions ?? [];
  const observedGeneration = claim.metadata.generation ?? 0;
  const ready = { type: 'Ready', status: 'False' as const, reason, message, observedGeneration };
  return { ...claim.status, conditions: withCondition(before, ready, now.toISOString()) };
}
