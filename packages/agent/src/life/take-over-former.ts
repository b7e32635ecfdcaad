import type { ReleaseName } from '@selvedge/api';
import type { HeldState } from '../state/held-state.ts';
import type { UnnumberedReport } from '../state/report-book.ts';
import { emptyMemory, type ItemMemory } from './item-memory.ts';
import type { ItemName, MemoryStore } from './memory-store.ts';

/**
 * What an agent of an earlier version had given to its driver is what is active: containers are not touched. Done once;
 * the same in one transaction, so that nothing is lost between the two.
 */
export function takeOverFormer(options: {
  readonly held: HeldState;
  readonly store: MemoryStore;
  readonly transaction: <T>(work: () => T) => T;
  readonly findReport: (item: ItemName) => UnnumberedReport | undefined;
}): (ItemName & { readonly memory: ItemMemory })[] {
  const { held, store, transaction, findReport } = options;
  if (held.former.length === 0) return [];
  return transaction(() => {
    const taken = held.former.map((item) => {
      const { id, uid, release, digest, epoch, deadlineSeconds, terms } = item;
      const last = findReport(item);
      const isProven = last?.digest === digest && (last.state === 'Running' || last.state === 'Degraded');
      const good: ReleaseName = { release, digest };
      const memory: ItemMemory = {
        ...emptyMemory,
        active: { ...good, epoch, deadlineSeconds, attempt: terms.attempt, isProven },
        goods: isProven ? [good] : [],
      };
      store.put(item, memory);
      return { id, uid, memory };
    });
    held.forgetFormer();
    return taken;
  });
}
