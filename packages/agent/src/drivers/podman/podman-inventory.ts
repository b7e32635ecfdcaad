import { statfs } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import type { NodeGroup, ResourceAmounts, SiteInventory } from '@selvedge/api';
import type { LibpodClient } from './libpod-client.ts';

/** Memory and disks of a machine change seldom. */
const rereadMs = 15 * 60_000;

interface MachineInfo {
  host: {
    hostname: string;
    os: string;
    arch: string;
    cpus: number;
    memTotal: number;
    distribution?: { distribution?: string; version?: string };
  };
  store: { graphRoot: string };
  version: { Version: string };
}

/** What a Podman site is made of: one node, this machine. */
export class PodmanInventory {
  readonly #client: LibpodClient;
  readonly #listeners: (() => void)[] = [];
  #machine: Omit<SiteInventory, 'nodeGroups'> | undefined;
  #groups: readonly NodeGroup[] = [];
  #readAt = 0;
  #current: SiteInventory | undefined;

  constructor(client: LibpodClient) {
    this.#client = client;
  }

  current(): SiteInventory | undefined {
    return this.#current;
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Of the site; the machine is in each. @returns whether they are others than before: then refresh. */
  setNodeGroups(groups: readonly NodeGroup[]): boolean {
    if (isDeepStrictEqual(groups, this.#groups)) return false;
    this.#groups = groups;
    return true;
  }

  /** Reads the machine when it was not for a while. */
  async refresh(now: number): Promise<void> {
    if (!this.#machine || now - this.#readAt > rereadMs) {
      this.#machine = await readMachine(this.#client);
      this.#readAt = now;
    }
    const next = withGroups(this.#machine, this.#groups);
    if (isDeepStrictEqual(next, this.#current)) return;
    this.#current = next;
    for (const listener of this.#listeners) listener();
  }
}

async function readMachine(client: LibpodClient): Promise<Omit<SiteInventory, 'nodeGroups'>> {
  const { host, store, version } = await client.call<MachineInfo>({ path: '/info' });
  const disk = await statfs(store.graphRoot).catch(() => undefined);
  const capacity: ResourceAmounts = {
    cpu: String(host.cpus),
    memory: `${Math.floor(host.memTotal / 1024)}Ki`,
    ...(disk ? { 'ephemeral-storage': `${Math.floor((disk.blocks * disk.bsize) / 1024)}Ki` } : {}),
  };
  const { distribution = '', version: release = '' } = host.distribution ?? {};
  const system = `${distribution} ${release}`.trim();
  return {
    cluster: { kind: 'podman', version: `v${version.Version}`, capacity, allocatable: capacity },
    nodes: [
      {
        name: host.hostname,
        roles: [],
        isReady: true,
        os: system === '' ? host.os : system,
        architecture: host.arch,
        capacity,
        allocatable: capacity,
      },
    ],
    storageClasses: [],
  };
}

function withGroups(machine: Omit<SiteInventory, 'nodeGroups'>, groups: readonly NodeGroup[]): SiteInventory {
  const names = groups.map(({ name }) => name);
  const allocatable = machine.nodes[0]?.allocatable ?? {};
  return {
    ...machine,
    nodes: machine.nodes.map((node) => (names.length === 0 ? node : { ...node, nodeGroups: names })),
    nodeGroups: names.map((name) => ({ name, nodes: 1, readyNodes: 1, allocatable })),
  };
}
