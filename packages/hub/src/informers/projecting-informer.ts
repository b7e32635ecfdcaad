import type {
  Clock,
  KubeObject,
  ListOptions,
  Logger,
  ObjectClient,
  ObjectList,
  ResourceRef,
  WatchEvent,
} from '@selvedge/api';
import { createInformer, type Informer } from '@selvedge/kube';

/** Every object of a kind, each read once when it changes; only what `project` makes of it stays in memory. */
export function createProjectingInformer<Read extends KubeObject, Kept extends KubeObject>(
  options: {
    client: Pick<ObjectClient, 'list' | 'watch'>;
    resource: ResourceRef;
    clock: Clock;
    logger: Logger;
  },
  project: (object: Read) => Kept,
): Informer<Kept> {
  const { client, ...rest } = options;
  // What the informer is given to keep is what it asked for, projected.
  const projecting: Pick<ObjectClient, 'list' | 'watch'> = {
    list: <T extends KubeObject>(of: ResourceRef, asked: ListOptions = {}): Promise<ObjectList<T>> =>
      client.list<T>(of, { ...asked, project: (object) => project(object as Read) }),
    watch: <T extends KubeObject>(
      ...asked: Parameters<ObjectClient['watch']>
    ): AsyncIterable<WatchEvent<T>> =>
      projectedEvents(client.watch<Read>(...asked), project) as AsyncIterable<WatchEvent<T>>,
  };
  return createInformer<Kept>({ client: projecting, ...rest });
}

async function* projectedEvents<Read extends KubeObject>(
  events: AsyncIterable<WatchEvent<Read>>,
  project: (object: Read) => KubeObject,
): AsyncIterable<WatchEvent> {
  for await (const event of events) {
    yield event.type === 'BOOKMARK' ? event : { type: event.type, object: project(event.object) };
  }
}
