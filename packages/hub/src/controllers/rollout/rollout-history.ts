import type { Application, KubeObject, Rollout, RolloutPhase } from '@selvedge/api';
import { keyOfName } from '@selvedge/kube';
import { isOwnedBy } from '../application/build-release.ts';

/** `namespace/name` of the Application that a Release or Rollout belongs to. */
export function keyOfApplication(object: KubeObject & { spec: { application: string } }): string[] {
  const { namespace = '' } = object.metadata;
  return [keyOfName({ namespace, name: object.spec.application })];
}

/** n of `<application>-<n>`. */
export function rolloutNumber({ metadata }: Rollout): number {
  return numberOfRollout(metadata.name);
}

export function numberOfRollout(name: string): number {
  return Number(name.slice(name.lastIndexOf('-') + 1)) || 0;
}

/** The rollouts of this very application, newest first. */
export function latestFirst(rollouts: readonly Rollout[], application: Application): Rollout[] {
  return rollouts
    .filter((r) => r.spec.application === application.metadata.name && isOwnedBy(r, application))
    .sort((a, b) => rolloutNumber(b) - rolloutNumber(a));
}

const lastPhases: ReadonlySet<RolloutPhase> = new Set(['Completed', 'Superseded', 'Reverted', 'Aborted']);

/** Of a rollout that is no longer the newest: nothing will change it any more. */
export function isFinished({ status }: Rollout): boolean {
  return status?.phase !== undefined && lastPhases.has(status.phase);
}
