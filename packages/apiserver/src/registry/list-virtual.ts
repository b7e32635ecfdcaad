import type { KubeObject } from '@selvedge/api';
import type { VirtualSource } from '../resource-definition.ts';
import { writeContinueToken } from './continue-token.ts';
import type { ListPage, ListQuery } from './list.ts';
import { type Freshness, tooLargeRevision } from './read-options.ts';
import { type Selection, selectable } from './selection.ts';

export interface VirtualListQuery {
  readonly query: ListQuery;
  readonly selection: Selection;
  readonly freshness: Freshness;
}

/**
 * Rows from elsewhere have no old states. So a page goes on in the newest rows, under the revision of the first page:
 * who lists in pages and watches from that revision is told of whatever changed between the pages.
 */
export async function listVirtual(
  source: VirtualSource,
  { query, selection, freshness }: VirtualListQuery,
): Promise<ListPage> {
  const newest = await source.list(query.namespace);
  const wanted = 'revision' in freshness ? freshness.revision : 0;
  if (wanted > newest.revision) throw tooLargeRevision(wanted, newest.revision);
  const after = freshness.kind === 'continued' ? freshness.token : undefined;
  const revision = after?.revision ?? newest.revision;
  const metadata = { resourceVersion: String(revision) };
  const rest = newest.objects
    .filter((object) => selection.matches(selectable(object)))
    .toSorted(byPlace)
    .filter((object) => !after || isBehind(object, after));
  const limit = query.limit && query.limit > 0 ? query.limit : rest.length;
  const objects = rest.slice(0, limit);
  const last = objects.at(-1);
  if (!last || rest.length === objects.length) return { objects, metadata };
  const next = writeContinueToken({ revision, ...placeOf(last) });
  const count = selection.selectsAll ? { remainingItemCount: rest.length - objects.length } : {};
  return { objects, metadata: { ...metadata, continue: next, ...count } };
}

const placeOf = ({ metadata: { namespace = '', name } }: KubeObject) => ({ namespace, name });

function byPlace(a: KubeObject, b: KubeObject): number {
  return isBehind(a, placeOf(b)) ? 1 : isBehind(b, placeOf(a)) ? -1 : 0;
}

function isBehind(object: KubeObject, place: { namespace: string; name: string }): boolean {
  const { namespace, name } = placeOf(object);
  return namespace === place.namespace ? name > place.name : namespace > place.namespace;
}
