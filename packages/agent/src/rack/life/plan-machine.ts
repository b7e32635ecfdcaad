import { phaseRules, type SystemTask } from '@selvedge/api';
import { awaitedSystem, confirm, endSession, finishJob } from './finish-job.ts';
import { followOrder } from './follow-order.ts';
import {
  deadlineOf,
  expect,
  failJob,
  findCut,
  isOverdue,
  isWorking,
  withCut,
  type WorkingRecord,
} from './job.ts';
import { addSeconds, type MachineRecord, without, writtenDisk } from './machine-record.ts';
import type { PlanFacts } from './plan-facts.ts';
import {
  consentToEraseMissing,
  failureReasons,
  findMissingConsent,
  isLast,
  nextTask,
  type NextTask,
} from './plan-task.ts';
import { reachSystem } from './reach-system.ts';
import { planSwitch } from './plan-switch.ts';

/**
 * What is to become of a machine next, by what is known of it and wanted of it: its phase, what the rack does (`job`), what the BMC is asked for (`wish`), what the inspection
 * system is to do (`job.task`). Pure and idempotent: it is asked after everything that happened, and again after a crash.
 */
export function planMachine(record: MachineRecord, facts: PlanFacts): MachineRecord {
  let next = forgetPast(record, facts);
  // Each turn is one step of its life; they end where something outside has to happen.
  for (let turn = 0; turn < mostTurns; turn++) {
    const before = next;
    next = followOrder(next, facts);
    if (isWorking(next)) next = advance(next, facts);
    if (next === before) return next;
  }
  return next;
}

const mostTurns = 12;

/** The box did not ask again. */
function forgetPast(record: MachineRecord, { now }: PlanFacts): MachineRecord {
  const { asksAgainUntil } = record;
  const isPast = asksAgainUntil !== undefined && asksAgainUntil <= now;
  return isPast ? without(record, 'asksAgainUntil') : record;
}

/** When it has to be planned again although nothing happened, always later than it was planned; undefined: never. RFC 3339. */
export function wakeTime(record: MachineRecord): string | undefined {
  const { job, wish, session, asksAgainUntil } = record;
  if (job === undefined || job.isStuck === true) return undefined;
  if (job.retryAt !== undefined) return job.retryAt;
  // While the BMC is to be asked nothing else is expected.
  const isTicking = wish === undefined || session !== undefined;
  const times = [isTicking ? deadlineOf(record) : undefined, goneTime(record), asksAgainUntil];
  return times.filter((time) => time !== undefined).toSorted()[0];
}

function advance(record: WorkingRecord, facts: PlanFacts): MachineRecord {
  const { now } = facts;
  const { job } = record;
  if (job.isStuck === true) return record;
  if (job.retryAt !== undefined) {
    if (job.retryAt > now) return record;
    const { retryAt: _, ...again } = job;
    return { ...record, job: again };
  }
  switch (job.stage) {
    case 'Prepare':
      return prepare(record, facts);
    case 'System':
      if (isSystemGone(record, now)) return dropSession(record);
      if (record.session !== undefined) return runTasks(record, facts);
      return job.done.some(isLast) ? finishJob(record, facts) : reachSystem(record, facts);
    case 'Disk':
      return awaitInstalled(record, facts);
    case 'Power':
      return planSwitch(record, facts);
  }
}

/** It asks for a task every few seconds: one that has not until then was switched off by others. */
function goneTime({ session, lastSeen, job }: MachineRecord): string | undefined {
  if (job?.stage !== 'System' || session === undefined) return undefined;
  if (job.task !== undefined || job.kind === 'Rescue') return undefined;
  const seenAt = lastSeen === undefined || lastSeen.time < session.time ? session.time : lastSeen.time;
  return addSeconds(seenAt, staleSeconds);
}

function isSystemGone(record: WorkingRecord, now: string): boolean {
  const time = goneTime(record);
  return time !== undefined && time <= now;
}

const staleSeconds = 180;

/** It has to be brought up anew. */
function dropSession(record: WorkingRecord): WorkingRecord {
  return { ...without(record, 'session'), job: without(record.job, 'step', 'isAsked', 'task') };
}

function prepare(record: WorkingRecord, facts: PlanFacts): WorkingRecord {
  const { now, image, missing, order } = facts;
  const ready = { ...record, job: { ...record.job, stage: 'System' as const } };
  if (record.job.kind === 'Release') {
    if (order?.wipeConsent === true) return ready;
    return failJob(record, consentToEraseMissing(), facts);
  }
  if (missing !== undefined) {
    const hasSaid = record.error?.reason === 'SecretMissing';
    const said = hasSaid ? record : withSecretMissing(record, missing, now);
    return expect(said, { expected: missing }, now);
  }
  if (image?.isReady === true) {
    const failure = findMissingConsent(record, facts);
    if (failure !== undefined) return failJob(record, failure, facts);
    return { ...without(ready, 'error'), job: ready.job };
  }
  const expected = image?.message ?? `the image ${order?.provision?.image ?? ''} is named by the hub`;
  const waiting = expect(record, { expected }, now);
  if (image?.hasFailed !== true) return without(waiting, 'error') as WorkingRecord;
  if (record.error?.message === expected) return waiting;
  const reason = image.reason ?? 'ImageUnavailable';
  return { ...waiting, error: { reason, message: expected, since: now, count: 1 } };
}

function withSecretMissing(record: WorkingRecord, message: string, now: string): WorkingRecord {
  return { ...record, error: { reason: 'SecretMissing', message, since: now, count: 1 } };
}

function runTasks(record: WorkingRecord, facts: PlanFacts): MachineRecord {
  const { now } = facts;
  const { job } = record;
  if (job.task !== undefined) {
    if (!isOverdue(record, now)) return record;
    // It went off or away without another word, as it was told.
    if (isLast(job.task.name)) return endSession(record, job.task.name);
    return loseSystem(record, facts);
  }
  const next = nextTask(record, facts);
  switch (next.kind) {
    case 'Fail':
      return failJob(record, next.failure, facts);
    case 'Wait':
      return expect(record, { expected: next.expected, personNext: 'it goes on by itself then' }, now);
    case 'Finished':
      return finishJob(record, facts);
    case 'Task': {
      const cut = findCut(job, next.name);
      if (cut !== undefined && cut.times > toleratedCuts(next.task)) return failCut(record, next, facts);
      const id = record.taskNumber + 1;
      const given = { id, name: next.name, task: next.task, since: now };
      const seconds = isLast(next.name)
        ? goodbyeSeconds
        : silenceSeconds(record, facts) + extraSeconds(next.task);
      const expected = `the inspection system answers to "${next.name}"`;
      const told = expect({ ...record, taskNumber: id }, { step: next.step, expected, seconds }, now);
      return noteWriting({ ...told, job: { ...told.job, task: given } }, facts);
    }
  }
}

const goodbyeSeconds = 60;

function silenceSeconds({ phase }: MachineRecord, { timings }: PlanFacts): number {
  return timings.taskSeconds ?? phaseRules[phase].silenceSeconds ?? guestSeconds;
}

/** Of a system that runs for a person, or in a box that nobody accepted. */
const guestSeconds = 900;

/** Power is lost now and then, and a script that updates firmware restarts the box itself. */
function toleratedCuts(task: SystemTask): number {
  return task.task === 'script' && task.mayReboot ? 10 : 1;
}

function failCut(
  record: WorkingRecord,
  { name, task }: Extract<NextTask, { kind: 'Task' }>,
  facts: PlanFacts,
): WorkingRecord {
  const { times = 0, done = 0 } = findCut(record.job, name) ?? {};
  const message = `the box restarted ${times} times in the middle of "${name}"; look at its console`;
  const failed = failJob(record, { reason: failureReasons[task.task], message, at: name }, facts);
  // It is given once more after a while.
  return { ...failed, job: withCut(failed.job, { name, times: toleratedCuts(task), done }) };
}

/**
 * While a script or a test runs, the system says every few seconds that it is there; a box that is busy with it may be slow to. One whose script restarts it to change its
 * firmware may say nothing until that is done, and does not survive another restart before.
 */
function extraSeconds(task: SystemTask): number {
  if (task.task !== 'script' && task.task !== 'test') return 0;
  const { timeoutSeconds } = task;
  return task.task === 'script' && task.mayReboot
    ? timeoutSeconds
    : Math.min(timeoutSeconds, mostExtraSeconds);
}

const mostExtraSeconds = 900;

/** On the disk of the rack before the first byte is on that of the machine: what is there from now on is ours. */
function noteWriting(record: WorkingRecord, { order, image: facts }: PlanFacts): WorkingRecord {
  const task = record.job.task?.task;
  const wanted = order?.provision;
  if (task?.task !== 'write' || wanted === undefined) return record;
  const { image, instanceId } = wanted;
  return {
    ...without(record, 'provisioned', 'seed'),
    job: record.job,
    disks: 'Data',
    written: {
      image,
      instanceId,
      ...(facts?.isReady === true ? { digest: facts.digest } : {}),
      disk: writtenDisk(record, task.device),
    },
  };
}

/** It fell silent at a task: it is booted again, and the task is given again. */
function loseSystem(record: WorkingRecord, facts: PlanFacts): WorkingRecord {
  const { job, lastSeen } = record;
  const { task } = job;
  const seen = lastSeen === undefined ? '' : `; last seen: ${lastSeen.what}`;
  const failed = failJob(
    dropSession(record),
    {
      reason: 'TimedOut',
      message: `the inspection system fell silent at "${task?.name ?? ''}" for ${job.patienceSeconds} s${seen}`,
      ...(task && { at: task.name }),
    },
    facts,
  );
  if (task?.task.task !== 'script' || findCut(job, task.name) !== undefined) return failed;
  // It learns the next time that it was begun; this time counts as a failure already.
  return { ...failed, job: withCut(failed.job, { name: task.name, times: 0, done: 0 }) };
}

/** How often a box may come back to the network before its disk counts as one that does not boot. */
const mostDiskBoots = 5;

function awaitInstalled(record: WorkingRecord, facts: PlanFacts): MachineRecord {
  const { now, timings, confirmation } = facts;
  const { job } = record;
  if (record.wish !== undefined) return record;
  if (job.boots > mostDiskBoots) {
    const message = `it was sent to its disk ${job.boots} times and came back to the network each time: the image does not boot there`;
    return again(record, facts, message);
  }
  const sentAt = record.seen.lastBootTime;
  const isSent = job.boots > 0 && sentAt !== undefined;
  if (confirmation === 'Boot' && isSent && addSeconds(sentAt, timings.bootProofSeconds) <= now) {
    return confirm(record, now, 'it booted from its disk and did not come back');
  }
  const proof = confirmation === 'Boot' && isSent ? timings.bootProofSeconds : timings.confirmationSeconds;
  const waiting = expect(record, awaitedSystem(proof), now);
  if (confirmation === 'Boot' && isSent) return waiting;
  if (!isOverdue(waiting, now)) return waiting;
  const message = `the installed system did not say within ${timings.confirmationSeconds} s that it runs; look at its console; an image without cloud-init needs confirmation: Boot`;
  // It may be in use, and its call lost: it is not written over because of that.
  return failJob(record, { reason: 'ConfirmationFailed', message, isLasting: true }, facts);
}

/** From the beginning, as far as that may help. */
function again(record: WorkingRecord, facts: PlanFacts, message: string): WorkingRecord {
  const failed = failJob(record, { reason: 'ConfirmationFailed', message, at: 'confirm' }, facts);
  if (failed.job.isStuck === true) return failed;
  const { step: _, ...job } = failed.job;
  return { ...failed, job: { ...job, stage: 'Prepare', done: [] } };
}
