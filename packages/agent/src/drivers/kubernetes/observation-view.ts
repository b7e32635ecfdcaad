import type { ItemObservation } from './observe/observer.ts';
import { groupOf } from './release/apply-phase.ts';
import { podOwnerOf } from './release/node-groups.ts';
import type { PlannedRelease } from './release/plan-release.ts';
import { type ObjectRef, refKey } from './release/planned-object.ts';
import type { ItemRecord } from './state/item-record.ts';

/** How long a release without readiness probes has to be whole. */
const unprovenMs = 5_000;

export function isCurrent({ objects }: ItemObservation): boolean {
  return objects.every(({ exists, health }) => exists && health.status === 'Current');
}

/** Without a readiness probe a container is ready the moment it starts, also one that ends at once. */
export function trialMs({ objects }: PlannedRelease): number {
  const isUnproven = objects.some(({ object }) => {
    if (object.apiVersion !== 'apps/v1') return false;
    const spec = podOwnerOf(object)?.['spec'] as { containers?: { readinessProbe?: unknown }[] } | undefined;
    return spec?.containers?.some(({ readinessProbe }) => readinessProbe === undefined) === true;
  });
  return isUnproven ? unprovenMs : 0;
}

export function isJob({ apiVersion, kind }: ObjectRef): boolean {
  return kind === 'Job' && groupOf(apiVersion) === 'batch';
}

/**
 * A Job, or a pod that is not started again, may be deleted when it has ended (`ttlSecondsAfterFinished`): its work is done. Notes in the
 * record which have.
 */
export function withFinishedJobs(record: ItemRecord, seen: ItemObservation): ItemObservation {
  const ended = seen.objects.filter(({ isDone }) => isDone === true);
  const before = record.finished ?? [];
  const finished = new Set([...before, ...ended.map(({ ref }) => refKey(ref))]);
  if (finished.size > before.length) record.finished = [...finished];
  if (finished.size === 0) return seen;
  const objects = seen.objects.map((object) =>
    !object.exists && finished.has(refKey(object.ref))
      ? { ref: object.ref, exists: true, health: { status: 'Current' as const }, drift: [] }
      : object,
  );
  return { ...seen, objects };
}
