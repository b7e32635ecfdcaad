import type { MachineOrder } from '@selvedge/api';
import { effectiveOrder } from './follow-order.ts';
import { expect, type WorkingRecord } from './job.ts';
import { enterPhase, type MachineRecord, noteMoment, without } from './machine-record.ts';
import type { PlanFacts } from './plan-facts.ts';

/** The box is not in the system any more, as it was told. */
export function endSession(record: WorkingRecord, name: string): WorkingRecord {
  const { task: _, ...job } = record.job;
  const ended = { ...without(record, 'session', 'progress'), job: { ...job, done: [...job.done, name] } };
  if (job.kind === 'Provision') {
    return { ...ended, job: { ...without(ended.job, 'isAsked'), stage: 'Disk', boots: 0 } };
  }
  return ended;
}

/** All of its tasks were carried out. */
export function finishJob(record: WorkingRecord, facts: PlanFacts): MachineRecord {
  const { now, timings } = facts;
  const order = effectiveOrder(record, facts);
  const { job } = record;
  switch (job.kind) {
    case 'Inspect': {
      if (order === undefined) return without(record, 'job', 'wish', 'progress', 'error');
      const phase = order.allocated ? 'Allocated' : 'Available';
      const inspected = enterPhase(record, phase, { time: now, why: 'it was inspected' });
      return settle(inspected, record, order);
    }
    case 'Release':
      return settle(released(record, now), record, order);
    case 'Rescue':
      return expect(without(record, 'error') as WorkingRecord, { expected: rescueText(record) }, now);
    case 'Provision':
      return expect(record, awaitedSystem(timings.confirmationSeconds), now);
    case 'Leave':
    case 'Reboot':
    case 'Switch':
      return settle(without(record, 'job', 'wish', 'progress', 'error'), record, order);
  }
}

const rescueText = ({ session, seen }: MachineRecord): string =>
  `it runs the rescue system at ${session?.address ?? seen.address ?? 'an unknown address'}`;

function settle(
  record: MachineRecord,
  before: WorkingRecord,
  order: MachineOrder | undefined,
): MachineRecord {
  const isOff =
    before.job.done.includes('poweroff') || (before.job.kind === 'Release' && before.job.stage === 'Power');
  return isOff && order?.power !== 'On' ? { ...record, settlesOff: true } : record;
}

/** Nobody's any more. */
export function released(record: WorkingRecord, now: string): MachineRecord {
  const why = record.job.done.includes('erase') ? 'its disks were erased' : 'its disks were left as they are';
  const entered = enterPhase(record, 'Available', { time: now, why });
  const bare = without(entered, 'provisioned', 'seed', 'written');
  return record.job.done.includes('erase') ? { ...bare, disks: 'Blank' } : bare;
}

/** What is on its disk is in use: from now on nothing is written over it without consent. */
export function withConfirmation(record: MachineRecord, now: string): MachineRecord {
  const { provisioned, seed } = record;
  return {
    ...without(record, 'written', 'session'),
    ...(provisioned && { provisioned: { ...provisioned, confirmedTime: now } }),
    ...(seed && { seed: { ...seed, isConfirmed: true } }),
  };
}

export function awaitedSystem(seconds: number) {
  return {
    step: 'AwaitingConfirmation' as const,
    expected: 'the installed system says that it runs',
    seconds,
  };
}

/** The installed system runs, whatever the rack was doing meanwhile. */
export function confirm(record: MachineRecord, now: string, why: string): MachineRecord {
  const entered = enterPhase(withConfirmation(record, now), 'Provisioned', { time: now, why });
  return noteMoment(entered, { time: now, reason: 'Confirmed', message: why });
}
