import { type Clock, isConflict, type KubeObject, type Logger } from '@selvedge/api';
import type { Informer } from './informer.ts';
import { keyOfObject } from './object-key.ts';
import { createWorkQueue, type WorkQueue } from './work-queue.ts';

/** Nothing to do until something changes, or look again after a while. */
export type ReconcileResult = 'done' | { readonly requeueAfterSeconds: number };

export interface ReconcileContext {
  /** Carries `controller` and `object`. */
  readonly logger: Logger;
  /** Fires when the controller is told to stop. */
  readonly signal: AbortSignal;
}

/** Thrown by a reconcile that trying again cannot mend; the key comes back when its object changes. */
export class TerminalError extends Error {
  override readonly name = 'TerminalError';
}

/** Where a controller's keys come from. */
export interface KeySource {
  /** Begins to call `enqueue`; returns the unsubscriber. */
  subscribe(enqueue: (key: string) => void): () => void;
  /** No reconcile runs before this resolves. */
  readonly synced?: Promise<void>;
}

/**
 * Keys of an informer's objects: `keysFor` maps an object (of any kind) to the keys that it concerns, by default its
 * own. An update enqueues the keys of both states.
 */
export function keysFromInformer<T extends KubeObject>(
  informer: Informer<T>,
  keysFor: (object: T) => Iterable<string> = (object) => [keyOfObject(object)],
): KeySource {
  return {
    synced: informer.synced,
    subscribe: (enqueue) => {
      const each = (object: T) => {
        for (const key of keysFor(object)) enqueue(key);
      };
      return informer.onChange({
        add: each,
        update: (object, previous) => {
          each(previous);
          each(object);
        },
        delete: each,
      });
    },
  };
}

export interface ControllerOptions {
  /** As in logs: `rollout`. */
  readonly name: string;
  readonly sources: readonly KeySource[];
  /**
   * Brings the key's world one step closer to what is wanted, from what it reads now, whatever woke it. An error is
   * retried with back-off, a Conflict quietly, a `TerminalError` not.
   */
  reconcile(key: string, ctx: ReconcileContext): Promise<ReconcileResult>;
  /** Keys worked on at once; one key is never worked on twice at once. */
  readonly concurrency?: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly random?: () => number;
}

/** Conflicts up to this many in a row are everyday life; more are worth a warning. */
const quietConflicts = 8;

/** Runs until the signal fires; resolves when the last reconcile has returned. */
export async function runController(options: ControllerOptions): Promise<void> {
  const { clock, signal, random } = options;
  const log = options.logger.child({ controller: options.name });
  const queue = createWorkQueue({ clock, ...(random ? { random } : {}) });
  const stopped = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
  const unsubscribe = options.sources.map((source) => source.subscribe((key) => queue.add(key)));
  void stopped.then(() => queue.shutdown());
  try {
    const synced = Promise.all(options.sources.map((source) => source.synced ?? Promise.resolve()));
    await Promise.race([synced, stopped]);
    if (signal.aborted) return;
    log.debug('controller started');
    const workers = Array.from({ length: options.concurrency ?? 1 }, () => work(options, queue, log));
    await Promise.all(workers);
  } finally {
    for (const end of unsubscribe) end();
    queue.shutdown();
  }
}

async function work(options: ControllerOptions, queue: WorkQueue, log: Logger): Promise<void> {
  for (let key = await queue.take(); key !== undefined; key = await queue.take()) {
    const logger = log.child({ object: key });
    try {
      const result = await options.reconcile(key, { logger, signal: options.signal });
      queue.forget(key);
      if (result !== 'done') queue.addAfter(key, result.requeueAfterSeconds * 1000);
    } catch (error) {
      if (!options.signal.aborted) handleFailure(key, error, { queue, logger });
    } finally {
      queue.done(key);
    }
  }
}

function handleFailure(key: string, error: unknown, to: { queue: WorkQueue; logger: Logger }): void {
  const { queue, logger } = to;
  if (error instanceof TerminalError) {
    queue.forget(key);
    logger.error('reconcile failed for good', { error });
    return;
  }
  const failures = queue.failures(key) + 1;
  const retryInMilliseconds = queue.addAfterFailure(key);
  if (isConflict(error) && failures <= quietConflicts) {
    logger.debug('reconcile met a conflict', { retryInMilliseconds });
  } else {
    logger.warn('reconcile failed', { error, failures, retryInMilliseconds });
  }
}
