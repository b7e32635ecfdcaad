import {
  type Clock,
  type Event,
  isAlreadyExists,
  isConflict,
  isNotFound,
  type Logger,
  type Machine,
  type MachineMoment,
  type MachineReport,
  machines,
  type ObjectClient,
  type Site,
  sharedIdentity,
  StatusError,
} from '@selvedge/api';
import { machinesDigest } from '@selvedge/api/node';
import type { FleetStore, SiteKey } from '@selvedge/store';
import type { EventRecorder } from '../controllers/event/event-recorder.ts';
import { boxAddress, boxIdentity, discoveredMachine, isUntouchedDiscovery } from '../machines/discovered.ts';
import { machineConditions } from '../machines/machine-conditions.ts';
import { newMoments, statusAfter } from '../machines/machine-status.ts';
import { AgentEvents, eventAbout } from './agent-events.ts';
import type { KnownMachine, MachineDirectory } from './machine-directory.ts';
import type { SiteSummary } from './signed-states.ts';
import { SiteAllowance } from './site-allowance.ts';
import type { CheckedSyncRequest } from './sync-request.ts';

/** A site's rack may bring so many reports at once, and then so many in a second. */
const reportsAtOnce = 400;
const reportsPerSecond = 10;
/** Moments that become Events, of a site. */
const eventsAtOnce = 200;
const eventsPerHour = 400;
/** Boxes that nobody has accepted: who forges addresses on the wire makes no more Machines than these. */
const defaultMaxDiscovered = 200;
const maxAttempts = 5;
const maxEventMessage = 1_024;
/** The answer that asked may have been lost. */
const askAgainMilliseconds = 600_000;
/** So long the directory may lag behind what was written; seldom more than an instant. */
const lagMilliseconds = 30_000;

export interface SiteMachinesOptions {
  readonly client: ObjectClient;
  readonly fleet: Pick<FleetStore, 'siteState'>;
  readonly directory: MachineDirectory;
  readonly recorder: EventRecorder;
  /** Discovered boxes of a site that wait to be accepted. */
  readonly maxDiscovered?: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What a rack hears about its reports. */
export interface MachinesAnswer {
  /** Highest `seq` that is durable or knowingly dropped; 0: none. */
  readonly acknowledged: number;
  /** Every report is to be sent again. */
  readonly asksAll: boolean;
  /** Some of what was sent was too much at once. */
  readonly isPartial: boolean;
}

type MachinesRequest = Pick<
  CheckedSyncRequest,
  'machines' | 'machineFaults' | 'machinesDigest' | 'stateDigest'
>;

const nothing: MachinesAnswer = { acknowledged: 0, asksAll: false, isPartial: false };

/**
 * Copies what racks say of machines into `Machine.status`, and makes Machines of boxes that nobody had named. A report is acknowledged once it is durable; the same again
 * changes nothing.
 */
export class SiteMachines {
  readonly #o: SiteMachinesOptions;
  readonly #log: Logger;
  readonly #events: AgentEvents;
  readonly #allowance: SiteAllowance;
  readonly #eventAllowance: SiteAllowance;
  /** By site and uid: what this hub wrote, until the directory has heard of it. */
  readonly #written = new Map<string, Map<string, number>>();
  /** Per site: when all reports were asked for because digests differ, and because an inventory is missing. */
  readonly #askedByDigest = new Map<string, number>();
  readonly #askedForInventory = new Map<string, number>();
  /** Per site: when Machines were read one by one because the directory may lag. */
  readonly #lookedAt = new Map<string, number>();
  /** Per site, by name: boxes that this hub recorded, until the directory has heard of them. */
  readonly #discovered = new Map<string, Map<string, number>>();
  /** Per site: when its rack last showed that all of it still holds. */
  readonly #heldAt = new Map<string, string>();
  /** Per site: names of the Machines of its present order, by uid. */
  readonly #ordered = new Map<
    string,
    { readonly epoch: number; readonly names: ReadonlyMap<string, string> }
  >();

  constructor(options: SiteMachinesOptions) {
    this.#o = options;
    this.#log = options.logger;
    this.#events = new AgentEvents(options);
    const { clock } = options;
    this.#allowance = new SiteAllowance(clock, { burst: reportsAtOnce, perSecond: reportsPerSecond });
    const perSecond = eventsPerHour / 3600;
    this.#eventAllowance = new SiteAllowance(clock, { burst: eventsAtOnce, perSecond });
  }

  forget(site: string): void {
    this.#allowance.forget(site);
    this.#eventAllowance.forget(site);
    this.#written.delete(site);
    this.#askedByDigest.delete(site);
    this.#askedForInventory.delete(site);
    this.#lookedAt.delete(site);
    this.#discovered.delete(site);
    this.#ordered.delete(site);
    this.#heldAt.delete(site);
  }

  /** When the rack of a site last showed that what the hub has of its machines still holds; `undefined`: not since this hub runs. */
  heldAt(site: string): string | undefined {
    return this.#heldAt.get(site);
  }

  /** Resolves when what is acknowledged is durable. Throws when it cannot be kept now: the agent sends it again. */
  async take(
    { site, key }: { readonly site: Site; readonly key: SiteKey },
    request: MachinesRequest,
    summary: Pick<SiteSummary, 'epoch' | 'stateDigest'>,
  ): Promise<MachinesAnswer> {
    const { machines: reports = [], machineFaults: faults = [], machinesDigest: digest } = request;
    if (reports.length === 0 && faults.length === 0 && digest === undefined) return nothing;
    let last = 0;
    let isPartial = false;
    let lacksInventory = false;
    for (const fault of faults) this.#refuse(site, fault);
    const isFaulty = new Set(faults.map(({ key: faulty }) => faulty));
    for (const report of reports.toSorted((a, b) => a.seq - b.seq)) {
      if (this.#allowance.take(key.site, 1) === 0) {
        isPartial = true;
        break;
      }
      const isWhole = await this.#takeReport({ site, key, epoch: summary.epoch }, report).catch(
        (error: unknown) => {
          // It would be refused for ever, and the site could say nothing else any more.
          if (!isLasting(error)) throw error;
          this.#refuse(site, { key: report.key, seq: report.seq, message: error.message });
          return true;
        },
      );
      // One that was refused would be refused again.
      lacksInventory ||= !isWhole && !isFaulty.has(report.key);
      last = report.seq;
    }
    if (!isPartial) last = Math.max(last, ...faults.map(({ seq }) => seq));
    const stored = Math.max(0, ...this.#sequences(key.site, this.#o.directory.ofSite(key.site)).values());
    // While it cannot take all, the hub must not acknowledge what it has left out.
    const acknowledged = isPartial ? last : Math.max(stored, last);
    const asksAll = await this.#asksAll(key.site, { request, summary, lacksInventory });
    return { acknowledged, asksAll, isPartial };
  }

  #refuse(
    site: Site,
    { key, seq, message }: { readonly key: string; readonly seq: number; readonly message: string },
  ): void {
    // It was heard: else the digests would differ, and all be asked for, as long as it stands.
    if (this.#o.directory.ofSite(site.metadata.name).has(key))
      this.#noteWritten(site.metadata.name, key, seq);
    this.#log.warn('a report of a machine was refused', {
      site: site.metadata.name,
      machine: key,
      error: message.slice(0, 1_000),
    });
    this.#o.recorder.record(site, {
      type: 'Warning',
      reason: 'MachineReportRefused',
      message: `What its rack says of ${key} cannot be taken: ${message}`,
    });
  }

  /** @returns false when it names an inventory that is not here. */
  async #takeReport(
    { site, key, epoch }: { readonly site: Site; readonly key: SiteKey; readonly epoch: number },
    report: MachineReport,
  ): Promise<boolean> {
    const address = boxAddress(report.key);
    const name =
      address === undefined
        ? await this.#findByUid(key.site, { uid: report.key, epoch })
        : await this.#machineOfBox(site, address, report);
    if (name === undefined) {
      this.#log.debug('a report of no machine was dropped', { site: key.site, machine: report.key });
      return true;
    }
    const written = await this.#write(name, { site, key, report });
    const digest = report.inventoryDigest;
    return written === undefined || digest === undefined || written.status?.inventoryDigest === digest;
  }

  /** @returns the Machine as it is then; `undefined`: it is no machine of the site any more. */
  async #write(
    name: string,
    { site, key, report }: { site: Site; key: SiteKey; report: MachineReport },
  ): Promise<Machine | undefined> {
    const { client, clock } = this.#o;
    for (let attempt = 1; ; attempt++) {
      const present = await client.find<Machine>(machines, { name });
      if (present === undefined || present.spec.siteName !== key.site) return undefined;
      const { uid = '' } = present.metadata;
      if (boxAddress(report.key) === undefined && uid !== report.key) return undefined;
      if (isKnown(present, report)) {
        this.#noteWritten(key.site, uid, present.status?.reportSeq ?? 0);
        return present;
      }
      const moments = newMoments(present.status?.timeline ?? [], report.timeline ?? []);
      // First, for they have a name each: what is cut off here is done again.
      if (attempt === 1) await this.#tell(present, key, moments);
      const status = statusAfter(present.status, report);
      const conditions = machineConditions({ ...present, status }, site, clock.now().toISOString());
      try {
        const changed = { ...present, status: { ...status, conditions } };
        const written = await client.updateStatus<Machine>(machines, changed);
        this.#noteWritten(key.site, uid, report.seq);
        return written;
      } catch (error) {
        if (isNotFound(error)) return undefined;
        if (!isConflict(error) || attempt === maxAttempts) throw error;
      }
    }
  }

  /** What somebody should look at, and where it is in its life, as Events. */
  async #tell(machine: Machine, key: SiteKey, moments: readonly MachineMoment[]): Promise<void> {
    const told = moments.filter(({ type, reason }) => type === 'Warning' || reason === 'PhaseChanged');
    const allowed = this.#eventAllowance.take(key.site, told.length);
    for (const { n, time, type, reason, message } of told.slice(told.length - allowed)) {
      const event: Event = {
        ...eventAbout(machine, key, `${machine.metadata.uid} ${n} ${time}`),
        type,
        reason,
        message: message.slice(0, maxEventMessage),
        count: 1,
        firstTimestamp: time,
        lastTimestamp: this.#o.clock.now().toISOString(),
      };
      await this.#events.save(key, event);
    }
  }

  /** Of one that the directory has not heard of yet the order has the name: nobody else speaks of it. */
  async #findByUid(
    site: string,
    { uid, epoch }: { readonly uid: string; readonly epoch: number },
  ): Promise<string | undefined> {
    const known = this.#o.directory.ofSite(site).get(uid);
    return known?.metadata.name ?? (await this.#orderedNames(site, epoch)).get(uid);
  }

  /** The Machine that the box is by all that is known, or a new one; `undefined`: what it says has no place. */
  async #machineOfBox(site: Site, address: string, report: MachineReport): Promise<string | undefined> {
    const rack = site.spec?.rack;
    if (rack === undefined || rack.discovery === 'Ignore') return undefined;
    const identity = boxIdentity(address, report.seen);
    const { directory } = this.#o;
    const name = site.metadata.name;
    // Where the directory lags a Machine too much is made, which goes once both are known.
    const present = directory.ofSite(name);
    const found = [...present.values()].filter(
      ({ spec }) => sharedIdentity(spec.identity, identity) !== undefined,
    );
    const [only, ...others] = found;
    // Its rack knows it under its uid, or is about to; of several it says itself that they contradict each other.
    if (only !== undefined) return only.isOrdered || others.length > 0 ? undefined : only.metadata.name;
    const machine = discoveredMachine(name, address, report);
    const unheard = this.#unheardDiscoveries(name, present);
    if (unheard.has(machine.metadata.name)) return machine.metadata.name;
    const waiting = [...present.values()].filter(isUntouchedDiscovery).length + unheard.size;
    const { maxDiscovered = defaultMaxDiscovered } = this.#o;
    if (waiting >= maxDiscovered) {
      const message = `${maxDiscovered} discovered boxes wait to be accepted: no more are recorded until some are accepted or deleted.`;
      this.#o.recorder.record(site, { type: 'Warning', reason: 'DiscoveryFull', message });
      return undefined;
    }
    return this.#create(machine, site);
  }

  /** What this hub made a moment ago, and the directory does not show. */
  #unheardDiscoveries(site: string, present: ReadonlyMap<string, KnownMachine>): Map<string, number> {
    const made = this.#discovered.get(site) ?? new Map<string, number>();
    const heard = new Set([...present.values()].map(({ metadata }) => metadata.name));
    const oldest = this.#o.clock.now().getTime() - lagMilliseconds;
    for (const [name, time] of made) if (heard.has(name) || time < oldest) made.delete(name);
    if (made.size === 0) this.#discovered.delete(site);
    return made;
  }

  #noteDiscovered(site: string, name: string): void {
    const made = this.#discovered.get(site) ?? new Map<string, number>();
    this.#discovered.set(site, made.set(name, this.#o.clock.now().getTime()));
  }

  async #create(machine: Machine, site: Site): Promise<string | undefined> {
    const { client, recorder } = this.#o;
    try {
      const { metadata } = await client.create<Machine>(machines, machine);
      this.#noteDiscovered(site.metadata.name, metadata.name);
      this.#log.info('a box was discovered', { site: site.metadata.name, machine: metadata.name });
      const message = `A box nobody knows boots here: Machine ${metadata.name} waits to be accepted.`;
      recorder.record(site, { type: 'Normal', reason: 'MachineDiscovered', message });
      return metadata.name;
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      const { name } = machine.metadata;
      const present = await client.find<Machine>(machines, { name });
      // Another hub was faster.
      if (present && sharedIdentity(present.spec.identity, machine.spec.identity) !== undefined) return name;
      // It has this name and not this address: somebody means another box by it.
      const message = `A box with address ${machine.spec.identity.macAddresses?.[0]} boots here, and Machine ${name} has its name but not its address: put it into spec.identity there, or delete that Machine.`;
      recorder.record(site, { type: 'Warning', reason: 'DiscoveryRefused', message });
      return undefined;
    }
  }

  async #asksAll(
    site: string,
    asked: {
      request: MachinesRequest;
      summary: Pick<SiteSummary, 'epoch' | 'stateDigest'>;
      lacksInventory: boolean;
    },
  ): Promise<boolean> {
    const { request, summary, lacksInventory } = asked;
    if (lacksInventory) return this.#isDue(this.#askedForInventory, site, askAgainMilliseconds);
    const { machinesDigest: told, machines: reports = [] } = request;
    // What it holds another order for it counts other machines.
    if (told === undefined || reports.length > 0 || request.stateDigest !== summary.stateDigest) return false;
    const names = await this.#orderedNames(site, summary.epoch);
    let own = this.#digestOf(site, names, this.#o.directory.ofSite(site));
    if (own !== told) {
      if (!this.#isDue(this.#lookedAt, site, lagMilliseconds)) return false;
      own = this.#digestOf(site, names, await this.#readOrdered(names));
    }
    if (own !== told) return this.#isDue(this.#askedByDigest, site, askAgainMilliseconds);
    this.#askedByDigest.delete(site);
    this.#heldAt.set(site, this.#o.clock.now().toISOString());
    return false;
  }

  #digestOf(
    site: string,
    names: ReadonlyMap<string, string>,
    known: ReadonlyMap<string, KnownMachine>,
  ): string {
    const sequences = this.#sequences(site, known);
    const rows = [...names.keys()].flatMap((uid) => {
      const seq = sequences.get(uid);
      return seq === undefined || known.get(uid)?.isOrdered !== true ? [] : [{ key: uid, seq }];
    });
    return machinesDigest(rows);
  }

  /** As they are now: another hub may have taken a report that the directory has not heard of. */
  async #readOrdered(names: ReadonlyMap<string, string>): Promise<ReadonlyMap<string, KnownMachine>> {
    const known = new Map<string, KnownMachine>();
    for (const [uid, name] of names) {
      const machine = await this.#o.directory.findNow(name);
      if (machine?.metadata.uid === uid) known.set(uid, machine);
    }
    return known;
  }

  /** Whatever differs: who answers by changing what differs would else be asked without end. */
  #isDue(times: Map<string, number>, site: string, milliseconds: number): boolean {
    const now = this.#o.clock.now().getTime();
    const last = times.get(site);
    if (last !== undefined && now - last < milliseconds) return false;
    times.set(site, now);
    return true;
  }

  async #orderedNames(site: string, epoch: number): Promise<ReadonlyMap<string, string>> {
    const known = this.#ordered.get(site);
    if (known?.epoch === epoch) return known.names;
    const { policy } = await this.#o.fleet.siteState(site);
    const names = new Map((policy.rack?.machines ?? []).map(({ uid, name }) => [uid, name]));
    this.#ordered.set(site, { epoch, names });
    return names;
  }

  /** By uid, the last report that is stored: as the directory says, or as this hub wrote since. */
  #sequences(site: string, known: ReadonlyMap<string, KnownMachine>): Map<string, number> {
    const written = this.#written.get(site);
    const sequences = new Map<string, number>();
    for (const [uid, { reportSeq }] of known) {
      const own = written?.get(uid);
      if (own !== undefined && reportSeq !== undefined && reportSeq >= own) written?.delete(uid);
      const seq = Math.max(reportSeq ?? 0, own ?? 0);
      if (seq > 0) sequences.set(uid, seq);
    }
    return sequences;
  }

  #noteWritten(site: string, uid: string, seq: number): void {
    const written = this.#written.get(site) ?? new Map<string, number>();
    this.#written.set(site, written.set(uid, seq));
  }
}

/** An answer was lost, or another hub took it. */
function isKnown({ status }: Machine, { seq, inventory, inventoryDigest }: MachineReport): boolean {
  const known = status?.reportSeq ?? 0;
  if (seq !== known) return seq < known;
  return inventory === undefined || inventoryDigest === status?.inventoryDigest;
}

/** An answer of the API that the same request gets again. */
function isLasting(error: unknown): error is StatusError {
  return error instanceof StatusError && lastingReasons.has(error.reason);
}

const lastingReasons: ReadonlySet<string> = new Set([
  'Invalid',
  'BadRequest',
  'Forbidden',
  'RequestEntityTooLarge',
]);
