import { type Machine, type MachineSpec, phaseRules } from '@selvedge/api';
import { CommandError } from '../program/exit-code.ts';

export const eraseChoices = ['none', 'quick', 'secure'] as const;
export type EraseChoice = (typeof eraseChoices)[number];

/** What a person wants of a machine. */
export type MachineWish =
  | {
      readonly verb: 'accept';
      readonly displayName?: string;
      readonly labels?: Readonly<Record<string, string>>;
      readonly bmc?: MachineSpec['bmc'];
    }
  | { readonly verb: 'inspect'; readonly tests?: readonly ('memory' | 'disk' | 'network')[] }
  | {
      readonly verb: 'provision';
      readonly provision: ProvisionWish;
      readonly again?: boolean;
      readonly wipe?: string;
    }
  | { readonly verb: 'release'; readonly erase: EraseChoice; readonly wipe?: string }
  | { readonly verb: 'power'; readonly power: 'on' | 'off' | 'auto' }
  | { readonly verb: 'reboot' }
  | { readonly verb: 'rescue'; readonly keys: readonly string[] }
  | { readonly verb: 'end-rescue' }
  | { readonly verb: 'mark-broken'; readonly reason: string }
  | { readonly verb: 'mark-fixed' }
  | { readonly verb: 'protect' }
  | { readonly verb: 'unprotect' }
  | { readonly verb: 'retry' };

export type ProvisionWish = Omit<NonNullable<MachineSpec['provision']>, 'instanceId'>;

export interface MachineChange {
  /** Merge patch of the object without its name; absent: it is so already. */
  readonly patch?: { readonly metadata?: unknown; readonly spec?: unknown };
  readonly done: string;
  readonly next?: string;
  /** Whether the machine is where it was to go. */
  readonly isThere: (machine: Machine) => boolean;
}

type Wish<Verb> = Extract<MachineWish, { readonly verb: Verb }>;

/** What has to be written for a wish. Throws CommandError when it cannot be had as the machine is now. */
export function planChange(wish: MachineWish, machine: Machine, now: Date): MachineChange {
  switch (wish.verb) {
    case 'accept':
      return accept(wish, machine);
    case 'inspect':
      return inspect(wish, machine, now);
    case 'provision':
      return provision(wish, machine, now);
    case 'release':
      return release(wish, machine);
    case 'power':
      return power(wish, machine);
    case 'reboot':
      return reboot(machine, now);
    case 'rescue':
    case 'end-rescue':
      return rescue(wish, machine);
    case 'mark-broken':
    case 'mark-fixed':
      return broken(wish, machine);
    case 'protect':
    case 'unprotect':
      return protect(wish.verb === 'protect', machine);
    case 'retry':
      return retry(machine, now);
  }
}

const isIn =
  (...phases: readonly string[]) =>
  ({ status }: Machine) =>
    phases.includes(status?.phase ?? '');
const anywhere = () => true;

/** A time that is newer than the one there: each newer one is done once. */
function newerThan(before: string | undefined, now: Date): string {
  const last = before === undefined ? 0 : Date.parse(before);
  return new Date(Math.max(now.getTime(), Number.isNaN(last) ? 0 : last + 1)).toISOString();
}

function accept({ displayName, labels, bmc }: Wish<'accept'>, { metadata, spec }: Machine): MachineChange {
  const { name } = metadata;
  const change = {
    accepted: true,
    ...(displayName === undefined ? {} : { displayName }),
    ...(bmc === undefined ? {} : { bmc }),
  };
  const isNews = spec.accepted === false || Object.keys(change).length > 1 || labels !== undefined;
  const next =
    (spec.bmc ?? bmc)
      ? undefined
      : 'It has no BMC: the rack cannot switch it. If it does not ask again by itself, press its button.';
  return {
    ...(isNews ? { patch: { ...(labels === undefined ? {} : { metadata: { labels } }), spec: change } } : {}),
    done: isNews
      ? `${name} is accepted: it is inspected, then it is Available.`
      : `${name} was accepted before.`,
    ...(next === undefined || !isNews ? {} : { next }),
    isThere: isIn('Available', 'Allocated', 'Provisioned', 'Broken'),
  };
}

function inspect({ tests }: Wish<'inspect'>, machine: Machine, now: Date): MachineChange {
  const { metadata, spec, status } = machine;
  mustBeAccepted(machine);
  if (status?.phase === 'Provisioned' || status?.phase === 'Provisioning') {
    throw new CommandError(
      `${metadata.name} is ${status.phase}: inspecting it means booting it into another system`,
      `Release it first: selvedge machine release ${metadata.name}`,
    );
  }
  mustNotBeProtected(machine, 'inspected');
  const inspectTime = newerThan(spec.requests?.inspectTime, now);
  const inspection = tests === undefined ? {} : { inspection: { tests: [...tests] } };
  return {
    patch: { spec: { requests: { inspectTime }, ...inspection } },
    done: `${metadata.name} is to be inspected again.`,
    isThere: (now) =>
      isIn('Available', 'Allocated', 'Broken')(now) && now.status?.answered?.inspect === inspectTime,
  };
}

function provision(
  { provision: wanted, again = false, wipe }: Wish<'provision'>,
  machine: Machine,
  now: Date,
): MachineChange {
  const { metadata, spec, status } = machine;
  const { name } = metadata;
  mustBeAccepted(machine);
  mustNotBeProtected(machine, 'written to');
  if (spec.broken)
    throw new CommandError(
      `${name} is marked broken: ${spec.broken.reason}`,
      `selvedge machine mark-fixed ${name}`,
    );
  if (spec.externallyProvisioned) {
    throw new CommandError(
      `${name} runs what Selvedge did not install (spec.externallyProvisioned)`,
      `If that may go: kubectl patch machine ${name} --type=merge -p '{"spec":{"externallyProvisioned":false}}'`,
    );
  }
  if (spec.consumer?.kind === 'MachineClaim') {
    const patch = JSON.stringify({ spec: { image: wanted.image } });
    throw new CommandError(
      `${name} belongs to claim ${spec.consumer.name}, which says what is on it`,
      `kubectl patch machineclaim ${spec.consumer.name} --type=merge -p '${patch}'`,
    );
  }
  const before = spec.provision;
  const isSame = before?.image === wanted.image && !again;
  const isAlready = isSame && status?.phase === 'Provisioned';
  if (!isAlready) mustConsent(machine, wipe);
  const instanceId = isSame ? before.instanceId : `${wanted.image}-${Math.floor(now.getTime() / 1000)}`;
  const absent = { hostname: null, userData: null, networkConfig: null, rootDevice: null };
  // A consent holds for what it was given for.
  const consent = isAlready ? {} : { wipeConsent: wipe ?? null };
  // What a merge would mix, as a text and a Secret, is told apart here.
  const userData = wanted.userData && { text: null, secretRef: null, ...wanted.userData };
  const full = {
    ...absent,
    ...wanted,
    ...(userData ? { userData } : {}),
    ...(instanceId === undefined ? {} : { instanceId }),
  };
  return {
    patch: { spec: { provision: full, ...consent } },
    done: isAlready
      ? `${name} has ${wanted.image} already: what is on its disk stays. --again writes it anew.`
      : `${name} is to have ${wanted.image}.`,
    isThere: ({ status: is }) =>
      is?.phase === 'Provisioned' &&
      is.provisioned?.image === wanted.image &&
      (instanceId === undefined || is.provisioned.instanceId === instanceId),
  };
}

/** Nothing that anybody may miss is written over by a slip of the pen. */
function mustConsent({ metadata, status }: Machine, wipe: string | undefined): void {
  const { name } = metadata;
  if (wipe !== undefined && wipe !== name) {
    throw new CommandError(`--wipe names ${wipe}, and this is ${name}: nothing was changed`);
  }
  const holdsData = status?.disks === 'Data' || status?.provisioned !== undefined;
  if (!holdsData || wipe === name) return;
  const what = status?.provisioned ? `${status.provisioned.image} is on it` : 'its disks hold data';
  throw new CommandError(`${name} would be written over, and ${what}`, `If that may be lost: --wipe ${name}`);
}

function release({ erase, wipe }: Wish<'release'>, machine: Machine): MachineChange {
  const { metadata, status } = machine;
  const { name } = metadata;
  mustNotBeProtected(machine, 'released');
  if (wipe !== undefined && wipe !== name) {
    throw new CommandError(`--wipe names ${wipe}, and this is ${name}: nothing was changed`);
  }
  if (erase !== 'none' && wipe !== name) {
    throw new CommandError(
      `an erase destroys what is on the disks of ${name}`,
      `If that may be lost: --wipe ${name}`,
    );
  }
  if (erase !== 'none') mustHaveSomething(machine);
  const mode = ({ none: 'None', quick: 'Quick', secure: 'Secure' } as const)[erase];
  const consent = { wipeConsent: erase === 'none' ? null : name };
  const next =
    erase === 'none' && status?.disks !== 'Blank'
      ? 'What is on its disks stays there: who gets it next must consent that it is lost.'
      : undefined;
  return {
    patch: {
      spec: {
        provision: null,
        consumer: null,
        externallyProvisioned: null,
        release: { erase: mode },
        ...consent,
      },
    },
    done: `${name} is released${erase === 'none' ? '' : `, with a ${erase} erase`}.`,
    ...(next === undefined ? {} : { next }),
    isThere: isIn('Available', 'Broken'),
  };
}

/** The rack erases what is given back; of what nobody has nothing is given back, and an erase would only seem to be done. */
function mustHaveSomething({ metadata, spec, status }: Machine): void {
  const { name } = metadata;
  const isFree = spec.provision === undefined && spec.consumer === undefined && !spec.externallyProvisioned;
  if (!isFree || !(status?.phase === 'Available' || status?.phase === 'Inspecting')) return;
  throw new CommandError(
    `${name} is ${status.phase}, and nobody has it: only what is given back is erased`,
    status.disks === 'Blank'
      ? 'Its disks are blank.'
      : `Take it with selvedge machine allocate CLAIM --machine ${name}, then release it with this erase; or write over it: selvedge machine provision ${name} --image IMAGE --wipe ${name}`,
  );
}

function power({ power: wanted }: Wish<'power'>, machine: Machine): MachineChange {
  const { metadata, spec } = machine;
  const { name } = metadata;
  if (wanted === 'off') mustNotBeProtected(machine, 'switched off');
  const value = ({ on: 'On', off: 'Off', auto: null } as const)[wanted];
  const done = {
    on: `${name} is to be on.`,
    off: `${name} is to be off, until selvedge machine power ${name} on or auto.`,
    auto: `${name} is on or off as its phase needs it.`,
  }[wanted];
  const next = spec.bmc === undefined ? 'It has no BMC: a person has to press the button.' : undefined;
  return {
    patch: { spec: { power: value } },
    done,
    ...(next === undefined ? afterWork(machine) : { next }),
    isThere: ({ status }) => value === null || status?.power?.state === value,
  };
}

function reboot(machine: Machine, now: Date): MachineChange {
  mustNotBeProtected(machine, 'restarted');
  const { metadata, spec } = machine;
  const rebootTime = newerThan(spec.requests?.rebootTime, now);
  return {
    patch: { spec: { requests: { rebootTime } } },
    done: `${metadata.name} is to restart.`,
    ...afterWork(machine),
    isThere: ({ status }) => status?.answered?.reboot === rebootTime,
  };
}

/** The rack switches a machine by itself while it is at work on it. */
function afterWork({ metadata, status }: Machine): { next?: string } {
  const { phase } = status ?? {};
  if (phase === undefined || phaseRules[phase].owner !== 'Rack') return {};
  const { name } = metadata;
  const next = `It is ${phase}: that comes first, and the rack restarts it when a step takes too long. To begin anew at once: selvedge machine mark-broken ${name} --reason stuck, then mark-fixed.`;
  return { next };
}

function rescue(wish: Wish<'rescue' | 'end-rescue'>, machine: Machine): MachineChange {
  const { metadata, spec } = machine;
  const { name } = metadata;
  if (wish.verb === 'end-rescue') {
    return {
      patch: { spec: { rescue: null } },
      done: spec.rescue ? `${name} leaves the rescue system.` : `${name} was not to be in the rescue system.`,
      isThere: ({ status }) => status?.phase !== 'Rescue',
    };
  }
  mustBeAccepted(machine);
  mustNotBeProtected(machine, 'restarted');
  const authorizedKeys = [...wish.keys];
  return {
    patch: { spec: { rescue: { authorizedKeys } } },
    done: `${name} is to boot the rescue system; its disks are not touched.`,
    next:
      authorizedKeys.length > 0
        ? `Then: ssh root@… (the address stands in selvedge machine show ${name}), or selvedge machine console ${name}.`
        : `No key was given: selvedge machine console ${name} is the way in.`,
    isThere: (now) => isIn('Rescue')(now) && now.status?.operationalStatus === 'OK',
  };
}

function broken(wish: Wish<'mark-broken' | 'mark-fixed'>, { metadata, spec }: Machine): MachineChange {
  const { name } = metadata;
  if (wish.verb === 'mark-broken') {
    return {
      patch: { spec: { broken: { reason: wish.reason } } },
      done: `${name} is out of use: neither claimed nor switched.`,
      next: `Once it is repaired: selvedge machine mark-fixed ${name}`,
      isThere: isIn('Broken'),
    };
  }
  return {
    ...(spec.broken ? { patch: { spec: { broken: null } } } : {}),
    done: spec.broken ? `${name} is in use again.` : `${name} was not marked broken.`,
    isThere: ({ status }) => status?.phase !== 'Broken',
  };
}

function protect(isWanted: boolean, { metadata, spec }: Machine): MachineChange {
  const { name } = metadata;
  const isSo = (spec.protected ?? false) === isWanted;
  return {
    ...(isSo ? {} : { patch: { spec: { protected: isWanted ? true : null } } }),
    done: isWanted
      ? `${name} is protected: nothing on it is written, erased or switched off.`
      : `${name} is not protected${isSo ? '' : ' any more'}.`,
    isThere: anywhere,
  };
}

function retry({ metadata, spec, status }: Machine, now: Date): MachineChange {
  const { name } = metadata;
  if (!status?.error)
    throw new CommandError(
      `nothing has failed at ${name} that could be tried again`,
      `selvedge machine show ${name}`,
    );
  const retryTime = newerThan(spec.requests?.retryTime, now);
  return {
    patch: { spec: { requests: { retryTime } } },
    done: `${name} tries again.`,
    isThere: ({ status: is }) => is?.answered?.retry === retryTime && is.operationalStatus === 'OK',
  };
}

function mustBeAccepted({ metadata, spec }: Machine): void {
  if (spec.accepted !== false) return;
  throw new CommandError(`${metadata.name} is not accepted yet`, `selvedge machine accept ${metadata.name}`);
}

function mustNotBeProtected({ metadata, spec }: Machine, what: string): void {
  if (spec.protected !== true) return;
  throw new CommandError(
    `${metadata.name} is protected: it is not ${what}`,
    `selvedge machine protect ${metadata.name} --off`,
  );
}
