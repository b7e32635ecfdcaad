import {
  type Clock,
  type Rollout,
  resourceName,
  rolloutPhases,
  rollouts,
  type SiteCounts,
} from '@selvedge/api';
import type { MetricRegistry } from '@selvedge/apiserver';
import type { FleetStore, ObjectStore, StoredObject } from '@selvedge/store';
import { ShortLived } from '../resources/short-lived.ts';

export interface RolloutMetricsOptions {
  readonly objects: ObjectStore;
  readonly fleet: FleetStore;
  readonly clock: Clock;
}

/** The metrics of one scrape are read from one look at the rollouts. */
const keptMilliseconds = 1_000;

/** Buckets of the counts that exclude each other: together they are all the sites that are wanted. */
const siteStates = [
  'running',
  'progressing',
  'prepared',
  'held',
  'failed',
  'away',
  'overdue',
  'waiting',
] as const satisfies readonly (keyof SiteCounts)[];

/** How the newest rollout of each application stands, and how old what is known of the sites is. */
export function addRolloutMetrics(registry: MetricRegistry, options: RolloutMetricsOptions): void {
  const { objects, fleet, clock } = options;
  const newest = new ShortLived({
    clock,
    milliseconds: keptMilliseconds,
    load: () => newestRollouts(objects),
  });
  const gauge = (
    { name, help, label }: { name: string; help: string; label?: string },
    values: (rollout: Rollout) => readonly (readonly [label: string, value: number])[],
  ) => {
    const labelNames = ['namespace', 'application', ...(label === undefined ? [] : [label])];
    registry.read({ name, help, type: 'gauge', labelNames }, async () =>
      (await newest.get()).flatMap((rollout) =>
        values(rollout).map(([value, number]) => {
          const { namespace = '' } = rollout.metadata;
          return [
            [namespace, rollout.spec.application, ...(label === undefined ? [] : [value])],
            number,
          ] as const;
        }),
      ),
    );
  };
  gauge(
    {
      name: 'selvedge_rollout_sites',
      help: 'Sites of the newest rollout of an application by how far they are; together all that it is meant for.',
      label: 'state',
    },
    ({ status }) => siteStates.map((state) => [state, status?.sites?.[state] ?? 0]),
  );
  gauge(
    {
      name: 'selvedge_rollout_wave',
      help: 'Part of the sites of a wave that run the release, 0 to 1.',
      label: 'wave',
    },
    ({ status }) =>
      (status?.waves ?? []).map(({ name, succeeded, sites }) => [name, sites === 0 ? 0 : succeeded / sites]),
  );
  gauge(
    {
      name: 'selvedge_rollout_phase',
      help: '1 for the phase in which the newest rollout of an application is, else 0.',
      label: 'phase',
    },
    ({ status }) => rolloutPhases.map((phase) => [phase, (status?.phase ?? 'Progressing') === phase ? 1 : 0]),
  );
  gauge(
    {
      name: 'selvedge_rollout_activation_skew_seconds',
      help: 'From the first to the last activation of the release so far, by the hub-corrected clocks of the sites.',
    },
    ({ status }) => {
      const { firstTime, lastTime } = status?.activation ?? {};
      if (firstTime === undefined || lastTime === undefined) return [];
      return [['', (Date.parse(lastTime) - Date.parse(firstTime)) / 1000]];
    },
  );
  registry.read(
    {
      name: 'selvedge_oldest_report_age_seconds',
      help: 'Age of the oldest knowledge about a site that has ever been in touch.',
      type: 'gauge',
      labelNames: [],
    },
    async () => {
      const known = [...(await fleet.heartbeats()).values()];
      if (known.length === 0) return [];
      const oldest = known.reduce(
        (time, { observedAt, lastSeenAt }) => Math.min(time, Date.parse(observedAt ?? lastSeenAt)),
        Number.POSITIVE_INFINITY,
      );
      return [[[], Math.max(0, (clock.now().getTime() - oldest) / 1000)]];
    },
  );
}

/** Found by their names, so that the history of each application is not parsed with every scrape. */
async function newestRollouts(objects: ObjectStore): Promise<Rollout[]> {
  const newest = new Map<string, { number: number; stored: StoredObject }>();
  for (const stored of (await objects.list({ resource: resourceName(rollouts) })).objects) {
    const { namespace, name } = stored.key;
    const dash = name.lastIndexOf('-');
    const number = Number(name.slice(dash + 1)) || 0;
    const key = `${namespace}/${name.slice(0, dash)}`;
    if ((newest.get(key)?.number ?? -1) < number) newest.set(key, { number, stored });
  }
  return [...newest.values()].map(({ stored }) => JSON.parse(stored.body) as Rollout);
}
