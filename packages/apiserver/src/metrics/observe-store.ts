import type { ObjectStore } from '@selvedge/store';
import type { ServerMetrics } from './server-metrics.ts';

/** The same store; what it is asked is timed, by operation and resource. Watches and waits for them are not. */
export function observeStore(store: ObjectStore, metrics: ServerMetrics): ObjectStore {
  const timed = async <T>(operation: string, type: string, ask: () => Promise<T>): Promise<T> => {
    const start = performance.now();
    try {
      return await ask();
    } finally {
      metrics.store(operation, type).observe((performance.now() - start) / 1000);
    }
  };
  return {
    find: (key) => timed('get', key.resource, () => store.find(key)),
    list: (query) => timed('list', query.resource, () => store.list(query)),
    create: (key, ...rest) => timed('create', key.resource, () => store.create(key, ...rest)),
    update: (key, ...rest) => timed('update', key.resource, () => store.update(key, ...rest)),
    delete: (key, ...rest) => timed('delete', key.resource, () => store.delete(key, ...rest)),
    watch: (query) => store.watch(query),
    currentRevision: () => store.currentRevision(),
    compact: (revision) => timed('compact', '', () => store.compact(revision)),
    close: () => store.close(),
  };
}
