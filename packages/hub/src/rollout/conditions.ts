import type { Condition } from '@selvedge/api';

/** The conditions with one set: its transition time changes only with its status, and nothing when nothing differs. */
export function withCondition(
  conditions: readonly Condition[],
  condition: Omit<Condition, 'lastTransitionTime'>,
  now: string,
): Condition[] {
  const present = conditions.find((c) => c.type === condition.type);
  const lastTransitionTime = present?.status === condition.status ? present.lastTransitionTime : now;
  const next: Condition = { ...condition, lastTransitionTime };
  if (!present) return [...conditions, next];
  return conditions.map((c) => (c.type === condition.type ? next : c));
}
