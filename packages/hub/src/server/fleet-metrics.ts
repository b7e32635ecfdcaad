import type { Clock, Site, SiteConnectivity } from '@selvedge/api';
import type { MetricRegistry } from '@selvedge/apiserver';
import type { FleetStore } from '@selvedge/store';
import { connectivityOf, expectedSilenceSeconds } from '../resources/connectivity.ts';

export interface FleetMetricsOptions {
  readonly fleet: FleetStore;
  readonly clock: Clock;
  readonly connectedWithinSeconds: number;
  readonly gateway: {
    /** Every Site, from memory. */
    sites(): readonly Site[];
    readonly openPolls: number;
  };
}

const connectivities: readonly SiteConnectivity[] = ['Connected', 'Away', 'Overdue', 'NeverConnected'];

/** Conditions of Sites that an alert should be made of, by the name of their metric. */
const alarms = [
  {
    name: 'selvedge_site_hub_behind',
    condition: 'HubBehind',
    help: 'Sites that follow newer state than the hub knows: adopt or override.',
  },
  {
    name: 'selvedge_site_two_hubs',
    condition: 'TwoHubs',
    help: 'Sites that two hubs with the same identity answer in turns.',
  },
  {
    name: 'selvedge_site_held',
    condition: 'Held',
    help: 'Sites where changes are held, by the hub or by people there.',
  },
] as const;

/** What the hub knows of its sites, when it is asked. */
export function addFleetMetrics(registry: MetricRegistry, options: FleetMetricsOptions): void {
  const { fleet, clock, connectedWithinSeconds, gateway } = options;
  registry.read(
    {
      name: 'selvedge_sites',
      help: 'Sites by connectivity.',
      type: 'gauge',
      labelNames: ['connectivity'],
    },
    async () => {
      const heartbeats = await fleet.heartbeats();
      const now = clock.now();
      const counts = new Map<SiteConnectivity, number>(connectivities.map((c) => [c, 0]));
      for (const { metadata, spec } of gateway.sites()) {
        const connectivity = connectivityOf({
          lastSeenTime: heartbeats.get(metadata.name)?.lastSeenAt,
          connectedWithinSeconds,
          expectedSilenceSeconds: expectedSilenceSeconds(spec),
          now,
        });
        counts.set(connectivity, (counts.get(connectivity) ?? 0) + 1);
      }
      return [...counts].map(([connectivity, count]) => [[connectivity], count]);
    },
  );
  registry.read(
    {
      name: 'selvedge_site_silence_seconds_max',
      help: 'Age of the oldest last contact of any site that ever was in touch.',
      type: 'gauge',
      labelNames: [],
    },
    async () => {
      const heartbeats = await fleet.heartbeats();
      const now = clock.now().getTime();
      const silences = gateway.sites().flatMap(({ metadata }) => {
        const heartbeat = heartbeats.get(metadata.name);
        return heartbeat === undefined ? [] : [(now - Date.parse(heartbeat.lastSeenAt)) / 1000];
      });
      return [[[], silences.reduce((oldest, silence) => Math.max(oldest, silence), 0)]];
    },
  );
  for (const { name, condition, help } of alarms) {
    registry.read({ name, help, type: 'gauge', labelNames: [] }, () => {
      const isSo = ({ status }: Site) =>
        status?.conditions?.some((c) => c.type === condition && c.status === 'True') === true;
      return [[[], gateway.sites().filter(isSo).length]];
    });
  }
  registry.read(
    {
      name: 'selvedge_gateway_open_polls',
      help: 'Requests of sites that wait for news.',
      type: 'gauge',
      labelNames: [],
    },
    () => [[[], gateway.openPolls]],
  );
}
