import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ImageRegistry } from '@selvedge/agent/testing';
import {
  type KubeObject,
  type Machine,
  type MachineImage,
  type MachineSpec,
  machineImages,
  machines,
  secrets,
  type Site,
  sites,
  StatusError,
} from '@selvedge/api';
import { sha256Digest, systemClock } from '@selvedge/api/node';
import { createHttpClient, type HttpClient, loadKubeconfig } from '@selvedge/kube';
import { type RedfishEmulator, startRedfishEmulator } from '@selvedge/machine-lab';
import { freePort, startTcpLink, type TcpLink } from '@selvedge/testkit';
import { ChildProgram } from '../../../quickstart/lab/child-program.ts';
import { HubProgram } from '../../../quickstart/lab/hub-program.ts';
import { sourcePrograms } from '../../../quickstart/lab/lab.ts';
import { ProcessLedger } from '../../../quickstart/lab/leftovers.ts';
import { poll } from '../../../quickstart/lab/poll.ts';
import { tokenThrough } from '../../scenarios/site-token.ts';
import type { SeededRandom } from '../../scenarios/seeded-random.ts';
import { type BoxFaults, SimulatedBox } from './simulated-box.ts';

const siteName = 'shop';
const login = { username: 'operator', password: 'not-for-logs-7' };
const bmcSecret = { namespace: 'default', name: 'bmc' };
const agentProgram = join(import.meta.dirname, '../../../packages/agent/src/testing/impatient-rack-agent.ts');
/** Everything that takes minutes takes seconds; boxes are given longer than they take on a computer that is busy with other things. */
const timings = {
  bootSeconds: 20,
  systemSeconds: 20,
  taskSeconds: 20,
  confirmationSeconds: 30,
  retrySeconds: 0.5,
  powerPollSeconds: 3,
  gracefulOffSeconds: 3,
  askAgainSeconds: 1,
};

export interface SoakOptions {
  readonly boxes: number;
  readonly random: SeededRandom;
  /** What the agent is; default that of the sources, with time-outs of seconds. */
  readonly agentCommand?: readonly string[];
  readonly hubProgram?: readonly string[];
  readonly imageBytes?: number;
  /** Their disks hold nothing; default: one in three does. */
  readonly areBlank?: boolean;
}

/** A box with its BMC and, once somebody wants it, its Machine. */
export interface SoakBox {
  readonly name: string;
  readonly box: SimulatedBox;
  readonly bmc: RedfishEmulator;
}

/** A real hub and a real agent with the role of a rack, both processes, and many simulated boxes with BMCs in this one. */
export class MachineSoak {
  readonly folder: string;
  readonly boxes: SoakBox[] = [];
  /** Has the MAC address of the first box, and nobody wants it. */
  twin: SimulatedBox | undefined;
  readonly faults: BoxFaults = { vanish: 0, hang: 0, repeat: 0 };
  /** Must stay empty. */
  readonly violations: string[] = [];
  /** Name → digest of its bytes. */
  readonly images = new Map<string, string>();
  readonly hub: HubProgram;
  readonly #options: SoakOptions;
  readonly #ledger: ProcessLedger;
  readonly #registry: ImageRegistry;
  readonly #rackPort: number;
  /** Called before a box is written to or erased. */
  onHarm: (box: SimulatedBox, what: 'write' | 'erase') => void = () => {};
  #token = '';
  link!: TcpLink;
  client!: HttpClient;
  agent: ChildProgram | undefined;

  private constructor(
    options: SoakOptions,
    parts: {
      folder: string;
      hub: HubProgram;
      ledger: ProcessLedger;
      registry: ImageRegistry;
      rackPort: number;
    },
  ) {
    this.#options = options;
    this.folder = parts.folder;
    this.hub = parts.hub;
    this.#ledger = parts.ledger;
    this.#registry = parts.registry;
    this.#rackPort = parts.rackPort;
  }

  static async start(options: SoakOptions): Promise<MachineSoak> {
    const folder = await mkdtemp(join(tmpdir(), 'svg-soak-'));
    const ledger = await ProcessLedger.open(join(folder, 'processes'));
    const hub = new HubProgram({
      dataDir: join(folder, 'hub'),
      logFile: join(folder, 'hub.log'),
      port: await freePort(),
      syncWait: '5s',
      program: options.hubProgram ?? sourcePrograms.cli,
      ledger,
    });
    const registry = await ImageRegistry.start();
    const soak = new MachineSoak(options, { folder, hub, ledger, registry, rackPort: await freePort() });
    try {
      await soak.#begin();
      return soak;
    } catch (error) {
      await soak.close().catch(() => undefined);
      throw error;
    }
  }

  async #begin(): Promise<void> {
    const bootFiles = join(this.folder, 'boot');
    await mkdir(bootFiles);
    for (const name of ['vmlinuz', 'initrd.img']) await writeFile(join(bootFiles, name), name);
    await this.startHub();
    this.link = await startTcpLink({ target: { port: Number(new URL(this.hub.url).port) } });
    await this.client.create<Site>(sites, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Site',
      metadata: { name: siteName },
      spec: { rack: { networks: [] } },
    });
    await this.client.create<KubeObject>(secrets, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: bmcSecret,
      stringData: login,
    } as unknown as KubeObject);
    for (const [index, name] of ['alpha', 'beta'].entries()) await this.#addImage(name, index + 1);
    this.#token = await tokenThrough(this.client, siteName, this.link.port);
    await this.startAgent();
    for (let index = 0; index < this.#options.boxes; index++) await this.#addBox(index);
    this.twin = this.#makeBox('twin', this.#options.boxes, macOf(0));
  }

  async #addImage(name: string, fill: number): Promise<void> {
    const bytes = Buffer.alloc(this.#options.imageBytes ?? 9 * 1024 * 1024, fill);
    const reference = `${this.#registry.address}/machines/${name}`;
    const digest = this.#registry.addArtifact(`machines/${name}:1`, { 'disk.img': bytes });
    this.images.set(name, sha256Digest(bytes));
    await this.client.create<MachineImage>(machineImages, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'MachineImage',
      metadata: { name },
      spec: {
        reference: `${reference}@${digest}`,
        format: 'Raw',
        digest: sha256Digest(bytes),
        sizeBytes: bytes.length,
        diskBytes: bytes.length,
      },
    });
  }

  async #addBox(index: number): Promise<void> {
    const name = `box-${index}`;
    const box = this.#makeBox(name, index);
    const bmc = await startRedfishEmulator({
      systems: [{ machine: box }],
      ...login,
      clock: systemClock,
      postMs: 100,
    });
    this.boxes.push({ name, box, bmc });
  }

  #makeBox(name: string, index: number, mac = macOf(index)): SimulatedBox {
    const { random } = this.#options;
    return new SimulatedBox({
      name,
      mac,
      uuid: `5f6b1c1e-5e1f-4000-8000-${index.toString(16).padStart(12, '0')}`,
      serial: `SN-${index}`,
      address: `127.50.${index >> 8}.${(index & 255) + 1}`,
      rackUrl: `http://127.0.0.1:${this.#rackPort}`,
      random,
      faults: this.faults,
      content: this.#options.areBlank !== true && random.chance(0.3) ? 'Foreign' : 'Blank',
      onHarm: (one, what) => this.onHarm(one, what),
      onViolation: (message) => this.violations.push(message),
    });
  }

  async startHub(): Promise<void> {
    await this.hub.start();
    this.client ??= createHttpClient({ kubeconfig: await loadKubeconfig(this.hub.kubeconfig) });
  }

  async startAgent(): Promise<void> {
    const state = join(this.folder, 'agent');
    await mkdir(state, { recursive: true, mode: 0o700 });
    const flags = ['--state', state, '--rack-boot-files', join(this.folder, 'boot')];
    const quick = ['--insecure-registry', this.#registry.address, '--timings', JSON.stringify(timings)];
    const common = [
      '--rack-listen',
      this.#options.agentCommand === undefined ? String(this.#rackPort) : `127.0.0.1:${this.#rackPort}`,
    ];
    const { agentCommand } = this.#options;
    this.agent = await ChildProgram.start({
      name: 'agent',
      command:
        agentCommand === undefined
          ? [process.execPath, agentProgram, ...flags, ...common, ...quick]
          : [...agentCommand, ...flags, ...common, '--insecure-registry', this.#registry.address],
      // It may have been killed before it had joined.
      env: { ...process.env, SELVEDGE_TOKEN: this.#token },
      logFile: join(this.folder, 'agent.log'),
      ledger: this.#ledger,
    });
  }

  /** Whatever it says. */
  async untilRackAnswers(): Promise<void> {
    const ask = async () => {
      const signal = AbortSignal.timeout(5000);
      await (await fetch(`http://127.0.0.1:${this.#rackPort}/`, { signal })).text();
    };
    await poll(
      () =>
        ask().then(
          () => true,
          () => undefined,
        ),
      { seconds: 120, what: 'the rack answers', why: async () => (await this.agent?.lastLines(40)) ?? '' },
    );
  }

  async killAgent(): Promise<void> {
    await this.agent?.powerOff();
    this.agent = undefined;
  }

  machineSpec({ box, bmc }: SoakBox): MachineSpec {
    const { uuid, macAddresses } = box.identity;
    return {
      siteName,
      identity: { uuid, macAddresses: [...macAddresses] },
      accepted: true,
      bmc: { type: 'Redfish', address: bmc.url, secretRef: bmcSecret },
    };
  }

  async createMachine(one: SoakBox, more: Partial<MachineSpec> = {}): Promise<void> {
    await this.client.create<Machine>(machines, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Machine',
      metadata: { name: one.name },
      spec: { ...this.machineSpec(one), ...more },
    });
  }

  /** Until nobody was quicker. @returns what it is now; undefined: there is no such Machine, or no hub. */
  async change(name: string, change: (spec: MachineSpec) => MachineSpec): Promise<MachineSpec | undefined> {
    for (;;) {
      const machine = await this.client.find<Machine>(machines, { name }).catch(() => undefined);
      if (machine === undefined) return undefined;
      try {
        return (await this.client.update<Machine>(machines, { ...machine, spec: change(machine.spec) })).spec;
      } catch (error) {
        if (error instanceof StatusError && error.reason === 'Conflict') continue;
        if (error instanceof StatusError && error.reason === 'Invalid') throw error;
        return undefined;
      }
    }
  }

  async all(): Promise<Machine[]> {
    return (await this.client.list<Machine>(machines)).items;
  }

  /** Sum of its files. */
  async sizeOf(part: string): Promise<number> {
    const folder = join(this.folder, part);
    const entries = await readdir(folder, { recursive: true });
    const sizes = await Promise.all(
      entries.map((entry) =>
        stat(join(folder, entry)).then(
          (found) => (found.isFile() ? found.size : 0),
          () => 0,
        ),
      ),
    );
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  /** What must not be in any log, and is. */
  async leaks(): Promise<string[]> {
    const found: string[] = [];
    for (const file of ['agent.log', 'hub.log']) {
      const text = await readFile(join(this.folder, file), 'utf8');
      for (const secret of [login.password, Buffer.from(login.password).toString('base64')]) {
        if (text.includes(secret)) found.push(`${secret} in ${file}`);
      }
      if (/Bearer \S{20}|"token":"[^"]{40}/.test(text)) found.push(`a token in ${file}`);
    }
    return found;
  }

  async until(what: string, seconds: number, holds: () => Promise<string | undefined>): Promise<void> {
    let why: string | undefined = '';
    await poll(
      async () => {
        why = await holds().catch((error: unknown) => String(error));
        return why === undefined ? true : undefined;
      },
      { seconds, what, everyMilliseconds: 500, why: async () => why ?? '' },
    );
  }

  async close(): Promise<void> {
    for (const { box, bmc } of this.boxes) {
      await box.close();
      await bmc.close();
    }
    await this.twin?.close();
    await this.killAgent();
    await this.client?.close();
    await this.hub.crash().catch(() => undefined);
    await this.link?.close();
    await this.#registry[Symbol.asyncDispose]();
    if (process.env['SELVEDGE_KEEP_LABS'] === undefined) {
      await rm(this.folder, { recursive: true, force: true, maxRetries: 5 });
    }
  }
}

function macOf(index: number): string {
  const [high, low] = [index >> 8, index & 255].map((byte) => byte.toString(16).padStart(2, '0'));
  return `52:54:00:50:${high}:${low}`;
}
