import type { ApplicationSpec } from '../kinds/application.ts';
import type { ApplyRules } from '../kinds/apply-rules.ts';
import type { Override, SitedSecret, Variable } from '../kinds/override-schemas.ts';
import type { KubeObject } from '../object-meta.ts';
import type { VariableValue } from '../variables.ts';

/**
 * What a release carries beside its manifests: how they are brought to a site, where in it they run, and when they are healthy.
 * It is part of the release, so it goes out in waves as every other change does, and a gate judges by the rules of its own release.
 */
export interface DeliveryRules {
  readonly apply?: ApplyRules;
  /** `Application.spec.placement.nodeGroups`. */
  readonly nodeGroups?: readonly string[];
  /** `Application.spec.overrides`, those that can change something at a site; carried out there, by `resolveRelease`. */
  readonly overrides?: readonly ReleaseOverride[];
  /** `Application.spec.variables`; what stands in ConfigMaps of the hub is in it as it was when the release was made. */
  readonly variables?: readonly ReleaseVariable[];
  /** `Application.spec.secrets`: the site has their values by itself (`SitePolicy.sealed`). */
  readonly secrets?: readonly SitedSecret[];
  /**
   * Of a chart: how the manifests differ for a site that all these overrides with Helm values select, and no other one.
   */
  readonly variants?: readonly ReleaseVariant[];
}

/** An override without its Helm values: they are in the variants; `helm` says that it had some. */
export type ReleaseOverride = Omit<Override, 'helmValues' | 'images'> & {
  readonly images?: readonly ReleaseImageChange[];
  readonly helm?: true;
};

export type ReleaseImageChange = NonNullable<Override['images']>[number] & {
  /**
   * Of a change that gives only another name: the digests that the tags have there ('' where there is none). A tag that is not in it goes
   * without digest: the one that it has under the old name says nothing about the new one. Absent: the digest stays.
   */
  readonly tagDigests?: Readonly<Record<string, string>>;
};

/** A `configMapKeyRef` has become what it stood for: one value, or one for each site named. */
export interface ReleaseVariable {
  readonly name: string;
  readonly from?: readonly (
    | { readonly siteVariable: string }
    | { readonly siteLabel: string }
    | { readonly value: VariableValue }
    | { readonly bySite: Readonly<Record<string, VariableValue>> }
  )[];
  readonly default?: VariableValue;
}

export interface ReleaseVariant {
  /** Names of overrides, in their order. */
  readonly overrides: readonly string[];
  /** Manifests that are other ones or more; each takes the place of the one of its group, kind, namespace and name. */
  readonly set: readonly KubeObject[];
  /** Those that are not there: `Kind[.group]/namespace/name`, as `manifestKey` makes it. */
  readonly removed: readonly string[];
}

/** What of the rules does not stand in the spec as it is. */
export interface MadeRules {
  /** `spec.variables` with the values of their ConfigMaps. Absent: none has any. */
  readonly variables?: readonly ReleaseVariable[];
  /** `spec.overrides` with other images. Absent: as in the spec. */
  readonly overrides?: readonly ReleaseOverride[];
  readonly variants?: readonly ReleaseVariant[];
}

/** Rules of an Application. What only repeats the defaults is left out: saying it makes no other release. */
export function deliveryRules(spec: RulesSpec, made: MadeRules = {}): DeliveryRules {
  const { apply = {}, placement, secrets = [] } = spec;
  const { drift = 'Correct', onImmutableChange = 'Refuse', ignoreDifferences = [], health = [] } = apply;
  const rules: ApplyRules = {
    ...(drift === 'Correct' ? {} : { drift }),
    ...(ignoreDifferences.length === 0 ? {} : { ignoreDifferences }),
    ...(onImmutableChange === 'Refuse' ? {} : { onImmutableChange }),
    ...(health.length === 0 ? {} : { health }),
  };
  const nodeGroups = (placement.nodeGroups ?? []).toSorted();
  const overrides = made.overrides ?? releaseOverrides(spec.overrides);
  const variables = made.variables ?? releaseVariables(spec.variables, () => undefined);
  const variants = made.variants ?? [];
  return {
    ...(Object.keys(rules).length === 0 ? {} : { apply: rules }),
    ...(nodeGroups.length === 0 ? {} : { nodeGroups }),
    ...(overrides.length === 0 ? {} : { overrides }),
    ...(variables.length === 0 ? {} : { variables }),
    ...(secrets.length === 0 ? {} : { secrets: secrets.map(({ name, as }) => sitedSecret(name, as)) }),
    ...(variants.length === 0 ? {} : { variants }),
  };
}

type RulesSpec = Pick<ApplicationSpec, 'apply' | 'placement' | 'overrides' | 'variables' | 'secrets'>;

function sitedSecret(name: string, as: string | undefined): SitedSecret {
  return as === undefined || as === name ? { name } : { name, as };
}

/** Overrides as a release carries them: those that change something, without their Helm values. */
export function releaseOverrides(overrides: readonly Override[] = []): ReleaseOverride[] {
  return overrides.flatMap(({ helmValues, patches = [], images = [], replicas = [], ...rest }) => {
    const isEmpty = patches.length + images.length + replicas.length === 0 && helmValues === undefined;
    if (isEmpty) return [];
    return [
      {
        ...rest,
        ...(patches.length === 0 ? {} : { patches }),
        ...(images.length === 0 ? {} : { images }),
        ...(replicas.length === 0 ? {} : { replicas }),
        ...(helmValues === undefined ? {} : { helm: true as const }),
      },
    ];
  });
}

/**
 * Variables as a release carries them.
 * @param findData data of a ConfigMap by its name; `undefined`: there is none
 */
export function releaseVariables(
  variables: readonly Variable[] = [],
  findData: (name: string) => Readonly<Record<string, string>> | undefined,
): ReleaseVariable[] {
  return variables.map(({ name, from, default: otherwise }) => ({
    name,
    ...(from === undefined ? {} : { from: from.flatMap((place) => releasePlace(place, findData)) }),
    ...(otherwise === undefined ? {} : { default: otherwise }),
  }));
}

type ReleasePlace = NonNullable<ReleaseVariable['from']>[number];
const siteNameReference = '${site.name}';

function releasePlace(
  { siteVariable, siteLabel, configMapKeyRef }: NonNullable<Variable['from']>[number],
  findData: (name: string) => Readonly<Record<string, string>> | undefined,
): ReleasePlace[] {
  if (siteVariable !== undefined) return [{ siteVariable }];
  if (siteLabel !== undefined) return [{ siteLabel }];
  if (configMapKeyRef === undefined) return [];
  const { name, key } = configMapKeyRef;
  const data = findData(name) ?? {};
  if (!key.includes(siteNameReference)) {
    const value = Object.hasOwn(data, key) ? data[key] : undefined;
    return value === undefined ? [] : [{ value }];
  }
  const [before = '', ...after] = key.split(siteNameReference);
  const end = after.join(siteNameReference);
  // Also of sites that are not there yet: another Site makes no other release.
  const bySite = Object.entries(data).flatMap(([found, value]) => {
    const site = found.slice(before.length, found.length - end.length);
    return site !== '' && key.replaceAll(siteNameReference, site) === found ? [[site, value] as const] : [];
  });
  return bySite.length === 0 ? [] : [{ bySite: Object.fromEntries(bySite) }];
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
  if (Object.values(rules).every((rule) => rule === undefined)) return [...manifests];
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
