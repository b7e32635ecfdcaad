import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { copyFile, mkdir, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import type { EmulatedBoot, EmulatedMachine } from '../emulated-machine.ts';
import type { MachineNetwork, NetworkCable } from '../network/machine-network.ts';
import { withSystemFolders } from '../program/run-program.ts';
import { findAcceleration } from './acceleration.ts';
import {
  type BoxDescription,
  bootIndexes,
  type DiskDescription,
  type QemuParts,
  qemuArguments,
} from './qemu-arguments.ts';
import { QmpConnection } from './qmp-connection.ts';

export interface VirtualMachineOptions {
  /** For its disks, logs and the variables of its firmware; stays when it is closed. */
  readonly folder: string;
  readonly box: Omit<BoxDescription, 'cores' | 'devices'> &
    Partial<Pick<BoxDescription, 'cores' | 'devices'>>;
  /** Empty and sparse when they are new; the first one is `disk0.raw`. */
  readonly disks: readonly {
    readonly sizeBytes: number;
    readonly serial: string;
    readonly bus?: DiskDescription['bus'];
  }[];
  readonly macAddresses: readonly string[];
  readonly network: MachineNetwork;
  readonly consolePort?: number;
  /** PATH of the caller. */
  readonly path: string;
}

const firmwareFolders = ['/usr/share/OVMF', '/usr/share/edk2/x64', '/usr/share/qemu'];

interface Running {
  readonly child: ChildProcessByStdio<Writable, Readable, null>;
  readonly qmp: QmpConnection;
  readonly ended: Promise<void>;
}

/**
 * A box under QEMU. It is on while QEMU runs: turned off it leaves nothing but its disks. What it is told to boot holds for that start; when its system restarts it, the
 * firmware's own order is back.
 */
export class VirtualMachine implements EmulatedMachine {
  readonly identity: EmulatedMachine['identity'];
  /** What came out of its serial port, of all its starts. */
  readonly serialLog: string;
  readonly #options: VirtualMachineOptions;
  #parts: QemuParts;
  readonly #cables: readonly NetworkCable[];
  readonly #listeners: ((isOn: boolean) => void)[] = [];
  #running: Running | undefined;
  /** One change of power at a time. */
  #last: Promise<void> = Promise.resolve();
  #isChanging = false;
  #restarts = 0;

  private constructor(options: VirtualMachineOptions, parts: QemuParts, cables: readonly NetworkCable[]) {
    const { box, macAddresses } = options;
    this.identity = {
      uuid: box.uuid,
      serial: box.serial,
      manufacturer: box.manufacturer,
      model: box.model,
      macAddresses,
    };
    this.serialLog = parts.serialLog;
    this.#options = options;
    this.#parts = parts;
    this.#cables = cables;
  }

  /** Makes its disks where they are not there yet, and plugs it in. It is off. */
  static async create(options: VirtualMachineOptions): Promise<VirtualMachine> {
    const { folder, network, macAddresses, consolePort } = options;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const disks = await Promise.all(
      options.disks.map(async ({ sizeBytes, serial, bus = 'virtio' }, index) => {
        const file = join(folder, `disk${index}.raw`);
        await makeDisk(file, sizeBytes);
        return { file, serial, bus };
      }),
    );
    const flash = options.box.firmware === 'UEFI' ? await prepareFlash(folder) : undefined;
    const cables: NetworkCable[] = [];
    for (const _ of macAddresses) cables.push(await network.plug());
    const parts: QemuParts = {
      box: { cores: 1, devices: [], ...options.box },
      disks,
      ports: macAddresses.map((macAddress, index) => ({ macAddress, netdev: cables[index]?.netdev ?? '' })),
      acceleration: await findAcceleration(),
      serialLog: join(folder, 'serial.log'),
      ...(flash === undefined ? {} : { flash }),
      ...(consolePort === undefined ? {} : { consolePort }),
    };
    return new VirtualMachine(options, parts, cables);
  }

  get diskFiles(): readonly string[] {
    return this.#parts.disks.map(({ file }) => file);
  }

  /** How often its own system restarted it. */
  get restarts(): number {
    return this.#restarts;
  }

  /** Of QEMU, while it is on. */
  get pid(): number | undefined {
    return this.#running?.child.pid;
  }

  isOn(): boolean {
    return this.#running !== undefined || this.#isChanging;
  }

  onPower(listener: (isOn: boolean) => void): void {
    this.#listeners.push(listener);
  }

  turnOn(boot: EmulatedBoot): Promise<void> {
    return this.#change(async () => {
      if (this.#running !== undefined) return;
      await this.#start(boot);
      this.#tell(true);
    });
  }

  async turnOff({ isGraceful }: { isGraceful: boolean }): Promise<void> {
    if (isGraceful) {
      // The system of the box may take its time, or not listen.
      await this.#running?.qmp.execute('system_powerdown').catch(() => undefined);
      return;
    }
    await this.#change(() => this.#stop());
  }

  reset(boot: EmulatedBoot): Promise<void> {
    return this.#change(async () => {
      this.#isChanging = this.#running !== undefined;
      try {
        await this.#stop();
        await this.#start(boot);
      } finally {
        this.#isChanging = false;
      }
    });
  }

  /** As somebody does in the setup of its firmware: from the next start on. */
  setBootOrder(bootOrder: QemuParts['box']['bootOrder']): void {
    this.#parts = { ...this.#parts, box: { ...this.#parts.box, bootOrder } };
  }

  /** Pulls out or puts back the cable of a port. */
  async setCable(port: number, isConnected: boolean): Promise<void> {
    await this.#cables[port]?.setConnected(isConnected);
  }

  /** The last lines that it wrote to its serial port. */
  async lastLines(count = 30): Promise<string> {
    const text = await readFile(this.serialLog, 'latin1').catch(() => '');
    return text.replaceAll('\r', '').trimEnd().split('\n').slice(-count).join('\n');
  }

  /** Turns it off and unplugs it. */
  async close(): Promise<void> {
    await this.turnOff({ isGraceful: false });
    for (const cable of this.#cables) await cable.remove();
  }

  #change(action: () => Promise<void>): Promise<void> {
    const done = this.#last.then(action);
    this.#last = done.catch(() => undefined);
    return done;
  }

  async #start(boot: EmulatedBoot): Promise<void> {
    const { folder, network, path } = this.#options;
    const log = openSync(join(folder, 'qemu.log'), 'w', 0o600);
    // The box goes off with whoever started it.
    const [program = '', ...args] = [
      ...network.enter,
      'setpriv',
      '--pdeathsig',
      'KILL',
      'qemu-system-x86_64',
      ...qemuArguments(this.#parts, boot),
    ];
    const env = { PATH: withSystemFolders(path), LC_ALL: 'C' };
    // A group of its own, so that Ctrl-C in the terminal does not reach it.
    const child = spawn(program, args, {
      stdio: ['pipe', 'pipe', log],
      detached: true,
      env,
    }) as Running['child'];
    closeSync(log);
    const ended = new Promise<void>((resolve) => {
      child.once('exit', () => resolve());
      child.once('error', () => resolve());
    });
    const qmp = new QmpConnection({ input: child.stdin, output: child.stdout }, (event) => {
      if (event.event === 'RESET' && event.data['guest'] === true) this.#restarts++;
    });
    const running = { child, qmp, ended };
    void ended.then(() => this.#hasEnded(running));
    try {
      await qmp.execute('qmp_capabilities');
      // Each index only once: these begin behind those of the start.
      for (const [id, value] of Object.entries(bootIndexes(this.#parts, 'Default', 100))) {
        await qmp.execute('qom-set', { path: `/machine/peripheral/${id}`, property: 'bootindex', value });
      }
      await qmp.execute('cont');
    } catch (cause) {
      child.kill('SIGKILL');
      await ended;
      const words = await readFile(join(folder, 'qemu.log'), 'utf8').catch(() => '');
      throw new Error(`QEMU does not start: ${words.trim() || (cause as Error).message}`, { cause });
    }
    this.#running = running;
    // It may have ended before that was noted.
    if (child.exitCode !== null || child.signalCode !== null) this.#hasEnded(running);
  }

  async #stop(): Promise<void> {
    const running = this.#running;
    if (running === undefined) return;
    running.child.kill('SIGKILL');
    await running.ended;
    this.#hasEnded(running);
  }

  #hasEnded(running: Running): void {
    running.qmp.close();
    if (this.#running !== running) return;
    this.#running = undefined;
    if (!this.#isChanging) this.#tell(false);
  }

  #tell(isOn: boolean): void {
    for (const listener of this.#listeners) listener(isOn);
  }
}

async function makeDisk(file: string, sizeBytes: number): Promise<void> {
  const handle = await open(file, 'a', 0o600);
  try {
    if ((await handle.stat()).size === 0) await handle.truncate(sizeBytes);
  } finally {
    await handle.close();
  }
}

/** Its variables begin empty each time it is set up: boot entries that a system left there would come before the port that it is to boot from. */
async function prepareFlash(folder: string): Promise<NonNullable<QemuParts['flash']>> {
  for (const firmware of firmwareFolders) {
    const variables = join(folder, 'variables.fd');
    try {
      await rm(variables, { force: true });
      await copyFile(join(firmware, 'OVMF_VARS_4M.fd'), variables);
      return { code: join(firmware, 'OVMF_CODE_4M.fd'), variables };
    } catch {
      // Perhaps it is in the next folder.
    }
  }
  throw new Error('the UEFI firmware OVMF is missing; on Debian: apt-get install ovmf');
}
