import { runProgram } from '../program/run-program.ts';
import { BridgeNetwork } from './bridge-network.ts';
import type { MachineNetwork, NetworkCable } from './machine-network.ts';

export interface NamespaceNetworkOptions {
  /** At most 9 letters, digits or dashes, and no other on this machine has it. */
  readonly name: string;
  /** Of the rack on the wire, with its prefix: `10.77.0.1/24`. */
  readonly address: string;
  /** A cable between this machine and the namespace, so that they reach each other. */
  readonly uplink?: { readonly here: string; readonly there: string };
  /** PATH of the caller. */
  readonly path: string;
}

/**
 * A network namespace with a bridge (`br0`) that boxes are plugged into, cut off from everything else. Whoever is started in it by `enter` is the rack. Needs root.
 */
export class NamespaceNetwork implements MachineNetwork {
  readonly interface = 'br0';
  readonly enter: readonly string[];
  /** As in /run/netns/NAME. */
  readonly namespace: string;
  readonly #options: NamespaceNetworkOptions;
  readonly #guests: string[] = [];
  readonly #bridge: BridgeNetwork;

  private constructor(options: NamespaceNetworkOptions) {
    const { name, path } = options;
    this.#options = options;
    this.namespace = `/run/netns/${name}`;
    this.#bridge = new BridgeNetwork({ bridge: this.interface, prefix: 'tap', namespace: name, path });
    this.enter = this.#bridge.enter;
  }

  static async create(options: NamespaceNetworkOptions): Promise<NamespaceNetwork> {
    const network = new NamespaceNetwork(options);
    try {
      await network.#create();
    } catch (error) {
      await network.close().catch(() => undefined);
      throw error;
    }
    return network;
  }

  plug(): Promise<NetworkCable> {
    return this.#bridge.plug();
  }

  /**
   * Another namespace with a cable (`eth0`) into the bridge: a machine that is no box of the rack, as one with a DHCP server of its own.
   * @returns what goes before a program that is to run there.
   */
  async addGuest(name: string, address: string): Promise<readonly string[]> {
    const guest = `${this.#options.name}-${name}`;
    await this.#ip('netns', 'add', guest);
    this.#guests.push(guest);
    const cable = `guest${this.#guests.length}`;
    await this.#inside('link', 'add', cable, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', guest);
    await this.#inside('link', 'set', cable, 'master', this.interface, 'up');
    await this.#ip('-n', guest, 'link', 'set', 'lo', 'up');
    await this.#ip('-n', guest, 'addr', 'add', address, 'dev', 'eth0');
    await this.#ip('-n', guest, 'link', 'set', 'eth0', 'up');
    return ['nsenter', `--net=/run/netns/${guest}`];
  }

  async setUplink(isConnected: boolean): Promise<void> {
    await this.#inside('link', 'set', 'uplink', isConnected ? 'up' : 'down');
  }

  /** Whatever runs in it must have ended: a namespace lives as long as a process is in it. */
  async close(): Promise<void> {
    const problems: unknown[] = [];
    // A namespace lives on where others see its mount, as containers that were started meanwhile do: its cable is not to stay here with its address.
    if (this.#options.uplink !== undefined) {
      await this.#ip('link', 'delete', this.#nearUplink).catch((error: unknown) => problems.push(error));
    }
    for (const name of [...this.#guests, this.#options.name]) {
      await this.#ip('netns', 'delete', name).catch((error: unknown) => problems.push(error));
    }
    if (problems.length > 0) throw new AggregateError(problems, 'a network namespace was not removed');
  }

  async #create(): Promise<void> {
    const { name, address, uplink } = this.#options;
    if (!/^[a-z0-9-]{1,9}$/.test(name)) throw new Error(`${name} is no name for a network`);
    await this.#ip('netns', 'add', name);
    await this.#inside('link', 'set', 'lo', 'up');
    await this.#inside('link', 'add', this.interface, 'type', 'bridge', 'forward_delay', '0');
    await this.#inside('addr', 'add', address, 'dev', this.interface);
    await this.#inside('link', 'set', this.interface, 'up');
    if (uplink === undefined) return;
    const near = this.#nearUplink;
    await this.#ip('link', 'add', near, 'type', 'veth', 'peer', 'name', 'uplink', 'netns', name);
    await this.#ip('addr', 'add', uplink.here, 'dev', near);
    await this.#ip('link', 'set', near, 'up');
    await this.#inside('addr', 'add', uplink.there, 'dev', 'uplink');
    await this.#inside('link', 'set', 'uplink', 'up');
  }

  get #nearUplink(): string {
    return `${this.#options.name}-up`;
  }

  async #inside(...args: readonly string[]): Promise<void> {
    await this.#ip('-n', this.#options.name, ...args);
  }

  async #ip(...args: readonly string[]): Promise<void> {
    await runProgram(['ip', ...args], this.#options.path);
  }
}
