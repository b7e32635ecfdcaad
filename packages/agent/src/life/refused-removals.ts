import type { DesiredItem, SiteReport, Tombstone } from '@selvedge/api';
import type { ItemName } from './memory-store.ts';

export type RefusedRemoval = NonNullable<SiteReport['refusedRemovals']>[number];

const longestList = 100;

/** What a refused state would have taken away from this site, had it been obeyed. Pure. */
export function findRefusedRemovals(
  here: readonly ItemName[],
  offered: {
    readonly full: boolean;
    readonly items: readonly DesiredItem[];
    readonly tombstones: readonly Tombstone[];
  },
  refusal: { readonly reason: string; readonly message: string },
): RefusedRemoval[] {
  const isSame = (a: ItemName) => (b: ItemName) => a.id === b.id && a.uid === b.uid;
  const reason = refusal.reason === 'OlderEpoch' ? 'Stale' : 'Unsigned';
  return here
    .filter((item) => {
      if (offered.tombstones.some(isSame(item))) return true;
      return offered.full && !offered.items.some(isSame(item));
    })
    .slice(0, longestList)
    .map(({ id }) => ({
      id,
      reason,
      message: `not removed: the state that asks for it is refused (${refusal.message})`,
    }));
}

/** An item that the desired state no longer names, though no order to remove it came. */
export function implicitRemoval({ id }: ItemName): RefusedRemoval {
  return {
    id,
    reason: 'Implicit',
    message: 'not removed: the desired state no longer names it, but no signed order to remove it came',
  };
}
