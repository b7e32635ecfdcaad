import {
  type Combination,
  type DeliveryRules,
  type KubeObject,
  missingValues,
  type Release,
  ReleaseResolver,
  releaseContent,
  type Site,
  splitReleaseContent,
} from '@selvedge/api';
import type { FleetStore } from '@selvedge/store';
import type { SiteLack } from '../../rollout/rollout-input.ts';
import { lackOfCombination } from '../../rollout/site-lack.ts';

type Needs = Pick<Combination, 'references' | 'faults' | 'notRendered'>;

/** Of one release, without its manifests. */
interface KnownNeeds {
  /** Says which overrides select a site, and nothing else. */
  readonly selection: ReleaseResolver;
  readonly declared: NonNullable<DeliveryRules['variables']>;
  readonly combinations: Map<string, Needs>;
}

/** Releases that are on their way at the same time. */
const maxKept = 200;

/** Whether what a site needs for the release depends on which overrides select it, or on values other than its variables. */
export function needsDiffer({ spec }: Pick<Release, 'spec'>): boolean {
  return (spec.overrides ?? []).length + (spec.values ?? []).length > 0;
}

/**
 * What sites lack for releases whose overrides and variables decide it site by site. The content is read when sites are met by overrides
 * in a combination that is new; what is kept of it is small.
 */
export class SiteLacks {
  readonly #fleet: Pick<FleetStore, 'findBlob'>;
  readonly #known = new Map<string, KnownNeeds>();

  constructor(fleet: Pick<FleetStore, 'findBlob'>) {
    this.#fleet = fleet;
  }

  /** By name, for those of the sites that lack something. Content that is gone says nothing: the sites refuse what they cannot have. */
  async find(release: Release, sites: readonly Site[]): Promise<ReadonlyMap<string, SiteLack>> {
    const lacks = new Map<string, SiteLack>();
    if (!needsDiffer(release) || sites.length === 0) return lacks;
    const known = await this.#knownFor(release, sites);
    if (known === undefined) return lacks;
    for (const site of sites) {
      const { name, labels = {} } = site.metadata;
      const needs = known.combinations.get(known.selection.selectedBy(labels).join());
      if (needs === undefined) continue;
      const facts = { name, labels, variables: site.spec?.variables ?? {} };
      const missing = missingValues({ references: needs.references, declared: known.declared }, facts);
      const lack = lackOfCombination({ ...needs, missing }, known.declared);
      if (lack !== undefined) lacks.set(name, lack);
    }
    return lacks;
  }

  async #knownFor(release: Release, sites: readonly Site[]): Promise<KnownNeeds | undefined> {
    const { digest, application } = release.spec;
    const present = this.#known.get(digest);
    const isComplete = (known: KnownNeeds) =>
      sites.every(({ metadata }) =>
        known.combinations.has(known.selection.selectedBy(metadata.labels ?? {}).join()),
      );
    if (present !== undefined && isComplete(present)) return present;
    const bytes = await this.#fleet.findBlob(digest);
    if (bytes === undefined) return present;
    const content = JSON.parse(new TextDecoder().decode(bytes)) as KubeObject[];
    const identity = {
      release: release.metadata.name,
      application,
      namespace: release.metadata.namespace ?? '',
    };
    const resolver = new ReleaseResolver(content, identity);
    const known = present ?? emptyNeeds(content, identity);
    for (const { metadata } of sites) {
      const selected = resolver.selectedBy(metadata.labels ?? {});
      const key = selected.join();
      if (known.combinations.has(key)) continue;
      const { references, faults, notRendered } = resolver.combination(selected);
      known.combinations.set(key, { references, faults, notRendered });
    }
    this.#keep(digest, known);
    return known;
  }

  #keep(digest: string, known: KnownNeeds): void {
    this.#known.delete(digest);
    this.#known.set(digest, known);
    const [oldest] = this.#known.keys();
    if (this.#known.size > maxKept && oldest !== undefined) this.#known.delete(oldest);
  }
}

function emptyNeeds(
  content: readonly KubeObject[],
  identity: { readonly release: string; readonly application: string; readonly namespace: string },
): KnownNeeds {
  const { rules } = splitReleaseContent(content);
  const overrides = (rules.overrides ?? []).map(({ name, siteSelector }) => ({ name, siteSelector }));
  const selection = new ReleaseResolver(releaseContent([], { overrides }, identity.application), identity);
  return { selection, declared: rules.variables ?? [], combinations: new Map() };
}
