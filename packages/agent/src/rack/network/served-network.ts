import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, Logger, MachineOrder, RackNetwork } from '@selvedge/api';
import type { MachineDesk } from '../boot/machine-desk.ts';
import { makeReadable } from './boot-folder.ts';
import { dnsmasqConfig, dnsmasqHosts, probeMacAddress } from './dnsmasq-config.ts';
import { type DhcpSight, DnsmasqLog, parseLeases } from './dnsmasq-log.ts';
import { checkDnsmasqConfig, DnsmasqProcess } from './dnsmasq-process.ts';
import { findOwnIpv6Network, findTrouble } from './interface-state.ts';
import { type NetworkPlan, planNetwork } from './network-plan.ts';
import { planAddresses } from './plan-addresses.ts';

export interface ServedNetworkOptions {
  /** Private to the agent; keeps the leases. */
  readonly stateDir: string;
  /** May be read by every user: configuration and reservations. */
  readonly runDir: string;
  readonly tftpRoot: string;
  readonly port: number;
  readonly program: string;
  readonly user?: string;
  readonly desk: Pick<MachineDesk, 'dhcpSeen'>;
  readonly onSight: (sight: DhcpSight) => void;
  readonly onChange: () => void;
  readonly clock: Clock;
  readonly monotonicMs: () => number;
  readonly logger: Logger;
}

/** One network of the rack, with the dnsmasq that serves it. */
export class ServedNetwork {
  readonly name: string;
  readonly #o: ServedNetworkOptions;
  readonly #log = new DnsmasqLog();
  #plan: NetworkPlan | undefined;
  #config: string | undefined;
  #hosts: string | undefined;
  #process: DnsmasqProcess | undefined;
  /** Written, and not yet told to dnsmasq: a step between may have failed. */
  #isConfigNew = false;
  #areHostsNew = false;
  /** What is wrong with the order; what runs is then as the one before wanted it. */
  #orderProblem: string | undefined;
  #processProblem: string | undefined = 'not started yet';
  #trouble: string | undefined;
  #planProblems: readonly string[] = [];

  constructor(name: string, options: ServedNetworkOptions) {
    this.name = name;
    this.#o = options;
  }

  get plan(): NetworkPlan | undefined {
    return this.#plan;
  }

  /** Why boxes cannot boot there; undefined: they can. */
  get problem(): string | undefined {
    return this.#orderProblem ?? this.#trouble ?? this.#processProblem;
  }

  /** What people should know while it works. */
  get warnings(): readonly string[] {
    return this.#planProblems;
  }

  /** Makes it so. What is as it should be is left alone: dnsmasq starts anew only for another configuration. */
  async apply(order: RackNetwork, machines: readonly MachineOrder[]): Promise<void> {
    try {
      this.#plan = planNetwork(order);
      const addresses =
        order.dhcp === 'Own' ? planAddresses(this.#plan, machines) : { reservations: [], problems: [] };
      this.#planProblems = addresses.problems;
      this.#trouble = await findTrouble(this.#plan);
      await this.#writeHosts(dnsmasqHosts(this.#plan, addresses.reservations));
      await this.#writeConfig(this.#plan);
      if (this.#process === undefined) await this.#start();
      else if (this.#isConfigNew) this.#process.restart();
      else if (this.#areHostsNew) this.#process.reload();
      this.#isConfigNew = false;
      this.#areHostsNew = false;
      this.#orderProblem = undefined;
    } catch (error) {
      // What runs goes on as it was told last; the next order or the next look tries again.
      this.#orderProblem = (error as Error).message;
    }
  }

  async stop(): Promise<void> {
    await this.#process?.stop();
    this.#process = undefined;
    for (const file of [this.#configFile, this.#hostsFile]) await rm(file, { force: true });
  }

  async #start(): Promise<void> {
    const { desk, program, clock, monotonicMs, logger } = this.#o;
    for (const { macAddress, address } of parseLeases(
      await readFile(this.#leaseFile, 'utf8').catch(() => ''),
    )) {
      this.#o.onSight({ event: 'Lease', macAddress, address });
      desk.dhcpSeen({ macAddress, address, event: 'Old' });
    }
    this.#process = new DnsmasqProcess({
      program,
      configFile: this.#configFile,
      onLine: (line) => this.#readLine(line),
      onState: (problem) => this.#setProcessProblem(problem),
      clock,
      monotonicMs,
      logger: logger.child({ network: this.name }),
    });
  }

  #readLine(line: string): void {
    const sight = this.#log.read(line);
    if (sight === undefined || sight.macAddress === probeMacAddress) return;
    this.#o.onSight(sight);
    const { event, ...box } = sight;
    if (event !== 'OtherServer') this.#o.desk.dhcpSeen({ ...box, event });
  }

  async #writeHosts(hosts: string): Promise<void> {
    if (hosts === this.#hosts) return;
    await writeReadable(this.#hostsFile, hosts);
    this.#hosts = hosts;
    this.#areHostsNew = true;
  }

  /** Checked by dnsmasq itself before it takes the place of the old one. */
  async #writeConfig(plan: NetworkPlan): Promise<void> {
    const { port, tftpRoot, user, program } = this.#o;
    const ipv6Network = await findOwnIpv6Network(plan.interface);
    const config = dnsmasqConfig({
      network: plan,
      port,
      tftpRoot,
      hostsFile: this.#hostsFile,
      leaseFile: this.#leaseFile,
      ...(user === undefined ? {} : { user }),
      ...(ipv6Network === undefined ? {} : { ipv6Network }),
    });
    if (config === this.#config) return;
    await mkdir(this.#o.stateDir, { recursive: true, mode: 0o700 });
    const candidate = `${this.#configFile}.new`;
    await writeReadable(candidate, config);
    const complaint = await checkDnsmasqConfig(program, candidate);
    if (complaint !== undefined) throw new Error(complaint);
    await rename(candidate, this.#configFile);
    this.#config = config;
    this.#isConfigNew = true;
  }

  #setProcessProblem(problem: string | undefined): void {
    if (problem === this.#processProblem) return;
    this.#processProblem = problem;
    this.#o.onChange();
  }

  get #configFile(): string {
    return join(this.#o.runDir, `dnsmasq-${this.name}.conf`);
  }

  get #hostsFile(): string {
    return join(this.#o.runDir, `dnsmasq-${this.name}.hosts`);
  }

  get #leaseFile(): string {
    return join(this.#o.stateDir, `dnsmasq-${this.name}.leases`);
  }
}

/** For dnsmasq, which reads as a user without rights. Not durable: it is made again at every start. */
async function writeReadable(path: string, content: string): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  await makeReadable(join(path, '..'));
  try {
    await writeFile(temporary, content, { mode: 0o644 });
    await chmod(temporary, 0o644);
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}
