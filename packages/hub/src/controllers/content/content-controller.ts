import { type Release, releases } from '@selvedge/api';
import { type KeySource, runController } from '@selvedge/kube';
import type { ControllerContext } from '../controller-context.ts';

/**
 * Deletes content that nobody needs any more. Who deletes a Release in the ordinary way deletes its content too; this is for
 * Releases that went otherwise: by hand, with their namespace, or in the moment of a crash. Keys are digests.
 */
export function runContentController(ctx: ControllerContext): Promise<void> {
  const { clock, logger, signal } = ctx;
  return runController({
    name: 'content',
    sources: [digestsOfDeletedReleases(ctx), unnamedDigests(ctx)],
    reconcile: async (digest) => {
      await ctx.contentLock.run(digest, () => deleteUnused(ctx, digest));
      return 'done';
    },
    clock,
    logger,
    signal,
  });
}

function digestsOfDeletedReleases({ informers }: ControllerContext): KeySource {
  return {
    synced: informers.releases.synced,
    subscribe: (enqueue) => informers.releases.onChange({ delete: ({ spec }) => enqueue(spec.digest) }),
  };
}

/** Looked for once, at the start: afterwards every deletion is heard of. */
function unnamedDigests({ informers, fleet, logger, signal }: ControllerContext): KeySource {
  const look = async (enqueue: (digest: string) => void) => {
    await informers.releases.synced;
    const named = new Set(informers.releases.list().map(({ spec }) => spec.digest));
    for (const digest of await fleet.blobDigests()) if (!named.has(digest)) enqueue(digest);
  };
  return {
    subscribe: (enqueue) => {
      look(enqueue).catch((error: unknown) => {
        if (!signal.aborted) logger.warn('unused content not looked for', { error });
      });
      return () => {};
    },
  };
}

async function deleteUnused({ client, fleet, logger }: ControllerContext, digest: string): Promise<void> {
  if (!(await fleet.hasBlob(digest))) return;
  const { items } = await client.list<Release>(releases);
  if (items.some(({ spec }) => spec.digest === digest)) return;
  // A site that is to run it may not have fetched it yet, or may have to fetch it again.
  const { rows } = await fleet.listDeliveries({});
  if (rows.some((row) => row.digest === digest)) return;
  await fleet.deleteBlob(digest);
  logger.debug('unused content deleted', { digest });
}
