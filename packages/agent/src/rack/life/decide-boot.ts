import type { BootMode, MachineOrder } from '@selvedge/api';
import { effectiveOrder, findPause } from './follow-order.ts';
import type { MachineRecord } from './machine-record.ts';
import type { PlanFacts } from './plan-facts.ts';
import { askAgainAttempts } from './timings.ts';

/** What a box is to boot, before it has a nonce. */
export type BootChoice =
  | { readonly boot: 'System' }
  | { readonly boot: 'Disk'; readonly method: 'Exit' | 'Sanboot' | 'NotFound' }
  | { readonly boot: 'PowerOff' }
  | { readonly boot: 'Wait'; readonly seconds: number; readonly attempts: number; readonly message: string };

/** Pure. The record is planned already with the box's request in it. @param hasSystem the inspection system for its architecture is here. */
export function decideBoot(
  record: MachineRecord,
  facts: PlanFacts,
  box: { platform: BootMode; hasSystem: boolean },
): BootChoice {
  const disk = { boot: 'Disk', method: diskMethod(facts.order, box.platform) } as const;
  if (record.conflict !== undefined) return disk;
  const order = effectiveOrder(record, facts);
  if (order === undefined) return ofUnwanted(record, facts, { ...box, disk });
  const { job } = record;
  const isForSystem = job?.stage === 'System' || (job?.stage === 'Prepare' && job.kind === 'Provision');
  if (isForSystem && findPause(record, order) === undefined && !isBlocked(record)) {
    return box.hasSystem ? { boot: 'System' } : wait(facts, 'the inspection system is not here yet');
  }
  const isFree = record.phase === 'Available' || record.phase === 'Allocated';
  const staysOn = order.power === 'On' || order.isProtected === true || job?.kind === 'Reboot';
  return isFree && !staysOn ? { boot: 'PowerOff' } : disk;
}

/** The system could do nothing: somebody has to allow it first. */
function isBlocked({ job, error }: MachineRecord): boolean {
  return job?.isStuck === true && error?.reason === 'ConsentMissing';
}

function ofUnwanted(
  record: MachineRecord,
  facts: PlanFacts,
  box: { hasSystem: boolean; disk: BootChoice },
): BootChoice {
  // It was somebody's, or is: its disk is its own.
  if (record.phase !== 'New') return box.disk;
  switch (facts.discovery) {
    case 'Ignore':
      return facts.order === undefined ? { boot: 'Disk', method: 'NotFound' } : box.disk;
    case 'Inspect':
      if (record.job?.kind === 'Inspect' && record.job.isStuck !== true && box.hasSystem)
        return { boot: 'System' };
      return wait(facts, 'nobody has accepted this machine yet');
    case 'Record':
      return wait(facts, 'nobody has accepted this machine yet');
  }
}

function wait({ timings }: PlanFacts, message: string): BootChoice {
  return { boot: 'Wait', seconds: timings.askAgainSeconds, attempts: askAgainAttempts, message };
}

function diskMethod(order: MachineOrder | undefined, platform: BootMode): 'Exit' | 'Sanboot' | 'NotFound' {
  return order?.localBoot ?? (platform === 'UEFI' ? 'Exit' : 'Sanboot');
}
