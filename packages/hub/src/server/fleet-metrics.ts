import type { Clock } from '@selvedge/api';
import type { MetricRegistry } from '@selvedge/apiserver';
import type { FleetStore } from '@selvedge/store';

export interface FleetMetricsOptions {
  readonly fleet: FleetStore;
  readonly clock: Clock;
  readonly connectedWithinSeconds: number;
  readonly openPolls: () => number;
}

/** What the hub knows of its sites without looking at each of them. */
export function addFleetMetrics(registry: MetricRegistry, options: FleetMetricsOptions): void {
  const { fleet, clock, connectedWithinSeconds, openPolls } = options;
  registry.read(
    {
      name: 'selvedge_sites',
      help: 'Sites that have ever been in touch: Connected now, or silent (whether that is expected, their Site says).',
      type: 'gauge',
      labelNames: ['connectivity'],
    },
    async () => {
      const heartbeats = await fleet.heartbeats();
      const since = clock.now().getTime() - connectedWithinSeconds * 1000;
      let connected = 0;
      for (const { lastSeenAt } of heartbeats.values()) if (Date.parse(lastSeenAt) >= since) connected += 1;
      return [
        [['Connected'], connected],
        [['Silent'], heartbeats.size - connected],
      ];
    },
  );
  registry.read(
    {
      name: 'selvedge_gateway_open_polls',
      help: 'Requests of sites that wait for news.',
      type: 'gauge',
      labelNames: [],
    },
    () => [[[], openPolls()]],
  );
}
