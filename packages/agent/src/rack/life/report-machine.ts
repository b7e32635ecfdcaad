import { type MachineOrder, type MachineReport, type OperationalStatus, phaseRules } from '@selvedge/api';
import { boundResults } from './bound-results.ts';
import { findPause } from './follow-order.ts';
import { deadlineOf } from './job.ts';
import { describeHalfWritten, type MachineRecord } from './machine-record.ts';

/** What is said of a machine, before it gets its number. */
export type UnnumberedMachineReport = Omit<MachineReport, 'seq' | 'inventory'>;

/** Pure. */
export function reportMachine(
  record: MachineRecord,
  { order, now }: { order: MachineOrder | undefined; now: string },
): UnnumberedMachineReport {
  const { key, generation, phase, phaseSince, error, progress, power, seen, provisioned, disks } = record;
  const { inventoryDigest, inspectedTime, results, answered, timeline } = record;
  const pause = order && findPause(record, order);
  const waiting = describeWaiting(record, { order, pause });
  return {
    key,
    ...(generation === undefined ? {} : { generation }),
    phase,
    phaseSince,
    status: statusOf(record, { order, pause }),
    ...(error === undefined ? {} : { error }),
    ...(waiting === undefined ? {} : { waiting }),
    ...(progress === undefined ? {} : { progress }),
    power,
    seen,
    ...(provisioned === undefined ? {} : { provisioned }),
    ...(disks === undefined ? {} : { disks }),
    ...(inventoryDigest === undefined ? {} : { inventoryDigest }),
    ...(inspectedTime === undefined ? {} : { inspectedTime }),
    ...(results.length === 0 ? {} : { results: boundResults(results) }),
    ...(Object.keys(answered).length === 0 ? {} : { answered }),
    ...(timeline.length === 0 ? {} : { timeline: timeline.slice(0, mostMoments) }),
    observedTime: now,
  };
}

const mostMoments = 50;

interface Beside {
  readonly order: MachineOrder | undefined;
  readonly pause: string | undefined;
}

function statusOf(record: MachineRecord, { order, pause }: Beside): OperationalStatus {
  const { job, error } = record;
  if (error !== undefined) return 'Error';
  if (pause !== undefined || isLeft(record, order)) return 'Waiting';
  if (job === undefined) return 'OK';
  if (isRescued(record)) return 'OK';
  const isOutside = job.personNext !== undefined || job.stage === 'Prepare';
  return isOutside ? 'Waiting' : 'Working';
}

/** It is nobody's, or is to become something and nobody wants it any more. */
function isLeft({ phase, job }: MachineRecord, order: MachineOrder | undefined): boolean {
  if (job !== undefined || order?.accepted === true) return false;
  return phase === 'New' || phaseRules[phase].owner === 'Rack';
}

/** It is there, and stays so until somebody ends it. */
function isRescued({ job, session }: MachineRecord): boolean {
  return job?.kind === 'Rescue' && job.done.includes('rescue') && session !== undefined;
}

function describeWaiting(
  record: MachineRecord,
  { order, pause }: Beside,
): MachineReport['waiting'] | undefined {
  const { job, phaseSince, lastSeen } = record;
  const seen = lastSeen === undefined ? {} : { lastSeen };
  if (record.conflict !== undefined) {
    const expected = 'the identities of the machines are corrected';
    const left = 'nothing is done to it until spec.identity changes; it boots its own disk';
    const next = withHalfWritten(left, record);
    return { expected, since: record.error?.since ?? phaseSince, ...seen, next };
  }
  if (pause !== undefined) {
    const ofSpec =
      order?.isProtected === true ? 'it is no longer protected' : 'spec says what is to be on its disk';
    const ofPerson = record.isRecalled === true ? 'a person says what is to become of its disk' : ofSpec;
    const expected = record.isHeldBack === true ? 'a person says that the order of the hub holds' : ofPerson;
    return { expected, since: phaseSince, ...seen, next: withHalfWritten(pause, record) };
  }
  if (job === undefined) {
    if (!isLeft(record, order)) return undefined;
    const next = withHalfWritten('it boots its own disk; nothing is written to it', record);
    return { expected: 'somebody accepts it (spec.accepted)', since: phaseSince, ...seen, next };
  }
  if (isRescued(record)) return undefined;
  const isTicking = record.wish === undefined && job.retryAt === undefined && job.isStuck !== true;
  const until = isTicking ? deadlineOf(record) : undefined;
  return {
    ...(job.step === undefined ? {} : { step: job.step }),
    expected: job.expected,
    since: job.expectedSince,
    ...(until === undefined ? {} : { until }),
    ...seen,
    next: nextText(record),
  };
}

function withHalfWritten(next: string, record: MachineRecord): string {
  const told = describeHalfWritten(record);
  return told === undefined ? next : `${next}; ${told}`;
}

function nextText({ job, wish, error }: MachineRecord): string {
  if (job === undefined) return '';
  if (wish?.notBefore !== undefined) return `its BMC is asked again at ${wish.notBefore}`;
  if (job.isStuck === true) {
    return error?.reason === 'ConsentMissing' || error?.reason === 'TestFailed'
      ? 'waits until somebody changes spec, or asks to try again (spec.requests.retryTime)'
      : 'waits until somebody asks to try again (spec.requests.retryTime), changes spec, or starts the box';
  }
  if (job.retryAt !== undefined) return `it is tried again at ${job.retryAt}`;
  if (job.personNext !== undefined) return job.personNext;
  if (job.stage === 'Prepare') return 'it goes on by itself when that is here';
  return job.failures === 0
    ? 'it is started again and the step repeated'
    : 'it is tried in another way, or given up';
}
