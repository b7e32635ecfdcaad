import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Clock,
  type Logger,
  type MachineOrder,
  type RackNetwork,
  type RackReport,
  rackPort,
} from '@selvedge/api';
import type { BootServer, ListenAddress } from '../boot/boot-server.ts';
import type { MachineDesk } from '../boot/machine-desk.ts';
import type { ImageLibrary } from '../images/image-library.ts';
import { BootFolder, makeReadable } from './boot-folder.ts';
import type { DhcpSight } from './dnsmasq-log.ts';
import { formatIpv4 } from './ipv4.ts';
import { readNeighbours } from './neighbours.ts';
import { OtherServers } from './other-servers.ts';
import { ServedNetwork } from './served-network.ts';

export interface RackNetworksOptions {
  /** `<state>/rack/network`; made here. */
  readonly stateDir: string;
  /** Folder of its own that every user may look into (dnsmasq gives up root's rights), removed by `close`; default `/run/selvedge-rack-<hash>` for root, else in `stateDir`. */
  readonly runDir?: string;
  readonly bootServer: Pick<BootServer, 'setListen' | 'listenProblems' | 'onChange'>;
  /** The boot server listens there only; default: the rack's address in each network, with `rackPort`. */
  readonly listen?: ListenAddress;
  readonly desk: Pick<MachineDesk, 'dhcpSeen'>;
  readonly files: Pick<ImageLibrary, 'findBootFile' | 'onChange'>;
  /** The dnsmasq program. */
  readonly dnsmasq?: string;
  readonly clock: Clock;
  readonly monotonicMs: () => number;
  readonly logger: Logger;
}

/** The networks on which boxes boot: one dnsmasq for each, the addresses of the boot server, the folder for TFTP, a look-out for DHCP servers that should not be there. */
export class RackNetworks {
  readonly #o: RackNetworksOptions;
  readonly #runDir: string;
  readonly #program: string;
  readonly #folder: BootFolder;
  readonly #others: OtherServers;
  readonly #networks = new Map<string, ServedNetwork>();
  /** Address that DHCP gave a box last, by its MAC address. */
  readonly #addresses = new Map<string, string>();
  readonly #changeListeners = new Set<() => void>();
  readonly #stop = new AbortController();
  readonly #loop: Promise<void>;
  #order: { networks: readonly RackNetwork[]; machines: readonly MachineOrder[] } = {
    networks: [],
    machines: [],
  };
  /** Before, nobody is served: a machine that no order names would be left alone. */
  #isOrdered = false;
  #wake = new AbortController();
  #missingLoaders: readonly string[] = [];
  #user: string | undefined;

  constructor(options: RackNetworksOptions) {
    const { stateDir, runDir, files, clock, logger, bootServer } = options;
    this.#o = options;
    this.#runDir =
      runDir ?? (isRoot() ? join('/run', `selvedge-rack-${shortHash(stateDir)}`) : join(stateDir, 'run'));
    this.#program = options.dnsmasq ?? findDnsmasq();
    this.#folder = new BootFolder(join(this.#runDir, 'tftp'), files);
    this.#others = new OtherServers({ clock, logger, onChange: () => this.#tellChange() });
    files.onChange(() => this.#wake.abort());
    bootServer.onChange(() => this.#tellChange());
    this.#loop = this.#run();
  }

  /** Level-based: what is to be from now on. Networks that are not named any more are not served any more. */
  setOrder(networks: readonly RackNetwork[], machines: readonly MachineOrder[]): void {
    this.#order = { networks, machines };
    this.#isOrdered = true;
    this.#wake.abort();
  }

  states(): RackReport['networks'] {
    return this.#order.networks.map((order) => {
      const problem = this.#problemOf(order);
      const otherServers = this.#others.of(order.name);
      const message = problem ?? (this.#warningsOf(order).join('; ') || undefined);
      return {
        name: order.name,
        interface: order.interface,
        state: problem === undefined ? 'Serving' : 'Failed',
        ...(message === undefined ? {} : { message }),
        ...(otherServers.length === 0 || order.dhcp !== 'Own' ? {} : { otherServers }),
      };
    });
  }

  /** MAC addresses that are known at this address, from the wire or else from leases. Empty: nothing is known of it, as behind a router or a forwarded port. */
  async macsAt(address: string): Promise<readonly string[]> {
    const devices = [...this.#networks.values()].flatMap(({ plan }) => plan?.interface ?? []);
    const neighbours = devices.length === 0 ? [] : await readNeighbours(address, devices);
    if (neighbours.length > 0) return neighbours;
    return [...this.#addresses].flatMap(([macAddress, given]) => (given === address ? [macAddress] : []));
  }

  /** `listener` is called when `states` may have changed. */
  onChange(listener: () => void): void {
    this.#changeListeners.add(listener);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
    await Promise.all([...this.#networks.values()].map((network) => network.stop()));
    await this.#others.close();
    await rm(this.#runDir, { recursive: true, force: true });
  }

  async #run(): Promise<void> {
    const { clock, logger } = this.#o;
    const { signal } = this.#stop;
    this.#user = isRoot() ? await findUser() : undefined;
    while (!signal.aborted) {
      this.#wake = new AbortController();
      try {
        if (this.#isOrdered) await this.#apply();
      } catch (error) {
        logger.error('the networks of the rack could not be set up', { error });
      }
      this.#tellChange();
      await clock.sleep(lookMs * (0.75 + Math.random() / 2), AbortSignal.any([signal, this.#wake.signal]));
    }
  }

  async #apply(): Promise<void> {
    const { networks, machines } = this.#order;
    // A rack without a wire of its own leaves nothing behind.
    if (networks.length > 0) await makeReadable(this.#runDir);
    this.#missingLoaders = networks.length === 0 ? [] : await this.#folder.refresh();
    for (const [name, network] of this.#networks) {
      if (networks.some((order) => order.name === name)) continue;
      this.#networks.delete(name);
      await network.stop();
    }
    for (const order of networks) {
      const network = this.#networks.get(order.name) ?? this.#addNetwork(order.name);
      await network.apply(order, machines);
    }
    await this.#o.bootServer.setListen(this.#listenAddresses());
    this.#others.setNetworks(
      [...this.#networks.values()].flatMap(({ name, plan, problem }) =>
        plan === undefined || problem !== undefined ? [] : [{ name, address: formatIpv4(plan.address) }],
      ),
    );
  }

  #addNetwork(name: string): ServedNetwork {
    const { stateDir, desk, clock, monotonicMs, logger, listen } = this.#o;
    const network = new ServedNetwork(name, {
      stateDir,
      runDir: this.#runDir,
      tftpRoot: this.#folder.path,
      port: listen?.port ?? rackPort,
      program: this.#program,
      ...(this.#user === undefined ? {} : { user: this.#user }),
      desk,
      onSight: (sight) => this.#take(name, sight),
      onChange: () => this.#tellChange(),
      clock,
      monotonicMs,
      logger,
    });
    this.#networks.set(name, network);
    return network;
  }

  #listenAddresses(): readonly ListenAddress[] {
    const { listen } = this.#o;
    // Also without a network of the rack's own: virtual machines on a laptop reach it by another way.
    if (listen !== undefined) return [listen];
    const hosts = [...this.#networks.values()].flatMap(({ plan }) =>
      plan === undefined ? [] : [formatIpv4(plan.address)],
    );
    return [...new Set(hosts)].map((host) => ({ host, port: rackPort }));
  }

  #take(network: string, { event, macAddress, address }: DhcpSight): void {
    if (event === 'OtherServer') this.#others.lookSoon(network);
    else if (event === 'Deleted') this.#addresses.delete(macAddress);
    else if (event === 'Lease' && address !== undefined) {
      this.#addresses.delete(macAddress);
      this.#addresses.set(macAddress, address);
      const [oldest] = this.#addresses.keys();
      if (this.#addresses.size > mostAddresses && oldest !== undefined) this.#addresses.delete(oldest);
    }
  }

  #problemOf({ name }: RackNetwork): string | undefined {
    const network = this.#networks.get(name);
    if (network === undefined) return 'not started yet';
    if (network.problem !== undefined) return network.problem;
    const host = network.plan === undefined ? undefined : formatIpv4(network.plan.address);
    return this.#o.bootServer
      .listenProblems()
      .find((one) => one.host === host || this.#o.listen !== undefined)?.message;
  }

  #warningsOf({ name, dhcp, address }: RackNetwork): readonly string[] {
    const warnings = [...(this.#networks.get(name)?.warnings ?? [])];
    const missing = this.#missingLoaders.filter((file) => file.startsWith('amd64/'));
    if (missing.length > 0) {
      warnings.push(
        `the boot loaders ${missing.join(', ')} are not here yet: they come with the inspection image`,
      );
    }
    // On the loopback network nobody asks for an address (selvedge dev machines).
    const isLoopback = address?.startsWith('127.') === true;
    if (dhcp !== 'Own' && !isLoopback && this.#others.isSilent(name)) {
      warnings.push(`no DHCP server answers in the network of ${address}: boxes get no address there`);
    }
    return [...warnings.slice(0, 5), ...(warnings.length > 5 ? [`${warnings.length - 5} more`] : [])];
  }

  #tellChange(): void {
    for (const listener of this.#changeListeners) listener();
  }
}

const lookMs = 15_000;
const mostAddresses = 10_000;

const isRoot = () => process.getuid?.() === 0;

const shortHash = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 12);

/** Debian's dnsmasq-base brings a user of its own. */
async function findUser(): Promise<string> {
  const users = await readFile('/etc/passwd', 'utf8').catch(() => '');
  return /^dnsmasq:/m.test(users) ? 'dnsmasq' : 'nobody';
}

function findDnsmasq(): string {
  return existsSync('/usr/sbin/dnsmasq') ? '/usr/sbin/dnsmasq' : 'dnsmasq';
}
