import {
  type Application,
  isMirrored,
  isPlaced,
  type Release,
  type Rollout,
  releases,
  type Site,
} from '@selvedge/api';
import type { DeliveryRow } from '@selvedge/store';
import type { RolloutControl, RolloutInput } from '../../rollout/rollout-input.ts';
import { isOwnedBy } from '../application/build-release.ts';
import type { ControllerContext } from '../controller-context.ts';
import { releaseFacts, releaseNeeds } from './release-facts.ts';
import { rolloutNumber } from './rollout-history.ts';
import { siteFacts } from './site-facts.ts';

export interface Observed {
  readonly input: RolloutInput;
  readonly release: Release;
  /** Sites that have the application and, by their labels, are not meant to. */
  readonly unwanted: readonly string[];
  /** Wanted rows of former Applications of this name: what runs there runs by their order. */
  readonly former: readonly DeliveryRow[];
}

/**
 * Reads all that the next step depends on; `undefined` while the Release is not there.
 * @param history the application's rollouts, newest first.
 */
export async function observeRollout(
  ctx: ControllerContext,
  { application, rollout, history }: { application: Application; rollout: Rollout; history: Rollout[] },
): Promise<Observed | undefined> {
  const { client, fleet, informers, clock, listensSince } = ctx;
  const { namespace = '', name, uid = '' } = application.metadata;
  const [{ items }, members, { rows }, heartbeats] = await Promise.all([
    // As they are stored: a Release that was condemned a moment ago must not be offered any more.
    client.list<Release>(releases, { namespace, labelSelector: `selvedge.dev/application=${name}` }),
    fleet.rolloutMembers(rollout.metadata.uid ?? ''),
    fleet.listDeliveries({ namespace, application: name }),
    fleet.heartbeats(),
  ]);
  const own = items.filter((item) => item.spec.application === name && isOwnedBy(item, application));
  const release = own.find((item) => item.metadata.name === rollout.spec.release);
  if (!release) return undefined;
  const ownRows = new Map(rows.filter((row) => row.applicationUid === uid).map((row) => [row.site, row]));
  const { selected, rejected } = divideSites(informers.sites.list(), application);
  const lacks = await ctx.siteLacks.find(release, selected);
  return {
    release,
    unwanted: rejected.filter((site) => ownRows.get(site)?.phase === 'Wanted'),
    former: rows.filter((row) => row.phase === 'Wanted' && row.applicationUid !== uid),
    input: {
      rollout: rollout.metadata.name,
      number: rolloutNumber(rollout),
      created: Date.parse(rollout.metadata.creationTimestamp ?? ''),
      applicationUid: uid,
      release: { ...releaseFacts(release, history), ...releaseNeeds(release) },
      others: own.filter((item) => item !== release).map((item) => releaseFacts(item, history)),
      strategy: rollout.spec.strategy,
      control: controlOf(application, rollout),
      seed: uid,
      sites: selected.map((site) => {
        const { name: siteName } = site.metadata;
        const lack = lacks.get(siteName);
        const facts = siteFacts(site, heartbeats.get(siteName)?.lastSeenAt, listensSince);
        return lack === undefined ? facts : { ...facts, lack };
      }),
      members: new Map(members.map(({ site, wave }) => [site, wave])),
      rows: ownRows,
      status: rollout.status,
      now: clock.now().getTime(),
    },
  };
}

function controlOf(application: Application, { spec }: Rollout): RolloutControl {
  return {
    isPaused: application.spec.paused === true || spec.paused === true,
    approvedWaves: new Set(spec.approvedWaves),
    waivedWaves: new Set(spec.waivedWaves),
    ...(spec.stop === undefined ? {} : { stop: spec.stop }),
  };
}

/**
 * Only a Site that is there and does not match is rejected: one that cannot be read says nothing, and the one that the application is
 * taken from keeps what it has.
 */
export function divideSites(
  sites: readonly Site[],
  application: Pick<Application, 'spec'>,
): { selected: Site[]; rejected: string[] } {
  const selected: Site[] = [];
  const rejected: string[] = [];
  for (const site of sites) {
    if (isPlaced(application, site)) selected.push(site);
    else if (!isMirrored(application, site)) rejected.push(site.metadata.name);
  }
  return { selected, rejected };
}
