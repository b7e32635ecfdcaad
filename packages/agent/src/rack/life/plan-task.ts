import {
  imageChunkBytes,
  type MachineOrder,
  type MachineStep,
  type ScriptResult,
  selectRootDevice,
  type StorageDisk,
  type SystemTask,
} from '@selvedge/api';
import { type Failure, findCut, type WorkingRecord } from './job.ts';
import {
  diskName,
  findWrittenDisk,
  fixedDisks,
  holdsData,
  holdsForeignData,
  type MachineRecord,
} from './machine-record.ts';
import type { PlanFacts } from './plan-facts.ts';

/** What the inspection system is to do next for a job. */
export type NextTask =
  | { readonly kind: 'Task'; readonly name: string; readonly step: MachineStep; readonly task: SystemTask }
  /** Something outside has to come first. */
  | { readonly kind: 'Wait'; readonly expected: string }
  | { readonly kind: 'Fail'; readonly failure: Failure }
  /** Nothing more: the job is done, or for a rescue, it is there. */
  | { readonly kind: 'Finished' };

export function nextTask(record: WorkingRecord, facts: PlanFacts): NextTask {
  const { job, session } = record;
  const isSwitched = job.kind === 'Leave' || job.kind === 'Reboot' || job.kind === 'Switch';
  if (session?.hasInventory !== true && !isSwitched && job.kind !== 'Rescue') {
    return { kind: 'Task', name: 'collect', step: 'Collecting', task: { task: 'collect' } };
  }
  switch (job.kind) {
    case 'Inspect':
      return nextOfInspection(record, facts);
    case 'Provision':
      return nextOfProvision(record, facts);
    case 'Release':
      return nextOfRelease(record, facts);
    case 'Rescue': {
      if (job.done.includes('rescue')) return { kind: 'Finished' };
      const authorizedKeys = facts.order?.rescue?.authorizedKeys ?? [];
      return {
        kind: 'Task',
        name: 'rescue',
        step: 'AwaitingSystem',
        task: { task: 'rescue', authorizedKeys },
      };
    }
    case 'Leave':
    case 'Reboot':
    case 'Switch':
      return lastTask(record, facts.order);
  }
}

/** Of tasks that failed without saying why. */
export const failureReasons = {
  collect: 'InspectionFailed',
  script: 'InspectionFailed',
  test: 'TestFailed',
  erase: 'EraseFailed',
  write: 'DiskError',
  seed: 'SeedFailed',
  rescue: 'Internal',
  reboot: 'Internal',
  poweroff: 'Internal',
} as const;

/** Tasks after which the system is gone. */
export function isLast(name: string | undefined): boolean {
  return name === 'reboot' || name === 'poweroff';
}

function nextOfInspection(record: WorkingRecord, facts: PlanFacts): NextTask {
  const { order, scripts, hasScript } = facts;
  const { done } = record.job;
  // Of a box that nobody accepted the inventory is taken, no more.
  if (order?.accepted !== true) return lastTask(record, undefined);
  const byName = scripts.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const commissioning = byName.filter(({ metadata }) => metadata.type === 'Commissioning');
  const testing = byName.filter(({ metadata }) => metadata.type === 'Testing');
  for (const script of commissioning.concat(testing)) {
    const name = `script:${script.name}`;
    const tests = script === testing[0] ? nextTest(done, order) : undefined;
    if (tests !== undefined) return tests;
    if (done.includes(name)) continue;
    if (!hasScript(script)) {
      return { kind: 'Wait', expected: `the script ${script.name} is fetched from the hub` };
    }
    const { timeoutSeconds, forHardware, mayReboot } = script.metadata;
    const step = script.metadata.type === 'Testing' ? 'Testing' : 'Collecting';
    const hasStarted = findCut(record.job, name) !== undefined;
    const kept = { timeoutSeconds, forHardware, mayReboot, hasStarted };
    const task = { task: 'script' as const, name: script.name, ...kept };
    return { kind: 'Task', name, step, task };
  }
  return nextTest(done, order) ?? findBadResult(record, facts) ?? lastTask(record, order);
}

function nextTest(done: readonly string[], order: MachineOrder): NextTask | undefined {
  const test = order.inspection.tests.find((one) => !done.includes(`test:${one}`));
  if (test === undefined) return undefined;
  const task = { task: 'test' as const, name: test, timeoutSeconds: testSeconds[test] };
  return { kind: 'Task', name: `test:${test}`, step: 'Testing', task };
}

const testSeconds = { memory: 4 * 3600, disk: 12 * 3600, network: 600 };

function findBadResult(record: WorkingRecord, facts: PlanFacts): NextTask | undefined {
  const { job, results } = record;
  const isBad = ({ name, status }: ScriptResult) =>
    job.done.includes(name) && (status === 'Failed' || status === 'TimedOut');
  const bad = results.filter((result) => isBad(result) && isWanted(result.name, facts));
  if (bad.length === 0) return undefined;
  const isTest = bad.some(({ name }) => name.startsWith('test:'));
  const names = bad.map(({ name, status }) => `${name} ${status}`).join(', ');
  return {
    kind: 'Fail',
    failure: {
      reason: isTest ? 'TestFailed' : 'InspectionFailed',
      message: `${names}; see status.results; repair it and try again (spec.requests.retryTime), or mark it broken`,
      isLasting: true,
    },
  };
}

/** Of what is no longer to be run the result counts no more. */
function isWanted(name: string, { order, scripts }: PlanFacts): boolean {
  const tests = order?.inspection.tests ?? [];
  return (
    tests.some((test) => name === `test:${test}`) ||
    scripts.some((script) => name === `script:${script.name}`)
  );
}

function nextOfProvision(record: WorkingRecord, facts: PlanFacts): NextTask {
  const { done } = record.job;
  if (!done.includes('write')) return writeTask(record, facts);
  if (!done.includes('seed')) {
    const disk = findWrittenDisk(record);
    if (disk === undefined) {
      const message =
        'the disk that the image was written to is not there any more, or cannot be told from another';
      return { kind: 'Fail', failure: { reason: 'DiskNotFound', message, at: 'seed' } };
    }
    const files = ['meta-data', 'user-data', 'vendor-data'];
    if (facts.order?.provision?.networkConfig !== undefined) files.push('network-config');
    return {
      kind: 'Task',
      name: 'seed',
      step: 'Seeding',
      task: { task: 'seed', device: diskName(disk), files },
    };
  }
  return { kind: 'Task', name: 'reboot', step: 'Rebooting', task: { task: 'reboot' } };
}

/** What may be known before the box is even started: that its disk holds data, and nobody allowed to write over it. */
export function findMissingConsent(record: WorkingRecord, facts: PlanFacts): Failure | undefined {
  if (record.storage.length === 0 || record.job.done.includes('write')) return undefined;
  const task = writeTask(record, facts);
  return task.kind === 'Fail' && task.failure.reason === 'ConsentMissing' ? task.failure : undefined;
}

function writeTask(record: WorkingRecord, { order, image, writeTurn }: PlanFacts): NextTask {
  const wanted = order?.provision;
  if (wanted === undefined || image === undefined)
    return { kind: 'Wait', expected: 'the order names an image' };
  if (!image.isReady) return { kind: 'Wait', expected: image.message };
  const chosen = selectRootDevice(record.storage, wanted.rootDevice ?? {}, image.diskBytes);
  if ('reason' in chosen) {
    return { kind: 'Fail', failure: { reason: chosen.reason, message: chosen.message, isLasting: true } };
  }
  const { disk } = chosen;
  if (holdsForeignData(record, disk) && order?.wipeConsent !== true) {
    return { kind: 'Fail', failure: consentToWriteMissing(record, disk) };
  }
  if (writeTurn !== undefined) return { kind: 'Wait', expected: writeTurn };
  const isResumed = findWrittenDisk(record) === disk && record.written?.image === wanted.image;
  return {
    kind: 'Task',
    name: 'write',
    step: 'Writing',
    task: {
      task: 'write',
      device: diskName(disk),
      diskBytes: image.diskBytes,
      chunks: image.chunks,
      chunkBytes: imageChunkBytes,
      resume: isResumed,
    },
  };
}

function describe(disk: StorageDisk): string {
  return disk.signature ?? `${disk.partitions.length} partitions`;
}

function consentToWriteMissing(record: MachineRecord, disk: StorageDisk): Failure {
  return consentMissing(`${disk.id} holds data (${describe(disk)})`, describeWritten(record));
}

function describeWritten({ written }: MachineRecord): string {
  if (written === undefined || written.disk.isOverData === false) return 'nothing was written';
  const { image, disk } = written;
  return disk.isOverData === true
    ? `the image ${image} was begun to be written over data on ${disk.id} when it was allowed, and may have destroyed some of it`
    : `the image ${image} was begun to be written to ${disk.id}, and the machine was left alone since: others may have installed it`;
}

/** @param done what was done to its disks so far. */
function consentMissing(what: string, done: string): Failure {
  return {
    reason: 'ConsentMissing',
    message: `${what} and nobody allows that it is lost; ${done}. Set spec.wipeConsent to the name of the machine to allow it`,
    isLasting: true,
  };
}

export function consentToEraseMissing(): Failure {
  return consentMissing('its disks are to be erased', 'nothing is erased until then');
}

function nextOfRelease(record: WorkingRecord, { order }: PlanFacts): NextTask {
  const { done } = record.job;
  const mode = order?.erase;
  if (mode === undefined || mode === 'None') return lastTask(record, order);
  if (!done.includes('erase')) {
    if (order?.wipeConsent !== true) {
      return { kind: 'Fail', failure: consentToEraseMissing() };
    }
    const devices = fixedDisks(record.storage).map(diskName);
    if (devices.length === 0) return lastTask(record, order);
    const task = {
      task: 'erase' as const,
      mode: mode === 'Quick' ? ('quick' as const) : ('secure' as const),
      devices,
    };
    return { kind: 'Task', name: 'erase', step: 'Erasing', task };
  }
  const left = fixedDisks(record.storage).filter(holdsData);
  if (left.length > 0) {
    const message = `still to be seen after the erase: ${left.map((disk) => `${disk.id} ${describe(disk)}`).join(', ')}`;
    return { kind: 'Fail', failure: { reason: 'EraseFailed', message, at: 'erase' } };
  }
  return lastTask(record, order);
}

/** The system stays where it is wanted again at once. */
function lastTask(record: MachineRecord, order: MachineOrder | undefined): NextTask {
  const { job } = record;
  if (job?.done.some(isLast) === true) return { kind: 'Finished' };
  const goesOn = order?.provision !== undefined && order.isProtected !== true && order.isExternal !== true;
  if (goesOn && (job?.kind === 'Inspect' || job?.kind === 'Release')) return { kind: 'Finished' };
  const isOn = order === undefined || order.power === 'On' || job?.kind === 'Reboot' || job?.kind === 'Leave';
  const isOff = job?.kind === 'Leave' ? record.phase === 'Available' && order?.power !== 'On' : !isOn;
  return isOff
    ? { kind: 'Task', name: 'poweroff', step: 'PoweringOff', task: { task: 'poweroff' } }
    : { kind: 'Task', name: 'reboot', step: 'Rebooting', task: { task: 'reboot' } };
}
