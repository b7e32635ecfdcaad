/** A wire that boxes are plugged into. */
export interface MachineNetwork {
  /** Goes before a program that is to run on this network: `nsenter --net=…`; empty where there is none of its own. */
  readonly enter: readonly string[];
  /** A cable for one port of one box. */
  plug(): Promise<NetworkCable>;
  close(): Promise<void>;
}

export interface NetworkCable {
  /** Of QEMU's `-netdev`, without its id: `tap,ifname=…`. */
  readonly netdev: string;
  /** Pulls it out, or puts it back, while the box runs. */
  setConnected(isConnected: boolean): Promise<void>;
  remove(): Promise<void>;
}
