import { isDeepStrictEqual } from 'node:util';
import { type Application, applications, rollouts, type RolloutStrategy, type Wave } from '@selvedge/api';
import type { AdmissionContext } from '@selvedge/apiserver';
import { requireApproval } from './require-approval.ts';

/**
 * Throws `Forbidden` when the strategy of an Application that has a Rollout lets sites have the next release without the person
 * that it asked for so far, and the user has not the verb `approve` on rollouts.
 */
export function refuseWeakerGates(
  application: Application,
  previous: Application | undefined,
  context: AdmissionContext,
): void {
  if (previous?.status?.rollout === undefined) return;
  const weakened = findWeakenedGate(application.spec.rollout, previous.spec.rollout);
  if (weakened === undefined) return;
  const act = `let sites have a release before wave ${weakened} is approved, which they had not (spec.rollout.waves)`;
  requireApproval(act, { object: application, ref: applications, verbOn: rollouts }, context);
}

/** The first wave with `approval: Manual` that is gone, asks for none any more, or has other unasked waves before it. */
function findWeakenedGate(
  now: RolloutStrategy | undefined,
  before: RolloutStrategy | undefined,
): string | undefined {
  const gates = (before?.waves ?? []).filter(isManual).map(({ name }) => name);
  return gates.find((gate) => {
    const waves = now?.waves ?? [];
    if (!waves.some((wave) => wave.name === gate && isManual(wave))) return true;
    const known = unaskedBefore(gate, before?.waves ?? []);
    return unaskedBefore(gate, waves).some(
      (reach) => !known.some((other) => isDeepStrictEqual(reach, other)),
    );
  });
}

/** Which sites the waves before this one reach that no person is asked about. */
function unaskedBefore(gate: string, waves: readonly Wave[]): unknown[] {
  const position = waves.findIndex(({ name }) => name === gate);
  return waves
    .slice(0, position)
    .filter((wave) => !isManual(wave))
    .map(({ sites, percent, siteNames, siteSelector }) => [sites, percent, siteNames, siteSelector]);
}

const isManual = ({ approval }: Wave): boolean => approval === 'Manual';
