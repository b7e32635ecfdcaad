import type { DesiredItem, DesiredState, SyncRequest, Tombstone } from '@selvedge/api';
import type { DeliveryRow, SiteState } from '@selvedge/store';

/** `Application/<namespace>/<name>`. */
export function itemId(row: Pick<DeliveryRow, 'namespace' | 'application'>): string {
  return `Application/${row.namespace}/${row.application}`;
}

/** What a site is to hold. Pure; the same rows give the same bytes. */
export function buildDesiredState(hubId: string, siteUid: string, state: SiteState): DesiredState {
  const items: DesiredItem[] = [];
  const tombstones: Tombstone[] = [];
  for (const row of state.rows) {
    const named = { id: itemId(row), uid: row.applicationUid, epoch: row.epoch };
    if (row.phase === 'Wanted') {
      const { release, digest, deadlineSeconds, terms } = row;
      items.push({ ...named, release, digest, deadlineSeconds, terms });
    } else {
      tombstones.push({ ...named, mode: row.removal });
    }
  }
  return {
    hubId,
    site: state.site,
    siteUid,
    epoch: state.epoch,
    variables: state.variables,
    policy: state.policy,
    items: items.sort(byIdAndUid),
    tombstones: tombstones.sort(byIdAndUid),
  };
}

/** Items and tombstones set after `epoch`; with those, a state of that epoch becomes the present one. */
export function changesSince(state: DesiredState, epoch: number): Pick<DesiredState, 'items' | 'tombstones'> {
  return {
    items: state.items.filter((item) => item.epoch > epoch),
    tombstones: state.tombstones.filter((tombstone) => tombstone.epoch > epoch),
  };
}

export type Offer =
  /** The agent holds the present state. */
  | 'Current'
  /** The agent's state is newer than the hub's: the hub lost its memory. Nothing may be sent. */
  | 'HubBehind'
  /** The agent refused the present state; it is offered again, but without haste. */
  | 'Refused'
  | 'Difference'
  | 'Full';

type Held = Pick<SyncRequest, 'epoch' | 'stateDigest' | 'refusal' | 'full'>;

/**
 * What to offer to an agent that holds `held`. Pure.
 * @param present `isBehind`: the hub was found to be behind this site, and nobody has decided yet. Its epochs may have grown past
 *   the site's since then; what they count is still another story.
 */
export function chooseOffer(
  held: Held,
  present: { epoch: number; stateDigest: string; isBehind?: boolean },
): Offer {
  if (held.epoch > present.epoch) return 'HubBehind';
  // Nothing was ever wanted here.
  if (present.epoch === 0) return 'Current';
  if (held.epoch === present.epoch && held.stateDigest === present.stateDigest) return 'Current';
  if (present.isBehind === true && held.epoch > 0) return 'HubBehind';
  if (held.full === true) return 'Full';
  if (held.refusal?.epoch === present.epoch) return 'Refused';
  const hasBasis = held.epoch > 0 && held.stateDigest !== '' && held.epoch < present.epoch;
  return hasBasis ? 'Difference' : 'Full';
}

function byIdAndUid(a: { id: string; uid: string }, b: { id: string; uid: string }): number {
  if (a.id !== b.id) return a.id < b.id ? -1 : 1;
  return a.uid < b.uid ? -1 : a.uid > b.uid ? 1 : 0;
}
