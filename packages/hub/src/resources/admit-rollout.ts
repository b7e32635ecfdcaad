import { isDeepStrictEqual } from 'node:util';
import {
  type FieldError,
  fieldForbidden,
  fieldInvalid,
  type KubeObject,
  type ResourceRef,
  type Rollout,
  type RolloutSpec,
  rollouts,
} from '@selvedge/api';
import type { AdmissionContext } from '@selvedge/apiserver';
import { defaultWaves } from '../rollout/resolve-strategy.ts';
import { requireApproval } from './require-approval.ts';

/** What a person decides of a rollout under way: more than editing, for it lets a release out or takes it back. */
const decisions: Readonly<Record<string, (spec: RolloutSpec | undefined) => unknown>> = {
  'spec.approvedWaves': (spec) => asSet(spec?.approvedWaves),
  'spec.waivedWaves': (spec) => asSet(spec?.waivedWaves),
  'spec.stop': (spec) => spec?.stop,
  'spec.strategy.budget': (spec) => spec?.strategy.budget?.failed ?? 0,
  'spec.strategy.deadline': (spec) => spec?.strategy.deadline ?? '10m',
};

const asSet = (waves: readonly string[] = []) => [...new Set(waves)].sort();

/** Throws `Forbidden` when a decision changes and the user has not the verb `approve` on this Rollout. */
export function refuseUnapproved(
  rollout: Rollout,
  previous: Rollout | undefined,
  context: AdmissionContext,
): void {
  const changed = Object.entries(decisions)
    .filter(([, valueOf]) => !isDeepStrictEqual(valueOf(rollout.spec), valueOf(previous?.spec)))
    .map(([field]) => field);
  if (changed.length === 0) return;
  requireApproval(`change ${changed.join(', ')}`, { object: rollout, ref: rollouts }, context);
}

const applicationLabel = 'selvedge.dev/application';

/** What ties a Rollout or Release to its Application. */
const ties: Readonly<Record<string, (metadata: KubeObject['metadata'] | undefined) => unknown>> = {
  'metadata.ownerReferences': (metadata) => metadata?.ownerReferences ?? [],
  'metadata.finalizers': (metadata) => metadata?.finalizers ?? [],
  [`metadata.labels[${applicationLabel}]`]: (metadata) => metadata?.labels?.[applicationLabel],
};

/**
 * Throws `Forbidden` when what ties a Rollout or Release to its Application changes and the user has not the verb `approve` on
 * rollouts: one that is no longer the application's is made anew, without the decisions that were taken.
 */
export function admitTies(
  ref: ResourceRef,
): (object: KubeObject, previous: KubeObject | undefined, context: AdmissionContext) => Promise<void> {
  return async (object, previous, context) => {
    const changed = Object.entries(ties)
      .filter(([, valueOf]) => !isDeepStrictEqual(valueOf(object.metadata), valueOf(previous?.metadata)))
      .map(([field]) => field);
    if (changed.length === 0) return;
    requireApproval(`change ${changed.join(', ')}`, { object, ref, verbOn: rollouts }, context);
  };
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
