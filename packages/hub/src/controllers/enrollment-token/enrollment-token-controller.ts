import { isDeepStrictEqual } from 'node:util';
import { type Condition, type EnrollmentToken, enrollmentTokens } from '@selvedge/api';
import { keysFromInformer, nameOfKey, type ReconcileResult, runController } from '@selvedge/kube';
import { expiryOf } from '../../resources/enrollment-token-definition.ts';
import { withCondition } from '../../rollout/conditions.ts';
import type { ControllerContext } from '../controller-context.ts';

/** Says on each EnrollmentToken whether it still lets agents in. The gateway judges by itself when one comes. */
export function runEnrollmentTokenController(ctx: ControllerContext): Promise<void> {
  const { informers, clock, logger, signal } = ctx;
  return runController({
    name: 'enrollmenttoken',
    sources: [keysFromInformer(informers.tokens)],
    reconcile: (key) => reconcile(ctx, key),
    clock,
    logger,
    signal,
  });
}

async function reconcile({ client, clock }: ControllerContext, key: string): Promise<ReconcileResult> {
  const token = await client.find<EnrollmentToken>(enrollmentTokens, nameOfKey(key));
  if (!token) return 'done';
  const now = clock.now();
  const before = token.status?.conditions ?? [];
  const conditions = withCondition(before, validity(token, now), now.toISOString());
  if (!isDeepStrictEqual(before, conditions)) {
    await client.updateStatus(enrollmentTokens, { ...token, status: { ...token.status, conditions } });
  }
  const secondsLeft = ((expiryOf(token)?.getTime() ?? 0) - now.getTime()) / 1000;
  return secondsLeft > 0 ? { requeueAfterSeconds: Math.ceil(secondsLeft) } : 'done';
}

function validity(
  token: EnrollmentToken,
  now: Date,
): Pick<Condition, 'type' | 'status' | 'reason' | 'message'> {
  const type = 'Valid';
  const expiry = expiryOf(token);
  const uses = token.spec.uses ?? 1;
  if (expiry !== undefined && expiry <= now) {
    const message = `It expired at ${expiry.toISOString()}: make a new one.`;
    return { type, status: 'False', reason: 'Expired', message };
  }
  if ((token.status?.usedCount ?? token.status?.used?.length ?? 0) >= uses) {
    const message = `It was used by ${uses} ${uses === 1 ? 'agent' : 'agents'}: make a new one to let another join.`;
    return { type, status: 'False', reason: 'UsedUp', message };
  }
  return {
    type,
    status: 'True',
    reason: 'Usable',
    message: `Agents can join until ${expiry?.toISOString()}.`,
  };
}
