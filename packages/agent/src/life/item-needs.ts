import type { DesiredState } from '@selvedge/api';
import type { ItemNeeds } from '../depot/depot-needs.ts';
import type { HeldState } from '../state/held-state.ts';
import type { ItemLife } from './item-life.ts';
import { findBindingVerdict } from './item-memory.ts';

/** What an item needs of the site's depot: what runs, what comes next, what it goes back to. */
export function needsOf(
  life: ItemLife,
  { held, variables }: { held: HeldState; variables: DesiredState['variables'] },
): ItemNeeds {
  const { id, uid, memory } = life;
  const target = held.findDesired({ id, uid });
  const fallback = target?.terms.fallback;
  const isForbidden = target !== undefined && findBindingVerdict(memory, target) !== undefined;
  const known = [memory.active, ...memory.goods, memory.active === undefined ? fallback : undefined];
  return {
    id,
    uid,
    releases: known.flatMap((one) =>
      one === undefined ? [] : [{ release: one.release, digest: one.digest }],
    ),
    next: isForbidden ? undefined : target && { release: target.release, digest: target.digest },
    isSettled: isSettled(life),
    variables: memory.variables ?? variables,
    labels: memory.labels ?? held.policy.labels ?? {},
  };
}

/** The driver runs what is active, with the values of now. */
function isSettled({ memory: { active }, driver: { given, said }, renewal }: ItemLife): boolean {
  if (active === undefined) return true;
  const isRunning = said?.digest === active.digest && said.state === 'Running';
  return isRunning && given?.digest === active.digest && renewal === undefined;
}
