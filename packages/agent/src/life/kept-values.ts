import { canonicalJson, type DesiredState } from '@selvedge/api';
import type { HeldState } from '../state/held-state.ts';
import type { ItemMemory } from './item-memory.ts';

/** Values of the site that are others in the next state, as they are now; `undefined`: there are none. */
export function valuesThatChange(
  { variables, policy }: Pick<HeldState, 'variables' | 'policy'>,
  next: DesiredState,
): Pick<ItemMemory, 'variables' | 'labels' | 'nodeGroups'> | undefined {
  if (variables === undefined) return undefined;
  const { labels = {}, nodeGroups = [] } = policy;
  const isSame = (a: unknown, b: unknown) => canonicalJson(a) === canonicalJson(b);
  const values = {
    ...(isSame(variables, next.variables) ? {} : { variables }),
    ...(isSame(labels, next.policy.labels ?? {}) ? {} : { labels }),
    ...(isSame(nodeGroups, next.policy.nodeGroups ?? []) ? {} : { nodeGroups }),
  };
  return Object.keys(values).length === 0 ? undefined : values;
}

type SiteValues = Required<Pick<ItemMemory, 'variables' | 'labels' | 'nodeGroups'>>;

/** Values of the site, as they are now. */
export function siteValuesOf(
  { policy }: Pick<HeldState, 'policy'>,
  variables: DesiredState['variables'],
): SiteValues {
  return { variables, labels: policy.labels ?? {}, nodeGroups: policy.nodeGroups ?? [] };
}

/** Those that an item keeps instead. */
export function heldValuesOf({ variables, labels, nodeGroups }: ItemMemory): Partial<SiteValues> {
  return {
    ...(variables === undefined ? {} : { variables }),
    ...(labels === undefined ? {} : { labels }),
    ...(nodeGroups === undefined ? {} : { nodeGroups }),
  };
}
