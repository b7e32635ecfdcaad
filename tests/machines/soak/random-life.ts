import { setTimeout as sleep } from 'node:timers/promises';
import { type Machine, type MachineSpec, machines } from '@selvedge/api';
import type { SeededRandom } from '../../scenarios/seeded-random.ts';
import type { MachineSoak, SoakBox } from './machine-soak.ts';
import type { SimulatedBox } from './simulated-box.ts';

/** From when to when somebody allowed that data is lost, or forbade that anything is done; by `performance.now()`. */
interface Span {
  readonly from: number;
  to: number;
}

/** What people wanted of a machine, as they remember it. */
interface Wanted {
  readonly consents: Span[];
  readonly protections: Span[];
  changedAt: number;
}

/** Of what is on its way when a wish changes, with all alive. */
const lagMs = 8_000;

const retryEveryMs = 15_000;

/** People who want something else of machines all the time, and what breaks meanwhile; and what has to hold of it all. */
export class RandomLife {
  readonly #soak: MachineSoak;
  readonly #random: SeededRandom;
  readonly #wanted = new Map<string, Wanted>();
  /** When somebody last asked for another try, by machine. */
  readonly #retriedAt = new Map<string, number>();
  /** When the way from people to the rack was last broken, and since when it is whole. */
  #brokenSince: number | undefined;
  #wholeSince = 0;
  #breaks = 0;
  /** Until the way is whole again. */
  #mending = Promise.resolve();
  #instance = 0;

  constructor(soak: MachineSoak, random: SeededRandom) {
    this.#soak = soak;
    this.#random = random;
    soak.onHarm = (box, what) => this.#checkHarm(box, what);
  }

  /** One Machine for most boxes; the others are discovered and accepted by and by. */
  async begin(): Promise<void> {
    for (const one of this.#soak.boxes) {
      this.#wanted.set(one.name, { consents: [], protections: [], changedAt: performance.now() });
      if (this.#random.chance(0.8)) await this.#soak.createMachine(one);
      else await one.box.turnOn('Default');
    }
  }

  async run(seconds: number): Promise<void> {
    const end = performance.now() + seconds * 1000;
    Object.assign(this.#soak.faults, { vanish: 0.01, hang: 0.005, repeat: 0.1 });
    while (performance.now() < end) {
      await this.#person();
      if (this.#random.chance(0.2)) this.#breakBox();
      if (this.#random.chance(0.02)) await this.#soak.twin?.turnOn('Default');
      if (this.#random.chance(0.02)) await this.#breakWay();
      await sleep(30 + this.#random.next() * 200);
    }
    await this.#mending;
  }

  /** Nothing breaks any more; nobody wants anything else. */
  calm(): void {
    Object.assign(this.#soak.faults, { vanish: 0, hang: 0, repeat: 0 });
    for (const { bmc } of this.#soak.boxes) bmc.fault = undefined;
    this.#soak.twin?.cutPower();
  }

  /** What the hub has of each machine: the same again when nothing was written. */
  async revisions(): Promise<Record<string, string>> {
    const all = await this.#soak.all();
    return Object.fromEntries(all.map(({ metadata }) => [metadata.name, String(metadata.resourceVersion)]));
  }

  /** What somebody would do who wants all of them to run: the same for each. @returns the instance that runs then. */
  async wantAll(): Promise<void> {
    for (const one of this.#soak.boxes) {
      const spec: Partial<MachineSpec> = {
        accepted: true,
        provision: { image: 'alpha', instanceId: 'final' },
        wipeConsent: one.name,
        requests: { retryTime: new Date(Date.now() + 1000).toISOString() },
      };
      this.#allow(one.name);
      const wanted = this.#wanted.get(one.name);
      if (wanted !== undefined) wanted.changedAt = performance.now();
      this.#wanted
        .get(one.name)
        ?.protections.forEach((span) => (span.to = Math.min(span.to, performance.now())));
      const name = await this.#nameOf(one);
      if (name !== one.name) {
        if (name !== undefined) await this.#soak.client.delete(machines, { name });
        await this.#soak.createMachine(one, spec);
        continue;
      }
      await this.#soak.change(name, (before) => ({
        ...without(before, 'protected', 'broken', 'rescue', 'power'),
        ...this.#soak.machineSpec(one),
        ...spec,
      }));
    }
  }

  /** What somebody does who sees that the rack has given up on a machine: where all is slow, boxes seem to be broken again and again. */
  async retryGivenUp(): Promise<void> {
    for (const { metadata, status } of await this.#soak.all()) {
      const { name, generation } = metadata;
      const { operationalStatus, observedGeneration } = status ?? {};
      const isGivenUp = operationalStatus === 'Error' || operationalStatus === 'Waiting';
      if (!isGivenUp || observedGeneration !== generation) continue;
      const now = performance.now();
      if (now < (this.#retriedAt.get(name) ?? Number.NEGATIVE_INFINITY) + retryEveryMs) continue;
      this.#retriedAt.set(name, now);
      const wanted = this.#wanted.get(name);
      if (wanted !== undefined) wanted.changedAt = now;
      const retryTime = new Date(Date.now() + 1000).toISOString();
      await this.#soak.change(name, (spec) => ({ ...spec, requests: { ...spec.requests, retryTime } }));
    }
  }

  /** Undefined: no box has a phase that the rack is in the middle of. */
  async findBusy(): Promise<string | undefined> {
    const busy = (await this.#soak.all()).filter(
      ({ status }) => status?.operationalStatus === undefined || status.operationalStatus === 'Working',
    );
    return busy.length === 0 ? undefined : busy.map(describe).join('\n');
  }

  /** What is not as it has to be of machines at rest. */
  async findDumb(): Promise<string | undefined> {
    const dumb = (await this.#soak.all()).flatMap((machine) => {
      const { status } = machine;
      const isStill = status?.operationalStatus === 'OK';
      const saysWhy = status?.waiting?.next !== undefined && status.waiting.next !== '';
      const isHeard = status?.observedGeneration === machine.metadata.generation;
      return [
        ...(isStill || saysWhy ? [] : [`does not say why it waits: ${describe(machine)}`]),
        ...(isHeard ? [] : [`the rack has not heard: ${describe(machine)}`]),
      ];
    });
    return dumb.length === 0 ? undefined : dumb.join('\n');
  }

  /** Those that do not run what everybody wants of them, in truth and by what the hub says. */
  async findUnlike(): Promise<string | undefined> {
    const all = new Map((await this.#soak.all()).map((machine) => [machine.metadata.name, machine]));
    const digest = this.#soak.images.get('alpha');
    const unlike = this.#soak.boxes.filter(({ name, box }) => {
      const { content } = box;
      const status = all.get(name)?.status;
      const isTrue =
        content.kind === 'Image' &&
        content.digest === digest &&
        content.instanceId === 'final' &&
        content.runs &&
        box.isOn();
      const isSaid =
        status?.phase === 'Provisioned' &&
        status.operationalStatus === 'OK' &&
        status.provisioned?.instanceId === 'final';
      return !isTrue || !isSaid;
    });
    if (unlike.length === 0) return undefined;
    return unlike
      .map(({ name, box }) => {
        const machine = all.get(name);
        return `${name}: box ${box.isOn() ? 'on' : 'off'}, ${box.doing}, ${JSON.stringify(box.content)}; ${machine === undefined ? 'no Machine' : describe(machine)}`;
      })
      .join('\n');
  }

  async #nameOf(one: SoakBox): Promise<string | undefined> {
    const [mac = ''] = one.box.identity.macAddresses;
    const found = (await this.#soak.all()).find(
      ({ metadata, spec }) => metadata.name === one.name || spec.identity.macAddresses?.includes(mac),
    );
    return found?.metadata.name;
  }

  async #person(): Promise<void> {
    const random = this.#random;
    const one = random.pick(this.#soak.boxes);
    const { name } = one;
    if (random.chance(0.03)) {
      if ((await this.#soak.client.find<Machine>(machines, { name }).catch(() => undefined)) === undefined) {
        await this.#soak.createMachine(one).catch(() => undefined);
      } else if (random.chance(0.3)) {
        await this.#soak.client.delete(machines, { name }).catch(() => undefined);
      }
      return;
    }
    const after = random.pick(this.#wishes(name));
    const spec = await this.#soak.change(name, after);
    if (spec === undefined) return;
    const wanted = this.#wanted.get(name);
    if (wanted === undefined) return;
    wanted.changedAt = performance.now();
    if (spec.wipeConsent !== name) this.#forbid(name);
    if (spec.protected === true) this.#protect(name);
    else for (const span of wanted.protections) span.to = Math.min(span.to, performance.now());
  }

  #wishes(name: string): ((spec: MachineSpec) => MachineSpec)[] {
    const random = this.#random;
    const image = random.pick(['alpha', 'beta']);
    const instanceId = random.chance(0.5) ? 'one' : `i${(this.#instance += 1)}`;
    const now = new Date().toISOString();
    const consent = () => {
      this.#allow(name);
      return { wipeConsent: name };
    };
    const provide = (spec: MachineSpec) => ({
      ...spec,
      provision: { image, instanceId },
      ...(random.chance(0.7) ? consent() : {}),
    });
    return [
      provide,
      provide,
      provide,
      (spec) => ({
        ...without(spec, 'provision'),
        release: { erase: random.pick(['None', 'Quick', 'Secure'] as const) },
        ...(random.chance(0.7) ? consent() : {}),
      }),
      (spec) => without(spec, 'provision'),
      (spec) => without(spec, 'wipeConsent'),
      (spec) => ({ ...spec, protected: true }),
      (spec) => without(spec, 'protected'),
      (spec) => without(spec, 'protected'),
      (spec) => ({ ...spec, broken: { reason: 'fan' } }),
      (spec) => without(spec, 'broken'),
      (spec) => without(spec, 'broken'),
      (spec) => ({ ...spec, rescue: { authorizedKeys: [] } }),
      (spec) => without(spec, 'rescue'),
      (spec) => without(spec, 'rescue'),
      (spec) => ({ ...spec, power: random.pick(['On', 'Off'] as const) }),
      (spec) => without(spec, 'power'),
      (spec) => ({ ...spec, requests: { ...spec.requests, inspectTime: now } }),
      (spec) => ({ ...spec, requests: { ...spec.requests, rebootTime: now } }),
      (spec) => ({ ...spec, requests: { ...spec.requests, retryTime: now } }),
    ];
  }

  #breakBox(): void {
    const { box, bmc } = this.#random.pick(this.#soak.boxes);
    const fault = this.#random.pick([
      'Cut',
      'Press',
      'Hang',
      'Reset',
      'Status',
      'Garbage',
      'None',
      'None',
    ] as const);
    switch (fault) {
      case 'Cut':
        box.cutPower();
        return;
      case 'Press':
        void box.turnOn('Default');
        return;
      case 'None':
        bmc.fault = undefined;
        return;
      case 'Status':
        bmc.fault = { kind: 'Status', status: 503 };
        return;
      default:
        bmc.fault = { kind: fault };
    }
  }

  async #breakWay(): Promise<void> {
    const soak = this.#soak;
    const turn = ++this.#breaks;
    this.#brokenSince ??= performance.now();
    const pause = () => sleep(this.#random.next() * 4000);
    switch (this.#random.pick(['Agent', 'Hub', 'Link'] as const)) {
      case 'Agent':
        await soak.killAgent();
        await pause();
        await soak.startAgent();
        break;
      case 'Hub':
        await soak.hub.crash();
        await pause();
        await soak.startHub();
        break;
      case 'Link':
        soak.link.cut();
        await pause();
        soak.link.restore();
        break;
    }
    // An agent that was started has yet to come up; people go on meanwhile.
    this.#mending = soak.untilRackAnswers().then(() => {
      if (turn !== this.#breaks) return;
      this.#wholeSince = performance.now();
      this.#brokenSince = undefined;
    });
    this.#mending.catch(() => undefined);
  }

  #allow(name: string): void {
    const consents = this.#wanted.get(name)?.consents;
    if ((consents?.at(-1)?.to ?? 0) === Number.POSITIVE_INFINITY) return;
    consents?.push({ from: performance.now(), to: Number.POSITIVE_INFINITY });
  }

  #forbid(name: string): void {
    const last = this.#wanted.get(name)?.consents.at(-1);
    if (last !== undefined) last.to = Math.min(last.to, performance.now());
  }

  #protect(name: string): void {
    const protections = this.#wanted.get(name)?.protections;
    if ((protections?.at(-1)?.to ?? 0) === Number.POSITIVE_INFINITY) return;
    protections?.push({ from: performance.now(), to: Number.POSITIVE_INFINITY });
  }

  /** The rack goes by what it heard: what was taken back while the way was broken may still hold there. */
  #checkHarm(box: SimulatedBox, what: 'write' | 'erase'): void {
    const { name } = box.options;
    const wanted = this.#wanted.get(name);
    if (box === this.#soak.twin) this.#soak.violations.push(`${what} of a box that nobody wants`);
    const now = performance.now();
    const heardAt =
      Math.min(this.#brokenSince ?? now, now - this.#wholeSince < lagMs ? this.#wholeSince - lagMs : now) -
      lagMs;
    const holds = (spans: readonly Span[] = [], since: number) =>
      spans.some(({ from, to }) => from <= now && to >= since);
    const needsConsent =
      what === 'erase' ||
      box.content.kind === 'Foreign' ||
      (box.content.kind === 'Image' && box.content.runs);
    const at = `${name}: ${what} over ${JSON.stringify(box.content)}`;
    if (needsConsent && !holds(wanted?.consents, heardAt))
      this.#soak.violations.push(`${at} without consent`);
    const isProtected = wanted?.protections.some(
      ({ from, to }) => from < heardAt && to === Number.POSITIVE_INFINITY,
    );
    if (isProtected === true) this.#soak.violations.push(`${at} though it is protected`);
    const isRunning = box.content.kind === 'Image' && box.content.runs;
    if (isRunning && wanted !== undefined && wanted.changedAt < heardAt - 60_000)
      this.#soak.violations.push(`${at} though nobody wanted anything for a long time`);
  }
}

function without<K extends keyof MachineSpec>(
  spec: MachineSpec,
  ...fields: readonly K[]
): Omit<MachineSpec, K> {
  const rest = { ...spec };
  for (const field of fields) delete rest[field];
  return rest;
}

export function describe({ metadata, spec, status }: Machine): string {
  const { phase, operationalStatus, error, waiting, observedGeneration, provisioned, power } = status ?? {};
  const wish = without(spec, 'identity', 'bmc');
  return JSON.stringify({
    name: metadata.name,
    generation: metadata.generation,
    observedGeneration,
    wish,
    phase,
    operationalStatus,
    error,
    waiting,
    provisioned,
    power,
    timeline: status?.timeline
      ?.slice(-6)
      .map(({ time, reason, message }) => `${time.slice(11)} ${reason}: ${message}`),
  });
}
