import { canonicalJson, type DesiredState } from '@selvedge/api';
import type { HeldState } from '../state/held-state.ts';
import type { ItemMemory } from './item-memory.ts';

/** Values of the site that are others in the next state, as they are now; `undefined`: there are none. */
export function valuesThatChange(
  { variables, policy }: Pick<HeldState, 'variables' | 'policy'>,
  next: DesiredState,
): Pick<ItemMemory, 'variables' | 'nodeGroups'> | undefined {
  if (variables === undefined) return undefined;
  const nodeGroups = policy.nodeGroups ?? [];
  const isSame = (a: unknown, b: unknown) => canonicalJson(a) === canonicalJson(b);
  const values = {
    ...(isSame(variables, next.variables) ? {} : { variables }),
    ...(isSame(nodeGroups, next.policy.nodeGroups ?? []) ? {} : { nodeGroups }),
  };
  return Object.keys(values).length === 0 ? undefined : values;
}
