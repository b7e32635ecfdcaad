import type { ReleaseNeeds, SiteFacts } from './rollout-input.ts';

/** What a Site would have to say of itself before it can be given a release; `undefined`: nothing is missing. */
export function siteLack(
  site: Pick<SiteFacts, 'variables' | 'nodeGroups'>,
  needs: ReleaseNeeds,
): { readonly reason: 'VariableUndefined' | 'NoNodeGroup'; readonly message: string } | undefined {
  const missing = needs.variables.filter((name) => !site.variables.has(name));
  if (missing.length > 0) {
    return {
      reason: 'VariableUndefined',
      message: `the Site's spec.variables do not define ${missing.join(', ')}`,
    };
  }
  if (!lacksNodeGroups(site, needs)) return undefined;
  const has = [...site.nodeGroups].sort();
  return {
    reason: 'NoNodeGroup',
    message: `the Site's spec.nodeGroups have none of ${needs.nodeGroups.join(', ')}: ${
      has.length === 0 ? 'there are none' : `there is ${has.join(', ')}`
    }`,
  };
}

/** One of the groups that are named is enough. */
export function lacksNodeGroups(
  site: Pick<SiteFacts, 'nodeGroups'>,
  { nodeGroups }: Pick<ReleaseNeeds, 'nodeGroups'>,
): boolean {
  return nodeGroups.length > 0 && !nodeGroups.some((name) => site.nodeGroups.has(name));
}
