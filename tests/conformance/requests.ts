import type { ApiRequest } from './api-under-comparison.ts';

type Json = Record<string, unknown>;

export const widgets = '/apis/comparison.example.dev/v1/namespaces/default/widgets';
export const gizmos = '/apis/comparison.example.dev/v1/gizmos';
export const configMaps = '/api/v1/namespaces/default/configmaps';
export const secrets = '/api/v1/namespaces/default/secrets';

/** apiVersion and kind of what is served under a path. */
function typeOf(path: string): Json {
  if (path.includes('/widgets')) return { apiVersion: 'comparison.example.dev/v1', kind: 'Widget' };
  if (path.includes('/gizmos')) return { apiVersion: 'comparison.example.dev/v1', kind: 'Gizmo' };
  if (path.includes('/configmaps')) return { apiVersion: 'v1', kind: 'ConfigMap' };
  if (path.includes('/secrets')) return { apiVersion: 'v1', kind: 'Secret' };
  if (path.includes('/serviceaccounts')) return { apiVersion: 'v1', kind: 'ServiceAccount' };
  if (path.includes('/resourcequotas')) return { apiVersion: 'v1', kind: 'ResourceQuota' };
  if (path.includes('/events')) return { apiVersion: 'v1', kind: 'Event' };
  if (path.includes('/clusterroles'))
    return { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole' };
  if (path.includes('/rolebindings'))
    return { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'RoleBinding' };
  if (path.includes('/roles')) return { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role' };
  if (path.includes('/leases')) return { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease' };
  if (path.startsWith('/api/v1/namespaces')) return { apiVersion: 'v1', kind: 'Namespace' };
  throw new Error(`what is served under ${path}?`);
}

const query = (parameters: Readonly<Record<string, string | undefined>>): string => {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined) as [string, string][];
  return given.length === 0 ? '' : `?${new URLSearchParams(given).toString()}`;
};

/** An object of the kind under a path; what is given wins. */
export function objectAt(path: string, name: string, given: Json = {}): Json {
  const { metadata, ...others } = given;
  return { ...typeOf(path), metadata: { name, ...(metadata as Json | undefined) }, ...others };
}

export type Parameters = Readonly<Record<string, string | undefined>>;

export const get = (path: string, name: string): ApiRequest => ({ method: 'GET', path: `${path}/${name}` });

export const create = (path: string, body: Json, parameters: Parameters = {}): ApiRequest => ({
  method: 'POST',
  path: `${path}${query({ fieldManager: 'creator', ...parameters })}`,
  body,
});

export const update = (path: string, body: Json, parameters: Parameters = {}): ApiRequest => ({
  method: 'PUT',
  path: `${path}/${(body['metadata'] as { name: string }).name}${query({ fieldManager: 'updater', ...parameters })}`,
  body,
});

/** The last object, changed, and sent back whole. */
export const edit =
  (path: string, change: (object: Json) => void, parameters: Parameters = {}) =>
  (last: Json): ApiRequest => {
    const object = JSON.parse(JSON.stringify(last)) as Json;
    change(object);
    return update(path, object, parameters);
  };

export interface ApplyTo {
  readonly manager?: string;
  readonly force?: boolean;
  readonly subresource?: string;
  readonly parameters?: Parameters;
}

export function apply(
  path: string,
  name: string,
  ...[given, options = {}]: [given: Json, options?: ApplyTo]
): ApiRequest {
  const { manager = 'one', force, subresource, parameters } = options;
  const forced = force === undefined ? undefined : String(force);
  return {
    method: 'PATCH',
    path: `${path}/${name}${subresource ? `/${subresource}` : ''}${query({ fieldManager: manager, force: forced, ...parameters })}`,
    body: objectAt(path, name, given),
    contentType: 'application/apply-patch+yaml',
  };
}

const patchTypes = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
} as const;

export const patch = (
  type: keyof typeof patchTypes,
  to: string,
  ...[body, parameters = {}]: [body: unknown, parameters?: Parameters]
): ApiRequest => ({
  method: 'PATCH',
  path: `${to}${query({ fieldManager: 'patcher', ...parameters })}`,
  body,
  contentType: patchTypes[type],
});

export const remove = (path: string, name: string, options?: Json): ApiRequest => ({
  method: 'DELETE',
  path: `${path}/${name}`,
  ...(options ? { body: options } : {}),
});
