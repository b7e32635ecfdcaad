import {
  type MachineClaim,
  type MachineClaimSpec,
  type MachineImage,
  matchesLabelSelector,
  quantityToNumber,
  selectRootDevice,
  type Site,
  type StorageDisk,
} from '@selvedge/api';
import type { DeviceFacts, MachineFacts, MachineHardware } from './machine-facts.ts';

type Requirements = NonNullable<MachineClaimSpec['requirements']>;

/** What is known when a claim looks for its machine. */
export interface FitFacts {
  /** By name; absent: it is gone, or was never there. */
  readonly site: (name: string) => Site | undefined;
  /** `spec.image` of the claim, if there is one with that name. */
  readonly image: MachineImage | undefined;
  /** A claim that is being deleted waits for the erase of the machine with this name. */
  readonly isReleasing?: (name: string) => boolean;
  /** Whether `spec.requirements.expression` of the claim holds for the machine; absent: it is left out. */
  readonly meets?: (machine: MachineFacts) => boolean;
}

/** Whether one machine would do, and whether it can be had now. Reasons are without a subject: `fewer than 8 cores`. */
export interface Fit {
  /** What it lacks; absent: it would do. */
  readonly lacks?: string;
  /** Why it cannot be had now; absent: it can. */
  readonly taken?: string;
}

const unreadable = 'an inventory that cannot be read';
/** Firmware and kernel keep a part of the memory for themselves: so much less than asked for is as much. */
const keptMemory = 1 / 16;
/** Graphics of BMCs and emulators: nothing that anybody computes with. */
const plainGraphics = new Set(['1a03', '102b', '1234', '1013', '1af4', '1b36', '15ad', '80ee']);

/** Finds the machine for a claim: pure, and the same for the same facts. */
export class MachineFit {
  readonly #claim: MachineClaim;
  readonly #facts: FitFacts;
  /** Objects are never changed: what was judged once stays so. */
  readonly #judged = new WeakMap<MachineFacts, Fit>();

  constructor(claim: MachineClaim, facts: FitFacts) {
    this.#claim = claim;
    this.#facts = facts;
  }

  judge(machine: MachineFacts): Fit {
    const known = this.#judged.get(machine);
    if (known) return known;
    const fit = this.#tryJudge(machine);
    this.#judged.set(machine, fit);
    return fit;
  }

  /** What one box says of itself must not keep the others from being given away. */
  #tryJudge(machine: MachineFacts): Fit {
    try {
      const fit = this.#judge(machine);
      if (fit.lacks === undefined && fit.taken === undefined) this.#sizeOf(machine);
      return fit;
    } catch {
      return { lacks: unreadable };
    }
  }

  #judge(machine: MachineFacts): Fit {
    const lacks = this.#findLack(machine);
    const taken = lacks === undefined ? this.#findTaken(machine) : undefined;
    return { ...(lacks === undefined ? {} : { lacks }), ...(taken === undefined ? {} : { taken }) };
  }

  /** Those that can be had, the one to take first: at a site in touch, with blank disks, and the least of those that do. */
  rank(machines: readonly MachineFacts[]): MachineFacts[] {
    const free = machines.filter((machine) => {
      const { lacks, taken } = this.judge(machine);
      return lacks === undefined && taken === undefined;
    });
    const keyed = free.map((machine) => ({ machine, key: this.#sizeOf(machine) }));
    keyed.sort(
      (a, b) => compare(a.key, b.key) || (a.machine.metadata.name < b.machine.metadata.name ? -1 : 1),
    );
    return keyed.map(({ machine }) => machine);
  }

  /**
   * Why there is none: how many machines fail by what, for people.
   * @param refused why those could not be taken that could be had, by name.
   */
  explain(machines: readonly MachineFacts[], refused: ReadonlyMap<string, string> = new Map()): string {
    const { machineName } = this.#claim.spec;
    const asked =
      machineName === undefined ? machines : machines.filter((one) => one.metadata.name === machineName);
    if (asked.length === 0) {
      return machineName === undefined
        ? 'there are no machines yet: plug one in at a site with a rack, or create a Machine'
        : `there is no machine ${machineName}`;
    }
    const counts = new Map<string, number>();
    for (const machine of asked) {
      const { lacks, taken } = this.judge(machine);
      const why = lacks ?? taken ?? refused.get(machine.metadata.name);
      if (why !== undefined) counts.set(why, (counts.get(why) ?? 0) + 1);
    }
    const parts = [...counts].toSorted(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
    const listed = parts.map(([why, count]) => `${why} (${count})`).join(', ');
    const all = asked.length === 1 ? 'the only one' : `all ${asked.length}`;
    return `no machine fits now, ${all} for a reason: ${listed}`;
  }

  #findLack(machine: MachineFacts): string | undefined {
    const { spec } = this.#claim;
    const { metadata, hardware } = machine;
    const site = this.#facts.site(machine.spec.siteName);
    if (spec.machineName !== undefined && metadata.name !== spec.machineName) return 'not the one named';
    if (spec.siteName !== undefined && machine.spec.siteName !== spec.siteName) return 'at another site';
    if (spec.siteSelector && !(site && matchesLabelSelector(site.metadata.labels, spec.siteSelector))) {
      return 'at a site that the selector leaves out';
    }
    if (spec.machineSelector && !matchesLabelSelector(metadata.labels, spec.machineSelector)) {
      return 'other labels';
    }
    if (hardware === 'Unreadable') return unreadable;
    const { requirements = {}, image } = spec;
    if (Object.keys(requirements).length === 0 && image === undefined) return undefined;
    if (hardware === 'NotInspected') return 'not inspected yet';
    return this.#findMissing(machine, hardware, requirements) ?? this.#findUnbootable(machine, hardware);
  }

  #findMissing(machine: MachineFacts, hardware: MachineHardware, wanted: Requirements): string | undefined {
    const { cores, memory, disks = [], accelerators = [], tags = [], notTags = [], architecture } = wanted;
    const has = new Set(machine.status?.tags);
    if (architecture !== undefined && architectureOf(hardware.architecture) !== architecture) {
      return `not ${architecture}`;
    }
    if (cores !== undefined && hardware.cores < cores) return `fewer than ${cores} cores`;
    const bytes = memory === undefined ? 0 : (quantityToNumber(memory) ?? Infinity);
    if (hardware.memoryBytes < bytes * (1 - keptMemory)) return `less than ${memory} of memory`;
    if (!hasDisks(hardware.disks, disks)) return 'without such disks';
    for (const accelerator of accelerators) {
      const { vendor, product, count = 1 } = accelerator;
      if (acceleratorsOf(hardware, { vendor, product }).length >= count) continue;
      const name = [vendor, product].filter((part) => part !== undefined).join(' ');
      return `fewer than ${count} accelerators${name === '' ? '' : ` ${name}`}`;
    }
    const missing = tags.find((tag) => !has.has(tag));
    if (missing !== undefined) return `without the tag ${missing}`;
    const unwanted = notTags.find((tag) => has.has(tag));
    if (unwanted !== undefined) return `with the tag ${unwanted}`;
    return (this.#facts.meets?.(machine) ?? true) ? undefined : 'the expression is not met';
  }

  /** Why the image of the claim cannot be put on it. */
  #findUnbootable(
    { status }: MachineFacts,
    { architecture: present, disks }: MachineHardware,
  ): string | undefined {
    const { image } = this.#facts;
    if (image === undefined) return undefined;
    const { architecture = 'amd64', bootModes, diskBytes = 0 } = image.spec;
    if (architectureOf(present) !== architecture) {
      return `not ${architecture}, which the image is for`;
    }
    const mode = status?.seen?.bootMode;
    if (bootModes && mode !== undefined && !bootModes.includes(mode)) {
      return `boots with ${mode}, which the image cannot`;
    }
    const { rootDevice = {} } = this.#claim.spec;
    const found = selectRootDevice(disks, rootDevice, diskBytes);
    if ('disk' in found) return undefined;
    return found.reason === 'DiskTooSmall'
      ? 'no disk large enough for the image'
      : 'no disk that fits rootDevice';
  }

  #findTaken({ metadata, spec, status }: MachineFacts): string | undefined {
    const { uid } = this.#claim.metadata;
    if (metadata.deletionTimestamp !== undefined) return 'being deleted';
    if (spec.consumer && spec.consumer.uid !== uid) return 'taken by others';
    if (spec.accepted === false) return 'not accepted';
    if (spec.broken) return 'marked broken';
    if (spec.externallyProvisioned) return 'runs what Selvedge did not install';
    if (spec.protected) return 'protected';
    if (spec.rescue) return 'in rescue';
    if (spec.provision) return 'to have an image already';
    // What stands in status is of before: it may still run what was to be erased.
    if (status?.observedGeneration !== (metadata.generation ?? 1)) return 'changed, and its rack not in step';
    const isErasing = spec.wipeConsent === metadata.name && (spec.release?.erase ?? 'None') !== 'None';
    if (isErasing && this.#facts.isReleasing?.(metadata.name)) return 'being erased';
    if (status?.phase !== 'Available') return 'not Available';
    if (status.operationalStatus === 'Error') return 'in error';
    if (this.#claim.spec.image === undefined) return undefined;
    if (this.#facts.image === undefined) return `MachineImage ${this.#claim.spec.image} is not there`;
    if (status.disks !== 'Data' || spec.wipeConsent === metadata.name) return undefined;
    return 'holds data that nobody allowed to be lost';
  }

  #sizeOf({ spec, status, hardware }: MachineFacts): number[] {
    const known = typeof hardware === 'string' ? undefined : hardware;
    const isInTouch = this.#facts
      .site(spec.siteName)
      ?.status?.conditions?.some(({ type, status: is }) => type === 'Connected' && is === 'True');
    const storage = (known?.disks ?? []).reduce((total, { size }) => total + size, 0);
    return [
      isInTouch ? 0 : 1,
      status?.disks === 'Blank' ? 0 : 1,
      known ? acceleratorsOf(known, {}).length : 0,
      known?.memoryBytes ?? 0,
      known?.cores ?? 0,
      storage,
    ];
  }
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (const [i, value] of a.entries()) {
    const difference = value - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** As OCI names it. */
function architectureOf(name: string): string {
  if (name === 'x86_64') return 'amd64';
  return name === 'aarch64' ? 'arm64' : name;
}

/**
 * GPUs, and what its PCI class calls a processing accelerator or a co-processor; each card once, however many functions it has. With a product: whatever kind of
 * device that is. A vendor alone says less: most of what it makes computes nothing.
 */
function acceleratorsOf(
  { graphics, devices }: MachineHardware,
  wanted: { readonly vendor?: string | undefined; readonly product?: string | undefined },
): DeviceFacts[] {
  const { vendor, product } = wanted;
  const isNamed = vendor !== undefined || product !== undefined;
  const others = devices.filter((device) => product !== undefined || computingClass.test(device.class ?? ''));
  const all = [...graphics, ...others];
  const slots = new Set<string>();
  return all.filter((device) => {
    if (!isNamed && plainGraphics.has((device.vendor_id ?? '').toLowerCase())) return false;
    if (!isSuch(vendor, device.vendor_id, device.vendor)) return false;
    if (!isSuch(product, device.product_id, device.product)) return false;
    // Without the function: the sound of a graphics card is no second card.
    const slot = device.pci_address?.replace(/\.[0-7]$/, '');
    if (slot === undefined) return true;
    const isNew = !slots.has(slot);
    slots.add(slot);
    return isNew;
  });
}

const computingClass = /^(0b40|12)/;

/** By its number, or by a part of its name; without case. */
function isSuch(wanted: string | undefined, id: string | undefined, name: string | undefined): boolean {
  if (wanted === undefined) return true;
  const text = wanted.toLowerCase();
  return id?.toLowerCase() === text || (name?.toLowerCase().includes(text) ?? false);
}

/** Whether there is a different disk for each wish: a matching by augmenting paths. */
function hasDisks(disks: readonly StorageDisk[], wishes: NonNullable<Requirements['disks']>): boolean {
  const usable = disks.filter((disk) => !disk.removable && !disk.read_only);
  const fits = (wish: number, disk: number): boolean => {
    const { size, rotational } = wishes[wish] ?? { size: '' };
    const found = usable[disk];
    if (found === undefined || found.size < (quantityToNumber(size) ?? Infinity)) return false;
    return rotational === undefined || (found.rpm ?? 0) > 0 === rotational;
  };
  const takenBy = new Map<number, number>();
  const place = (wish: number, tried: Set<number>): boolean => {
    for (const disk of usable.keys()) {
      if (tried.has(disk) || !fits(wish, disk)) continue;
      tried.add(disk);
      const holder = takenBy.get(disk);
      if (holder !== undefined && !place(holder, tried)) continue;
      takenBy.set(disk, wish);
      return true;
    }
    return false;
  };
  return wishes.every((_, wish) => place(wish, new Set()));
}
