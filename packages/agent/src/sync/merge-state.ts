import type { DesiredItem, DesiredState, SignedStateHeader, SyncResponse, Tombstone } from '@selvedge/api';

export type OfferedState = NonNullable<SyncResponse['state']>;

/**
 * The state that the hub means: what it sent when that is all, else what it sent laid over what the agent holds. Pure. The result
 * is only true when its digest is the signed one: what was lost or altered on the way shows there.
 *
 * An item takes the place of a tombstone of the same id and uid, and the other way round; nothing else leaves.
 */
export function mergeState(
  held: DesiredState | undefined,
  offered: OfferedState,
  header: SignedStateHeader,
): DesiredState {
  const base = offered.full ? undefined : held;
  const items = new Map<string, DesiredItem>();
  const tombstones = new Map<string, Tombstone>();
  for (const item of base?.items ?? []) items.set(keyOf(item), item);
  for (const tombstone of base?.tombstones ?? []) tombstones.set(keyOf(tombstone), tombstone);
  for (const tombstone of offered.tombstones) {
    items.delete(keyOf(tombstone));
    tombstones.set(keyOf(tombstone), tombstone);
  }
  for (const item of offered.items) {
    tombstones.delete(keyOf(item));
    items.set(keyOf(item), item);
  }
  return {
    hubId: header.hubId,
    site: header.site,
    siteUid: header.siteUid,
    epoch: header.epoch,
    variables: offered.variables,
    policy: offered.policy,
    items: [...items.values()].sort(byKey),
    tombstones: [...tombstones.values()].sort(byKey),
  };
}

/** Names an item for good: one deleted and made again has another uid. */
export function keyOf(item: { id: string; uid: string }): string {
  return `${item.id} ${item.uid}`;
}

function byKey(a: { id: string; uid: string }, b: { id: string; uid: string }): number {
  if (a.id !== b.id) return a.id < b.id ? -1 : 1;
  return a.uid < b.uid ? -1 : a.uid > b.uid ? 1 : 0;
}
