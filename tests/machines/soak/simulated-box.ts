import { setTimeout as sleep } from 'node:timers/promises';
import { FakeBox, type ReadTask } from '@selvedge/agent/testing';
import { sha256Digest } from '@selvedge/api/node';
import type { EmulatedBoot, EmulatedMachine } from '@selvedge/machine-lab';
import type { SeededRandom } from '../../scenarios/seeded-random.ts';

/** What is truly on the disk of a box. */
export type DiskContent =
  | { readonly kind: 'Blank' | 'Foreign' | 'Half' }
  | { readonly kind: 'Image'; readonly digest: string; readonly instanceId?: string; readonly runs: boolean };

/** Chances of each fault, at each request of a box to the rack; all 0: it behaves. */
export interface BoxFaults {
  /** Its power is cut. */
  vanish: number;
  /** It stands still until its power is switched. */
  hang: number;
  /** It says things twice, and shows nonces that are used or of an earlier boot. */
  repeat: number;
}

export interface SimulatedBoxOptions {
  readonly name: string;
  readonly mac: string;
  readonly uuid: string;
  readonly serial: string;
  /** It calls from here. */
  readonly address: string;
  readonly rackUrl: string;
  readonly random: SeededRandom;
  readonly faults: BoxFaults;
  readonly content: 'Blank' | 'Foreign';
  /** Before the first byte of a write or an erase. */
  readonly onHarm: (box: SimulatedBox, what: 'write' | 'erase') => void;
  /** What the rack must not have said. */
  readonly onViolation: (message: string) => void;
}

/** A server without QEMU: firmware, inspection system and installed system as the rack sees them, over true HTTP; behind an emulated BMC. */
export class SimulatedBox implements EmulatedMachine {
  readonly identity: EmulatedMachine['identity'];
  readonly options: SimulatedBoxOptions;
  content: DiskContent;
  /** What it does, for messages. */
  doing = 'off';
  writes = 0;
  erases = 0;
  #box: FakeBox;
  #power: AbortController | undefined;
  #running: Promise<void> = Promise.resolve();
  #oldNonce = '';
  readonly #listeners: ((isOn: boolean) => void)[] = [];

  constructor(options: SimulatedBoxOptions) {
    const { uuid, serial, mac, content } = options;
    this.options = options;
    this.identity = { uuid, serial, manufacturer: 'Acme', model: 'EdgeBox 200', macAddresses: [mac] };
    this.content = { kind: content };
    this.#box = new FakeBox(() => options.rackUrl, options);
    if (content === 'Foreign') this.#box.signature = 'mbr';
  }

  isOn(): boolean {
    return this.#power !== undefined;
  }

  turnOn(_boot: EmulatedBoot): Promise<void> {
    if (this.#power === undefined) this.#start();
    return Promise.resolve();
  }

  turnOff({ isGraceful }: { isGraceful: boolean }): Promise<void> {
    if (!isGraceful || this.doing !== 'hangs') this.cutPower();
    return Promise.resolve();
  }

  reset(boot: EmulatedBoot): Promise<void> {
    this.cutPower();
    return this.turnOn(boot);
  }

  onPower(listener: (isOn: boolean) => void): void {
    this.#listeners.push(listener);
  }

  cutPower(): void {
    if (this.#power === undefined) return;
    this.#power.abort(new Error('power was cut'));
    this.#power = undefined;
    this.doing = 'off';
    for (const listener of this.#listeners) listener(false);
  }

  async close(): Promise<void> {
    this.cutPower();
    await this.#running;
  }

  #start(): void {
    const power = new AbortController();
    this.#power = power;
    const before = this.#box;
    const beforeRequest = (path: string) => this.#meetFaults(path, power.signal);
    const box = new FakeBox(() => this.options.rackUrl, {
      ...this.options,
      power: power.signal,
      beforeRequest,
    });
    // A disk outlives the power.
    Object.assign(box, { disk: before.disk, signature: before.signature, seed: before.seed });
    this.#box = box;
    for (const listener of this.#listeners) listener(true);
    const before1 = this.#running;
    this.#running = before1
      .then(() => this.#run(box, power.signal))
      .catch((error: unknown) => {
        if (!power.signal.aborted) this.options.onViolation(`${this.options.name}: ${String(error)}`);
      });
  }

  async #meetFaults(path: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { random, faults, onHarm } = this.options;
    if (path.startsWith('/machine/v1/image/chunk/') && this.content.kind !== 'Half') {
      onHarm(this, 'write');
      this.writes += 1;
      this.content = { kind: 'Half' };
      this.#box.signature = 'mbr';
    }
    if (random.chance(faults.vanish)) this.cutPower();
    if (random.chance(faults.hang)) {
      this.doing = 'hangs';
      await sleep(3_600_000, undefined, { signal });
    }
    signal.throwIfAborted();
  }

  /** From power on until it is off. */
  async #run(box: FakeBox, signal: AbortSignal): Promise<void> {
    for (;;) {
      this.doing = 'starts';
      await sleep(20 + this.options.random.next() * 100, undefined, { signal });
      switch (await this.#boot(box, signal)) {
        case 'Off':
          this.cutPower();
          return;
        case 'Disk':
          if (await this.#runDisk(box, signal)) return;
          break;
        case 'Again':
          break;
      }
    }
  }

  async #boot(box: FakeBox, signal: AbortSignal): Promise<'Off' | 'Disk' | 'Again'> {
    for (let attempt = 0; attempt < 30; attempt++) {
      this.doing = 'asks what to boot';
      const told = await this.#patiently(() => box.askWhatToBoot(), signal);
      if (told.boot === 'Off') return 'Off';
      if (told.boot === 'Disk') return 'Disk';
      if (told.boot === 'System') return await this.#runSystem(box, told.nonce, signal);
      await sleep(300, undefined, { signal });
    }
    return 'Disk';
  }

  async #runSystem(box: FakeBox, nonce: string, signal: AbortSignal): Promise<'Off' | 'Again'> {
    const { random, faults, name, onViolation } = this.options;
    this.doing = 'starts the inspection system';
    if (this.#oldNonce !== '' && random.chance(faults.repeat)) {
      const status = await this.#patiently(() => box.openSession(this.#oldNonce), signal);
      if (status === 200) onViolation(`${name}: a nonce of an earlier boot was taken`);
    }
    this.#oldNonce = nonce;
    const status = await this.#patiently(() => box.openSession(nonce), signal);
    if (status !== 200) return 'Again';
    if (random.chance(faults.repeat)) {
      const second = await this.#patiently(() => box.openSession(nonce), signal);
      if (second === 200) onViolation(`${name}: a nonce was taken twice`);
    }
    await this.#patiently(() => box.sendInventory(), signal);
    for (;;) {
      this.doing = 'asks for a task';
      const task = await this.#patiently(() => box.task(), signal).catch((error: unknown) => {
        if (/401/.test(String(error))) return 'over' as const;
        throw error;
      });
      if (task === 'over') return 'Again';
      if (task === undefined) continue;
      this.doing = task.name;
      await this.#carryOut(box, task, signal);
      if (task.name === 'poweroff') return 'Off';
      if (task.name === 'reboot') return 'Again';
    }
  }

  async #carryOut(box: FakeBox, task: ReadTask, signal: AbortSignal): Promise<void> {
    const { random, faults, name, onHarm, onViolation } = this.options;
    if (task.name === 'erase') {
      onHarm(this, 'erase');
      this.erases += 1;
    }
    if (task.name === 'write') await this.#goOn(box, signal);
    const isDone = await this.#trying(() => box.carryOut(task), signal);
    if (!isDone) return;
    if (task.name === 'erase') this.content = { kind: 'Blank' };
    if (task.name === 'write') this.content = { kind: 'Image', digest: sha256Digest(box.disk), runs: false };
    if (task.name === 'seed' && this.content.kind === 'Image') {
      const instanceId = /^instance-id: "?([^"\n]+)/m.exec(box.seed.get('meta-data') ?? '')?.[1];
      this.content = { ...this.content, ...(instanceId === undefined ? {} : { instanceId }) };
    }
    if (task.name !== 'reboot' && task.name !== 'poweroff' && random.chance(faults.repeat)) {
      const status = await this.#patiently(() => box.answer(task), signal);
      if (status === 200) onViolation(`${name}: the answer to ${task.name} was taken twice`);
    }
  }

  /** As the true one does while it works; the rack may tell it to stop. */
  async #goOn(box: FakeBox, signal: AbortSignal): Promise<void> {
    await this.#patiently(() => box.progress('Writing', 0, 100), signal);
  }

  /** @returns whether it stays on its disk until its power goes. */
  async #runDisk(box: FakeBox, signal: AbortSignal): Promise<boolean> {
    const { content } = this;
    this.doing = `runs its disk (${content.kind})`;
    await sleep(50, undefined, { signal });
    if (content.kind === 'Image' && content.instanceId !== undefined && !content.runs) {
      const status = await this.#patiently(() => box.phoneHome(), signal);
      if (status === 200) this.content = { ...content, runs: true };
    }
    await sleep(3_600_000, undefined, { signal });
    return true;
  }

  /** Until the rack answers: it may be away for a moment. */
  async #patiently<T>(ask: () => Promise<T>, signal: AbortSignal): Promise<T> {
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        signal.throwIfAborted();
        if (/rack answered/.test(String(error))) throw error;
        await sleep(200, undefined, { signal });
      }
    }
  }

  /** false: the rack was away, or wants something else now. */
  async #trying(work: () => Promise<void>, signal: AbortSignal): Promise<boolean> {
    try {
      await work();
      return true;
    } catch {
      signal.throwIfAborted();
      await sleep(200, undefined, { signal });
      return false;
    }
  }
}
