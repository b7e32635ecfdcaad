import { isExpired, type KubeObject } from '@selvedge/api';
import { decode } from './object-codec.ts';
import type { Registry } from './registry.ts';

/** Told of every object of a resource: of those that are there, then of each change. */
export interface Follower {
  /** The whole list: at the start, and again when changes were missed. */
  replace(objects: readonly KubeObject[]): void;
  put(object: KubeObject): void;
  remove(object: KubeObject): void;
}

const firstPauseMs = 100;
const longestPauseMs = 10_000;

/**
 * Keeps something in memory as the store has it, until the server closes. Never rejects: a store that cannot be read is
 * tried again, and what was known is kept meanwhile.
 */
export async function followResource(
  registry: Pick<Registry, 'store' | 'clock' | 'logger' | 'closing'>,
  resource: string,
  follower: Follower,
): Promise<void> {
  const { store, clock, closing, logger } = registry;
  let pause = firstPauseMs;
  while (!closing.aborted) {
    try {
      const fromRevision = await readAll(store, resource, follower);
      pause = firstPauseMs;
      for await (const event of store.watch({ resource, fromRevision, signal: closing })) {
        if (event.type === 'put') follower.put(decode(event.object));
        else if (event.type === 'delete') follower.remove(decode(event.object));
      }
    } catch (error) {
      if (closing.aborted) return;
      if (!isExpired(error)) logger.warn('cannot follow a resource, trying again', { resource, error });
    }
    await clock.sleep(pause * (0.5 + Math.random()), closing);
    pause = Math.min(pause * 2, longestPauseMs);
  }
}

/** Of its own: what follows lasts as long as the server, and would keep the texts. Resolves to the revision of what was read. */
async function readAll(store: Registry['store'], resource: string, follower: Follower): Promise<number> {
  const { objects, revision } = await store.list({ resource });
  follower.replace(objects.map(decode));
  return revision;
}
