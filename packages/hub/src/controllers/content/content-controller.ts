import {
  type Application,
  applications,
  type MachineScript,
  machineScripts,
  type Release,
  releases,
  type Site,
  sites,
} from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import { type KeySource, runController } from '@selvedge/kube';
import type { ControllerContext } from '../controller-context.ts';
import { coalesced, periodic } from '../key-sources.ts';
import { sourceDigests } from '../../sources/source-content.ts';

const lookMilliseconds = 3_600_000;
/** Between two looks at what Releases left that were deleted: each reads all rows of the fleet once, however many went. */
const restMilliseconds = 300_000;
/** Contents judged by one reading of the fleet; they cannot be named anew while that lasts. */
const judgedAtOnce = 1_000;

type Sweep = 'content of deleted Releases' | 'all content';

/**
 * Deletes content that nobody needs any more: of Releases that went, in whatever way, of sources that moved on, and what a crash left
 * before anything named it.
 */
export function runContentController(ctx: ControllerContext): Promise<void> {
  const { clock, logger, signal } = ctx;
  const released = new Set<string>();
  return runController({
    name: 'content',
    sources: [
      coalesced(digestsOfDeletedReleases(ctx, released), { clock, milliseconds: restMilliseconds, signal }),
      everySoOften(ctx),
    ],
    concurrency: 1,
    reconcile: async (key) => {
      const left = [...released];
      released.clear();
      try {
        await deleteUnused(ctx, (key as Sweep) === 'all content' ? await ctx.fleet.blobDigests() : left);
      } catch (error) {
        for (const digest of left) released.add(digest);
        throw error;
      }
      return 'done';
    },
    clock,
    logger,
    signal,
  });
}

function digestsOfDeletedReleases({ informers }: ControllerContext, released: Set<string>): KeySource {
  return {
    synced: informers.releases.synced,
    subscribe: (enqueue) =>
      informers.releases.onChange({
        delete: ({ spec }) => {
          released.add(spec.digest);
          enqueue('content of deleted Releases' satisfies Sweep);
        },
      }),
  };
}

/**
 * At the start, and then now and then: every deletion of a Release is heard of, but not when a source moves on, or the last site lets go
 * of what it could have gone back to.
 */
function everySoOften({ informers, clock, signal }: ControllerContext): KeySource {
  const { releases, applications, sites, machineScripts: scripts } = informers;
  const findKeys = async () => {
    await Promise.all([releases.synced, applications.synced, sites.synced, scripts.synced]);
    return ['all content' satisfies Sweep];
  };
  return periodic({ clock, milliseconds: lookMilliseconds, signal, findKeys });
}

async function deleteUnused(ctx: ControllerContext, digests: readonly string[]): Promise<void> {
  const { informers, fleet, contentLock } = ctx;
  // Most is named, as far as is heard of here.
  const named = namesOf(informers.releases.list(), informers.applications.list(), informers.sites.list());
  for (const { spec } of informers.machineScripts.list()) named.add(sha256Digest(spec.script));
  const suspects: string[] = [];
  for (const digest of new Set(digests)) {
    if (!named.has(digest) && (await fleet.hasBlob(digest))) suspects.push(digest);
  }
  suspects.sort();
  for (let from = 0; from < suspects.length; from += judgedAtOnce) {
    const judged = suspects.slice(from, from + judgedAtOnce);
    // Who is to name one of them waits. In order, so that no two wait for each other.
    const work = judged.reduceRight(
      (inner, digest) => () => contentLock.run(digest, inner),
      () => deleteUnneeded(ctx, judged),
    );
    await work();
  }
}

/** Everything is read from the store: what is heard of lags behind. */
async function deleteUnneeded(
  { client, fleet, logger }: ControllerContext,
  digests: readonly string[],
): Promise<void> {
  const needed = namesOf(
    (await client.list<Release>(releases)).items,
    (await client.list<Application>(applications)).items,
    [],
  );
  const scripts = await client.list<MachineScript>(machineScripts);
  for (const { spec } of scripts.items) needed.add(sha256Digest(spec.script));
  // A site that is to run it, or to go back to it, may not have fetched it yet, or may have to fetch it again.
  for (const { phase, digest, terms } of (await fleet.listDeliveries({})).rows) {
    if (phase !== 'Wanted') continue;
    needed.add(digest);
    if (terms.fallback !== undefined) needed.add(terms.fallback.digest);
  }
  // Newer orders for a rack may be held back: those that it has name texts that its scripts had then.
  for (const { metadata, spec } of (await client.list<Site>(sites)).items) {
    if (spec?.rack === undefined) continue;
    const { policy } = await fleet.siteState(metadata.name);
    for (const { digest } of policy.rack?.scripts ?? []) needed.add(digest);
  }
  // Once more, and last: other hubs take in what mirrored sites bring, and know nothing of the locks.
  for (const digest of namesOf([], [], (await client.list<Site>(sites)).items)) needed.add(digest);
  for (const digest of digests) {
    if (needed.has(digest)) continue;
    await fleet.deleteBlob(digest);
    logger.debug('unused content deleted', { digest });
  }
}

/** What Releases are, what sources gave, and what mirrored sites have brought: a release may yet be made of these. */
function namesOf(
  releases: readonly Release[],
  applications: readonly Application[],
  sites: readonly Site[],
): Set<string> {
  return new Set([
    ...releases.map(({ spec }) => spec.digest),
    ...applications.flatMap(sourceDigests),
    ...sites.flatMap(({ status }) =>
      (status?.mirrors ?? []).flatMap(({ received }) => (received === undefined ? [] : [received])),
    ),
  ]);
}
