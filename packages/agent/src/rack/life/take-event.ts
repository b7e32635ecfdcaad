import {
  type MachineInventory,
  type MachineStep,
  machineErrorReasons,
  type PowerState,
  type ScriptResult,
} from '@selvedge/api';
import type { BootRequest, TaskResult } from '../boot/machine-desk.ts';
import type { PowerError } from '../power/power-driver.ts';
import type { BootChoice } from './decide-boot.ts';
import { confirm, endSession, withConfirmation } from './finish-job.ts';
import {
  expect,
  failJob,
  isWorking,
  withCutTask,
  withoutCut,
  withProgress,
  type WorkingRecord,
} from './job.ts';
import {
  addSeconds,
  fixedDisks,
  type GivenTask,
  holdsData,
  type KeptSession,
  type MachineRecord,
  noteMoment,
  noteStopped,
  storageOf,
  withError,
  without,
  withSign,
} from './machine-record.ts';
import type { PlanFacts } from './plan-facts.ts';
import { failureReasons, isLast } from './plan-task.ts';
import { mostFailures, type RackTimings } from './timings.ts';

/** What happened to a machine, taken into its record. All pure; `planMachine` then says what is to become of it. */

/** Its firmware asks what to boot: whatever ran before runs no more. */
export function bootAsked(record: MachineRecord, request: BootRequest, now: string): MachineRecord {
  const seen = {
    ...record.seen,
    bootMode: request.platform,
    architecture: request.architecture,
    address: request.address,
    lastBootTime: now,
    ...(request.product === undefined ? {} : { product: request.product.slice(0, 100) }),
    ...(request.manufacturer === undefined ? {} : { manufacturer: request.manufacturer.slice(0, 100) }),
  };
  let next: MachineRecord = withSign(
    { ...record, seen, power: { state: 'On', observedTime: now } },
    `it asked what to boot (${request.platform}, ${request.address})`,
    now,
  );
  const { job } = next;
  if (job?.task !== undefined && isLast(job.task.name) && isWorking(next))
    next = endSession(next, job.task.name);
  next = without(next, 'session', 'asksAgainUntil');
  if (!isWorking(next)) return next;
  const cameByItself = next.job.stage === 'System' || next.job.stage === 'Prepare';
  if (cameByItself) next = without(next, 'wish') as WorkingRecord;
  return withBoot(next as WorkingRecord);
}

function withBoot(record: WorkingRecord): WorkingRecord {
  const { error } = record;
  const job = withCutTask(record);
  const boots = job.boots + 1;
  // A box that comes by itself is given another chance.
  const isReachable = error !== undefined && reachErrors.has(error.reason);
  if (!isReachable) {
    const { task: _, ...rest } = job;
    return { ...record, job: { ...rest, boots } };
  }
  const bare = without(job, 'isStuck', 'retryAt', 'task');
  const failures = Math.min(job.failures, mostFailures - 1);
  return { ...without(record, 'error'), job: { ...bare, boots, failures } };
}

const reachErrors = new Set(['TimedOut', 'PowerUnavailable', 'PowerUnauthorized', 'PowerNotHonoured']);

/** It was told what to boot. */
export function bootDecided(
  record: MachineRecord,
  choice: BootChoice,
  told: { request: BootRequest; now: string; timings: RackTimings; nonceDigest?: string | undefined },
): MachineRecord {
  const { request, now, timings, nonceDigest } = told;
  let next = noteBootMoment(record, choice, now);
  if (choice.boot === 'Wait') {
    const until = addSeconds(now, choice.seconds * 2 + 20);
    return { ...next, asksAgainUntil: until };
  }
  if (choice.boot === 'PowerOff') next = { ...next, settlesOff: true };
  if (nonceDigest === undefined) return next;
  const { macAddress, address } = request;
  // It is where it is to be: nobody has to switch it.
  next = { ...without(next, 'wish'), boot: { digest: nonceDigest, macAddress, address, time: now } };
  if (!isWorking(next)) return next;
  const expectation = {
    step: 'AwaitingSystem' as const,
    expected: 'the inspection system starts and says so',
    seconds: timings.systemSeconds,
  };
  const { isAsked: _, ...job } = next.job;
  return expect({ ...next, job }, expectation, now);
}

function noteBootMoment(record: MachineRecord, choice: BootChoice, time: string): MachineRecord {
  const last = record.timeline.at(-1);
  const message = choice.boot === 'Wait' ? `told to wait: ${choice.message}` : `told to boot: ${choice.boot}`;
  // A box that waits asks every few seconds.
  if (last?.reason === 'BootRequested' && last.message === message && choice.boot === 'Wait') return record;
  return noteMoment(record, { time, reason: 'BootRequested', message });
}

/** The inspection system proved itself by its nonce. */
export function sessionOpened(record: MachineRecord, session: KeptSession): MachineRecord {
  const now = session.time;
  const { boot } = record;
  const used = withSign({ ...record, session }, 'its inspection system started', now);
  const opened = noteMoment(boot === undefined ? used : { ...used, boot: { ...boot, isUsed: true } }, {
    time: now,
    reason: 'SystemStarted',
    message: `the inspection system runs at ${session.address}`,
  });
  if (!isWorking(opened)) return opened;
  const { isAsked: _, ...job } = opened.job;
  const expectation = { step: 'AwaitingSystem' as const, expected: 'the inspection system asks for a task' };
  // The door of a rescue is gone with the system that had it.
  const done = job.done.filter((name) => name !== 'rescue');
  return expect({ ...opened, job: { ...job, done, boots: 0 } }, expectation, now);
}

export function inventoryTaken(
  record: MachineRecord,
  taken: { inventory: MachineInventory; digest: string; now: string },
): MachineRecord {
  const { inventory, digest, now } = taken;
  const storage = storageOf(inventory);
  const { system, cpu } = inventory.resources;
  const next = withSign(
    {
      ...record,
      storage,
      disks: fixedDisks(storage).some(holdsData) ? 'Data' : 'Blank',
      inventoryDigest: digest,
      inspectedTime: now,
      seen: {
        ...record.seen,
        ...(system.product === undefined ? {} : { product: system.product.slice(0, 100) }),
        ...(system.vendor === undefined ? {} : { manufacturer: system.vendor.slice(0, 100) }),
        ...(cpu.architecture === '' ? {} : { architecture: cpu.architecture }),
      },
      ...(record.session === undefined
        ? {}
        : { session: { ...record.session, hasInventory: true as const } }),
    },
    'its inventory came',
    now,
  );
  const isNew = digest !== record.inventoryDigest;
  if (!isNew) return next;
  return noteMoment(next, { time: now, reason: 'InventoryTaken', message: describeInventory(inventory) });
}

function describeInventory({ resources }: MachineInventory): string {
  const gigabytes = (bytes: number) => `${Math.round(bytes / 1e8) / 10} GB`;
  const disks = resources.storage.disks.map(({ id, size }) => `${id} ${gigabytes(size)}`).join(', ');
  return `${resources.cpu.total} threads, ${gigabytes(resources.memory.total)} of memory, disks: ${disks || 'none'}`;
}

/** The task at hand was carried out, or not. */
export function taskAnswered(
  record: WorkingRecord,
  answer: { task: GivenTask; result: TaskResult },
  facts: PlanFacts,
): MachineRecord {
  const { task, result } = answer;
  const { now } = facts;
  const { task: _, ...rest } = record.job;
  const answered = withSign(
    without({ ...record, job: withoutCut(rest, task.name) }, 'progress') as WorkingRecord,
    `it answered "${task.name}": ${result.status}`,
    now,
  );
  const isGood = result.status === 'ok' || result.status === 'degraded' || result.status === 'skipped';
  const isChecked = task.task.task === 'script' || task.task.task === 'test';
  if (isChecked) {
    const noted = withResult(answered, { task, result, now });
    return withDone(withProgress(noted as WorkingRecord, task.name), task.name);
  }
  if (!isGood) return withFailure(answered as WorkingRecord, answer, facts);
  return withSuccess(answered as WorkingRecord, task, facts);
}

function withDone(record: WorkingRecord, name: string): WorkingRecord {
  return { ...record, job: { ...record.job, done: [...record.job.done, name] } };
}

function withFailure(
  record: WorkingRecord,
  { task, result }: { task: GivenTask; result: TaskResult },
  facts: PlanFacts,
): WorkingRecord {
  const known = machineErrorReasons.find((reason) => reason === result.reason);
  const reason = known ?? failureReasons[task.task.task];
  const said = result.message ?? result.output?.slice(-300) ?? 'it did not say why';
  const message = `"${task.name}" failed: ${said}`;
  const isLasting = reason === 'DiskTooSmall' || reason === 'ConsentMissing';
  const failed = failJob(record, { reason, message, isLasting, at: task.name }, facts);
  // What is on the disk may have changed.
  if (failed.session === undefined) return failed;
  return { ...failed, session: without(failed.session, 'hasInventory') };
}

function withSuccess(record: WorkingRecord, task: GivenTask, facts: PlanFacts): MachineRecord {
  const { now } = facts;
  if (isLast(task.name)) return endSession(withProgress(record, task.name), task.name);
  const good = withDone(withProgress(record, task.name), task.name);
  const { session } = good;
  switch (task.task.task) {
    case 'collect':
      // Without an inventory it is asked for again.
      return session?.hasInventory === true
        ? good
        : failJob(
            record,
            { reason: 'InspectionFailed', message: 'it collected, and sent no inventory', at: task.name },
            facts,
          );
    case 'erase': {
      const checked = session === undefined ? good : { ...good, session: without(session, 'hasInventory') };
      return noteMoment(without(checked, 'provisioned', 'seed', 'written'), {
        time: now,
        reason: 'Erased',
        message: `erased (${task.task.mode}): ${task.task.devices.map(({ id }) => id).join(', ')}`,
      });
    }
    case 'write':
      return noteMoment(withProvisioned(withBegunWrite(good), task, now), {
        time: now,
        reason: 'ImageWritten',
        message: `the image is on ${task.task.device.id}, verified`,
      });
    case 'seed':
      return good.seed === undefined ? good : { ...good, seed: { ...good.seed, isOnDisk: true } };
    default:
      return good;
  }
}

/** Bytes of ours are on the disk: what was there before is lost. */
function withBegunWrite(record: WorkingRecord): WorkingRecord {
  const { written } = record;
  if (written?.disk.before === undefined) return record;
  return { ...record, written: { ...written, disk: without(written.disk, 'before') } };
}

/** What was written, as it was noted then: another image may be wanted under that name by now, and be on its way. */
function withProvisioned(record: WorkingRecord, { task }: GivenTask, now: string): MachineRecord {
  const { written } = record;
  if (task.task !== 'write' || written?.digest === undefined) return record;
  const { id, serial } = task.device;
  return {
    ...record,
    provisioned: {
      image: written.image,
      digest: written.digest,
      instanceId: written.instanceId,
      device: id,
      writtenTime: now,
      ...(serial === undefined ? {} : { serial }),
    },
  };
}

function withResult(
  record: MachineRecord,
  { task, result, now }: { task: GivenTask; result: TaskResult; now: string },
): MachineRecord {
  const status = statuses[result.status];
  const whole: ScriptResult = {
    name: task.name,
    status,
    time: now,
    ...(result.exitCode === undefined ? {} : { exitCode: result.exitCode }),
    ...(result.durationSeconds === undefined ? {} : { durationSeconds: result.durationSeconds }),
    ...(result.output === undefined ? {} : { output: result.output.slice(-2000) }),
    ...(result.values === undefined ? {} : { values: result.values }),
  };
  const others = record.results.filter(({ name }) => name !== task.name);
  const noted = { ...record, results: [...others, whole].slice(-mostResults) };
  const isBad = status === 'Failed' || status === 'TimedOut';
  return noteMoment(noted, {
    time: now,
    reason: 'ScriptDone',
    message: `${task.name}: ${status}`,
    ...(isBad ? { type: 'Warning' as const } : {}),
  });
}

const mostResults = 100;
const statuses = {
  ok: 'Passed',
  failed: 'Failed',
  degraded: 'Degraded',
  skipped: 'Skipped',
  timedout: 'TimedOut',
} as const;

/** The inspection system said how far it is. */
export function progressed(
  record: WorkingRecord,
  progress: { step: MachineStep; done: number; total: number },
  now: string,
): MachineRecord {
  const unit: 'Bytes' | 'Parts' =
    progress.step === 'Writing' || progress.step === 'Erasing' ? 'Bytes' : 'Parts';
  const what = `${progress.step}: ${progress.done} of ${progress.total}`;
  const isBegun = progress.step === 'Writing' && progress.done > 0;
  const next = { ...(isBegun ? withBegunWrite(record) : record), progress: { ...progress, unit } };
  const last = record.progress;
  // A system that asks for the same piece for ever is no nearer to its end. A drive's own erase does not say how far it is.
  const isStuck = progress.step === 'Writing' && last?.step === 'Writing' && last.done === progress.done;
  return isStuck ? next : withSign(next, what, now);
}

/** The installed system said that it runs. */
export function systemConfirmed(
  record: MachineRecord,
  said: { address: string; hostname?: string },
  now: string,
): MachineRecord {
  const name = said.hostname === undefined ? '' : ` as ${said.hostname.slice(0, 63)}`;
  const seen = withSign(
    { ...record, seen: { ...record.seen, address: said.address } },
    `the installed system called${name}`,
    now,
  );
  // The token is of the last write alone: what calls is what is wanted there, however late and whatever was done meanwhile.
  if (seen.phase === 'Provisioning' && seen.provisioned !== undefined) {
    return confirm(seen, now, `the installed system said that it runs, at ${said.address}${name}`);
  }
  const confirmed = withConfirmation(seen, now);
  const { phase, returnPhase } = confirmed;
  const returnsToIt = phase !== 'Provisioned' && returnPhase === 'Provisioning';
  return returnsToIt ? { ...confirmed, returnPhase: 'Provisioned' } : confirmed;
}

export function powerRead(
  record: MachineRecord,
  read: { state: PowerState; message?: string },
  now: string,
): MachineRecord {
  const { state, message } = read;
  const power = {
    state,
    observedTime: now,
    ...(message === undefined ? {} : { message: message.slice(0, 500) }),
  };
  const isNew = record.power.state !== state && state !== 'Unknown' && record.power.state !== 'Unknown';
  const next = { ...record, power };
  if (!isNew) return next;
  return noteMoment(next, {
    time: now,
    reason: `Power${state}`,
    message: `its BMC reads that it is ${state.toLowerCase()}`,
  });
}

/** The BMC took it. */
export function wishDone(record: MachineRecord, id: string, facts: PlanFacts): MachineRecord {
  if (record.wish?.id !== id) return record;
  const { now, timings } = facts;
  const names = record.wish.acts.map(({ kind }) => kind).join(', ');
  const taken = noteMoment(without(record, 'wish'), {
    time: now,
    reason: 'PowerOrdered',
    message: `the BMC took: ${names}`,
  });
  if (!isWorking(taken)) return taken;
  const { error } = taken;
  const cleared = error !== undefined && powerReasons.has(error.reason) ? without(taken, 'error') : taken;
  const asked = { ...cleared, job: { ...taken.job, isAsked: true as const } };
  if (taken.job.stage !== 'System') return asked;
  const expectation = {
    step: 'AwaitingBoot' as const,
    expected: 'the box starts and asks what to boot',
    seconds: timings.bootSeconds,
  };
  return expect(asked, expectation, now);
}

const powerReasons = new Set(['PowerUnavailable', 'PowerUnauthorized']);

/** The BMC did not take it: asked again later and later, or, where that way is closed, by the next. */
export function wishFailed(
  record: MachineRecord,
  failed: { id: string; error: Pick<PowerError, 'reason' | 'message'> },
  facts: PlanFacts,
): MachineRecord {
  const { wish } = record;
  if (wish?.id !== failed.id) return record;
  const { now, timings } = facts;
  const { reason, message } = failed.error;
  const isClosed = reason === 'NotHonoured' || reason === 'Unsupported';
  if (isClosed && isWorking(record)) {
    const hasOtherWay = wish.acts.some(({ kind }) => kind === 'SetBoot' || kind === 'GracefulOff');
    const bare = without(record, 'wish') as WorkingRecord;
    if (hasOtherWay) {
      const noted = noteMoment(bare, { time: now, type: 'Warning', reason: 'PowerNotHonoured', message });
      return { ...noted, job: { ...record.job, way: record.job.way + 1 } };
    }
    return failJob(bare, { reason: 'PowerNotHonoured', message }, facts);
  }
  const tries = wish.tries + 1;
  const waitSeconds = Math.min(longestPowerWait, timings.retrySeconds * 2 ** (tries - 1));
  const code = reason === 'Unauthorized' ? 'PowerUnauthorized' : 'PowerUnavailable';
  const next = { ...record, wish: { ...wish, tries, notBefore: addSeconds(now, waitSeconds) } };
  return withError(next, { reason: code, message, time: now });
}

const longestPowerWait = 600;

/** A person asked to try again, or the agent was away: what was expected is expected from now on. */
export function resumed(record: MachineRecord, now: string): MachineRecord {
  const { asksAgainUntil: _, ...rest } = record;
  if (!isWorking(rest)) return rest;
  const { retryAt: __, ...job } = rest.job;
  return { ...rest, job: { ...job, expectedSince: now } };
}

/** Two boxes answer to it, or one to two; undefined: no longer. */
export function withConflict(record: MachineRecord, message: string | undefined, now: string): MachineRecord {
  if (message === undefined) return without(record, 'conflict', 'error');
  if (record.conflict === message) return record;
  const left = { ...without(record, 'job', 'wish', 'progress', 'session', 'boot'), conflict: message };
  const next = noteStopped(record, left, now);
  return withError(next, { reason: 'IdentityConflict', message, time: now });
}
