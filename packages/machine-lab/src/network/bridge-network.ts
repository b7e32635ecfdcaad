import { runProgram } from '../program/run-program.ts';
import type { MachineNetwork, NetworkCable } from './machine-network.ts';

export interface BridgeNetworkOptions {
  /** A bridge that is there: `br0`. */
  readonly bridge: string;
  /** What the names of the cables begin with; at most 10 letters or digits, and no other on this machine has it. */
  readonly prefix: string;
  /** Network namespace that the bridge is in; default that of this process. */
  readonly namespace?: string;
  /** PATH of the caller. */
  readonly path: string;
}

/** A bridge of this machine that boxes are plugged into. Needs root. */
export class BridgeNetwork implements MachineNetwork {
  readonly enter: readonly string[];
  readonly #options: BridgeNetworkOptions;
  #cables = 0;

  constructor(options: BridgeNetworkOptions) {
    this.#options = options;
    // Not `ip netns exec`: it mounts /sys anew, and hides the cgroups.
    this.enter = options.namespace === undefined ? [] : ['nsenter', `--net=/run/netns/${options.namespace}`];
  }

  async plug(): Promise<NetworkCable> {
    const tap = `${this.#options.prefix}${this.#cables++}`;
    await this.#ip('tuntap', 'add', tap, 'mode', 'tap');
    await this.#ip('link', 'set', tap, 'master', this.#options.bridge, 'up');
    return {
      netdev: `tap,ifname=${tap},script=no,downscript=no`,
      setConnected: (isConnected) => this.#ip('link', 'set', tap, isConnected ? 'up' : 'down'),
      remove: () => this.#ip('link', 'delete', tap),
    };
  }

  async close(): Promise<void> {}

  async #ip(...args: readonly string[]): Promise<void> {
    const { namespace, path } = this.#options;
    await runProgram(['ip', ...(namespace === undefined ? [] : ['-n', namespace]), ...args], path);
  }
}
