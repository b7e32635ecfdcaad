import type { Resource, ResourceCatalog } from '../registry/resource-catalog.ts';
import { byPriority } from './version-priority.ts';
import { subresourcesOf, verbsOf } from './verbs.ts';

export type AggregatedVersion = 'v2' | 'v2beta1';

/** `apidiscovery.k8s.io APIGroupDiscoveryList` (KEP-3352): the core group at /api, all others at /apis. */
export function aggregatedDiscovery(
  catalog: ResourceCatalog,
  core: boolean,
  version: AggregatedVersion,
): object {
  const groups = [...catalog.groups()].filter(([group]) => (group === '') === core);
  return {
    kind: 'APIGroupDiscoveryList',
    apiVersion: `apidiscovery.k8s.io/${version}`,
    metadata: {},
    items: groups.map(([group, resources]) => ({
      metadata: { name: group, creationTimestamp: null },
      versions: [...Map.groupBy(resources, (r) => r.ref.version)]
        .sort(([a], [b]) => byPriority(a, b))
        .map(([name, served]) => ({
          version: name,
          freshness: 'Current',
          resources: served.map(describe),
        })),
    })),
  };
}

function describe(resource: Resource) {
  const { definition, ref } = resource;
  const { group, version, kind } = ref;
  const subresources = subresourcesOf(resource).map((s) => ({
    subresource: s.name,
    responseKind: s.kind,
    verbs: s.verbs,
  }));
  return {
    resource: ref.plural,
    responseKind: { group, version, kind },
    scope: ref.namespaced ? 'Namespaced' : 'Cluster',
    singularResource: definition.singular,
    verbs: verbsOf(resource),
    ...(definition.shortNames ? { shortNames: definition.shortNames } : {}),
    ...(definition.categories ? { categories: definition.categories } : {}),
    ...(subresources.length > 0 ? { subresources } : {}),
  };
}
