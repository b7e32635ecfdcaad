import type { SitedSecret } from '../kinds/override-schemas.ts';
import { type LabelRequirement, matchesRequirements, requirementsOf } from '../label-selector.ts';
import { manifestKey } from '../manifests.ts';
import type { KubeObject } from '../object-meta.ts';
import { type DeliveryRules, type ReleaseVariant, splitReleaseContent } from '../rules/delivery-rules.ts';
import type { SecretValue } from '../sync/sync-protocol.ts';
import { findReferences, type ReferenceContext, resolveReferences } from '../variables.ts';
import { applyOverride, type OverrideTrace, type Stage } from './apply-override.ts';
import { declaredValues, type SiteValues } from './declared-variables.ts';

/** What a release is resolved for: one site. */
export interface SiteFacts extends SiteValues {
  /** By name at the hub. Absent: they are left out of the manifests, and none is missing (plan, render). */
  readonly secrets?: ReadonlyMap<string, SecretValue>;
}

export interface ReleaseIdentity {
  readonly release: string;
  readonly application: string;
  readonly namespace: string;
}

/** Why a site cannot have a release; each list sorted, empty where nothing is wrong. */
export interface ResolveFaults {
  /** Values that it has not: `site.variables.city`, `site.labels.region`, `variables.city`. */
  readonly missingVariables: readonly string[];
  /** Secrets that have not arrived. */
  readonly missingSecrets: readonly string[];
  /** What the overrides that select it cannot do, with the path of the override: `overrides[de].patches[0]: …`. */
  readonly overrides: readonly string[];
  /** Overrides with Helm values that meet at it and at no site for which the chart was rendered. */
  readonly notRendered: readonly string[];
}

export type ResolvedRelease =
  | {
      readonly manifests: readonly KubeObject[];
      readonly rules: DeliveryRules;
      readonly trace: readonly OverrideTrace[];
      readonly faults?: undefined;
    }
  | { readonly faults: ResolveFaults; readonly rules: DeliveryRules };

/** The overrides that select a site, by their places in the list, and what they make of the manifests; values of the site are not in it yet. */
export interface Combination extends Stage {
  readonly overrides: readonly number[];
  /** Names of those with Helm values, when the chart was not rendered with them together. */
  readonly notRendered: readonly string[];
  /** What the manifests then ask a site for, sorted: `site.variables.city`, `variables.till`. */
  readonly references: readonly string[];
}

/** Sites differ less than they are many: what this many combinations make is kept at hand. */
const maxStages = 500;

/**
 * What sites make of a release's content. Pure, as far as can be seen: it remembers what combinations of overrides have made, so that a thousand
 * sites cost little more than the combinations that meet there. Manifests that nothing changes are the objects of the content.
 */
export class ReleaseResolver {
  readonly rules: DeliveryRules;
  readonly #identity: ReleaseIdentity;
  readonly #manifests: readonly KubeObject[];
  readonly #selectors: readonly (readonly LabelRequirement[])[];
  readonly #stages = new Map<string, Stage>();
  readonly #combinations = new Map<string, Combination>();
  readonly #references = new WeakMap<KubeObject, readonly string[]>();

  constructor(content: readonly KubeObject[], identity: ReleaseIdentity) {
    const { manifests, rules } = splitReleaseContent(content);
    this.rules = rules;
    this.#identity = identity;
    this.#manifests = manifests;
    this.#selectors = (rules.overrides ?? []).map(({ siteSelector }) => requirementsOf(siteSelector));
  }

  /** What a site applies: the variant of its Helm values, the overrides that select it in their order, variables, its Secrets. */
  resolve(site: SiteFacts): ResolvedRelease {
    const { rules } = this;
    const combination = this.combinationFor(site.labels);
    const faults = {
      missingVariables: this.missingAt(site, combination),
      missingSecrets: missingSecrets(rules.secrets ?? [], site.secrets),
      overrides: combination.faults,
      notRendered: combination.notRendered,
    };
    if (Object.values(faults).some((list) => list.length > 0)) return { rules, faults };
    const values = this.valuesAt(site);
    const manifests = combination.manifests.map((manifest) =>
      this.#referencesIn(manifest) === undefined ? manifest : resolveReferences(manifest, values).value,
    );
    return {
      rules,
      manifests: [
        ...manifests,
        ...secretManifests(rules.secrets ?? [], site.secrets, this.#identity.namespace),
      ],
      trace: combination.trace,
    };
  }

  /** What references stand for at a site. */
  valuesAt(site: SiteValues): ReferenceContext {
    const { release, application, namespace } = this.#identity;
    return {
      siteName: site.name,
      siteVariables: site.variables,
      siteLabels: site.labels,
      variables: declaredValues(this.rules.variables ?? [], site),
      releaseName: release,
      applicationName: application,
      applicationNamespace: namespace,
    };
  }

  /** Places of the overrides that select a site with these labels, in their order. */
  selectedBy(labels: SiteValues['labels']): number[] {
    return this.#selectors.flatMap((requirements, index) =>
      matchesRequirements(labels, requirements) ? [index] : [],
    );
  }

  combinationFor(labels: SiteValues['labels']): Combination {
    return this.combination(this.selectedBy(labels));
  }

  /** What these overrides make together, whether or not they meet at a site. */
  combination(overrides: readonly number[]): Combination {
    return remembered(this.#combinations, overrides.join(), () => {
      const named = overrides.flatMap((index) => this.rules.overrides?.[index] ?? []);
      const helm = named.filter((override) => override.helm === true).map(({ name }) => name);
      const variant = helm.length === 0 ? undefined : this.#variantOf(helm);
      if (helm.length > 0 && variant === undefined) {
        return { overrides, manifests: [], trace: [], faults: [], notRendered: helm, references: [] };
      }
      const stage = this.#stageAfter(overrides, variant);
      const references = new Set(stage.manifests.flatMap((manifest) => this.#referencesIn(manifest) ?? []));
      references.delete('');
      return { overrides, ...stage, notRendered: [], references: [...references].sort() };
    });
  }

  /** Values that the release asks for and the site has not, sorted. A variable that is declared without a default is asked for, used or not. */
  missingAt(site: SiteValues, { references }: Pick<Combination, 'references'>): string[] {
    return missingValues({ references, declared: this.rules.variables ?? [] }, site);
  }

  #variantOf(helm: readonly string[]): ReleaseVariant | undefined {
    const key = helm.join();
    return this.rules.variants?.find(({ overrides }) => overrides.join() === key);
  }

  /** Combinations that begin alike share their beginning. */
  #stageAfter(overrides: readonly number[], variant: ReleaseVariant | undefined): Stage {
    const key = `${variant?.overrides.join() ?? ''}/${overrides.join()}`;
    return remembered(this.#stages, key, () => {
      const last = overrides.at(-1);
      const { namespace } = this.#identity;
      if (last === undefined) {
        const manifests = variant ? withVariant(this.#manifests, variant, namespace) : this.#manifests;
        return { manifests, trace: [], faults: [] };
      }
      const before = this.#stageAfter(overrides.slice(0, -1), variant);
      const override = this.rules.overrides?.[last];
      return override ? applyOverride(before, override, namespace) : before;
    });
  }

  /** Names of the values that stand in it; '' for what is known without the site saying so. `undefined`: it is the same at every site. */
  #referencesIn(manifest: KubeObject): readonly string[] | undefined {
    let found = this.#references.get(manifest);
    if (found === undefined) {
      found = namesIn(manifest);
      this.#references.set(manifest, found);
    }
    return found.length === 0 ? undefined : found;
  }
}

/** What of these values a site has not, sorted. */
export function missingValues(
  asked: {
    readonly references: readonly string[];
    readonly declared: NonNullable<DeliveryRules['variables']>;
  },
  site: SiteValues,
): string[] {
  const declared = declaredValues(asked.declared, site);
  const isThere = (reference: string): boolean => {
    const [places, name] = placeOf(reference, { ...site, declared });
    return Object.hasOwn(places, name);
  };
  const wanted = new Set([...asked.references, ...asked.declared.map(({ name }) => `variables.${name}`)]);
  return [...wanted].filter((reference) => !isThere(reference)).sort();
}

function placeOf(
  reference: string,
  site: Pick<SiteValues, 'labels' | 'variables'> & { readonly declared: object },
): [object, string] {
  for (const [prefix, places] of [
    ['site.variables.', site.variables],
    ['site.labels.', site.labels],
  ] as const) {
    if (reference.startsWith(prefix)) return [places, reference.slice(prefix.length)];
  }
  return [site.declared, reference.slice('variables.'.length)];
}

/** An escaped reference is none, yet the text changes: it counts as ''. */
function namesIn(manifest: KubeObject): string[] {
  const names = findReferences(manifest).map(({ kind, text }) =>
    kind === 'fact' || kind === 'unknown' ? '' : text.slice(2, -1),
  );
  if (names.length === 0 && JSON.stringify(manifest).includes('$${')) return [''];
  return [...new Set(names)];
}

function withVariant(
  manifests: readonly KubeObject[],
  { set, removed }: ReleaseVariant,
  namespace: string,
): KubeObject[] {
  const keyOf = (manifest: KubeObject) => manifestKey(manifest, namespace);
  const others = new Map(set.map((manifest) => [keyOf(manifest), manifest]));
  const gone = new Set(removed);
  const present = manifests.map((manifest) => [keyOf(manifest), manifest] as const);
  const known = new Set(present.map(([key]) => key));
  const kept = present
    .filter(([key]) => !gone.has(key))
    .map(([key, manifest]) => others.get(key) ?? manifest);
  return [...kept, ...set.filter((manifest) => !known.has(keyOf(manifest)))];
}

function missingSecrets(named: readonly SitedSecret[], values: SiteFacts['secrets']): string[] {
  if (values === undefined) return [];
  return named
    .map(({ name }) => name)
    .filter((name) => !values.has(name))
    .sort();
}

function secretManifests(
  named: readonly SitedSecret[],
  values: SiteFacts['secrets'],
  namespace: string,
): KubeObject[] {
  return named.flatMap(({ name, as }) => {
    const value = values?.get(name);
    if (value === undefined) return [];
    const metadata = { name: as ?? name, namespace };
    return [{ apiVersion: 'v1', kind: 'Secret', metadata, type: value.type, data: value.data }];
  });
}

function remembered<T>(known: Map<string, T>, key: string, make: () => T): T {
  const present = known.get(key);
  if (present !== undefined) return present;
  const made = make();
  known.set(key, made);
  const [oldest] = known.keys();
  if (known.size > maxStages && oldest !== undefined) known.delete(oldest);
  return made;
}
