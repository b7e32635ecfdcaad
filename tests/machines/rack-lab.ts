import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type KubeObject,
  type Machine,
  type MachineSpec,
  machines,
  type RackSpec,
  type Site,
  secrets,
  sites,
  StatusError,
} from '@selvedge/api';
import { systemClock } from '@selvedge/api/node';
import { createHttpClient, type HttpClient, loadKubeconfig } from '@selvedge/kube';
import {
  NamespaceNetwork,
  type RedfishEmulator,
  type RedfishEmulatorOptions,
  startRedfishEmulator,
  VirtualMachine,
  type VirtualMachineOptions,
} from '@selvedge/machine-lab';
import { freePort, getTool } from '@selvedge/testkit';
import { ChildProgram } from '../../quickstart/lab/child-program.ts';
import { HubProgram } from '../../quickstart/lab/hub-program.ts';
import { sourcePrograms } from '../../quickstart/lab/lab.ts';
import { ProcessLedger } from '../../quickstart/lab/leftovers.ts';
import { poll } from '../../quickstart/lab/poll.ts';
import { tryProgram } from '../../quickstart/lab/run-program.ts';

/** What such a lab needs of this machine, for `requireTool`. */
export const rackLabTools = [
  'root',
  'netns',
  'ip',
  'nsenter',
  'setpriv',
  'qemu-system-x86_64',
  'dnsmasq',
  'mcopy',
  'sfdisk',
] as const;

/** Debian packages that systems are built of, kept between runs. */
export const cacheHome = join(import.meta.dirname, '../../.selvedge/machine-cache');
export const siteName = 'shop';
const bmcLogin = { username: 'operator', password: 'not-for-logs-1' };
const bmcSecret = { namespace: 'default', name: 'bmc' };
let labs = 0;

export interface RackLabOptions {
  readonly rack?: Partial<RackSpec>;
  /** Another agent than the one of the sources: with other time-outs. */
  readonly agentProgram?: readonly string[];
  /** More flags of the agent. */
  readonly agentFlags?: readonly string[];
}

export interface BoxOptions {
  readonly name: string;
  readonly firmware?: VirtualMachineOptions['box']['firmware'];
  readonly bootOrder?: VirtualMachineOptions['box']['bootOrder'];
  readonly clock?: string;
  readonly memoryMebibytes?: number;
  readonly serial?: string;
  readonly macAddresses?: readonly string[];
  readonly disks?: VirtualMachineOptions['disks'];
  readonly quirks?: RedfishEmulatorOptions['quirks'];
  /** Without: a person presses the button. */
  readonly hasBmc?: boolean;
}

/** A virtual machine with its BMC, beside the rack. */
export interface Box {
  readonly name: string;
  readonly machine: VirtualMachine;
  readonly bmc: RedfishEmulator | undefined;
}

/**
 * A real hub, a real agent with the role of a rack, and boxes that boot from it, in a network namespace. The hub and the agent are processes in there, so both can be
 * killed; the BMCs are in this process, across the cable.
 */
export class RackLab {
  readonly folder: string;
  readonly network: NamespaceNetwork;
  readonly hub: HubProgram;
  readonly #options: RackLabOptions;
  readonly #ledger: ProcessLedger;
  readonly #bmcHost: string;
  readonly #boxes = new Map<string, Box>();
  #lastBox = 0;
  #client: HttpClient | undefined;
  #agent: ChildProgram | undefined;
  #router: ChildProgram | undefined;

  private constructor(
    options: RackLabOptions,
    parts: {
      folder: string;
      network: NamespaceNetwork;
      hub: HubProgram;
      ledger: ProcessLedger;
      here: string;
    },
  ) {
    this.#options = options;
    this.folder = parts.folder;
    this.network = parts.network;
    this.hub = parts.hub;
    this.#ledger = parts.ledger;
    this.#bmcHost = parts.here;
  }

  /** Starts hub and agent, and waits until the rack serves its network. */
  static async start(options: RackLabOptions = {}): Promise<RackLab> {
    const folder = await mkdtemp(join(tmpdir(), 'svg-rack-'));
    const lab = ++labs;
    const [here, there] = uplinkAddresses(process.pid, lab);
    const network = await NamespaceNetwork.create({
      name: `m${process.pid.toString(36)}${lab}`,
      address: '10.77.0.1/24',
      uplink: { here: `${here}/30`, there: `${there}/30` },
      path: process.env['PATH'] ?? '',
    });
    let started: RackLab | undefined;
    try {
      const ledger = await ProcessLedger.open(join(folder, 'processes'));
      const port = await freePort();
      const hub = new HubProgram({
        dataDir: join(folder, 'hub'),
        logFile: join(folder, 'hub.log'),
        port,
        network: { namespace: network.namespace, address: there, siteAddresses: { [siteName]: '127.0.0.1' } },
        syncWait: '5s',
        program: [...endsWithUs(), ...sourcePrograms.cli],
        ledger,
      });
      started = new RackLab(options, { folder, network, hub, ledger, here });
      await started.#begin();
      return started;
    } catch (error) {
      await (started ?? network).close().catch(() => undefined);
      throw error;
    }
  }

  get client(): HttpClient {
    if (this.#client === undefined) throw new Error('the hub has not been started');
    return this.#client;
  }

  get agentPid(): number {
    return this.#agent?.pid ?? 0;
  }

  /** On many networks an IPv6 router answers; where none does, iPXE waits 14 s for one at each start. */
  async #addRouter(): Promise<void> {
    if (!existsSync('/proc/net/if_inet6')) return;
    const enter = await this.network.addGuest('router', 'fd77::1/64');
    this.#router = await ChildProgram.start({
      name: 'router',
      command: [
        ...enter,
        ...endsWithUs(),
        getTool('dnsmasq'),
        '--keep-in-foreground',
        '--conf-file=/dev/null',
        '--port=0',
        '--interface=eth0',
        '--bind-interfaces',
        '--enable-ra',
        '--dhcp-range=fd77::,ra-only,64',
        // Who changes its group is no longer told that its parent has ended.
        '--user=root',
        '--group=root',
        `--pid-file=`,
        `--dhcp-leasefile=${join(this.folder, 'router.leases')}`,
      ],
      logFile: join(this.folder, 'router.log'),
      ledger: this.#ledger,
    });
  }

  async startHub(): Promise<void> {
    await this.hub.start();
    this.#client ??= createHttpClient({ kubeconfig: await loadKubeconfig(this.hub.kubeconfig) });
  }

  async startAgent(token?: string): Promise<void> {
    const state = join(this.folder, 'agent');
    await mkdir(state, { recursive: true, mode: 0o700 });
    this.#agent = await ChildProgram.start({
      name: 'agent',
      command: [
        ...this.network.enter,
        ...endsWithUs(),
        ...(this.#options.agentProgram ?? [...sourcePrograms.agent, 'run']),
        '--state',
        state,
        '--runtime',
        'none',
        '--rack',
        '--rack-allow-local-bmc',
        '--log-level',
        'debug',
        ...(this.#options.agentFlags ?? []),
      ],
      env: { ...process.env, ...(token === undefined ? {} : { SELVEDGE_TOKEN: token }) },
      logFile: join(this.folder, 'agent.log'),
      ledger: this.#ledger,
    });
  }

  /** SIGKILL, to it and to what it started, as when power fails. */
  async killAgent(): Promise<void> {
    await this.#agent?.powerOff();
    this.#agent = undefined;
  }

  async stopAgent(): Promise<void> {
    await this.#agent?.stop();
    this.#agent = undefined;
  }

  /** A box with empty disks, off, that nobody knows of yet. */
  async addBox(options: BoxOptions): Promise<Box> {
    const { name, firmware = 'BIOS', quirks } = options;
    const index = ++this.#lastBox;
    const tail = `${labs.toString(16).padStart(2, '0')}:${index.toString(16).padStart(2, '0')}`;
    const machine = await VirtualMachine.create({
      folder: join(this.folder, 'boxes', name),
      box: {
        uuid: `6f6b1c1e-5e1f-4000-8000-0000${tail.replace(':', '').padStart(8, '0')}`,
        serial: options.serial ?? `SN-${name}`,
        manufacturer: 'Acme',
        model: 'EdgeBox 200',
        firmware,
        bootOrder: options.bootOrder ?? 'DiskFirst',
        memoryMebibytes: options.memoryMebibytes ?? (firmware === 'UEFI' ? 384 : 256),
        ...(options.clock === undefined ? {} : { clock: options.clock }),
      },
      disks: options.disks ?? [{ sizeBytes: 512 * 1024 * 1024, serial: `disk-of-${name}` }],
      macAddresses: options.macAddresses ?? [`52:54:00:77:${tail}`],
      network: this.network,
      path: process.env['PATH'] ?? '',
    });
    const bmc =
      options.hasBmc === false
        ? undefined
        : await startRedfishEmulator({
            systems: [{ machine }],
            ...bmcLogin,
            ...(quirks === undefined ? {} : { quirks }),
            host: this.#bmcHost,
            clock: systemClock,
            postMs: 500,
          });
    const box = { name, machine, bmc };
    this.#boxes.set(name, box);
    return box;
  }

  /** `spec.bmc` for it. */
  bmcOf({ bmc }: Box): NonNullable<MachineSpec['bmc']> {
    if (bmc === undefined) throw new Error('this box has no BMC');
    return { type: 'Redfish', address: bmc.url, secretRef: bmcSecret };
  }

  /** A Machine for the box, accepted, with its BMC. */
  async createMachine(box: Box, spec: Partial<MachineSpec> = {}): Promise<Machine> {
    const { uuid, macAddresses } = box.machine.identity;
    return await this.client.create<Machine>(machines, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Machine',
      metadata: { name: box.name },
      spec: {
        siteName,
        identity: { uuid, macAddresses: [...macAddresses] },
        ...(box.bmc === undefined ? {} : { bmc: this.bmcOf(box) }),
        ...spec,
      },
    });
  }

  /** Changes `spec` until nobody was quicker. */
  async changeMachine(name: string, change: (spec: MachineSpec) => MachineSpec): Promise<void> {
    await poll(
      async () => {
        const machine = await this.client.get<Machine>(machines, { name });
        try {
          return await this.client.update<Machine>(machines, { ...machine, spec: change(machine.spec) });
        } catch (error) {
          if (error instanceof StatusError && error.reason === 'Conflict') return undefined;
          throw error;
        }
      },
      { seconds: 30, what: `${name} is changed` },
    );
  }

  findMachine(name: string): Promise<Machine | undefined> {
    return this.client.find<Machine>(machines, { name });
  }

  /** Until it is as wanted; on time-out the message holds what a person would look at. */
  waitMachine(
    name: string,
    expected: string | { readonly what: string; readonly seconds: number },
    isWanted: (status: NonNullable<Machine['status']>, machine: Machine) => boolean,
  ): Promise<Machine> {
    const { what, seconds } = typeof expected === 'string' ? { what: expected, seconds: 900 } : expected;
    return poll(
      async () => {
        const machine = await this.findMachine(name);
        return machine?.status !== undefined && isWanted(machine.status, machine) ? machine : undefined;
      },
      { seconds, what: `${name}: ${what}`, everyMilliseconds: 200, why: () => this.describe(name) },
    );
  }

  /** What a person would look at when it does not go on. */
  async describe(name?: string): Promise<string> {
    const machine = name === undefined ? undefined : await this.findMachine(name).catch(() => undefined);
    const { inventory: _, ...status } = machine?.status ?? {};
    const serials = await Promise.all(
      [...this.#boxes.values()].map(
        async (box) =>
          `${box.name} is ${box.machine.isOn() ? 'on' : 'off'}, serial console:\n${await box.machine.lastLines(25)}`,
      ),
    );
    return [
      JSON.stringify({ spec: machine?.spec, status }, undefined, 1),
      ...serials,
      (await this.#agent?.lastLines(40)) ?? 'the agent does not run',
      await this.hub.lastLines(),
    ].join('\n');
  }

  /** `selvedge …` as the fleet's administrator. */
  async selvedge(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.trySelvedge(...args);
    if (code !== 0) throw new Error(`selvedge ${args.join(' ')} ended with ${code}: ${stderr || stdout}`);
    return stdout;
  }

  trySelvedge(
    ...args: readonly string[]
  ): Promise<{ code: number | string; stdout: string; stderr: string }> {
    const env = { ...process.env, KUBECONFIG: this.hub.kubeconfig, XDG_CACHE_HOME: cacheHome };
    return tryProgram([...sourcePrograms.cli, ...args], { env, timeoutSeconds: 300 });
  }

  agentLog(): Promise<string> {
    return readFile(join(this.folder, 'agent.log'), 'utf8');
  }

  /** Ends all that was started. */
  async close(): Promise<void> {
    const problems: unknown[] = [];
    const attempt = async (action: () => Promise<unknown>) => {
      await action().catch((error: unknown) => problems.push(error));
    };
    for (const { machine, bmc } of this.#boxes.values()) {
      await attempt(async () => bmc?.close());
      await attempt(() => machine.close());
    }
    await attempt(async () => this.#client?.close());
    await attempt(() => this.stopAgent());
    await attempt(() => this.hub.stop());
    await attempt(async () => this.#router?.stop());
    await attempt(() => this.network.close());
    if (process.env['SELVEDGE_KEEP_LABS'] === undefined) {
      await attempt(() => rm(this.folder, { recursive: true, force: true, maxRetries: 5 }));
    }
    if (problems.length > 0)
      throw new AggregateError(problems, `not everything of ${this.folder} could be ended`);
  }

  async #begin(): Promise<void> {
    await writeFile(join(this.folder, 'agent.log'), '');
    await this.#addRouter();
    await this.startHub();
    await this.client.create<Site>(sites, siteObject(this.#options.rack));
    await this.client.create<KubeObject>(secrets, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: bmcSecret,
      stringData: bmcLogin,
    } as unknown as KubeObject);
    await this.startAgent((await this.selvedge('site', 'token', siteName)).trim());
    await this.waitSite('its rack serves', ({ rack }) => rack?.networks[0]?.state === 'Serving');
  }

  waitSite(what: string, isWanted: (status: NonNullable<Site['status']>) => boolean): Promise<Site> {
    return poll(
      async () => {
        const site = await this.client.get<Site>(sites, { name: siteName });
        return site.status !== undefined && isWanted(site.status) ? site : undefined;
      },
      {
        seconds: 120,
        what: `${siteName}: ${what}`,
        why: async () =>
          `${JSON.stringify((await this.client.get<Site>(sites, { name: siteName })).status, undefined, 1)}\n${await this.describe()}`,
      },
    );
  }
}

/** Before a program: a test that is ended by its time limit runs no `after`. TERM, so that the agent ends what it has started. */
function endsWithUs(): string[] {
  return [getTool('setpriv'), '--pdeathsig', 'TERM'];
}

/**
 * Both ends of a cable of its own, of the first half of the block for benchmarks (RFC 2544: 198.18.0.0/15), which no machine has: 4 labs of 4096 processes. The cable of
 * a run that was killed stays.
 */
function uplinkAddresses(pid: number, lab: number): [string, string] {
  const taken = Object.values(networkInterfaces()).flatMap((found = []) =>
    found.map(({ address }) => address),
  );
  const address = (host: number) => `198.18.${(host >> 8) & 255}.${host & 255}`;
  for (let tried = 0; tried < 16_384; tried += 1) {
    const first = (pid * 4 + (lab % 4) + tried) * 4;
    if (!taken.includes(address(first + 1))) return [address(first + 1), address(first + 2)];
  }
  throw new Error('cables of earlier labs have all addresses of 198.18.0.0/16');
}

function siteObject(rack: Partial<RackSpec> = {}): Site {
  return {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Site',
    metadata: { name: siteName },
    spec: {
      rack: {
        networks: [
          {
            name: 'provisioning',
            interface: 'br0',
            address: '10.77.0.1/24',
            range: { from: '10.77.0.100', to: '10.77.0.200' },
          },
        ],
        ...rack,
      },
    },
  };
}
