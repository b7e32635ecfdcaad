import type { MachineNetwork, NetworkCable } from './machine-network.ts';

/** Where a box on a user network finds the machine that QEMU runs on. */
export const userNetworkHost = '10.0.2.2';

/**
 * QEMU's own network, which needs no rights: each box is alone with a DHCP server of QEMU and reaches the ports of this machine's loopback. The boot ROM gets
 * `bootFile`, so the rack stands beside a DHCP server that is not its own. Only for boxes with BIOS: their ROM is iPXE, which takes a URL.
 */
export class UserNetwork implements MachineNetwork {
  readonly enter: readonly string[] = [];
  readonly #bootFile: string;

  /** `bootFile`: as in `http://10.0.2.2:5248/ipxe/boot.ipxe`. */
  constructor(bootFile: string) {
    this.#bootFile = bootFile;
  }

  async plug(): Promise<NetworkCable> {
    return {
      netdev: `user,bootfile=${this.#bootFile}`,
      setConnected: async () => {
        throw new Error('cables of a user network cannot be pulled out');
      },
      remove: async () => {},
    };
  }

  async close(): Promise<void> {}
}
