import { type KubeObject, StatusError } from '@selvedge/api';
import { CachedObject } from '../watch-cache/cached-object.ts';
import type { Change } from '../watch-cache/change.ts';
import { follow } from '../watch-cache/follow.ts';
import { listPage } from './list.ts';
import { type FreshnessQuery, watchStart } from './read-options.ts';
import type { Registry } from './registry.ts';
import type { Resource } from './resource-catalog.ts';
import { parseSelection, type Selection, selectable } from './selection.ts';

export interface WatchQuery extends FreshnessQuery {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly signal: AbortSignal;
}

export type WatchEventType = 'ADDED' | 'MODIFIED' | 'DELETED';

/** What a watcher is told. */
export type ResourceEvent =
  | {
      readonly type: WatchEventType;
      readonly object: CachedObject | KubeObject;
      /** Present when `object` is its object and others are told the same. */
      readonly change?: Change;
    }
  /** Nothing more up to this revision. `endsInitialEvents` marks the one behind the present objects. */
  | { readonly type: 'BOOKMARK'; readonly revision: number; readonly endsInitialEvents?: true };

const initialBatch = 200;

/**
 * Events in order, as many at a time as are there, objects not decorated. Ends when the signal fires or the server
 * closes; throws `Expired` when the revision is not kept.
 */
export async function* watchEvents(
  registry: Registry,
  resource: Resource,
  query: WatchQuery,
): AsyncGenerator<readonly ResourceEvent[]> {
  const selection = parseSelection(resource, query);
  const signal = AbortSignal.any([query.signal, registry.closing]);
  const { initial, fromRevision } = watchStart(query);
  let from = fromRevision;
  if (initial) {
    const { namespace, labelSelector, fieldSelector, resourceVersion } = query;
    const scope = { namespace, labelSelector, fieldSelector, resourceVersion };
    const page = await listPage(registry, resource, scope);
    from = Number(page.metadata.resourceVersion);
    for (let i = 0; i < page.objects.length; i += initialBatch) {
      if (signal.aborted) return;
      const batch = page.objects.slice(i, i + initialBatch);
      yield batch.map((object): ResourceEvent => ({ type: 'ADDED', object }));
    }
    // Where nothing is to be sent behind the present objects, an empty batch tells that they are all there.
    yield query.sendInitialEvents ? [{ type: 'BOOKMARK', revision: from, endsInitialEvents: true }] : [];
  } else if (from === undefined) from = await registry.store.currentRevision();
  else await requireKnown(registry, from);
  if (signal.aborted) return;
  const { namespace } = query;
  yield* resource.source
    ? watchVirtual(resource.source, { namespace, fromRevision: from, signal, selection })
    : watchStored(registry, resource, { namespace, fromRevision: from, signal, selection });
}

/** The same for programs of our own: one by one, with decorated trees. */
export async function* watchObjects(
  registry: Registry,
  resource: Resource,
  query: WatchQuery,
): AsyncGenerator<
  | { readonly type: WatchEventType; readonly object: KubeObject }
  | { readonly type: 'BOOKMARK'; readonly revision: number }
> {
  for await (const batch of watchEvents(registry, resource, query)) {
    for (const event of batch) {
      if (event.type === 'BOOKMARK') yield event;
      else yield { type: event.type, object: await treeOf(resource, event.object) };
    }
  }
}

/** A fresh, decorated tree. */
export async function treeOf(
  resource: Pick<Resource, 'decorate'>,
  object: CachedObject | KubeObject,
): Promise<KubeObject> {
  const tree = object instanceof CachedObject ? object.parse() : object;
  const [decorated = tree] = await resource.decorate([tree]);
  return decorated;
}

/**
 * A revision that does not exist yet comes from another life of the store (a restored backup): what the client knows
 * is not ours, so it has to list again.
 */
async function requireKnown(registry: Registry, revision: number): Promise<void> {
  const current = await registry.store.currentRevision();
  if (revision <= current) return;
  const message = `resource version ${revision} is newer than the newest, ${current}: list again`;
  throw new StatusError('Expired', message);
}

interface Follow {
  readonly namespace: string | undefined;
  readonly fromRevision: number;
  readonly signal: AbortSignal;
  readonly selection: Selection;
}

async function* watchStored(
  registry: Registry,
  resource: Resource,
  { selection, ...query }: Follow,
): AsyncGenerator<readonly ResourceEvent[]> {
  const cache = registry.cache.of(resource);
  cache.start();
  for await (const batch of follow(cache, query)) {
    const events: ResourceEvent[] = [];
    for (const change of batch) {
      const event =
        change.type === 'progress'
          ? { type: 'BOOKMARK' as const, revision: change.revision }
          : selectedEvent(resource, change, selection);
      if (event) events.push(event);
    }
    // A selector that nothing of it passes still learns how far it has come; it is told about once a minute.
    const last = batch.at(-1);
    if (events.length === 0 && last) events.push({ type: 'BOOKMARK', revision: last.revision });
    if (events.length > 0) yield events;
  }
}

/** With a selector, what enters the selection is added, and what leaves it is deleted as it last was in it. */
function selectedEvent(resource: Resource, change: Change, selection: Selection): ResourceEvent | undefined {
  const { type, object, previous } = change;
  const matches = (state: CachedObject) => selection.selectsAll || selection.matches(state);
  if (type === 'delete') return matches(object) ? { type: 'DELETED', object, change } : undefined;
  const was = previous !== undefined && matches(previous);
  if (matches(object)) return { type: was ? 'MODIFIED' : 'ADDED', object, change };
  return was ? { type: 'DELETED', object: previous.at(resource, object.revision) } : undefined;
}

/** Rows have no previous state, so what this watcher saw as selected is remembered. */
async function* watchVirtual(
  source: NonNullable<Resource['source']>,
  { namespace, fromRevision, signal, selection }: Follow,
): AsyncGenerator<readonly ResourceEvent[]> {
  const selected = new Set<string>();
  const matches = (object: KubeObject) => selection.matches(selectable(object));
  if (!selection.selectsAll) {
    const { objects } = await source.list(namespace);
    for (const object of objects) if (matches(object)) selected.add(identify(object));
  }
  for await (const event of source.watch({ namespace, fromRevision, signal })) {
    if (event.type === 'progress') {
      yield [{ type: 'BOOKMARK', revision: event.revision }];
      continue;
    }
    const { type, object } = event;
    if (selection.selectsAll) {
      yield [{ type, object }];
      continue;
    }
    const was = selected.has(identify(object));
    if (type !== 'DELETED' && matches(object)) {
      selected.add(identify(object));
      yield [{ type: was ? type : 'ADDED', object }];
    } else if (was) {
      selected.delete(identify(object));
      yield [{ type: 'DELETED', object }];
    }
  }
}

const identify = (object: KubeObject): string => `${object.metadata.namespace ?? ''}/${object.metadata.name}`;
