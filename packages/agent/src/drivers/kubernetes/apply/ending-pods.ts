import { isNotFound, isStatusError, type KubeObject } from '@selvedge/api';
import type { SiteCluster } from '../site-cluster.ts';
import { applicationOf } from '../../resolve-for-site.ts';
import { podSelectorOf } from '../release/plan-release.ts';
import type { ObjectRef } from '../release/planned-object.ts';
import { terminatingError } from './object-applier.ts';

/** Then it is said what is still ending, and waited for again. */
const patienceMs = 15_000;

/**
 * Waits until the pods of an application whose workloads are gone have ended too: Kubernetes deletes them in the background. Throws, naming
 * them, while some are left: call it again. `hasHeirs`: an application of the same name has taken over some workloads, whose pods stay.
 */
export async function waitForPods(
  { cluster, clock }: Pick<SiteCluster, 'cluster' | 'clock'>,
  itemId: string,
  options: {
    readonly namespaces: Iterable<string>;
    readonly hasHeirs: boolean;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { namespace } = applicationOf(itemId);
  const { signal, hasHeirs } = options;
  const until = clock.now().getTime() + patienceMs;
  let places = [...new Set(options.namespaces)];
  for (let pauseMs = 200; !signal.aborted; pauseMs = Math.min(pauseMs * 2, 4000)) {
    const left: { ref: ObjectRef; live: KubeObject }[] = [];
    for (const place of places) {
      for (const live of await podsIn(cluster, place, { labelSelector: podSelectorOf(itemId), signal })) {
        if (!isEnding(live, hasHeirs)) continue;
        const { name } = live.metadata;
        left.push({ ref: { apiVersion: 'v1', kind: 'Pod', namespace: place, name }, live });
      }
    }
    if (left.length === 0) return;
    if (clock.now().getTime() > until) throw terminatingError(left, namespace);
    places = [...new Set(left.flatMap(({ ref }) => ref.namespace ?? []))];
    await clock.sleep(pauseMs, signal);
  }
}

/** Pods that somebody made by hand and labelled so are nobody's business. */
function isEnding({ metadata }: KubeObject, hasHeirs: boolean): boolean {
  if (metadata.deletionTimestamp !== undefined) return true;
  return !hasHeirs && (metadata.ownerReferences ?? []).some(({ controller }) => controller === true);
}

async function podsIn(
  cluster: SiteCluster['cluster'],
  namespace: string,
  options: { readonly labelSelector: string; readonly signal: AbortSignal },
): Promise<KubeObject[]> {
  const resource = await cluster.api.findResource('v1', 'Pod');
  const found: KubeObject[] = [];
  if (resource === undefined) return found;
  try {
    for await (const pod of cluster.list(resource, { namespace, ...options })) found.push(pod);
  } catch (error) {
    // Who may not see pods cannot wait for them.
    if (!isNotFound(error) && !isStatusError(error, 'Forbidden')) throw error;
  }
  return found;
}
