import { loadavg } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Machine,
  type MachinePhase,
  type MachineSpec,
  machines as machineResource,
} from '@selvedge/api';
import { bundledPrograms } from '../quickstart/lab/lab.ts';
import { runProgram } from '../quickstart/lab/run-program.ts';
import { type Box, type BoxOptions, RackLab, siteName } from '../tests/machines/rack-lab.ts';
import {
  buildDebianImage,
  buildTinyImage,
  pushImage,
  pushInspectionSystem,
} from '../tests/machines/test-images.ts';
import { type Figure, figure, median, renderFigure } from './figure.ts';
import { residentMebibytes } from './resident-memory.ts';

export interface MachinesBenchOptions {
  /** Boxes that are inspected and provisioned at once. */
  readonly machines: number;
  /** So often one box with BIOS alone, for a median. */
  readonly runs: number;
  /** What is measured, of `machinesBenchParts`. */
  readonly parts: readonly string[];
}

/** Debian takes some minutes more: it is built first. */
const machinesBenchParts = ['memory', 'single', 'debian', 'many'];

const settleSeconds = 15;
/** An idle agent has 64 MiB (see main-job); the role may add 40. */
const memoryMark = 104;
/** More virtual machines than this machine has cores are slow, and nothing is known from that: for each of them, and at least. */
const patienceSeconds = 600;

type Tell = (line: string) => void;

/**
 * What a rack needs for a box: from the order that it is to be looked after to Available, and from the wish for an image to the word of the installed system; one
 * at a time and many at once. Virtual machines under emulation: what the boxes themselves take is most of it.
 */
export async function benchMachines(
  { machines, runs, parts }: MachinesBenchOptions,
  tell: Tell,
): Promise<Figure[]> {
  const unknown = parts.find((part) => !machinesBenchParts.includes(part));
  if (unknown !== undefined) throw new Error(`--part ${unknown}: there are ${machinesBenchParts.join(', ')}`);
  const started = performance.now();
  const tellTime: Tell = (line) =>
    tell(`${((performance.now() - started) / 1000).toFixed(0).padStart(5)} s  ${line} (load ${load()})`);
  tellTime('building the programs');
  await runProgram([process.execPath, join(import.meta.dirname, '../tools/build.ts')]);
  const lab = await RackLab.start({ agentProgram: [...bundledPrograms.agent, 'run'] });
  try {
    const bench = new MachinesBench(lab, tellTime);
    if (parts.includes('memory')) await bench.memory(machines);
    if (parts.some((part) => part !== 'memory')) await bench.pushImages();
    if (parts.includes('single')) await bench.single(runs);
    if (parts.includes('debian')) await bench.debian();
    if (parts.includes('many')) await bench.many(machines);
    return bench.figures;
  } finally {
    await lab.close();
  }
}

class MachinesBench {
  readonly figures: Figure[] = [];
  readonly #lab: RackLab;
  readonly #tell: Tell;

  constructor(lab: RackLab, tell: Tell) {
    this.#lab = lab;
    this.#tell = tell;
  }

  async memory(machines: number): Promise<void> {
    this.#tell(`memory: without machines, and with ${machines} that run`);
    await sleep(settleSeconds * 1000);
    const memory = { unit: 'MiB', mark: { atMost: memoryMark } } as const;
    const idle = await residentMebibytes(this.#lab.agentPid);
    this.#add('agent with the role of a rack: memory (RSS), no machines', idle, memory);
    const known = await memoryWithKnown(this.#lab, machines);
    this.#add(`the same, ${machines} machines known, none of them at work`, known, memory);
  }

  async pushImages(): Promise<void> {
    this.#tell('building and pushing the inspection system and a tiny image');
    await pushInspectionSystem(this.#lab);
    await pushImage(this.#lab, 'tiny', await buildTinyImage('tiny'));
  }

  /** One box at a time: `runs` with BIOS, one with UEFI. */
  async single(runs: number): Promise<void> {
    const available: number[] = [];
    const provisioned: number[] = [];
    for (let run = 0; run < runs; run++) {
      const times = await this.#one({ name: `bios-${run}`, firmware: 'BIOS' });
      available.push(times.available);
      provisioned.push(times.provisioned);
    }
    const uefi = await this.#one({ name: 'uefi', firmware: 'UEFI' });
    this.#add(`one box (BIOS) to Available, median of ${runs}`, median(available), {
      unit: 's',
      mark: { atMost: 30 },
    });
    this.#add(`one box (BIOS), tiny image, to Provisioned, median of ${runs}`, median(provisioned), {
      unit: 's',
      mark: { atMost: 45 },
    });
    this.#add('one box (UEFI) to Available', uefi.available, { unit: 's' });
    this.#add('one box (UEFI), tiny image, to Provisioned', uefi.provisioned, { unit: 's' });
  }

  async debian(): Promise<void> {
    this.#tell('building Debian');
    await pushImage(this.#lab, 'debian', await buildDebianImage());
    const { provisioned } = await this.#one(
      {
        name: 'debian',
        memoryMebibytes: 768,
        disks: [{ sizeBytes: 3 * 1024 ** 3, serial: 'debian' }],
      },
      'debian',
    );
    this.#add('one box (BIOS), Debian with cloud-init, to Provisioned', provisioned, { unit: 's' });
  }

  async many(machines: number): Promise<void> {
    const boxes: Box[] = [];
    for (let index = 0; index < machines; index++) {
      boxes.push(await this.#lab.addBox({ name: `many-${index}` }));
    }
    let most = 0;
    const watching = new AbortController();
    const watched = watchMemory(this.#lab, watching.signal, (mebibytes) => {
      most = Math.max(most, mebibytes);
    });
    try {
      const { available, provisioned } = await this.#life(boxes, 'tiny');
      this.#add(`${machines} boxes at once to Available`, available, { unit: 's' });
      this.#add(`${machines} boxes at once, tiny image, to Provisioned`, provisioned, { unit: 's' });
    } finally {
      watching.abort();
      await watched;
      await Promise.all(boxes.map(({ machine }) => machine.turnOff({ isGraceful: false })));
    }
    this.#add(`agent: most memory (RSS) while ${machines} boxes were provisioned`, most, { unit: 'MiB' });
    this.#tell(`${settleSeconds} s of quiet, then memory`);
    await sleep(settleSeconds * 1000);
    this.#add('agent: memory (RSS) afterwards', await residentMebibytes(this.#lab.agentPid), {
      unit: 'MiB',
      mark: { atMost: memoryMark },
    });
  }

  async #one(options: BoxOptions, image = 'tiny'): Promise<{ available: number; provisioned: number }> {
    const box = await this.#lab.addBox(options);
    const times = await this.#life([box], image);
    await box.machine.turnOff({ isGraceful: false });
    return times;
  }

  async #life(boxes: readonly Box[], image: string): Promise<{ available: number; provisioned: number }> {
    const available = await secondsOf(async () => {
      await Promise.all(boxes.map((box) => this.#lab.createMachine(box)));
      await this.#waitPhase(boxes, 'Available');
    });
    const wish = (spec: MachineSpec) => ({ ...spec, provision: { image } });
    const provisioned = await secondsOf(async () => {
      await Promise.all(boxes.map((box) => this.#lab.changeMachine(box.name, wish)));
      await this.#waitPhase(boxes, 'Provisioned');
    });
    return { available, provisioned };
  }

  /** Tells how far they are twice a minute: many take long. */
  async #waitPhase(boxes: readonly Box[], phase: MachinePhase): Promise<void> {
    const names = boxes.map(({ name }) => name);
    const telling = new AbortController();
    const told = this.#tellProgress(names, phase, telling.signal);
    try {
      await waitPhase(this.#lab, names, phase);
    } finally {
      telling.abort();
      await told;
    }
    this.#tell(`${describeNames(names)}: ${phase}`);
  }

  async #tellProgress(names: readonly string[], phase: MachinePhase, signal: AbortSignal): Promise<void> {
    for (;;) {
      await sleep(30_000, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      const found = await Promise.all(names.map((name) => this.#lab.findMachine(name))).catch(() => []);
      const steps = Map.groupBy(found, (machine) => stepOf(machine, phase));
      const counts = [...steps].map(([step, of]) => `${of.length} ${step}`).toSorted();
      this.#tell(`${describeNames(names)}: ${counts.join(', ')}`);
    }
  }

  #add(name: string, value: number, more: Pick<Figure, 'unit' | 'mark'>): void {
    const added = figure(name, value, more);
    this.figures.push(added);
    // Known also when a later part does not come to its end.
    this.#tell(`measured: ${renderFigure(added).trim()}`);
  }
}

function describeNames(names: readonly string[]): string {
  return names.length === 1 ? (names[0] ?? '') : `${names.length} boxes`;
}

function stepOf(machine: Machine | undefined, wanted: MachinePhase): string {
  const { phase = 'unknown', error, waiting, progress } = machine?.status ?? {};
  if (phase === wanted) return phase;
  return `${phase}/${error?.reason ?? waiting?.step ?? progress?.step ?? ''}`;
}

/** Load average of the last minute. */
function load(): string {
  return (loadavg()[0] ?? 0).toFixed(1);
}

/** Servers that somebody else installed, as the rack sees them for most of their lives. */
async function memoryWithKnown(lab: RackLab, count: number): Promise<number> {
  const names = Array.from({ length: count }, (_, index) => `known-${index}`);
  for (const [index, name] of names.entries()) {
    const macAddress = `52:54:00:99:00:${index.toString(16).padStart(2, '0')}`;
    await lab.client.create<Machine>(machineResource, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Machine',
      metadata: { name },
      spec: { siteName, identity: { macAddresses: [macAddress] }, externallyProvisioned: true },
    });
  }
  await waitPhase(lab, names, 'Provisioned');
  await sleep(settleSeconds * 1000);
  const known = await residentMebibytes(lab.agentPid);
  for (const name of names) await lab.client.delete(machineResource, { name });
  return known;
}

async function waitPhase(lab: RackLab, names: readonly string[], phase: MachinePhase): Promise<void> {
  for (const name of names) {
    const expected = { what: `is ${phase}`, seconds: patienceSeconds * Math.max(3, names.length) };
    await lab.waitMachine(name, expected, (status) => status.phase === phase);
  }
}

async function watchMemory(
  lab: RackLab,
  signal: AbortSignal,
  see: (mebibytes: number) => void,
): Promise<void> {
  while (!signal.aborted) {
    see(await residentMebibytes(lab.agentPid));
    await sleep(500, undefined, { signal }).catch(() => undefined);
  }
}

async function secondsOf(work: () => Promise<void>): Promise<number> {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}
