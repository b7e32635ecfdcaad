import { badRequest, type KubeObject, StatusError } from '@selvedge/api';
import { decode, findRevision } from './object-codec.ts';
import { listObjects } from './list.ts';
import type { Registry } from './registry.ts';
import type { Resource } from './resource-catalog.ts';
import { parseSelection, type Selection } from './selection.ts';

export interface WatchQuery {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  /** Absent or '0': begins with the present objects as ADDED. */
  readonly resourceVersion?: string | undefined;
  /** Streaming list: the present objects, then a bookmark that says so. */
  readonly sendInitialEvents?: boolean;
  readonly signal: AbortSignal;
}

export type ResourceEvent =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: KubeObject }
  /** Nothing more up to this revision. `endsInitialEvents` marks the one behind the present objects. */
  | { readonly type: 'BOOKMARK'; readonly revision: number; readonly endsInitialEvents?: true };

/** Events in order. Ends when the signal fires or the server closes; throws `Expired` when the revision is not kept. */
export async function* watchObjects(
  registry: Registry,
  resource: Resource,
  query: WatchQuery,
): AsyncGenerator<ResourceEvent> {
  const selection = parseSelection(resource, query);
  const signal = AbortSignal.any([query.signal, registry.closing]);
  const fromStart = query.sendInitialEvents || !query.resourceVersion || query.resourceVersion === '0';
  let fromRevision: number;
  if (fromStart) {
    const { namespace, labelSelector, fieldSelector } = query;
    const list = await listObjects(registry, resource, { namespace, labelSelector, fieldSelector });
    fromRevision = Number(list.metadata.resourceVersion);
    for (const object of list.items) yield { type: 'ADDED', object };
    if (query.sendInitialEvents) yield { type: 'BOOKMARK', revision: fromRevision, endsInitialEvents: true };
  } else {
    fromRevision = await startRevision(registry, query.resourceVersion ?? '');
  }
  if (signal.aborted) return;
  const follow = { namespace: query.namespace, fromRevision, signal, selection };
  yield* resource.source ? watchVirtual(resource.source, follow) : watchStored(registry, resource, follow);
}

async function startRevision(registry: Registry, resourceVersion: string): Promise<number> {
  const revision = findRevision(resourceVersion);
  if (revision === undefined) throw badRequest(`invalid resource version "${resourceVersion}"`);
  const current = await registry.store.currentRevision();
  // A revision that does not exist yet comes from another life of the store (a restored backup): what the client
  // knows is not ours, so it has to list again.
  if (revision > current) {
    throw new StatusError(
      'Expired',
      `resource version ${revision} is newer than the newest, ${current}: list again`,
    );
  }
  return revision;
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
  follow: Follow,
): AsyncGenerator<ResourceEvent> {
  const { namespace, fromRevision, signal, selection } = follow;
  const scope = namespace === undefined ? {} : { namespace };
  for await (const event of registry.store.watch({
    resource: resource.name,
    ...scope,
    fromRevision,
    signal,
  })) {
    if (event.type === 'progress') {
      yield { type: 'BOOKMARK', revision: event.revision };
      continue;
    }
    const object = decode(event.object);
    const was =
      event.type === 'delete'
        ? selection.matches(object)
        : event.previous && matched(event.previous, selection);
    const is = event.type === 'put' && selection.matches(object);
    if (!was && !is) continue;
    const [decorated = object] = await resource.decorate([object]);
    yield { type: is ? (was ? 'MODIFIED' : 'ADDED') : 'DELETED', object: decorated };
  }
}

const matched = (previous: Parameters<typeof decode>[0], selection: Selection): boolean =>
  selection.selectsAll || selection.matches(decode(previous));

/** Rows have no previous state, so what this watcher saw as selected is remembered. */
async function* watchVirtual(
  source: NonNullable<Resource['source']>,
  { namespace, fromRevision, signal, selection }: Follow,
): AsyncGenerator<ResourceEvent> {
  const selected = new Set<string>();
  if (!selection.selectsAll) {
    const { objects } = await source.list(namespace);
    for (const object of objects) if (selection.matches(object)) selected.add(identify(object));
  }
  for await (const { type, object } of source.watch({ namespace, fromRevision, signal })) {
    if (selection.selectsAll) {
      yield { type, object };
      continue;
    }
    const was = selected.has(identify(object));
    if (type !== 'DELETED' && selection.matches(object)) {
      selected.add(identify(object));
      yield { type: was ? type : 'ADDED', object };
    } else if (was) {
      selected.delete(identify(object));
      yield { type: 'DELETED', object };
    }
  }
}

const identify = (object: KubeObject): string => `${object.metadata.namespace ?? ''}/${object.metadata.name}`;
