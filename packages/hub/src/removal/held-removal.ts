import type { Clock, Condition, HeldRemoval, KubeObject } from '@selvedge/api';
import { withCondition } from '../rollout/conditions.ts';

/** The condition that says whether a removal waits for a person. */
export const removalHeld = 'RemovalHeld';

/** Names that a held removal is shown with; who needs them all asks for the deliveries. */
const shownNames = 100;

interface Guarded {
  readonly heldRemoval?: HeldRemoval;
  readonly conditions?: Condition[];
}

/** When it is said, and of which generation of the object: a deletion makes a new one, and `kubectl wait` compares. */
export interface Moment {
  readonly now: string;
  readonly generation: number;
}

/** The moment of speaking about `object`. */
export function momentOf({ metadata }: KubeObject, clock: Clock): Moment {
  return { now: clock.now().toISOString(), generation: metadata.generation ?? 0 };
}

/** The status with a held removal, and the condition that speaks of it. */
export function withHeldRemoval<T extends Guarded>(
  status: T | undefined,
  held: Omit<HeldRemoval, 'names'> & { readonly names: readonly string[] },
  { now, generation }: Moment,
): T & Guarded {
  const { reason, message } = held;
  const finding = {
    type: removalHeld,
    status: 'True',
    reason,
    message,
    observedGeneration: generation,
  } as const;
  const conditions = withCondition(status?.conditions ?? [], finding, now);
  const names = [...held.names].sort().slice(0, shownNames);
  return { ...(status ?? ({} as T)), heldRemoval: { ...held, names }, conditions };
}

/** The status once nothing is held any more; the condition stays to say so. */
export function withoutHeldRemoval<T extends Guarded>(
  status: T,
  because: { readonly reason: 'Approved' | 'WithinLimits' | 'NothingToRemove'; readonly message: string },
  { now, generation }: Moment,
): T {
  const { heldRemoval: _, ...rest } = status;
  if (status.conditions?.some(({ type }) => type === removalHeld) !== true) return rest as T;
  const finding = { type: removalHeld, status: 'False', ...because, observedGeneration: generation } as const;
  return { ...rest, conditions: withCondition(status.conditions, finding, now) } as T;
}
