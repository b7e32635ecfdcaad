import { isDeepStrictEqual } from 'node:util';
import {
  type FieldError,
  fieldForbidden,
  fieldInvalid,
  type Rollout,
  type RolloutSpec,
  resourceName,
  rollouts,
  StatusError,
} from '@selvedge/api';
import type { AdmissionContext } from '@selvedge/apiserver';
import { defaultWaves } from '../rollout/resolve-strategy.ts';

/** What a person decides of a rollout under way: more than editing, for it lets a release out or takes it back. */
const decisions = ['approvedWaves', 'waivedWaves', 'stop'] as const;

/** Throws `Forbidden` when a decision changes and the user has not the verb `approve` on this Rollout. */
export function refuseUnapproved(
  rollout: Rollout,
  previous: Rollout | undefined,
  { user, authorizer }: AdmissionContext,
): void {
  const changed = decisions.filter((field) => !isSameDecision(rollout.spec, previous?.spec, field));
  if (changed.length === 0) return;
  const { name, namespace } = rollout.metadata;
  const { group, plural: resource } = rollouts;
  if (authorizer.decide(user, { verb: 'approve', group, resource, namespace, name }).allowed) return;
  const fields = changed.map((field) => `spec.${field}`).join(', ');
  throw new StatusError(
    'Forbidden',
    `${resourceName(rollouts)} "${name}" is forbidden: to change ${fields}, user ${JSON.stringify(user.name)} needs the ` +
      `verb "approve" on resource "${resource}" in API group "${group}" in the namespace "${namespace}" ` +
      '(ClusterRole selvedge:release-approver gives it)',
    { details: { name, group, kind: resource } },
  );
}

/** Lists of waves are sets. */
function isSameDecision(
  spec: RolloutSpec,
  previous: RolloutSpec | undefined,
  field: (typeof decisions)[number],
): boolean {
  if (field === 'stop') return spec.stop === previous?.stop;
  const sorted = (waves: readonly string[] = []) => [...new Set(waves)].sort();
  return isDeepStrictEqual(sorted(spec[field]), sorted(previous?.[field]));
}

/** Decisions that make no sense: on waves that there are not, and taking back what has been done already. */
export function validateDecisions({ spec }: Rollout, previous: Rollout | undefined): FieldError[] {
  const names = (spec.strategy.waves ?? defaultWaves).map((wave) => wave.name);
  const errors = (['approvedWaves', 'waivedWaves'] as const).flatMap((field) =>
    (spec[field] ?? []).flatMap((wave, index) =>
      names.includes(wave)
        ? []
        : [fieldInvalid(`spec.${field}[${index}]`, wave, `is no wave of this rollout: ${names.join(', ')}`)],
    ),
  );
  if (previous?.spec.stop === 'Revert' && spec.stop !== 'Revert') {
    const why = 'a revert cannot be taken back: lift the release, and it is rolled out again';
    errors.push(fieldForbidden('spec.stop', why));
  }
  return errors;
}
