import type { Application } from '@selvedge/api';
import type { DeliveryRow } from '@selvedge/store';
import type { PlannedAssignment } from '../../rollout/rollout-input.ts';
import type { ControllerContext } from '../controller-context.ts';
import { countRemoval, findStillHeld, holdRemoval, judgeApplicationRemoval } from './application-guard.ts';

export interface Takeover {
  /** What is stored now. */
  readonly application: Application;
  /** Absent: what former Applications of this name left may be replaced. */
  readonly lookInSeconds?: number;
}

/**
 * Whether this Application may replace what sites run by order of a former one of its name, whose removal nobody ordered: its
 * finalizer was taken away by force, or a site brought it back to a restored hub. To the site that is a removal, so
 * the guard judges it; as one, before the first wave takes the first of them. Its answer holds for what was there then.
 */
export async function passTakeover(
  ctx: ControllerContext,
  application: Application,
  former: readonly DeliveryRow[],
): Promise<Takeover> {
  const allowedUntil = application.status?.takeoverTime ?? '';
  const pending = former.filter(({ assignedAt }) => assignedAt > allowedUntil);
  if (pending.length === 0) return { application };
  const removal = {
    targets: pending.map(({ site }) => site),
    rows: former,
    what: `${application.metadata.name} was made anew and is to replace what a former ${application.metadata.name} left`,
  };
  const now = ctx.clock.now();
  const stillHeldSeconds = findStillHeld(application, removal, now);
  if (stillHeldSeconds !== undefined) return { application, lookInSeconds: stillHeldSeconds };
  const judged = judgeApplicationRemoval(application, removal, now);
  if (judged.verdict.kind === 'Held') {
    const { verdict } = judged;
    const lookInSeconds = await holdRemoval(ctx, application, { ...judged, verdict });
    return { application, lookInSeconds };
  }
  const takeoverTime = now.toISOString();
  const allowed = { ...application, status: { ...application.status, takeoverTime } };
  return { application: await countRemoval(ctx, allowed, removal) };
}

/**
 * The assignments that replace nothing of a former Application while that is held; once it is not, the site goes back to what ran
 * there, and keeps it until the new release is activated.
 */
export function withFormer(
  assignments: readonly PlannedAssignment[],
  former: readonly DeliveryRow[],
  isHeld: boolean,
): PlannedAssignment[] {
  const bySite = new Map(former.map((row) => [row.site, row]));
  return assignments.flatMap((assignment) => {
    const row = bySite.get(assignment.site);
    if (row === undefined) return [assignment];
    if (isHeld) return [];
    const { terms, digest } = assignment;
    if (terms.fallback !== undefined || row.digest === digest) return [assignment];
    const fallback = { release: row.release, digest: row.digest };
    return [{ ...assignment, terms: { ...terms, fallback } }];
  });
}
