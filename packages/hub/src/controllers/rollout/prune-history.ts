import { type Application, type Rollout, releases } from '@selvedge/api';
import type { DeliveryRow } from '@selvedge/store';
import { isOwnedBy } from '../application/build-release.ts';
import { deleteIfPresent } from '../delete-if-present.ts';
import type { ControllerContext } from '../controller-context.ts';
import { deleteRollout } from './delete-rollout.ts';
import { findApprovedRelease } from './release-facts.ts';
import { isFinished } from './rollout-history.ts';

/** Finished rollouts kept beside the newest. */
const keptRollouts = 10;

/**
 * Deletes old finished rollouts, and the Releases that nothing needs any more: no rollout names them, no site runs or goes back to
 * them, they are neither the approved one nor condemned (which has to be remembered). `history` is the application's
 * rollouts, newest first.
 */
export async function pruneHistory(
  ctx: ControllerContext,
  application: Application,
  history: readonly Rollout[],
): Promise<void> {
  const { fleet, informers } = ctx;
  const { name, namespace = '' } = application.metadata;
  const candidates = history.slice(1 + keptRollouts).filter(isFinished);
  if (candidates.length === 0) return;
  const own = informers.releases
    .list(namespace)
    .filter((release) => release.spec.application === name && isOwnedBy(release, application));
  const approved = findApprovedRelease(own, history);
  // Its rollout says how new it is.
  const approving = history.find((rollout) => rollout.spec.release === approved);
  const old = candidates.filter((rollout) => rollout !== approving);
  if (old.length === 0) return;
  for (const rollout of old) await deleteRollout(ctx, rollout);
  const { rows } = await fleet.listDeliveries({ namespace, application: name });
  const inUse = new Set([
    ...rows.flatMap(releasesOf),
    ...history.filter((rollout) => !old.includes(rollout)).map((rollout) => rollout.spec.release),
    ...[approved, application.status?.release].filter((release) => release !== undefined),
  ]);
  for (const release of own) {
    const isNeeded = inUse.has(release.metadata.name) || release.status?.condemned !== undefined;
    if (!isNeeded) await deleteIfPresent(ctx.client, releases, release.metadata);
  }
}

function releasesOf({ phase, release, terms }: DeliveryRow): string[] {
  if (phase !== 'Wanted') return [];
  return terms.fallback ? [release, terms.fallback.release] : [release];
}
