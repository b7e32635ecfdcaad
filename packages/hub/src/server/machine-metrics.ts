import { machinePhases, operationalStatuses, shownPhase, type Site } from '@selvedge/api';
import type { MetricRegistry } from '@selvedge/apiserver';
import type { KnownMachine } from '../gateway/machine-directory.ts';

export interface MachineMetricsOptions {
  readonly gateway: {
    /** Every Machine and Site, from memory. */
    machines(): readonly KnownMachine[];
    sites(): readonly Site[];
  };
}

/** How machines and racks stand, as their sites said last. */
export function addMachineMetrics(registry: MetricRegistry, { gateway }: MachineMetricsOptions): void {
  registry.read(
    {
      name: 'selvedge_machines',
      help: 'Machines by phase; Discovered: nobody has accepted them; Unknown: no rack has spoken of them.',
      type: 'gauge',
      labelNames: ['phase'],
    },
    () => counted(['Discovered', ...machinePhases, 'Unknown'], gateway.machines().map(phaseOf)),
  );
  registry.read(
    {
      name: 'selvedge_machine_operations',
      help: 'Machines by operational status.',
      type: 'gauge',
      labelNames: ['status'],
    },
    () => {
      const statuses = gateway.machines().map(({ operationalStatus = 'Unknown' }) => operationalStatus);
      return counted([...operationalStatuses, 'Unknown'], statuses);
    },
  );
  registry.read(
    {
      name: 'selvedge_machine_errors',
      help: 'Machines in error, by reason.',
      type: 'gauge',
      labelNames: ['reason'],
    },
    () =>
      counted(
        [],
        gateway.machines().flatMap(({ errorReason }) => errorReason ?? []),
      ),
  );
  registry.read(
    {
      name: 'selvedge_rack_networks',
      help: 'Networks of racks by state.',
      type: 'gauge',
      labelNames: ['state'],
    },
    () =>
      counted(
        ['Serving', 'Failed', 'Off'],
        networksOf(gateway.sites()).map(({ state }) => state),
      ),
  );
  registry.read(
    {
      name: 'selvedge_rack_other_dhcp_servers',
      help: 'DHCP servers seen on networks that a rack serves alone.',
      type: 'gauge',
      labelNames: [],
    },
    () => {
      const servers = networksOf(gateway.sites()).flatMap(({ otherServers = [] }) => otherServers);
      return [[[], servers.length]];
    },
  );
  registry.read(
    {
      name: 'selvedge_rack_boxes_turned_away',
      help: 'Boxes that racks have not shown of late, as they remember as many as they can.',
      type: 'gauge',
      labelNames: [],
    },
    () => {
      const full = gateway.sites().map(({ status }) => status?.rack?.discoveryFull?.turnedAway ?? 0);
      return [[[], full.reduce((sum, count) => sum + count, 0)]];
    },
  );
}

function phaseOf({ spec, phase }: KnownMachine): string {
  return shownPhase(spec.accepted, phase) ?? 'Unknown';
}

function networksOf(sites: readonly Site[]) {
  return sites.flatMap(({ status }) => status?.rack?.networks ?? []);
}

/** A series for each of `always`, also without any. */
function counted(
  always: readonly string[],
  values: readonly string[],
): (readonly [readonly string[], number])[] {
  const counts = new Map<string, number>(always.map((value) => [value, 0]));
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].map(([value, count]) => [[value], count]);
}
