import { isExpired, type KubeObject, type ListOptions, type ObjectList, StatusError } from '@selvedge/api';
import type { ListQuery as StoreQuery, ListResult } from '@selvedge/store';
import { setImmediate as turn } from 'node:timers/promises';
import { CachedObject } from '../watch-cache/cached-object.ts';
import type { CacheSnapshot, ResourceCache } from '../watch-cache/resource-cache.ts';
import { writeContinueToken } from './continue-token.ts';
import { reachRevision } from './get.ts';
import { keyOf } from './object-codec.ts';
import { type Freshness, type FreshnessQuery, listFreshness } from './read-options.ts';
import type { Registry } from './registry.ts';
import type { Resource } from './resource-catalog.ts';
import { parseSelection, type Selection } from './selection.ts';
import { listVirtual } from './list-virtual.ts';

export interface ListQuery extends FreshnessQuery {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
}

/** Part of one snapshot, in order of namespace and name. */
export interface ListPage {
  /** As they are kept: text for stored kinds, trees for virtual ones. Not decorated yet. */
  readonly objects: readonly CachedObject[] | readonly KubeObject[];
  readonly metadata: ObjectList['metadata'];
}

/** The first read after a start waits so long for the cache to fill; then the store answers. */
const fillWaitMs = 10_000;
/** A cache that has not heard of the newest revision after this is passed by. */
const freshWaitMs = 3_000;
/** So many objects are looked at before others get their turn. */
const slice = 200;
/** Text of objects that are trees at the same time. Few batches where values come from elsewhere: these are read for each of them. */
const batchBytes = { plain: 1024 * 1024, decorated: 8 * 1024 * 1024 };
/** So much text of large objects is looked at before others get their turn. */
const sliceBytes = 4 * 1024 * 1024;

/** The whole list as trees, each fresh; of each what `project` makes of it. */
export async function listObjects(
  registry: Registry,
  resource: Resource,
  { project = (object) => object, ...query }: ListQuery & Pick<ListOptions, 'project'>,
): Promise<ObjectList> {
  const { objects, metadata } = await listPage(registry, resource, query);
  const items: KubeObject[] = [];
  for await (const trees of treesOf(resource, objects)) for (const tree of trees) items.push(project(tree));
  return { kind: `${resource.ref.kind}List`, apiVersion: resource.apiVersion, metadata, items };
}

/** Objects of a page as decorated trees: in one batch, or in several when they are large, so that not all are in memory at once. */
export async function* treesOf(
  resource: Pick<Resource, 'decorate' | 'isDecorated'>,
  objects: ListPage['objects'],
): AsyncGenerator<readonly KubeObject[]> {
  const longest = resource.isDecorated ? batchBytes.decorated : batchBytes.plain;
  let batch: KubeObject[] = [];
  let bytes = 0;
  let looked = 0;
  for (const object of objects) {
    if (object instanceof CachedObject) {
      batch.push(object.parse());
      bytes += object.length;
    } else batch.push(object);
    if (bytes >= longest) {
      yield await resource.decorate(batch);
      batch = [];
      bytes = 0;
      await turn();
    }
    if (++looked % slice === 0) await turn();
  }
  if (batch.length > 0) yield await resource.decorate(batch);
}

/** The list as it is kept. */
export async function listPage(registry: Registry, resource: Resource, query: ListQuery): Promise<ListPage> {
  const selection = parseSelection(resource, query);
  const freshness = listFreshness(query);
  if (resource.source) return listVirtual(resource.source, { query, selection, freshness });
  return listStored(registry, resource, { query: narrowed(query, selection), selection, freshness });
}

interface Wanted {
  readonly query: ListQuery;
  readonly selection: Selection;
  readonly freshness: Freshness;
}

/** One namespace asked for by field is as good as one asked for by path. */
function narrowed(query: ListQuery, { exactNamespace }: Selection): ListQuery {
  return query.namespace === undefined && exactNamespace ? { ...query, namespace: exactNamespace } : query;
}

async function listStored(registry: Registry, resource: Resource, wanted: Wanted): Promise<ListPage> {
  const { query, selection, freshness } = wanted;
  const isPlaceKnown = query.namespace !== undefined || !resource.ref.namespaced;
  if (freshness.kind === 'newest' && selection.exactName !== undefined && isPlaceKnown) {
    return listOne(registry, resource, wanted);
  }
  const cache = registry.cache.of(resource);
  const snapshot = await findSnapshot(registry, cache, wanted);
  if (snapshot) return pageOf(cache, snapshot, wanted);
  return listFromStore(registry, resource, wanted);
}

/** The snapshot to answer from; `undefined`: the store has to answer. */
async function findSnapshot(
  registry: Registry,
  cache: ResourceCache,
  { query, freshness }: Wanted,
): Promise<CacheSnapshot | undefined> {
  cache.start();
  switch (freshness.kind) {
    case 'continued':
      return cache.snapshotAt(freshness.token.revision);
    case 'exact':
      await reachRevision(registry, cache, freshness.revision);
      return cache.snapshotAt(freshness.revision);
    case 'any':
      if (cache.isReady) return cache.snapshot();
      break;
    case 'notOlderThan':
      await reachRevision(registry, cache, freshness.revision);
      break;
    case 'newest':
  }
  // A page comes from the store faster than the whole cache fills.
  if (!cache.isReady && query.limit) return undefined;
  const revision = await registry.store.currentRevision();
  const isFresh = await cache.reach(revision, cache.isReady ? freshWaitMs : fillWaitMs);
  return isFresh ? cache.snapshot() : undefined;
}

async function pageOf(
  cache: ResourceCache,
  snapshot: CacheSnapshot,
  { query, selection, freshness }: Wanted,
): Promise<ListPage> {
  const { namespace } = query;
  const limit = limitOf(query);
  const after = freshness.kind === 'continued' ? freshness.token : undefined;
  const objects: CachedObject[] = [];
  const metadata = { resourceVersion: String(snapshot.revision) };
  let looked = 0;
  let bytes = 0;
  let last: CachedObject | undefined;
  for (const object of snapshot.objects.range({ namespace, after })) {
    if (last && objects.length === limit) {
      cache.keep(snapshot);
      return { objects, metadata: { ...metadata, ...continued(snapshot.revision, last), ...rest() } };
    }
    if (selection.selectsAll || selection.matches(object)) objects.push(object);
    last = object;
    if (selection.selectsAll) continue;
    bytes += object.length;
    if (++looked < slice && bytes < sliceBytes) continue;
    looked = 0;
    bytes = 0;
    await turn();
  }
  return { objects, metadata };

  function rest(): { remainingItemCount?: number } {
    return selection.selectsAll
      ? { remainingItemCount: snapshot.objects.count({ namespace, after: last }) }
      : {};
  }
}

const limitOf = ({ limit }: ListQuery): number | undefined => (limit && limit > 0 ? limit : undefined);

function continued(revision: number, { namespace, name }: { namespace: string; name: string }) {
  return { continue: writeContinueToken({ revision, namespace, name }) };
}

async function listFromStore(
  registry: Registry,
  resource: Resource,
  { query, selection, freshness }: Wanted,
): Promise<ListPage> {
  const limit = limitOf(query);
  const scope = query.namespace === undefined ? {} : { namespace: query.namespace };
  let after = freshness.kind === 'continued' ? freshness.token : undefined;
  let revision = freshness.kind === 'exact' ? freshness.revision : after?.revision;
  const objects: CachedObject[] = [];
  for (;;) {
    const result = await listSnapshot(registry, {
      resource: resource.name,
      ...scope,
      ...(limit === undefined ? {} : { limit: limit - objects.length }),
      ...(after ? { after } : {}),
      ...(revision === undefined ? {} : { atRevision: revision }),
    });
    revision ??= result.revision;
    for (const stored of result.objects) {
      const object = CachedObject.of(resource, stored);
      if (selection.selectsAll || selection.matches(object)) objects.push(object);
    }
    const last = result.objects.at(-1)?.key;
    const metadata = { resourceVersion: String(revision) };
    if (limit === undefined || result.remaining === 0 || !last) return { objects, metadata };
    if (objects.length >= limit) {
      const count = selection.selectsAll ? { remainingItemCount: result.remaining } : {};
      return { objects, metadata: { ...metadata, ...continued(revision, last), ...count } };
    }
    after = { ...last, revision };
  }
}

async function listOne(
  registry: Registry,
  resource: Resource,
  { query, selection }: Wanted,
): Promise<ListPage> {
  // Read first: the object is then never newer than the list says it is.
  const revision = await registry.store.currentRevision();
  const stored = await registry.store.find(keyOf(resource, query.namespace, selection.exactName ?? ''));
  const object = stored && CachedObject.of(resource, stored);
  const objects = object && selection.matches(object) ? [object] : [];
  return { objects, metadata: { resourceVersion: String(Math.max(revision, stored?.revision ?? 0)) } };
}

async function listSnapshot(registry: Registry, query: StoreQuery): Promise<ListResult> {
  try {
    return await registry.store.list(query);
  } catch (cause) {
    if (!isExpired(cause)) throw cause;
    const message = query.after
      ? 'The provided continue parameter is too old to display a consistent list result: list again from the start.'
      : 'The resourceVersion for the provided list is too old.';
    throw new StatusError('Expired', message, { cause });
  }
}
