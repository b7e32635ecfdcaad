import { type ObjectRef, refKey } from './planned-object.ts';

/** What `before` has and `after` has not, in the order of `before`. */
export function missingRefs(before: readonly ObjectRef[], after: readonly ObjectRef[]): ObjectRef[] {
  const kept = new Set(after.map(refKey));
  return before.filter((ref) => !kept.has(refKey(ref)));
}

/** All of both, each once, those of `after` as they are written there. */
export function unitedRefs(before: readonly ObjectRef[], after: readonly ObjectRef[]): ObjectRef[] {
  return [...missingRefs(before, after), ...after];
}
