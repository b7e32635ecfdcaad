import { type Application, isNotFound, type Rollout, rollouts } from '@selvedge/api';
import { deleteRelease } from '../application/release-content.ts';
import { isOwnedBy } from '../application/build-release.ts';
import type { ControllerContext } from '../controller-context.ts';
import { isFinished } from './rollout-history.ts';

/** Finished rollouts kept beside the newest. */
const keptRollouts = 10;

/**
 * Deletes old finished rollouts, and Releases that no rollout names any more and no site is to run. `history` is the
 * application's rollouts, newest first.
 */
export async function pruneHistory(
  ctx: ControllerContext,
  application: Application,
  history: readonly Rollout[],
): Promise<void> {
  const { client, fleet, informers } = ctx;
  const old = history.slice(1 + keptRollouts).filter(isFinished);
  if (old.length === 0) return;
  const { name, namespace = '' } = application.metadata;
  for (const rollout of old) {
    // First, so that a crash in between leaves a Rollout that leads here again.
    await fleet.removeRolloutMembers(rollout.metadata.uid ?? '');
    await client.delete(rollouts, rollout.metadata).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  }
  const { rows } = await fleet.listDeliveries({ namespace, application: name });
  const inUse = new Set(rows.map((row) => row.release));
  for (const rollout of history) if (!old.includes(rollout)) inUse.add(rollout.spec.release);
  if (application.status?.release !== undefined) inUse.add(application.status.release);
  for (const release of informers.releases.list(namespace)) {
    const isOurs = release.spec.application === name && isOwnedBy(release, application);
    if (isOurs && !inUse.has(release.metadata.name)) await deleteRelease(ctx, release);
  }
}
