import type { Resource } from '../registry/resource-catalog.ts';

const readVerbs = ['get', 'list', 'watch'];
const allVerbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];

const reviewVerbs = ['create'];

export function verbsOf(resource: Resource): readonly string[] {
  if (resource.review) return reviewVerbs;
  return resource.source ? readVerbs : allVerbs;
}

export interface Subresource {
  readonly name: string;
  readonly kind: { readonly group: string; readonly version: string; readonly kind: string };
  readonly verbs: readonly string[];
}

export function subresourcesOf({ definition, ref, actions }: Resource): Subresource[] {
  const { group, version, kind } = ref;
  const status = { name: 'status', kind: { group, version, kind }, verbs: ['get', 'patch', 'update'] };
  const named = Object.entries(actions).map(([name, action]) => ({
    name,
    kind: action.kind,
    verbs: ['create'],
  }));
  return [...(definition.statusSubresource ? [status] : []), ...named];
}
