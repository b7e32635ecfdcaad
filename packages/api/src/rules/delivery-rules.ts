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
  const isRules = (object: KubeObject): object is DeliveryRulesObject =>
    object.apiVersion === 'selvedge.dev/v1alpha1' && object.kind === 'DeliveryRules';
  const rules = content.find(isRules)?.spec ?? {};
  return { manifests: content.filter((object) => !isRules(object)), rules };
}
