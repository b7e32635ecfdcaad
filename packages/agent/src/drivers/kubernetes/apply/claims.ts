import { isNotFound, isStatusError, type KubeObject } from '@selvedge/api';
import type { SiteCluster } from '../site-cluster.ts';
import { type ObjectRef, refKey } from '../release/planned-object.ts';
import { ApplyError, shownRef } from './apply-problem.ts';

/** Until the controller of a StatefulSet has taken notice. */
const retainedMs = 15_000;

const claimKind = { apiVersion: 'v1', kind: 'PersistentVolumeClaim' } as const;

/**
 * The claims that hold an item's data: its own, and those that StatefulSets made for it, whose names are made of the template's and the
 * set's. To be asked before the sets are deleted.
 */
export async function findClaims(
  { cluster }: SiteCluster,
  members: readonly ObjectRef[],
  signal: AbortSignal,
): Promise<ObjectRef[]> {
  const claims = new Map<string, ObjectRef>();
  const add = (ref: ObjectRef) => claims.set(refKey(ref), ref);
  for (const ref of members.filter(
    ({ kind, apiVersion }) => kind === claimKind.kind && apiVersion === 'v1',
  )) {
    if ((await cluster.find(ref, { metadata: true, signal })) !== undefined) add(ref);
  }
  for (const set of members.filter(
    ({ kind, apiVersion }) => kind === 'StatefulSet' && apiVersion.startsWith('apps/'),
  )) {
    const { namespace } = set;
    const templates = templatesOf(await cluster.find(set, { signal }));
    const resource = await cluster.api.findResource(claimKind.apiVersion, claimKind.kind);
    if (namespace === undefined || templates.length === 0 || resource === undefined) continue;
    const isOfSet = (name: string) =>
      templates.some((template) => {
        const start = `${template}-${set.name}-`;
        return name.startsWith(start) && /^\d+$/.test(name.slice(start.length));
      });
    try {
      for await (const { metadata } of cluster.list(resource, { namespace, signal })) {
        if (isOfSet(metadata.name)) add({ ...claimKind, namespace, name: metadata.name });
      }
    } catch (error) {
      if (!isNotFound(error) && !isStatusError(error, 'Forbidden')) throw error;
    }
  }
  return [...claims.values()];
}

/** A StatefulSet whose claims are deleted with it. */
export function takesClaimsAlong(set: KubeObject | undefined): boolean {
  const spec = set?.['spec'] as
    | { persistentVolumeClaimRetentionPolicy?: { whenDeleted?: string } }
    | undefined;
  return spec?.persistentVolumeClaimRetentionPolicy?.whenDeleted === 'Delete';
}

/**
 * Sees to it that the claims of a StatefulSet stay when it is deleted: its controller makes it their owner where the set says so, and has to
 * take that back first. Throws while it has not.
 */
export async function retainClaims(
  { cluster, clock }: Pick<SiteCluster, 'cluster' | 'clock'>,
  ref: ObjectRef,
  signal: AbortSignal,
): Promise<void> {
  const live = await cluster.find(ref, { signal });
  const { namespace } = ref;
  if (live === undefined || namespace === undefined) return;
  if (takesClaimsAlong(live)) {
    const policy = { persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Retain' } };
    await cluster.merge(ref, { spec: policy }, signal);
  }
  const resource = await cluster.api.findResource(claimKind.apiVersion, claimKind.kind);
  if (resource === undefined || templatesOf(live).length === 0) return;
  const until = clock.now().getTime() + retainedMs;
  while (!signal.aborted) {
    const owned: string[] = [];
    for await (const { metadata } of cluster.list(resource, { namespace, signal })) {
      if (metadata.ownerReferences?.some(({ uid }) => uid === live.metadata.uid)) owned.push(metadata.name);
    }
    if (owned.length === 0) return;
    if (clock.now().getTime() > until) {
      throw new ApplyError(
        'VolumesBound',
        `${shownRef(ref, namespace)}: waiting until its controller lets go of its claims, which would be deleted with it: ${owned.slice(0, 5).join(', ')}`,
        { isLasting: false },
      );
    }
    await clock.sleep(1000, signal);
  }
}

function templatesOf(set: KubeObject | undefined): string[] {
  const spec = set?.['spec'] as { volumeClaimTemplates?: { metadata?: { name?: string } }[] } | undefined;
  return (spec?.volumeClaimTemplates ?? []).flatMap(({ metadata }) => metadata?.name ?? []);
}
