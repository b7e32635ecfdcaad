/** Where a machine is in its life: DESIGN §8. What goes wrong, and what it does at the moment, are told apart from it. */
export const machinePhases = [
  'New',
  'Inspecting',
  'Available',
  'Allocated',
  'Provisioning',
  'Provisioned',
  'Releasing',
  'Rescue',
  'Broken',
] as const;
export type MachinePhase = (typeof machinePhases)[number];

/** What a machine is shown as: also `Discovered`, one that was found and that nobody has accepted. Undefined: no rack has spoken of it. */
export function shownPhase(
  accepted: boolean | undefined,
  phase: MachinePhase | undefined,
): MachinePhase | 'Discovered' | undefined {
  return accepted === false && (phase ?? 'New') === 'New' ? 'Discovered' : phase;
}

/** What the rack is doing for a machine within its phase; shown to people, in the order in which they usually come. */
export const machineSteps = [
  'SettingBoot',
  'PoweringOff',
  'PoweringOn',
  'AwaitingBoot',
  'AwaitingSystem',
  'Collecting',
  'Testing',
  'Erasing',
  'Writing',
  'Seeding',
  'Rebooting',
  'AwaitingConfirmation',
] as const;
export type MachineStep = (typeof machineSteps)[number];

/**
 * Who moves a machine out of a phase. `Rack`: the site's rack is at work, under a deadline, with the hub or without. `Person`: nothing happens until somebody
 * (or a claim) wants something else.
 */
export interface PhaseRule {
  readonly owner: 'Rack' | 'Person';
  /** How long its systems may be silent at what they were told before that is an error; seconds. Only with owner Rack. Steps of booting have their own in the rack. */
  readonly silenceSeconds?: number;
  readonly next: readonly MachinePhase[];
}

/** The only legal transitions. */
export const phaseRules: Readonly<Record<MachinePhase, PhaseRule>> = {
  New: { owner: 'Person', next: ['Inspecting', 'Provisioned', 'Broken'] },
  Inspecting: {
    owner: 'Rack',
    silenceSeconds: 900,
    next: ['Available', 'Allocated', 'Provisioned', 'Broken'],
  },
  Available: {
    owner: 'Person',
    next: ['Inspecting', 'Allocated', 'Provisioning', 'Provisioned', 'Rescue', 'Broken'],
  },
  Allocated: {
    owner: 'Person',
    next: ['Inspecting', 'Available', 'Provisioning', 'Releasing', 'Rescue', 'Broken'],
  },
  Provisioning: { owner: 'Rack', silenceSeconds: 900, next: ['Provisioned', 'Releasing', 'Broken'] },
  Provisioned: { owner: 'Person', next: ['Provisioning', 'Releasing', 'Rescue', 'Broken'] },
  Releasing: { owner: 'Rack', silenceSeconds: 900, next: ['Available', 'Broken'] },
  Rescue: { owner: 'Person', next: ['Available', 'Allocated', 'Provisioned', 'Broken'] },
  Broken: {
    owner: 'Person',
    next: ['Inspecting', 'Available', 'Allocated', 'Provisioned', 'Releasing', 'Rescue'],
  },
};

export function isLegalTransition(from: MachinePhase, to: MachinePhase): boolean {
  return phaseRules[from].next.includes(to);
}

/**
 * What the machine is doing, beside its phase. `OK`: all is as wanted. `Working`: the rack is at it. `Waiting`: something outside is expected (a person who presses the
 * button, an image that comes over the link). `Error`: see `error`; what happens next stands in `waiting`.
 */
export const operationalStatuses = ['OK', 'Working', 'Waiting', 'Error'] as const;
export type OperationalStatus = (typeof operationalStatuses)[number];

/** Why a machine is in error; the message names what to do. */
export const machineErrorReasons = [
  /** Nothing was heard for as long as the step may take. */
  'TimedOut',
  /** The BMC does not answer, or says no. */
  'PowerUnavailable',
  'PowerUnauthorized',
  /** The BMC said yes and nothing came of it. */
  'PowerNotHonoured',
  'InspectionFailed',
  'TestFailed',
  'ImageUnavailable',
  'ImageMismatch',
  'DiskNotFound',
  'DiskTooSmall',
  'DiskError',
  /** The disk holds data that nobody allowed to be written over: `spec.wipeConsent`. */
  'ConsentMissing',
  'EraseFailed',
  'SeedFailed',
  'ConfirmationFailed',
  /** Two boxes answer to one identity, or one box to two machines. */
  'IdentityConflict',
  'SecretMissing',
  'Internal',
] as const;
export type MachineErrorReason = (typeof machineErrorReasons)[number];
