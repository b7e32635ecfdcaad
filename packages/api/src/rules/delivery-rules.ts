import type { ApplicationSpec } from '../kinds/application.ts';
import type { ApplyRules } from '../kinds/apply-rules.ts';
import type { KubeObject } from '../object-meta.ts';

/**
 * What a release carries beside its manifests: how they are brought to a site, where in it they run, and when they are healthy.
 * It is part of the release, so it goes out in waves as every other change does, and a gate judges by the rules of its own release.
 */
export interface DeliveryRules {
  readonly apply?: ApplyRules;
  /** `Application.spec.placement.nodeGroups`. */
  readonly nodeGroups?: readonly string[];
}

/** Rules of an Application. What only repeats the defaults is left out: saying it makes no other release. */
export function deliveryRules({
  apply = {},
  placement,
}: Pick<ApplicationSpec, 'apply' | 'placement'>): DeliveryRules {
  const { drift = 'Correct', onImmutableChange = 'Refuse', ignoreDifferences = [], health = [] } = apply;
  const rules: ApplyRules = {
    ...(drift === 'Correct' ? {} : { drift }),
    ...(ignoreDifferences.length === 0 ? {} : { ignoreDifferences }),
    ...(onImmutableChange === 'Refuse' ? {} : { onImmutableChange }),
    ...(health.length === 0 ? {} : { health }),
  };
  const nodeGroups = (placement.nodeGroups ?? []).toSorted();
  return {
    ...(Object.keys(rules).length === 0 ? {} : { apply: rules }),
    ...(nodeGroups.length === 0 ? {} : { nodeGroups }),
  };
}

/** The last object of a release's content, where there are rules. Not a manifest: never applied, never shown as a resource. */
interface DeliveryRulesObject extends KubeObject {
  apiVersion: 'selvedge.dev/v1alpha1';
  kind: 'DeliveryRules';
  spec: DeliveryRules;
}

/** A release's content as it is stored and signed for: the manifests, then the rules if they say anything. */
export function releaseContent(
  manifests: readonly KubeObject[],
  rules: DeliveryRules,
  applicationName: string,
): KubeObject[] {
  if (rules.apply === undefined && rules.nodeGroups === undefined) return [...manifests];
  const object: DeliveryRulesObject = {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'DeliveryRules',
    metadata: { name: applicationName },
    spec: rules,
  };
  return [...manifests, object];
}

/** The inverse of `releaseContent`. */
export function splitReleaseContent(content: readonly KubeObject[]): {
  manifests: readonly KubeObject[];
  rules: DeliveryRules;
} {
  const isRules = (object: KubeObject): object is DeliveryRulesObject => isDeliveryRules(object);
  const rules = content.find(isRules)?.spec ?? {};
  return { manifests: content.filter((object) => !isRules(object)), rules };
}

/** Whether this is no manifest, but what `releaseContent` adds; users cannot give one. */
export function isDeliveryRules(object: { readonly apiVersion?: unknown; readonly kind?: unknown }): boolean {
  return object.apiVersion === 'selvedge.dev/v1alpha1' && object.kind === 'DeliveryRules';
}
