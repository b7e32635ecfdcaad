import { createHash } from 'node:crypto';
import type { ResourceRef } from '@selvedge/api';
import type { Resource, ResourceCatalog } from '../registry/resource-catalog.ts';
import { byPriority } from './version-priority.ts';
import { subresourcesOf, verbsOf } from './verbs.ts';

/** Discovery as it was before KEP-3352: one document for each path. */
export function legacyDiscovery(catalog: ResourceCatalog): Map<string, object> {
  const documents = new Map<string, object>();
  const groups = catalog.groups();
  const named = [...groups].filter(([group]) => group !== '');
  const describedGroups = named.map(([group, resources]) => describeGroup(group, resources));
  const versions = [...new Set((groups.get('') ?? []).map((r) => r.ref.version))];
  documents.set('/api', { kind: 'APIVersions', versions, serverAddressByClientCIDRs: [] });
  documents.set('/apis', { kind: 'APIGroupList', apiVersion: 'v1', groups: describedGroups });
  for (const group of describedGroups) {
    documents.set(`/apis/${group.name}`, { kind: 'APIGroup', apiVersion: 'v1', ...group });
  }
  for (const [path, resources] of Map.groupBy(catalog.all, pathOf)) {
    documents.set(path, {
      kind: 'APIResourceList',
      apiVersion: 'v1',
      groupVersion: resources[0]?.apiVersion,
      resources: resources.flatMap(describeResource),
    });
  }
  return documents;
}

/** `/api/v1`, `/apis/group/version`. */
export const pathOf = ({ ref, apiVersion }: Resource): string =>
  ref.group === '' ? `/api/${apiVersion}` : `/apis/${apiVersion}`;

function describeGroup(name: string, resources: readonly Resource[]) {
  const versions = [...new Set(resources.map((r) => r.ref.version))].sort(byPriority).map((version) => ({
    groupVersion: `${name}/${version}`,
    version,
  }));
  return { name, versions, preferredVersion: versions[0] };
}

/** By it clients see that the stored form of a kind has changed. As Kubernetes makes it, for its own kinds the same. */
function storageVersionHash({ group, version, kind }: ResourceRef): string {
  const digest = createHash('sha256').update(`${group}/${version}/${kind}`).digest();
  return digest.subarray(0, 8).toString('base64');
}

function describeResource(resource: Resource): object[] {
  const { definition, ref } = resource;
  const main = {
    name: ref.plural,
    singularName: definition.singular,
    namespaced: ref.namespaced,
    kind: ref.kind,
    verbs: verbsOf(resource),
    ...(definition.shortNames ? { shortNames: definition.shortNames } : {}),
    ...(definition.categories ? { categories: definition.categories } : {}),
    ...(resource.review ? {} : { storageVersionHash: storageVersionHash(ref) }),
  };
  const subresources = subresourcesOf(resource).map(({ name, kind, verbs }) => ({
    name: `${ref.plural}/${name}`,
    singularName: '',
    namespaced: ref.namespaced,
    group: kind.group,
    version: kind.version,
    kind: kind.kind,
    verbs,
  }));
  return [main, ...subresources];
}
