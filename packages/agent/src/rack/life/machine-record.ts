import type {
  MachineErrorReason,
  MachineInventory,
  MachineMoment,
  MachinePhase,
  MachineReport,
  MachineStep,
  ScriptResult,
  StorageDisk,
  SystemTask,
} from '@selvedge/api';
import { isLegalTransition } from '@selvedge/api';
import type { BootSetting, PowerAction } from '../power/power-driver.ts';

/**
 * All that the rack knows of one machine and is doing with it: written to the disk as one, before anybody outside hears of it. The functions that change it are pure: they
 * return another record. Times are RFC 3339 by the hub's clock, as the agent knows it.
 */
export interface MachineRecord {
  /** `MachineReport.key`. */
  readonly key: string;
  readonly phase: MachinePhase;
  readonly phaseSince: string;
  /** To which Rescue and Broken lead back. */
  readonly returnPhase?: MachinePhase;
  /** What the rack is doing. Absent: nothing. */
  readonly job?: Job;
  /** What the BMC is to be asked for. */
  readonly wish?: PowerWish;
  readonly error?: NonNullable<MachineReport['error']>;
  /** Two boxes answer to this identity, or one to two machines: nothing is done to any of them. */
  readonly conflict?: string;
  readonly power: MachineReport['power'];
  readonly seen: MachineReport['seen'];
  readonly lastSeen?: { readonly what: string; readonly time: string };
  /** The box was told to ask again, at the latest then. */
  readonly asksAgainUntil?: string;
  readonly boot?: BootNonce;
  readonly session?: KeptSession;
  /** Of the last task; they count up. */
  readonly taskNumber: number;
  readonly provisioned?: NonNullable<MachineReport['provisioned']>;
  /** The image that was begun to be written and has not been confirmed: what is on that disk is ours. */
  readonly written?: {
    readonly instanceId: string;
    readonly image: string;
    /** Of the image. */
    readonly digest?: string;
    readonly disk: WrittenDisk;
  };
  /** Of the seed; as long as the system that has it is on the disk. `digest`: SHA-256 of its token. */
  readonly seed?: { readonly digest: string; readonly isConfirmed: boolean; readonly isOnDisk?: true };
  /** MAC addresses that its inspection system showed: all ports that it has. */
  readonly ports?: readonly string[];
  /** As last inspected. */
  readonly storage: readonly StorageDisk[];
  readonly disks?: 'Blank' | 'Data';
  readonly inventoryDigest?: string;
  readonly inspectedTime?: string;
  readonly results: readonly ScriptResult[];
  readonly answered: NonNullable<MachineReport['answered']>;
  /** It was another Machine at the hub, which is gone: what is on its disk stays until the order says what is to be there. */
  readonly isAdopted?: true;
  /** The rack had no record of it, and what became of the work on it is not known: a person has to look first. */
  readonly isRecalled?: true;
  /** It was done with and is to be off: until it is, or somebody wants it on. */
  readonly settlesOff?: true;
  /** Of the order that it acts on. */
  readonly generation?: number;
  /** The hub went back to an older order: nothing is done until a newer one comes, or a person asks to try again. */
  readonly isHeldBack?: true;
  readonly progress?: NonNullable<MachineReport['progress']>;
  /** Those that the hub has not taken yet, oldest first. */
  readonly timeline: readonly MachineMoment[];
  readonly moments: number;
  /** Wishes to the BMC so far. */
  readonly wishes: number;
}

export interface DiskName {
  readonly id: string;
  readonly size: number;
  readonly serial?: string;
}

/** The disk that an image was begun to be written to. */
export interface WrittenDisk extends DiskName {
  readonly wwn?: string;
  /** Where it is plugged in: `StorageDisk.device_path`. */
  readonly path?: string;
  /** Digest of the session in which it was begun: kernel names hold for as long. */
  readonly session?: string;
  /** Data that was there before, as `contentOf` it. While it still looks so, nothing of ours is there. */
  readonly before?: string;
  /**
   * It held data of others: the work goes on only as long as somebody allows that it is lost. Absent: what is there is not known, as the box was left to others since, or
   * an agent of an earlier version began the write; it counts as data of others.
   */
  readonly isOverData?: boolean;
}

export type JobKind = 'Inspect' | 'Provision' | 'Release' | 'Rescue' | 'Leave' | 'Reboot' | 'Switch';

export interface Job {
  readonly kind: JobKind;
  readonly since: string;
  /**
   * `Prepare`: what it needs has to be here first. `System`: the inspection system is brought up and carries out tasks. `Disk`: the installed system is to come up. `Power`:
   * only switched.
   */
  readonly stage: 'Prepare' | 'System' | 'Disk' | 'Power';
  readonly step?: MachineStep;
  /** What should happen next, since when, and when it is given up. */
  readonly expected: string;
  readonly expectedSince: string;
  /** Without any sign of life for so long it is given up; absent: it may take for ever. */
  readonly patienceSeconds?: number;
  /** What a person can do, where nothing happens by itself. */
  readonly personNext?: string;
  /** Tasks of the inspection system that were carried out, by name. */
  readonly done: readonly string[];
  readonly task?: GivenTask;
  /** Failures in a row. */
  readonly failures: number;
  /** Name of the task that failed last, or `confirm`: only its success ends the row. */
  readonly failedAt?: string;
  /** After a failure: not before then. */
  readonly retryAt?: string;
  /** It is not tried again by itself: a person, another order or the box has to come. */
  readonly isStuck?: true;
  /** How the box was last brought to boot, of the ways in order; the next one when nothing came of it. */
  readonly way: number;
  /** The BMC was asked to boot it, and has answered. */
  readonly isAsked?: true;
  /** Boot requests since something else than booting was last heard. */
  readonly boots: number;
  /** Tasks that were begun and broken off, each once, until they answer. */
  readonly cuts?: readonly TaskCut[];
  /** What it carries out: another wish begins anew. Image and instance, or time of the request. */
  readonly subject?: string;
}

export interface GivenTask {
  readonly id: number;
  /** `write`, `script:NAME`. */
  readonly name: string;
  readonly task: SystemTask;
  readonly since: string;
}

/** How often the box restarted in the middle of a task, and how far a write had come. */
export interface TaskCut {
  readonly name: string;
  readonly times: number;
  readonly done: number;
}

/** What the runner does at the BMC, in this order. */
export interface PowerWish {
  readonly id: string;
  readonly acts: readonly PowerAct[];
  readonly since: string;
  readonly tries: number;
  readonly notBefore?: string;
}

/** `Boot`: on, or where it is on already, off and on again. */
export type PowerAct =
  | { readonly kind: 'SetBoot'; readonly setting: BootSetting }
  | { readonly kind: 'Boot' | PowerAction };

export interface BootNonce {
  /** SHA-256 of it. */
  readonly digest: string;
  readonly macAddress: string;
  readonly address: string;
  readonly time: string;
  readonly isUsed?: true;
}

export interface KeptSession {
  /** SHA-256 of the token. */
  readonly digest: string;
  readonly address: string;
  readonly time: string;
  /** The inventory shows the disks as they are now. */
  readonly hasInventory?: true;
}

export function newRecord(key: string, time: string): MachineRecord {
  return {
    key,
    phase: 'New',
    phaseSince: time,
    power: { state: 'Unknown', observedTime: time },
    seen: {},
    taskNumber: 0,
    storage: [],
    results: [],
    answered: {},
    timeline: [],
    moments: 0,
    wishes: 0,
  };
}

/** Without some of its optional fields. */
export function without<T extends object, K extends keyof T>(whole: T, ...fields: readonly K[]): Omit<T, K> {
  // The same object when nothing is taken away: whoever compares sees that nothing changed.
  if (!fields.some((field) => whole[field] !== undefined)) return whole;
  const rest = { ...whole };
  for (const field of fields) delete rest[field];
  return rest;
}

/** A moment of its timeline. Of those that the hub does not take, the oldest go first. */
export function noteMoment(
  record: MachineRecord,
  moment: { time: string; type?: 'Warning'; reason: string; message: string },
): MachineRecord {
  const n = record.moments + 1;
  const whole: MachineMoment = {
    n,
    time: moment.time,
    type: moment.type ?? 'Normal',
    reason: moment.reason,
    message: moment.message.slice(0, longestMessage),
  };
  return { ...record, moments: n, timeline: [...record.timeline, whole].slice(-keptMoments) };
}

/** Throws for what the table of phases forbids: a bug of the planner, never of a machine. */
export function enterPhase(
  record: MachineRecord,
  phase: MachinePhase,
  { time, why }: { time: string; why: string },
): MachineRecord {
  if (record.phase === phase) return record;
  if (!isLegalTransition(record.phase, phase)) {
    throw new Error(`a machine cannot go from ${record.phase} to ${phase}`);
  }
  const entered = without(
    { ...record, phase, phaseSince: time },
    'job',
    'error',
    'wish',
    'progress',
    'isRecalled',
  );
  // That it is to go off was said of a machine that nobody used.
  const settled = phase === 'Allocated' ? entered : without(entered, 'settlesOff');
  return noteMoment(settled, { time, reason: 'PhaseChanged', message: `${record.phase} → ${phase}: ${why}` });
}

/** The same error again counts up; its time stays that of the first. */
export function withError(
  record: MachineRecord,
  error: { reason: MachineErrorReason; message: string; time: string },
): MachineRecord {
  const { reason, time } = error;
  const message = error.message.slice(0, longestMessage);
  const last = record.error?.reason === reason ? record.error : undefined;
  const next = {
    ...record,
    error: { reason, message, since: last?.since ?? time, count: (last?.count ?? 0) + 1 },
  };
  if (last?.message === message) return next;
  return noteMoment(next, { time, type: 'Warning', reason, message });
}

/** What was being done to a disk is not wanted any more, and the box stops at its next word: people have to know what that leaves behind. */
export function noteStopped(before: MachineRecord, record: MachineRecord, time: string): MachineRecord {
  const task = before.job?.task;
  if (task === undefined || record.job?.task?.id === task.id) return record;
  const what = describeDiskWork(task.task);
  if (what === undefined) return record;
  const message = `${what} was stopped before its end: what is there may be neither what it was nor what it was to be`;
  return noteMoment(record, { time, type: 'Warning', reason: 'WorkStopped', message });
}

function describeDiskWork(task: SystemTask): string | undefined {
  switch (task.task) {
    case 'write':
      return `writing the image to ${task.device.id}`;
    case 'seed':
      return `writing the seed to ${task.device.id}`;
    case 'erase':
      return `the erase of ${task.devices.map(({ id }) => id).join(', ')}`;
    default:
      return undefined;
  }
}

/** An image was begun to be written, and never was whole; undefined: none. */
export function describeHalfWritten({ written, provisioned }: MachineRecord): string | undefined {
  if (written === undefined || provisioned !== undefined) return undefined;
  return `the image ${written.image} was begun to be written to ${written.disk.id} and is not whole there`;
}

/** The box showed that it lives. */
export function withSign(record: MachineRecord, what: string, time: string): MachineRecord {
  return { ...record, lastSeen: { what, time } };
}

export function storageOf(inventory: MachineInventory): readonly StorageDisk[] {
  return inventory.resources.storage.disks;
}

/** Disks that are written and erased: neither removable nor read-only. */
export function fixedDisks(storage: readonly StorageDisk[]): readonly StorageDisk[] {
  return storage.filter((disk) => !disk.removable && !disk.read_only);
}

export function holdsData(disk: StorageDisk): boolean {
  return disk.signature !== undefined || disk.partitions.length > 0;
}

export function diskName({ id, size, serial }: StorageDisk): DiskName {
  return { id, size, ...(serial === undefined ? {} : { serial }) };
}

/** How its content looks; undefined: blank. */
function contentOf(disk: StorageDisk): string | undefined {
  if (!holdsData(disk)) return undefined;
  const sizes = disk.partitions.map(({ size }) => size).toSorted((a, b) => a - b);
  return `${disk.signature ?? ''} ${sizes.join(' ')}`;
}

export function writtenDisk(record: MachineRecord, name: DiskName): WrittenDisk {
  const { storage, session } = record;
  const disk = storage.find(({ id }) => id === name.id);
  const isAgain = disk !== undefined && findWrittenDisk(record) === disk;
  const before = isAgain ? record.written?.disk.before : disk && contentOf(disk);
  return {
    ...name,
    ...(disk?.wwn === undefined ? {} : { wwn: disk.wwn }),
    ...(disk?.device_path === undefined ? {} : { path: disk.device_path }),
    ...(session === undefined ? {} : { session: session.digest }),
    ...(before === undefined ? {} : { before }),
    isOverData: disk !== undefined && holdsForeignData(record, disk),
  };
}

/** Whether writing to it needs consent: it holds what is not the rack's own, or did when the write began. */
export function holdsForeignData(record: MachineRecord, disk: StorageDisk): boolean {
  if (!holdsData(disk)) return false;
  return findWrittenDisk(record) !== disk || record.written?.disk.isOverData !== false;
}

/** The box is left alone, and others may install it: the disks are read anew before anything is written, and what is there counts as the rack's own no more. */
export function leftToOthers(record: MachineRecord): MachineRecord {
  const { session, written } = record;
  const left =
    session?.hasInventory === true ? { ...record, session: without(session, 'hasInventory') } : record;
  if (written?.disk.isOverData !== false) return left;
  return { ...left, written: { ...written, disk: without(written.disk, 'isOverData') } };
}

/**
 * The disk whose content is ours to write over, since the image was begun there. Kernel names change from boot to boot, makers give many disks one serial number: in doubt it
 * is none, and somebody has to allow that data is lost.
 */
export function findWrittenDisk({ written, storage, session }: MachineRecord): StorageDisk | undefined {
  if (written === undefined) return undefined;
  const { id, size, serial, wwn, path, before } = written.disk;
  const isAlike = (disk: StorageDisk) => disk.size === size && disk.serial === serial && disk.wwn === wwn;
  const alike = storage.filter(isAlike);
  // Told to write, it may have written nothing.
  if (before !== undefined && alike.some((disk) => contentOf(disk) === before)) return undefined;
  if (session !== undefined && written.disk.session === session.digest) {
    return alike.find((disk) => disk.id === id);
  }
  const [only] = alike;
  if (only === undefined || alike.length > 1) return undefined;
  if (wwn !== undefined) return only;
  return serial !== undefined && only.device_path === path ? only : undefined;
}

export function addSeconds(time: string, seconds: number): string {
  return new Date(Date.parse(time) + seconds * 1000).toISOString();
}

const keptMoments = 100;
const longestMessage = 1000;
