import type { MachineOrder, StorageDisk, SystemTask } from '@selvedge/api';
import { decideBoot } from '../decide-boot.ts';
import { isWorking } from '../job.ts';
import { addSeconds, type GivenTask, type MachineRecord, newRecord } from '../machine-record.ts';
import type { PlanFacts } from '../plan-facts.ts';
import { planMachine } from '../plan-machine.ts';
import { shifted } from '../shift-times.ts';
import {
  bootAsked,
  bootDecided,
  inventoryTaken,
  powerRead,
  progressed,
  resumed,
  sessionOpened,
  systemConfirmed,
  taskAnswered,
  wishDone,
  wishFailed,
} from '../take-event.ts';
import { defaultTimings } from '../timings.ts';
import { sampleInventory, sampleMac, sampleMachine } from './sample-order.ts';

/** What runs on the box. */
type Running = 'Nothing' | 'Firmware' | 'System' | 'Disk';

/**
 * A box with its BMC and the rack's planner, without sockets, disks and true time: a model to find out what may come of which order of events. What it does on its disk it does
 * only when told.
 */
export class SimulatedMachine {
  record: MachineRecord;
  order: MachineOrder;
  running: Running = 'Nothing';
  /** What is on its disk. */
  disk: 'Blank' | 'Foreign' | 'Ours' | 'Half' = 'Blank';
  now = '2026-01-01T00:00:00.000Z';
  isImageReady = true;
  /** As its inventory shows them; absent: one that is as `disk` says. */
  disks: readonly StorageDisk[] | undefined;
  /** Of its site. */
  scripts: PlanFacts['scripts'] = [];
  readonly hasBmc: boolean;
  /** Every write to the disk that it was told: what was there before, and what the order was. */
  readonly writes: {
    task: SystemTask['task'];
    before: string;
    order: MachineOrder;
    /** The order named it at all. */
    isWanted: boolean;
    isOverData: boolean;
    /** The same image runs there already, by the word of its system. */
    isRepeated: boolean;
  }[] = [];
  #clock = 0;
  #isWanted = true;
  /** What its system is at, and what was on its disk when it began. */
  #held: { readonly given: GivenTask; readonly before: string } | undefined;
  /** There is, or was when a write began that is not whole, what somebody may want to keep. */
  #isPrecious = false;
  /** What the rack has been told runs on it, as it is wanted. */
  #confirmed: string | undefined;

  constructor(options: { hasBmc?: boolean; order?: Partial<MachineOrder> } = {}) {
    this.hasBmc = options.hasBmc ?? true;
    this.order = sampleMachine(options.order);
    this.record = newRecord(this.order.uid, this.now);
    this.plan();
  }

  get facts(): PlanFacts {
    const { now, order, hasBmc } = this;
    return {
      now,
      timings: defaultTimings,
      discovery: 'Record',
      ...(this.#isWanted ? { order } : {}),
      ...(order.provision === undefined
        ? {}
        : {
            confirmation: 'CloudInit' as const,
            image: this.isImageReady
              ? { isReady: true as const, diskBytes: 1_000_000, chunks: 1, digest: 'sha256:00' }
              : { isReady: false as const, hasFailed: false, message: 'the image is here' },
          }),
      power: { readsState: hasBmc, turnsOn: hasBmc, turnsOff: hasBmc, setsBoot: hasBmc },
      scripts: this.scripts,
      hasScript: () => true,
    };
  }

  plan(): void {
    if (this.#confirmed !== this.#subject()) this.#confirmed = undefined;
    this.record = planMachine(this.record, this.facts);
  }

  change(parts: Partial<MachineOrder>): void {
    this.order = { ...this.order, ...parts, generation: this.order.generation + 1 };
    this.plan();
  }

  request(name: 'inspect' | 'reboot' | 'retry'): void {
    if (name === 'retry') this.#confirmed = undefined;
    this.change({ requests: { ...this.order.requests, [name]: addSeconds(this.now, this.#clock++) } });
  }

  pass(seconds: number): void {
    this.now = addSeconds(this.now, seconds);
    this.plan();
  }

  /** The agent is killed and starts again: what is on its disk is all that it has. */
  crash(): void {
    this.record = resumed(JSON.parse(JSON.stringify(this.record)) as MachineRecord, this.now);
    this.plan();
  }

  /** The BMC is asked for what the record wishes. */
  askBmc(outcome: 'Does' | 'Lies' | 'Refuses' | 'Hangs'): void {
    const { wish } = this.record;
    if (wish === undefined || (wish.notBefore !== undefined && wish.notBefore > this.now)) return;
    if (outcome === 'Refuses' || outcome === 'Hangs') {
      const reason = outcome === 'Hangs' ? 'Unavailable' : 'NotHonoured';
      const error = { reason, message: 'the BMC said no' } as const;
      this.record = wishFailed(this.record, { id: wish.id, error }, this.facts);
    } else {
      if (outcome === 'Does') for (const act of wish.acts) this.#switch(act.kind);
      this.record = wishDone(this.record, wish.id, this.facts);
    }
    this.plan();
  }

  readPower(): void {
    if (!this.hasBmc) return;
    const state = this.running === 'Nothing' ? 'Off' : 'On';
    this.record = powerRead(this.record, { state }, this.now);
    this.plan();
  }

  #switch(kind: string): void {
    if (kind === 'Off' || kind === 'GracefulOff') this.running = 'Nothing';
    else if (kind === 'On' && this.running !== 'Nothing') return;
    else if (kind !== 'SetBoot') this.running = 'Firmware';
  }

  pressButton(): void {
    this.running = 'Firmware';
  }

  losePower(): void {
    this.running = 'Nothing';
  }

  /** Its firmware asks what to boot, and does so. */
  boot(): void {
    if (this.running !== 'Firmware') return;
    const { now } = this;
    const request = {
      macAddress: sampleMac,
      platform: 'BIOS',
      architecture: 'amd64',
      address: '10.0.0.5',
    } as const;
    const asked = planMachine(bootAsked(this.record, request, now), this.facts);
    const choice = decideBoot(asked, this.facts, { platform: 'BIOS', hasSystem: true });
    const nonceDigest = choice.boot === 'System' ? 'nonce' : undefined;
    const told = { request, now, timings: defaultTimings, nonceDigest };
    this.record = bootDecided(asked, choice, told);
    this.#held = undefined;
    if (choice.boot === 'System') this.running = 'System';
    if (choice.boot === 'Disk') this.running = 'Disk';
    this.plan();
  }

  openSession(): void {
    if (this.running !== 'System' || this.record.boot?.isUsed === true || this.record.boot === undefined)
      return;
    const session = { digest: `token ${this.#clock++}`, address: '10.0.0.5', time: this.now };
    this.record = sessionOpened(this.record, session);
    this.plan();
  }

  /** Everything behaves, as far as the system that asks for its task. */
  comeUp(): void {
    this.askBmc('Does');
    this.readPower();
    this.boot();
    this.openSession();
  }

  /** Nothing is wanted on its disk any more. */
  letGo(): void {
    const { provision: _, ...order } = this.order;
    this.order = order;
    this.change({});
  }

  #subject(): string | undefined {
    const { provision } = this.order;
    return provision && `${provision.image} ${provision.instanceId}`;
  }

  /** Whether the order of the site names it. */
  setWanted(isWanted: boolean): void {
    this.#isWanted = isWanted;
    this.plan();
  }

  /** The hub says that it is another time than the rack took it for. */
  correctClock(seconds: number): void {
    this.now = addSeconds(this.now, seconds);
    this.record = shifted(this.record, seconds * 1000);
    this.plan();
  }

  /** Its system is told what to do. */
  takeTask(): void {
    const { task, stage } = this.record.job ?? {};
    if (this.running !== 'System' || this.record.session === undefined || stage !== 'System') return;
    if (task !== undefined) this.#held = { given: task, before: this.disk };
  }

  /** Its system does some of what it was told, when the rack says that it is to go on. */
  goOn(): void {
    const { record } = this;
    const { given, before } = this.#held ?? {};
    if (given === undefined || before === undefined || this.running !== 'System') return;
    if (record.session === undefined || record.job?.task?.id !== given.id || !isWorking(record)) {
      this.#held = undefined;
      return;
    }
    const { task } = given.task;
    if (task !== 'write' && task !== 'erase') return;
    this.#noteWrite(task, before);
    this.disk = 'Half';
    if (task === 'write')
      this.record = progressed(record, { step: 'Writing', done: this.#clock++, total: 10_000_000 }, this.now);
  }

  endTask(isGood: boolean): void {
    this.goOn();
    if (this.#held === undefined || this.running !== 'System') return;
    this.#held = undefined;
    this.work(isGood);
  }

  #noteWrite(task: 'write' | 'erase', before: string): void {
    const { order } = this;
    const isRepeated = task === 'write' && this.#confirmed !== undefined;
    const isWanted = this.#isWanted;
    if (this.disk === 'Foreign') this.#isPrecious = true;
    if (this.disk === 'Blank') this.#isPrecious = false;
    this.writes.push({ task, before, order, isWanted, isOverData: this.#isPrecious, isRepeated });
  }

  /** Its system says how far the write is. @returns whether it is to go on. */
  tellProgress(done: number): boolean {
    const { record } = this;
    const { task } = record.job ?? {};
    const isAnother = this.#held !== undefined && this.#held.given.id !== task?.id;
    if (!isWorking(record) || task?.name !== 'write' || isAnother) return false;
    this.record = progressed(record, { step: 'Writing', done, total: 10_000_000 }, this.now);
    return true;
  }

  /** The system carries out the task at hand. */
  work(isGood: boolean): void {
    const { record } = this;
    if (this.running !== 'System' || record.session === undefined || !isWorking(record)) return;
    const { task } = record.job;
    if (task === undefined) return;
    this.#doTask(task.task, isGood);
    const result = isGood
      ? ({ status: 'ok' } as const)
      : ({ status: 'failed', message: 'it broke' } as const);
    if (!isWorking(this.record)) return;
    this.record = taskAnswered(this.record, { task, result }, this.facts);
    this.plan();
  }

  #doTask(task: SystemTask, isGood: boolean): void {
    if (task.task === 'write' || task.task === 'erase') {
      this.#noteWrite(task.task, this.disk);
      if (task.task === 'write') this.disk = isGood ? 'Ours' : 'Half';
      else if (isGood) this.disk = 'Blank';
    }
    if (task.task === 'poweroff') this.running = 'Nothing';
    if (task.task === 'reboot') this.running = 'Firmware';
    if (task.task === 'collect' && isGood) this.takeInventory();
  }

  /** Where the rack is to leave the box alone, others put a system of theirs on its disk. */
  installByOthers(): void {
    const { accepted, isExternal, isProtected, broken } = this.order;
    const isTheirs = isExternal === true || isProtected === true || broken !== undefined;
    if (!isTheirs && accepted && this.#isWanted) return;
    this.#held = undefined;
    this.disk = 'Foreign';
    this.running = 'Disk';
  }

  takeInventory(): void {
    const signature = { Blank: undefined, Foreign: 'xfs', Ours: 'gpt', Half: 'gpt' }[this.disk];
    const inventory = sampleInventory({ signature, disks: this.disks });
    this.record = inventoryTaken(this.record, { inventory, digest: `sha256:${this.disk}`, now: this.now });
  }

  /** The installed system says that it runs. */
  confirm(): void {
    if (this.running !== 'Disk' || this.disk !== 'Ours') return;
    this.record = systemConfirmed(this.record, { address: '10.0.0.5' }, this.now);
    this.#isPrecious = true;
    this.plan();
    this.#confirmed = this.record.phase === 'Provisioned' ? this.#subject() : undefined;
  }

  /** Everything behaves, for so many rounds. */
  settle(rounds = 60): void {
    for (let round = 0; round < rounds; round++) {
      this.comeUp();
      this.work(true);
      this.confirm();
      this.pass(30);
    }
  }
}
