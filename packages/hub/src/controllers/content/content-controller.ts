import { type Release, releases } from '@selvedge/api';
import { type KeySource, runController } from '@selvedge/kube';
import type { ControllerContext } from '../controller-context.ts';
import { periodic } from '../key-sources.ts';

const lookMilliseconds = 3_600_000;

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

/**
 * Looked for at the start, and then now and then: every deletion of a Release is heard of, but not when the last site lets go
 * of what it could have gone back to.
 */
function unnamedDigests({ informers, fleet, clock, logger, signal }: ControllerContext): KeySource {
  const findKeys = async () => {
    await informers.releases.synced;
    try {
      const named = new Set(informers.releases.list().map(({ spec }) => spec.digest));
      return (await fleet.blobDigests()).filter((digest) => !named.has(digest));
    } catch (error) {
      if (!signal.aborted) logger.warn('unused content not looked for', { error });
      return [];
    }
  };
  return periodic({ clock, milliseconds: lookMilliseconds, signal, findKeys });
}

async function deleteUnused({ client, fleet, logger }: ControllerContext, digest: string): Promise<void> {
  if (!(await fleet.hasBlob(digest))) return;
  const { items } = await client.list<Release>(releases);
  if (items.some(({ spec }) => spec.digest === digest)) return;
  // A site that is to run it, or to go back to it, may not have fetched it yet, or may have to fetch it again.
  const { rows } = await fleet.listDeliveries({});
  const isNeeded = rows.some(
    ({ phase, digest: wanted, terms }) =>
      phase === 'Wanted' && (wanted === digest || terms.fallback?.digest === digest),
  );
  if (isNeeded) return;
  await fleet.deleteBlob(digest);
  logger.debug('unused content deleted', { digest });
}
