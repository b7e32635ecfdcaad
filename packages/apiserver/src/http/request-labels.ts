import type { RequestLabels } from '../metrics/server-metrics.ts';
import type { Resource } from '../registry/resource-catalog.ts';
import type { RequestInfo } from './request-info.ts';

/** As kube-apiserver names verbs in its metrics. */
const verbs: Readonly<Record<string, string>> = {
  get: 'GET',
  list: 'LIST',
  watch: 'WATCH',
  create: 'POST',
  update: 'PUT',
  patch: 'PATCH',
  delete: 'DELETE',
  deletecollection: 'DELETECOLLECTION',
  post: 'POST',
  put: 'PUT',
  head: 'GET',
};

const nothing = { group: '', version: '', resource: '', subresource: '', scope: '', dryRun: '' };

/** Labels of a request that could not even be read. */
export const unreadable: RequestLabels = { ...nothing, verb: 'OTHER' };

export interface KnownPlace {
  /** Absent: no kind that we serve. */
  readonly resource: Resource | undefined;
  /** A path of ours that is no resource. */
  readonly path: string | undefined;
  readonly isApply: boolean;
}

/** What a request is counted as. Names that are not ours become '' or OTHER: a client cannot make series. */
export function requestLabels(info: RequestInfo, known: KnownPlace): RequestLabels {
  const { attributes } = info;
  const named = Object.hasOwn(verbs, attributes.verb) ? (verbs[attributes.verb] ?? 'OTHER') : 'OTHER';
  const verb = named === 'PATCH' && known.isApply ? 'APPLY' : named;
  if ('path' in attributes) return { ...nothing, verb, subresource: known.path ?? '' };
  if (!known.resource) return { ...nothing, verb };
  const { ref, actions, connect } = known.resource;
  const { subresource = '', name, namespace } = attributes;
  const isKnown =
    subresource === 'status' ||
    subresource === 'scale' ||
    Object.hasOwn(actions, subresource) ||
    Object.hasOwn(connect, subresource);
  return {
    verb,
    dryRun: info.query.isDryRun ? 'All' : '',
    group: ref.group,
    version: ref.version,
    resource: ref.plural,
    subresource: isKnown ? subresource : '',
    scope: name !== undefined ? 'resource' : namespace !== undefined ? 'namespace' : 'cluster',
  };
}
