import { type Rollout, rollouts } from '@selvedge/api';
import type { ControllerContext } from '../controller-context.ts';
import { deleteIfPresent } from '../delete-if-present.ts';

/** Deletes the Rollout and the list of its members. */
export async function deleteRollout(
  { client, fleet }: ControllerContext,
  { metadata }: Rollout,
): Promise<void> {
  // Members first, so that a crash in between leaves a Rollout that leads here again.
  await fleet.removeRolloutMembers(metadata.uid ?? '');
  await deleteIfPresent(client, rollouts, metadata);
}
