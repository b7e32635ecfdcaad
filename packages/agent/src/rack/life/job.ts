import type { MachineErrorReason, MachineStep } from '@selvedge/api';
import {
  addSeconds,
  type Job,
  type JobKind,
  type MachineRecord,
  type PowerAct,
  type TaskCut,
  withError,
  without,
} from './machine-record.ts';
import { mostFailures, type RackTimings } from './timings.ts';

/** A record that is at work. */
export type WorkingRecord = MachineRecord & { readonly job: Job };

export function isWorking(record: MachineRecord): record is WorkingRecord {
  return record.job !== undefined;
}

export interface Expectation {
  readonly step?: MachineStep;
  readonly expected: string;
  /** Absent: it may take for ever. */
  readonly seconds?: number;
  readonly personNext?: string;
}

export function startJob(
  record: MachineRecord,
  job: { kind: JobKind; stage: Job['stage']; subject?: string; now: string },
): WorkingRecord {
  const { kind, stage, subject, now } = job;
  return {
    ...without(record, 'error', 'wish', 'progress'),
    job: {
      kind,
      stage,
      since: now,
      expected: 'the rack begins',
      expectedSince: now,
      done: [],
      failures: 0,
      way: 0,
      boots: 0,
      ...(subject === undefined ? {} : { subject }),
    },
  };
}

/** The same expectation keeps its beginning. */
export function expect(record: WorkingRecord, expectation: Expectation, now: string): WorkingRecord {
  const { step, expected, seconds, personNext } = expectation;
  const { job } = record;
  const isSame = job.expected === expected && job.step === step;
  if (isSame && job.patienceSeconds === seconds && job.personNext === personNext) return record;
  const bare = without(job, 'step', 'patienceSeconds', 'personNext');
  return {
    ...record,
    job: {
      ...bare,
      expected,
      expectedSince: isSame ? job.expectedSince : now,
      ...(step === undefined ? {} : { step }),
      ...(seconds === undefined ? {} : { patienceSeconds: seconds }),
      ...(personNext === undefined ? {} : { personNext }),
    },
  };
}

/** When what is expected is given up; each sign of life puts it off that may lead to it. */
export function deadlineOf(record: MachineRecord): string | undefined {
  const { job } = record;
  if (job?.patienceSeconds === undefined) return undefined;
  const sign = lastSign(record);
  const from = sign !== undefined && sign > job.expectedSince ? sign : job.expectedSince;
  return addSeconds(from, job.patienceSeconds);
}

/** A system that runs on its disk renews its address every few minutes: that says nothing of a boot from the network, or of its seed. */
function lastSign({ job, lastSeen, seen }: MachineRecord): string | undefined {
  switch (job?.step) {
    case 'AwaitingBoot':
      return undefined;
    case 'AwaitingConfirmation':
      return seen.lastBootTime;
    default:
      return lastSeen?.time;
  }
}

export function isOverdue(record: MachineRecord, now: string): boolean {
  const deadline = deadlineOf(record);
  return deadline !== undefined && deadline <= now;
}

export interface Failure {
  readonly reason: MachineErrorReason;
  readonly message: string;
  /** Trying again changes nothing: another order or a person has to come. */
  readonly isLasting?: boolean;
  /** See `Job.failedAt`; absent: the box was not reached, and whatever it does next is progress. */
  readonly at?: string;
}

/** Tried again after a while; after `mostFailures` in a row only when somebody comes. */
export function failJob(
  record: WorkingRecord,
  failure: Failure,
  { now, timings }: { now: string; timings: RackTimings },
): WorkingRecord {
  const { reason, message, at = record.job.failedAt } = failure;
  const failed = withError(record, { reason, message, time: now });
  const failures = record.job.failures + 1;
  const isStuck = failure.isLasting === true || failures >= mostFailures;
  const retryAt = addSeconds(now, timings.retrySeconds * 4 ** (failures - 1));
  const job = {
    ...without(record.job, 'task', 'isAsked', 'retryAt', 'patienceSeconds', 'isStuck'),
    failures,
    ...(at === undefined ? {} : { failedAt: at }),
    boots: 0,
    expectedSince: now,
    ...(isStuck ? { isStuck: true as const } : { retryAt }),
  };
  return { ...without(failed, 'wish', 'progress'), job };
}

export function findCut({ cuts }: Job, name: string): TaskCut | undefined {
  return cuts?.find((cut) => cut.name === name);
}

/** Instead of what was noted of that task before. */
export function withCut(job: Job, cut: TaskCut): Job {
  return { ...job, cuts: [...(withoutCut(job, cut.name).cuts ?? []), cut].slice(-mostCuts) };
}

/** It restarted at its task, and may do so each time: only a write that comes further is another matter. */
export function withCutTask({ job, progress }: WorkingRecord): Job {
  if (job.task === undefined) return job;
  const { name } = job.task;
  const cut = findCut(job, name);
  const done = progress?.step === 'Writing' ? progress.done : 0;
  if (cut === undefined || done > cut.done) return withCut(job, { name, times: 1, done });
  return withCut(job, { ...cut, times: cut.times + 1 });
}

/** The task answered. */
export function withoutCut(job: Job, name: string): Job {
  if (findCut(job, name) === undefined) return job;
  const { cuts = [], ...rest } = job;
  const others = cuts.filter((cut) => cut.name !== name);
  return others.length === 0 ? rest : { ...rest, cuts: others };
}

const mostCuts = 20;

/** The box carried out a task. What failed before is forgotten when it was this task: those that lead there again prove nothing. */
export function withProgress(record: WorkingRecord, task: string): WorkingRecord {
  const job = { ...without(record.job, 'retryAt', 'isStuck'), boots: 0, way: 0 };
  const { failedAt } = job;
  if (failedAt !== undefined && failedAt !== task) return { ...record, job };
  return { ...without(record, 'error'), job: { ...without(job, 'failedAt'), failures: 0 } };
}

/** To be asked of the BMC by the runner. */
export function wishFor(
  record: WorkingRecord,
  { acts, now }: { acts: readonly PowerAct[]; now: string },
): WorkingRecord {
  const wishes = record.wishes + 1;
  return { ...record, wishes, wish: { id: String(wishes), acts, since: now, tries: 0 } };
}
