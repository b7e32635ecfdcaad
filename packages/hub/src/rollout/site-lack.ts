import type { DeliveryRules } from '@selvedge/api';
import type { ReleaseNeeds, SiteFacts, SiteLack } from './rollout-input.ts';

/** What a Site would have to say of itself before it can be given a release; `undefined`: nothing is missing. */
export function siteLack(
  site: Pick<SiteFacts, 'variables' | 'nodeGroups' | 'lack'>,
  needs: ReleaseNeeds,
): SiteLack | undefined {
  if (site.lack !== undefined) return site.lack;
  const missing = needs.variables.filter((name) => !site.variables.has(name));
  if (missing.length > 0) return { reason: 'VariableUndefined', message: undefinedVariables(missing) };
  if (!lacksNodeGroups(site, needs)) return undefined;
  const has = [...site.nodeGroups].sort();
  return {
    reason: 'NoNodeGroup',
    message: `the Site's spec.nodeGroups have none of ${needs.nodeGroups.join(', ')}: ${
      has.length === 0 ? 'there are none' : `there is ${has.join(', ')}`
    }`,
  };
}

/** The same for what the overrides that select the site make of the release. */
export function lackOfCombination(
  found: {
    readonly faults: readonly string[];
    readonly notRendered: readonly string[];
    /** `site.variables.city`, `site.labels.region`, `variables.till` */
    readonly missing: readonly string[];
  },
  declared: NonNullable<DeliveryRules['variables']>,
): SiteLack | undefined {
  const { faults, notRendered, missing } = found;
  if (faults.length > 0) {
    const message = faults.map((fault) => `spec.${fault}`).join('; ');
    return {
      reason: 'OverrideInvalid',
      message: `its labels select overrides that do not go together: ${message}`,
    };
  }
  if (notRendered.length > 0) {
    const message = `the chart is not rendered for the Helm values of ${notRendered.join(' and ')} together: the hub makes a release that is`;
    return { reason: 'NotRendered', message };
  }
  if (missing.length === 0) return undefined;
  return { reason: 'VariableUndefined', message: missingText(missing, declared) };
}

function undefinedVariables(names: readonly string[]): string {
  return `the Site's spec.variables do not define ${names.join(', ')}`;
}

function missingText(missing: readonly string[], declared: NonNullable<DeliveryRules['variables']>): string {
  const named = (prefix: string) =>
    missing.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
  const [variables, labels] = [named('site.variables.'), named('site.labels.')];
  return [
    ...(variables.length === 0 ? [] : [undefinedVariables(variables)]),
    ...(labels.length === 0 ? [] : [`the Site has no label ${labels.join(', ')}`]),
    ...named('variables.').map(
      (name) => `\${variables.${name}} has no value there: ${placesOf(name, declared)}`,
    ),
  ].join('; ');
}

/** Where a value was looked for. */
function placesOf(name: string, declared: NonNullable<DeliveryRules['variables']>): string {
  const from = declared.find((variable) => variable.name === name)?.from ?? [{ siteVariable: name }];
  const places = from.map((place) => {
    if ('siteVariable' in place) return `spec.variables.${place.siteVariable} of the Site`;
    if ('siteLabel' in place) return `its label ${place.siteLabel}`;
    return 'the ConfigMap';
  });
  return places.length === 0
    ? 'no ConfigMap has it, and it has no default'
    : `not in ${places.join(', ')}, and it has no default`;
}

/** One of the groups that are named is enough. */
export function lacksNodeGroups(
  site: Pick<SiteFacts, 'nodeGroups'>,
  { nodeGroups }: Pick<ReleaseNeeds, 'nodeGroups'>,
): boolean {
  return nodeGroups.length > 0 && !nodeGroups.some((name) => site.nodeGroups.has(name));
}
