import type { ResourceRef } from '@selvedge/api';

/** URL path of a kind, an object (with `name`) or a subresource of it. Absent namespace: all namespaces. */
export function resourcePath(
  resource: ResourceRef,
  target: { namespace?: string; name?: string; subresource?: string } = {},
): string {
  const group =
    resource.group === '' ? `/api/${resource.version}` : `/apis/${resource.group}/${resource.version}`;
  const namespace =
    resource.namespaced && target.namespace ? `/namespaces/${encodeURIComponent(target.namespace)}` : '';
  const name = target.name === undefined ? '' : `/${encodeURIComponent(target.name)}`;
  const subresource = target.subresource === undefined ? '' : `/${encodeURIComponent(target.subresource)}`;
  return `${group}${namespace}/${resource.plural}${name}${subresource}`;
}
