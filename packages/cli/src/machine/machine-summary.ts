import {
  type Machine,
  machineFaults,
  machineNote,
  type MachinePhase,
  printable,
  progressNote,
  shownPhase,
} from '@selvedge/api';
import type { Tone } from '../program/terminal.ts';
import { formatAge, secondsSince } from '../render/age.ts';
import { formatBytes } from '../render/bytes.ts';

export type Progress = NonNullable<NonNullable<Machine['status']>['progress']>;

/** What somebody has to know of a machine at one glance. `-o json` prints it. */
export interface MachineSummary {
  readonly name: string;
  readonly site: string;
  /** `Unknown`: no rack has said anything of it yet. */
  readonly phase: MachinePhase | 'Discovered' | 'Unknown';
  readonly status: 'OK' | 'Working' | 'Waiting' | 'Error' | 'Unknown';
  readonly power: 'On' | 'Off' | 'Unknown';
  /** What goes on, what is waited for, or what is wrong: one line. */
  readonly note: string;
  /** What a person can do now, the most likely first; none: nothing is needed. */
  readonly todo: readonly Todo[];
  readonly image?: string;
  readonly consumer?: string;
  readonly cores?: number;
  readonly memoryBytes?: number;
  readonly diskBytes?: number;
  readonly tags: readonly string[];
  readonly isTrouble: boolean;
}

export interface Todo {
  readonly why: string;
  readonly command?: string;
}

export function summarise(machine: Machine): MachineSummary {
  const { metadata, spec, status } = machine;
  const { resources } = status?.inventory ?? {};
  const image = spec.provision?.image ?? status?.provisioned?.image;
  const disks = resources?.storage.disks.filter((disk) => !disk.removable) ?? [];
  return {
    name: metadata.name,
    site: spec.siteName,
    phase: shownPhase(spec.accepted, status?.phase) ?? 'Unknown',
    status: status?.operationalStatus ?? 'Unknown',
    power: status?.power?.state ?? 'Unknown',
    note: machineNote(machine),
    todo: todoFor(machine),
    ...(image === undefined ? {} : { image }),
    ...(spec.consumer === undefined ? {} : { consumer: `${spec.consumer.kind}/${spec.consumer.name}` }),
    ...(resources === undefined
      ? {}
      : {
          cores: resources.cpu.total,
          memoryBytes: resources.memory.total,
          diskBytes: disks.reduce((total, { size }) => total + size, 0),
        }),
    tags: status?.tags ?? [],
    isTrouble: status?.operationalStatus === 'Error' || machineFaults(machine).length > 0,
  };
}

/** `Writing 34 % (1.2 GiB of 3.5 GiB)`. */
export function progressText(progress: Progress): string {
  const { done, total, unit } = progress;
  const bytes = unit === 'Bytes' ? ` (${formatBytes(done)} of ${formatBytes(total)})` : '';
  return `${progressNote(progress)}${bytes}`;
}

function todoFor(machine: Machine): Todo[] {
  const { metadata, spec, status } = machine;
  const { name } = metadata;
  const verb = (text: string) => `selvedge machine ${text}`;
  if (spec.accepted === false)
    return [{ why: 'take it in, if it is yours', command: verb(`accept ${name}`) }];
  if (spec.broken) return [{ why: 'once it is repaired', command: verb(`mark-fixed ${name}`) }];
  if (status?.error) return todoForError(machine, status.error.reason);
  if (status?.operationalStatus === 'Waiting' && status.waiting) {
    return [{ why: printable(status.waiting.next) }];
  }
  if (status?.phase === 'Available' && spec.provision === undefined && spec.consumer === undefined) {
    return [
      { why: 'put an image on it', command: verb(`provision ${name} --image IMAGE`) },
      { why: 'or let a claim choose', command: verb('allocate CLAIM --image IMAGE') },
    ];
  }
  if (status?.phase === 'Rescue') {
    const address = status.seen?.address;
    const hasDoor = (spec.rescue?.authorizedKeys?.length ?? 0) > 0 && address !== undefined;
    return [
      { why: 'look at it', command: hasDoor ? `ssh root@${address}` : verb(`console ${name}`) },
      { why: 'when you are done', command: verb(`rescue ${name} --exit`) },
    ];
  }
  return [];
}

function todoForError({ metadata, spec }: Machine, reason: string): Todo[] {
  const { name } = metadata;
  const retry = { why: 'then try again', command: `selvedge machine retry ${name}` };
  const { bmc, provision } = spec;
  switch (reason) {
    case 'ConsentMissing': {
      const verb = provision
        ? `provision ${name} --image ${provision.image}`
        : `release ${name} --erase ${(spec.release?.erase ?? 'Quick').toLowerCase()}`;
      return [
        { why: 'if what is on its disks may be lost', command: `selvedge machine ${verb} --wipe ${name}` },
        { why: 'else take the wish back', command: `selvedge machine release ${name}` },
      ];
    }
    case 'PowerUnauthorized': {
      const { namespace, name: secret } = bmc?.secretRef ?? {};
      const edit = secret === undefined ? {} : { command: `kubectl edit secret ${secret} -n ${namespace}` };
      return [{ why: 'give its BMC the right user and password', ...edit }, retry];
    }
    case 'PowerUnavailable':
      return [
        {
          why: `see that the rack reaches its BMC (${bmc?.address ?? bmc?.type ?? 'none'})`,
          command: `kubectl edit machine ${name}`,
        },
        retry,
      ];
    case 'IdentityConflict':
      return [
        {
          why: 'correct spec.identity, or delete the one that is not there',
          command: `kubectl edit machine ${name}`,
        },
      ];
    case 'DiskNotFound':
    case 'DiskTooSmall':
      return [{ why: 'choose another disk or image', command: `kubectl edit machine ${name}` }, retry];
    case 'ImageUnavailable':
    case 'ImageMismatch':
      return [
        { why: 'see what the site has of the image', command: `selvedge site show ${spec.siteName}` },
        retry,
      ];
    case 'SecretMissing':
      return [
        { why: 'create the Secret that it names', command: `kubectl get machine ${name} -o yaml` },
        retry,
      ];
    default:
      return [
        { why: 'see what it shows', command: `selvedge machine console ${name}` },
        { ...retry, why: 'try again' },
        { why: 'or put it aside', command: `selvedge machine mark-broken ${name} --reason …` },
      ];
  }
}

/** The usual way of a machine, and where it is on it: for one line. */
export function lifeLine({ spec, status }: Machine): { phase: MachinePhase; isHere: boolean }[] {
  const phase = status?.phase ?? 'New';
  const usual: MachinePhase[] = ['New', 'Inspecting', 'Available', 'Provisioning', 'Provisioned'];
  if (spec.consumer || phase === 'Allocated') usual.splice(3, 0, 'Allocated');
  if (phase === 'Releasing') usual.push('Releasing');
  // Rescue and Broken lie beside the way: from where it came there is no matter now.
  const shown = usual.includes(phase) ? usual : [phase];
  return shown.map((one) => ({ phase: one, isHere: one === phase }));
}

export function phaseTone(summary: Pick<MachineSummary, 'phase' | 'status'>): Tone {
  if (summary.status === 'Error' || summary.phase === 'Broken') return 'bad';
  if (summary.status === 'Unknown') return 'faint';
  return summary.status === 'OK' ? 'good' : 'caution';
}

/** `for 3m20s`. */
export function sinceText(time: string | undefined, now: Date): string {
  return time === undefined ? '' : `for ${formatAge(secondsSince(time, now))}`;
}
