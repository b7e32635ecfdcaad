import { isJob } from '../observation-view.ts';
import { type PlannedObject, refKey } from '../release/planned-object.ts';
import { missingRefs, unitedRefs } from '../release/release-difference.ts';
import type { ItemRecord } from './item-record.ts';

/** Adds what is not there any more of a release that was whole: finished Jobs, and drift. */
export function completeRecord(record: ItemRecord, objects: readonly PlannedObject[]): void {
  const refs = objects.map(({ ref }) => ref);
  record.finished = missingRefs(refs, record.members).filter(isJob).map(refKey);
  record.members = unitedRefs(record.members, refs);
}

/** Until the active release was healthy once, what was healthy before it still runs, as far as can be told. */
export function runningDigest(
  { active, hasSucceeded, previousDigest }: ItemRecord,
  pods: { readonly wanted: number; readonly ready: number } | undefined,
): string | undefined {
  if (active === undefined || (!hasSucceeded && previousDigest !== undefined)) return previousDigest;
  const isRunning = pods === undefined ? hasSucceeded : pods.ready > 0 || (pods.wanted === 0 && hasSucceeded);
  return isRunning ? active.item.digest : undefined;
}
