import {
  badRequest,
  type Clock,
  isConflict,
  type ObjectClient,
  type Release,
  type ReleaseStatus,
  releases,
} from '@selvedge/api';
import type { AdmissionContext } from '@selvedge/apiserver';
import { withCondition } from '../rollout/conditions.ts';

export interface LiftOptions {
  readonly client: () => ObjectClient;
  readonly clock: Clock;
}

const maxReasonLength = 200;
const maxAttempts = 5;

/**
 * The action `releases/lift`: takes the condemnation of a Release away, so that it may be rolled out again. The body is
 * empty or `{reason}`. Throws `BadRequest` when the release is not condemned, `Conflict` when it is being lifted or was
 * condemned anew at the same time.
 */
export async function liftRelease(
  { client, clock }: LiftOptions,
  release: Release,
  { user, dryRun, body }: Pick<AdmissionContext, 'user' | 'dryRun'> & { body: unknown },
): Promise<Release> {
  const lift = { by: user.name, reason: reasonOf(body), time: clock.now().toISOString() };
  let present = release;
  for (let attempt = 1; ; attempt++) {
    const lifted = withoutCondemnation(present, lift);
    if (dryRun) return lifted;
    try {
      return await client().updateStatus(releases, lifted);
    } catch (error) {
      if (!isConflict(error) || attempt === maxAttempts) throw error;
      present = await client().get<Release>(releases, release.metadata);
      // The person spoke of the condemnation that stood there, not of one that came since.
      if (present.status?.condemned?.time !== release.status?.condemned?.time) throw error;
    }
  }
}

function withoutCondemnation(
  release: Release,
  { by, reason, time }: { by: string; reason: string | undefined; time: string },
): Release {
  const { condemned, ...rest } = release.status ?? {};
  if (!condemned) {
    throw badRequest(`Release ${release.metadata.name} is not condemned: there is nothing to lift`);
  }
  const why = reason === undefined ? '' : `: ${reason}`;
  const message = `Lifted by ${by}${why}. It was condemned in Rollout ${condemned.rollout} (${condemned.reason}).`;
  const finding = { type: 'Condemned', status: 'False', reason: 'Lifted', message } as const;
  const conditions = withCondition(rest.conditions ?? [], finding, time);
  const status: ReleaseStatus = { ...rest, lifted: { time, by }, conditions };
  return { ...release, status };
}

function reasonOf(body: unknown): string | undefined {
  if (body === null || typeof body !== 'object' || Array.isArray(body)) {
    throw badRequest('the body of lift must be empty or an object with a reason: {"reason": "…"}');
  }
  const reason: unknown = 'reason' in body ? body.reason : undefined;
  if (reason === undefined) return undefined;
  if (typeof reason !== 'string' || reason.length > maxReasonLength) {
    throw badRequest(`reason must be a text of at most ${maxReasonLength} characters`);
  }
  return reason.trim() === '' ? undefined : reason.trim();
}
