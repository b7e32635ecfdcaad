import { isAlreadyExists, type KubeObject } from '@selvedge/api';
import type { ReconcileResult } from '@selvedge/kube';
import { makePod } from './pod-making.ts';
import { counts, deleteObject, listOwned, patchStatus, type Simulation, templateHash } from './simulation.ts';
import { isReady, type Pod, type Workload } from './workload-objects.ts';
import { persistentVolumeClaims, pods, statefulSets } from './workload-resources.ts';

const revisionLabel = 'controller-revision-hash';

/** pkg/controller/statefulset: pods by ordinal, one after the other unless `Parallel`, updated from the highest ordinal down. */
export async function reconcileStatefulSet(simulation: Simulation, set: Workload): Promise<ReconcileResult> {
  if (set.metadata.deletionTimestamp !== undefined) return 'done';
  const { name } = set.metadata;
  const wanted = set.spec.replicas ?? 1;
  const updateRevision = `${name}-${templateHash(set.spec.template)}`;
  const owned = (await listOwned<Pod>(simulation, pods, set)).toSorted((a, b) => ordinalOf(a) - ordinalOf(b));
  await act(simulation, { set, wanted, owned, updateRevision });
  const inRange = owned.filter(
    (pod) => ordinalOf(pod) < wanted || pod.metadata.deletionTimestamp === undefined,
  );
  const updated = inRange.filter((pod) => revisionOf(pod) === updateRevision);
  const ready = inRange.filter(isReady).length;
  const isComplete = updated.length === wanted && inRange.length === wanted && ready === wanted;
  const before = set.status?.['currentRevision'];
  const currentRevision = isComplete || typeof before !== 'string' ? updateRevision : before;
  const current = inRange.filter((pod) => revisionOf(pod) === currentRevision);
  await patchStatus(simulation, [statefulSets, set], {
    observedGeneration: set.metadata.generation,
    replicas: inRange.length,
    ...counts({
      readyReplicas: ready,
      currentReplicas: current.length,
      updatedReplicas: currentRevision === updateRevision ? current.length : updated.length,
    }),
    availableReplicas: ready,
    currentRevision,
    updateRevision,
    collisionCount: 0,
  });
  return isComplete ? 'done' : { requeueAfterSeconds: 0.5 };
}

interface Step {
  readonly set: Workload;
  readonly wanted: number;
  readonly owned: readonly Pod[];
  readonly updateRevision: string;
}

async function act(simulation: Simulation, { set, wanted, owned, updateRevision }: Step): Promise<void> {
  const isOrdered = set.spec.podManagementPolicy !== 'Parallel';
  for (let ordinal = 0; ordinal < wanted; ordinal += 1) {
    const pod = owned.find((candidate) => ordinalOf(candidate) === ordinal);
    if (!pod) await makeMember(simulation, set, { ordinal, updateRevision });
    // A broken pod of an old revision is not replaced by the real one either (kubernetes issue 67250).
    if (isOrdered && (!pod || !isReady(pod))) return;
  }
  const tooMany = owned.filter((pod) => ordinalOf(pod) >= wanted);
  for (const pod of tooMany.toReversed().slice(0, isOrdered ? 1 : tooMany.length)) {
    await deleteObject(simulation, [pods, pod]);
  }
  if (tooMany.length > 0 || set.spec.updateStrategy?.type === 'OnDelete') return;
  const partition = set.spec.updateStrategy?.rollingUpdate?.partition ?? 0;
  for (const pod of owned.toReversed()) {
    if (ordinalOf(pod) < partition) return;
    if (revisionOf(pod) !== updateRevision) return deleteObject(simulation, [pods, pod]);
    if (!isReady(pod)) return;
  }
}

async function makeMember(
  simulation: Simulation,
  set: Workload,
  { ordinal, updateRevision }: { ordinal: number; updateRevision: string },
): Promise<void> {
  const name = `${set.metadata.name}-${ordinal}`;
  const claims = set.spec.volumeClaimTemplates ?? [];
  for (const claim of claims) {
    await makeClaim(simulation, {
      ...claim,
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: {
        ...claim.metadata,
        name: `${claim.metadata.name}-${name}`,
        namespace: set.metadata.namespace ?? '',
        labels: set.spec.selector?.matchLabels ?? {},
      },
    });
  }
  const volumes = claims.map(({ metadata }) => ({
    name: metadata.name,
    persistentVolumeClaim: { claimName: `${metadata.name}-${name}` },
  }));
  const given = (set.spec.template.spec as { volumes?: readonly object[] }).volumes ?? [];
  await makePod(simulation, {
    owner: set,
    name,
    template: set.spec.template,
    labels: {
      'statefulset.kubernetes.io/pod-name': name,
      'apps.kubernetes.io/pod-index': String(ordinal),
      [revisionLabel]: updateRevision,
    },
    spec: {
      hostname: name,
      ...(volumes.length + given.length > 0 ? { volumes: [...given, ...volumes] } : {}),
    },
  });
}

async function makeClaim({ client }: Simulation, claim: KubeObject): Promise<void> {
  try {
    await client.create(persistentVolumeClaims, claim);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
}

const ordinalOf = (pod: Pod): number => Number(pod.metadata.name.split('-').at(-1));
const revisionOf = (pod: Pod): string | undefined => pod.metadata.labels?.[revisionLabel];
