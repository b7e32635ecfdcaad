import {
  type Application,
  matchesLabelSelector,
  type Release,
  type Rollout,
  releases,
  type Site,
} from '@selvedge/api';
import type { DeliveryRow, Heartbeat } from '@selvedge/store';
import type { RolloutInput, SiteFacts } from '../../rollout/rollout-input.ts';
import type { ControllerContext } from '../controller-context.ts';

export interface Observed {
  readonly input: RolloutInput;
  /** Sites that have the application and, by their labels, are not meant to. */
  readonly unwanted: readonly string[];
}

/** Reads all that the next step depends on; `undefined` while the Release is not there. */
export async function observeRollout(
  ctx: ControllerContext,
  application: Application,
  rollout: Rollout,
): Promise<Observed | undefined> {
  const { client, fleet, informers, clock } = ctx;
  const { namespace = '', name, uid = '' } = application.metadata;
  const release = await client.find<Release>(releases, { namespace, name: rollout.spec.release });
  if (!release) return undefined;
  const [members, { rows }, heartbeats] = await Promise.all([
    fleet.rolloutMembers(rollout.metadata.uid ?? ''),
    fleet.listDeliveries({ namespace, application: name }),
    fleet.heartbeats(),
  ]);
  const own = new Map(rows.filter((row) => row.applicationUid === uid).map((row) => [row.site, row]));
  const { selected, rejected } = divideSites(informers.sites.list(), application);
  return {
    unwanted: rejected.filter((site) => own.get(site)?.phase === 'Wanted'),
    input: {
      rollout: rollout.metadata.name,
      applicationUid: uid,
      release: {
        name: release.metadata.name,
        digest: release.spec.digest,
        variables: release.spec.variables ?? [],
      },
      strategy: rollout.spec.strategy,
      isPaused: application.spec.paused === true,
      seed: uid,
      sites: selected.map((site) => factsOf(site, heartbeats)),
      members: new Map(members.map(({ site, wave }) => [site, wave])),
      rows: own satisfies Map<string, DeliveryRow>,
      status: rollout.status,
      now: clock.now().getTime(),
    },
  };
}

/** Only a Site that is there and does not match is rejected: one that cannot be read says nothing. */
function divideSites(
  sites: readonly Site[],
  application: Application,
): { selected: Site[]; rejected: string[] } {
  const { siteSelector } = application.spec.placement;
  const selected: Site[] = [];
  const rejected: string[] = [];
  for (const site of sites) {
    if (matchesLabelSelector(site.metadata.labels, siteSelector)) selected.push(site);
    else rejected.push(site.metadata.name);
  }
  return { selected, rejected };
}

/** The Connected condition says whether and since when; it changes only when that does. */
function factsOf({ metadata, spec, status }: Site, heartbeats: ReadonlyMap<string, Heartbeat>): SiteFacts {
  const connected = status?.conditions?.find((c) => c.type === 'Connected' && c.status === 'True');
  const lastSeen = heartbeats.get(metadata.name)?.lastSeenAt;
  return {
    name: metadata.name,
    ...(connected ? { connectedSince: Date.parse(connected.lastTransitionTime) } : {}),
    ...(lastSeen === undefined ? {} : { lastSeen: Date.parse(lastSeen) }),
    variables: new Set(Object.keys(spec?.variables ?? {})),
  };
}
