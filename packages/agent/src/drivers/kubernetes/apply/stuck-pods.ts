import type { KubeObject } from '@selvedge/api';
import { findCondition, numberAt, textAt } from '../health/read-fields.ts';
import type { ItemObservation } from '../observe/observer.ts';
import { findPodFault } from '../observe/pod-problem.ts';
import { ownPodsOf } from '../observe/problem-finder.ts';
import type { ObjectRef } from '../release/planned-object.ts';
import { releasePodsTask, type SiteCluster } from '../site-cluster.ts';

/** Between two looks at StatefulSets that are not as they should be. */
const lookMs = 15_000;
/** A pod that is only not ready may become so by itself. */
const patienceMs = 60_000;

/**
 * A StatefulSet whose pods come in order waits for a broken pod of a former revision for ever, also when the template was mended or taken
 * back (kubernetes.io: StatefulSets, "Forced rollback"). That pod is deleted here, so that its successor is made of the revision that is
 * wanted; its claims stay. Pods that are ready, or of the wanted revision, are never touched.
 */
export class StuckPods {
  readonly #site: SiteCluster;
  readonly #itemUid: string;
  #nextLook = 0;
  /** By uid of the pod: since when it was seen not to be ready (ms). */
  #unready = new Map<string, number>();

  constructor(site: SiteCluster, itemUid: string) {
    this.#site = site;
    this.#itemUid = itemUid;
  }

  /** Begins what is to be done now. @returns when to look again (ms). */
  act({ objects }: ItemObservation, now: number): number {
    const sets = objects
      .filter(({ ref, exists, health }) => isStatefulSet(ref) && exists && health.status !== 'Current')
      .map(({ ref }) => ref);
    if (sets.length === 0) {
      this.#nextLook = 0;
      return Number.POSITIVE_INFINITY;
    }
    if (now >= this.#nextLook) {
      this.#nextLook = now + lookMs;
      this.#site.tasks.begin(releasePodsTask(this.#itemUid), () => this.#release(sets));
    }
    return this.#nextLook;
  }

  async #release(sets: readonly ObjectRef[]): Promise<void> {
    const { cluster, logger, signal } = this.#site;
    const unready = new Map<string, number>();
    for (const ref of sets) {
      const set = await cluster.find(ref, { signal });
      if (set === undefined || !waitsForItsPods(set)) continue;
      const pods = await ownPodsOf(cluster.api, set, signal);
      const stuck = pods.find((pod) => this.#isStuck(pod, set, unready));
      if (stuck === undefined || signal.aborted) continue;
      const { name, namespace = '' } = stuck.metadata;
      logger.info('deleting a broken pod of a former revision, which its StatefulSet waits for', {
        pod: `${namespace}/${name}`,
        statefulSet: ref.name,
        revision: revisionOf(stuck),
        wanted: textAt(set, 'status.updateRevision'),
      });
      await cluster.delete({ apiVersion: 'v1', kind: 'Pod', namespace, name }, stuck, signal);
    }
    this.#unready = unready;
  }

  #isStuck(pod: KubeObject, set: KubeObject, unready: Map<string, number>): boolean {
    const { uid = '', deletionTimestamp } = pod.metadata;
    const revision = revisionOf(pod);
    const isWanted = revision === undefined || revision === textAt(set, 'status.updateRevision');
    if (isWanted || deletionTimestamp !== undefined || isKept(pod, set)) return false;
    if (findCondition(pod, 'Ready')?.status === 'True') return false;
    const now = this.#site.clock.now().getTime();
    const since = this.#unready.get(uid) ?? now;
    unready.set(uid, since);
    const fault = findPodFault(pod);
    return (fault !== undefined && fault.isVague !== true) || now - since >= patienceMs;
  }
}

const isStatefulSet = ({ apiVersion, kind }: ObjectRef): boolean =>
  apiVersion.startsWith('apps/') && kind === 'StatefulSet';

/** Its controller has seen the newest template, and replaces pods only one after the other. */
function waitsForItsPods(set: KubeObject): boolean {
  const { generation = 0, deletionTimestamp } = set.metadata;
  return (
    deletionTimestamp === undefined &&
    (numberAt(set, 'status.observedGeneration') ?? -1) >= generation &&
    textAt(set, 'spec.podManagementPolicy') !== 'Parallel' &&
    textAt(set, 'spec.updateStrategy.type') !== 'OnDelete'
  );
}

/** Below the partition pods keep their revision. */
function isKept({ metadata: { name } }: KubeObject, set: KubeObject): boolean {
  const partition = numberAt(set, 'spec.updateStrategy.rollingUpdate.partition') ?? 0;
  return Number(name.slice(name.lastIndexOf('-') + 1)) < partition;
}

const revisionOf = ({ metadata: { labels } }: KubeObject): string | undefined =>
  labels?.['controller-revision-hash'];
