import {
  type DeliveryRules,
  type DesiredItem,
  type KubeObject,
  type ResolveFaults,
  resolveRelease,
  type SecretValue,
} from '@selvedge/api';
import type { Refusal } from './item-state.ts';

/** A release at one site, as far as its manifests go by it. */
export interface ReleaseAtSite {
  readonly item: DesiredItem;
  readonly siteName: string;
  readonly variables: Readonly<Record<string, string | number | boolean>>;
  /** Absent: the site has none. */
  readonly labels?: Readonly<Record<string, string>>;
  /** By name at the hub. Absent: the release names none. */
  readonly secrets?: ReadonlyMap<string, SecretValue>;
}

export type ResolvedOrRefusal =
  | { readonly manifests: readonly KubeObject[]; readonly rules: DeliveryRules; readonly refusal?: undefined }
  | { readonly refusal: Refusal };

/** What the site applies of a release's content, before a runtime has looked at it. Pure. */
export function resolveForSite(
  content: readonly KubeObject[],
  { item, siteName, variables, labels = {}, secrets = new Map() }: ReleaseAtSite,
): ResolvedOrRefusal {
  const { namespace, name } = applicationOf(item.id);
  const resolved = resolveRelease(
    content,
    { name: siteName, labels, variables, secrets },
    { release: item.release, application: name, namespace },
  );
  if (resolved.faults) return { refusal: refusalOf(resolved.faults, siteName) };
  return { manifests: resolved.manifests, rules: resolved.rules };
}

/** `Application/<namespace>/<name>`. */
export function applicationOf(id: string): { namespace: string; name: string } {
  const [, namespace = '', name = ''] = id.split('/');
  return { namespace, name };
}

function refusalOf(faults: ResolveFaults, siteName: string): Refusal {
  const { missingVariables, missingSecrets, overrides, notRendered } = faults;
  if (overrides.length > 0) return { reason: 'OverrideInvalid', message: overrides.join('; ') };
  if (notRendered.length > 0) {
    return {
      reason: 'NotRendered',
      message: `the chart was not rendered for the Helm values of ${notRendered.join(' and ')} together: the hub makes another release, which has them`,
    };
  }
  if (missingVariables.length === 0) {
    // The agent gives no release whose Secrets are missing; what it gives to a driver all the same is not half-applied.
    return { reason: 'SecretMissing', message: `Secret ${missingSecrets.join(', ')} is not at this site` };
  }
  return {
    reason: 'VariableUndefined',
    message: `site ${siteName} has no ${missingVariables.join(', ')}; set it in the Site's spec.variables or labels, or give it a default`,
  };
}
