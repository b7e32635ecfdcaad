import type { Change, Progress } from './change.ts';
import type { ResourceCache } from './resource-cache.ts';

export interface FollowQuery {
  /** Absent: all namespaces. */
  readonly namespace?: string | undefined;
  /** Changes with a revision above this. */
  readonly fromRevision: number;
  readonly signal: AbortSignal;
}

const maxBatch = 256;

/**
 * Changes of the resource in order, none lost, none twice, as many at a time as are there; ends when the signal fires.
 * They come from the cache's window of recent changes, which all share, and from the store's log when they are older:
 * so a slow reader costs no memory. Throws `Expired` when compaction has overtaken it.
 */
export async function* follow(
  cache: ResourceCache,
  { namespace, fromRevision, signal }: FollowQuery,
): AsyncGenerator<readonly (Change | Progress)[]> {
  let position = fromRevision;
  let told = fromRevision;
  let leave = () => {};
  // Asking a composite signal costs more than all else here.
  let isOver = signal.aborted;
  const onAbort = () => {
    isOver = true;
    leave();
  };
  signal.addEventListener('abort', onAbort);
  try {
    while (!isOver) {
      if (!cache.window.covers(position)) {
        for await (const event of fromStore(cache, { namespace, fromRevision: position, signal })) {
          position = event.revision;
          told = position;
          yield [event];
          if (cache.window.covers(position)) break;
        }
        continue;
      }
      const { changes, isEnd } = cache.window.after(position, maxBatch);
      position = Math.max(position, isEnd ? cache.revision : (changes.at(-1)?.revision ?? 0));
      const ours =
        namespace === undefined ? changes : changes.filter((c) => c.object.namespace === namespace);
      if (ours.length > 0) {
        told = position;
        yield ours;
      } else if (isEnd && position > told && changes.length === 0) {
        told = position;
        yield [{ type: 'progress', revision: position }];
      } else if (isEnd) {
        const { called, leave: leaveNow } = cache.followers.enter();
        leave = leaveNow;
        await called;
      }
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

async function* fromStore(
  cache: ResourceCache,
  { namespace, fromRevision, signal }: FollowQuery,
): AsyncGenerator<Change | Progress> {
  const resource = cache.resource.name;
  const scope = namespace === undefined ? { resource } : { resource, namespace };
  for await (const event of cache.store.watch({ ...scope, fromRevision, signal })) {
    yield event.type === 'progress' ? event : cache.changeOf(event);
  }
}
