import { isNamespaceKind } from '../admission/namespace-object.ts';
import type { Resource } from '../registry/resource-catalog.ts';

const readVerbs = ['get', 'list', 'watch'];
const allVerbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];

const reviewVerbs = ['create'];

export function verbsOf(resource: Resource): readonly string[] {
  if (resource.review) return reviewVerbs;
  if (resource.source && !resource.storedAs) return readVerbs;
  return isNamespaceKind(resource) ? allVerbs.filter((verb) => verb !== 'deletecollection') : allVerbs;
}

export interface Subresource {
  readonly name: string;
  readonly kind: { readonly group: string; readonly version: string; readonly kind: string };
  readonly verbs: readonly string[];
  /** It hands requests on: what goes in and comes out is no kind. */
  readonly handsOn?: true;
}

export function subresourcesOf(resource: Resource): Subresource[] {
  const { definition, ref, actions, connect } = resource;
  const { group, version, kind } = ref;
  const own = { group, version, kind };
  const changing = ['get', 'patch', 'update'];
  const named = Object.entries(actions).map(([name, action]) => ({
    name,
    kind: action.kind,
    verbs: ['create'],
  }));
  const connects = Object.keys(connect).map((name) => ({
    name,
    // As `NodeProxyOptions` in Kubernetes.
    kind: { group, version, kind: `${kind}${name.slice(0, 1).toUpperCase()}${name.slice(1)}Options` },
    verbs: ['create', 'delete', 'get', 'patch', 'update'],
    handsOn: true as const,
  }));
  return [
    ...(isNamespaceKind(resource) ? [{ name: 'finalize', kind: own, verbs: ['update'] }] : []),
    ...(definition.statusSubresource ? [{ name: 'status', kind: own, verbs: changing }] : []),
    ...(definition.scale ? [{ name: 'scale', kind: scaleKind, verbs: changing }] : []),
    ...named,
    ...connects,
  ];
}

const scaleKind = { group: 'autoscaling', version: 'v1', kind: 'Scale' };
