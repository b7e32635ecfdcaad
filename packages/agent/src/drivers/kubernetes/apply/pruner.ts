import { type Clock, isNotFound, isStatusError, type KubeObject } from '@selvedge/api';
import type { ApiResource } from '../api/kube-api.ts';
import { ApiUnreachable } from '../api/kube-connection.ts';
import { applyPhases, groupOf, phaseOf } from '../release/apply-phase.ts';
import { partOfLabel } from '../release/plan-release.ts';
import { type ObjectRef, refKey } from '../release/planned-object.ts';
import { shownRef } from './apply-problem.ts';
import { retainClaims } from './claims.ts';
import { type ApplySet, partOf } from './apply-set.ts';
import type { ApiGroup, Cluster } from './cluster.ts';
import { eachInFlight } from './in-flight.ts';
import { madeByAnnotation, terminatingError } from './object-applier.ts';

const inFlight = 8;
/** Until the objects of one phase are gone; then the next one goes too, and all are waited for at the end. */
const phaseMs = 60_000;

export interface PruneContext {
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly set: ApplySet;
  readonly itemUid: string;
  /** Of the application. */
  readonly namespace: string;
  readonly signal: AbortSignal;
}

export interface PruneOptions {
  /** Data too: claims, volumes, namespaces with claims in them. */
  readonly withVolumes: boolean;
  /** Claims that hold the application's data without being members: made by its StatefulSets. */
  readonly claims: readonly ObjectRef[];
  /** Each phase, and all at the end, until they are gone; else only until deletion was accepted. */
  readonly isAwaited: boolean;
}

/** Deletes members of an ApplySet. Each object is looked at right before: what is no member (any more) is left alone. */
export class Pruner {
  readonly #context: PruneContext;

  constructor(context: PruneContext) {
    this.#context = context;
  }

  /** @returns what stays, as `Kind/name`. Throws while something is not gone yet, when that is awaited. Call it again to go on. */
  async prune(refs: readonly ObjectRef[], options: PruneOptions): Promise<string[]> {
    const kept: string[] = [];
    const going: ObjectRef[] = [];
    for (const phase of applyPhases.toReversed()) {
      const goingNow: ObjectRef[] = [];
      const ofPhase = refs.filter((ref) => phaseOf(ref) === phase);
      await eachInFlight(ofPhase, inFlight, async (ref) => {
        if (this.#context.signal.aborted) return;
        const fate = await this.#remove(ref, options);
        if (fate === 'Kept') kept.push(shownRef(ref, this.#context.namespace));
        if (fate === 'Going') goingNow.push(ref);
      });
      if (this.#context.signal.aborted) return kept;
      if (options.isAwaited) going.push(...(await this.#waitUntilGone(goingNow)));
    }
    const left = await this.#findMembers(going);
    if (left.length > 0) throw terminatingError(left, this.#context.namespace);
    return kept.sort();
  }

  /** Takes our label off: from then on the objects are nobody's. */
  async letGo(refs: readonly ObjectRef[]): Promise<string[]> {
    const left: string[] = [];
    await eachInFlight(refs, inFlight, async (ref) => {
      if (this.#context.signal.aborted) return;
      const live = await this.#findMember(ref);
      if (live === undefined) return;
      await this.#unlabel(ref);
      left.push(shownRef(ref, this.#context.namespace));
    });
    return left.sort();
  }

  async #remove(ref: ObjectRef, options: PruneOptions): Promise<'Gone' | 'Going' | 'Kept'> {
    const { cluster, signal } = this.#context;
    const live = await this.#findMember(ref);
    if (live === undefined) return 'Gone';
    if (live.metadata.deletionTimestamp !== undefined) return 'Going';
    if (await this.#mayGo(ref, live, options)) {
      const isSet = ref.kind === 'StatefulSet' && groupOf(ref.apiVersion) === 'apps';
      if (isSet && !options.withVolumes) await retainClaims(this.#context, ref, signal);
      return await cluster.delete(ref, live, signal);
    }
    await this.#unlabel(ref);
    return 'Kept';
  }

  async #mayGo(ref: ObjectRef, live: KubeObject, options: PruneOptions): Promise<boolean> {
    const group = groupOf(ref.apiVersion);
    if (group === '' && (ref.kind === 'PersistentVolumeClaim' || ref.kind === 'PersistentVolume')) {
      return options.withVolumes;
    }
    if (group === '' && ref.kind === 'Namespace') {
      const isMadeByUs = live.metadata.annotations?.[madeByAnnotation] !== undefined;
      return isMadeByUs && !(await this.#holdsOthers(ref.name, options));
    }
    if (group === 'apiextensions.k8s.io') return !(await this.#isUsedByOthers(ref));
    return true;
  }

  /** Objects of a kind go with its definition, whoever made them. */
  async #isUsedByOthers(ref: ObjectRef): Promise<boolean> {
    const { cluster, signal } = this.#context;
    const live = await cluster.find(ref, { signal });
    const spec = live?.['spec'] as { group: string; names: { kind: string } } | undefined;
    if (spec === undefined) return false;
    const resource = await cluster.findGroupKind(`${spec.names.kind}.${spec.group}`);
    return resource !== undefined && (await this.#hasOthers(resource, { isExcused: () => false }));
  }

  async #holdsOthers(namespace: string, { withVolumes, claims }: PruneOptions): Promise<boolean> {
    const resources = await this.#namespacedResources();
    if (resources === undefined) return true;
    const kinds = new Set(resources.map(({ group, kind }) => `${group}/${kind}`));
    const ownClaims = new Set(claims.map(refKey));
    for (const resource of resources) {
      const isClaim = resource.group === '' && resource.plural === 'persistentvolumeclaims';
      const isExcused = ({ apiVersion, kind, metadata }: KubeObject): boolean => {
        if (isClaim)
          return withVolumes && ownClaims.has(refKey({ apiVersion, kind, namespace, name: metadata.name }));
        // Its owner is in the namespace too, and judged by itself.
        const owners = metadata.ownerReferences ?? [];
        return (
          owners.length > 0 &&
          owners.every((owner) => kinds.has(`${groupOf(owner.apiVersion)}/${owner.kind}`))
        );
      };
      const keepsAll = isClaim && !withVolumes;
      if (await this.#hasOthers(resource, { namespace, isExcused, countsMembers: keepsAll })) return true;
    }
    return false;
  }

  /** What is no member, not made by Kubernetes itself in every namespace, and not excused. `countsMembers`: these too. */
  async #hasOthers(
    resource: ApiResource,
    options: { namespace?: string; isExcused: (object: KubeObject) => boolean; countsMembers?: boolean },
  ): Promise<boolean> {
    const { namespace, isExcused, countsMembers = false } = options;
    const { cluster, set, signal } = this.#context;
    try {
      const at = namespace === undefined ? {} : { namespace };
      for await (const object of cluster.list(resource, { ...at, signal })) {
        if (countsMembers) return true;
        if (partOf(object) === set.id || isUsual(resource, object) || isExcused(object)) continue;
        return true;
      }
      return false;
    } catch (error) {
      // A kind that went meanwhile; one that cannot be seen may hold anything.
      if (isNotFound(error) || isStatusError(error, 'MethodNotAllowed')) return false;
      if (isStatusError(error, 'Forbidden')) return true;
      throw error;
    }
  }

  /** Undefined: a group does not answer, as the server of an aggregated API is down, and may hold anything. */
  async #namespacedResources(): Promise<ApiResource[] | undefined> {
    const { api } = this.#context.cluster;
    const groups = await api.json<{ groups: ApiGroup[] }>({ method: 'GET', path: '/apis' });
    const versions = groups.groups.map(({ preferredVersion }) => preferredVersion.groupVersion);
    const resources: ApiResource[] = [];
    for (const apiVersion of ['v1', ...versions]) {
      const path = apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}`;
      const list = await this.#listedResources(path);
      if (list === undefined) return undefined;
      const [group, version] = apiVersion === 'v1' ? ['', 'v1'] : apiVersion.split('/');
      for (const { name, kind, namespaced, verbs } of list) {
        if (!namespaced || name.includes('/') || !verbs.includes('list') || passing.has(kind)) continue;
        resources.push({ group: group ?? '', version: version ?? '', plural: name, kind, namespaced, verbs });
      }
    }
    return resources;
  }

  async #listedResources(path: string): Promise<readonly ListedResource[] | undefined> {
    const { api } = this.#context.cluster;
    const isAggregated = path !== '/api/v1';
    try {
      const request = { method: 'GET', path, isOptional: isAggregated } as const;
      return (await api.json<{ resources?: ListedResource[] }>(request)).resources ?? [];
    } catch (error) {
      if (isNotFound(error)) return [];
      if (isAggregated && isStatusError(error, 'ServiceUnavailable') && !(error instanceof ApiUnreachable)) {
        return undefined;
      }
      throw error;
    }
  }

  /** @returns what is still there after a while. */
  async #waitUntilGone(refs: readonly ObjectRef[]): Promise<ObjectRef[]> {
    const { clock, signal } = this.#context;
    const until = clock.now().getTime() + phaseMs;
    let left = await this.#findMembers(refs);
    for (let pauseMs = 200; left.length > 0 && !signal.aborted; pauseMs = Math.min(pauseMs * 2, 4000)) {
      if (clock.now().getTime() > until) break;
      await clock.sleep(pauseMs, signal);
      left = await this.#findMembers(left.map(({ ref }) => ref));
    }
    return left.map(({ ref }) => ref);
  }

  async #findMembers(refs: readonly ObjectRef[]): Promise<{ ref: ObjectRef; live: KubeObject }[]> {
    const found = new Map<string, { ref: ObjectRef; live: KubeObject }>();
    await eachInFlight(refs, inFlight, async (ref) => {
      const live = await this.#findMember(ref);
      if (live !== undefined) found.set(refKey(ref), { ref, live });
    });
    return [...found.values()];
  }

  async #findMember(ref: ObjectRef): Promise<KubeObject | undefined> {
    const { cluster, set, signal } = this.#context;
    const live = await cluster.find(ref, { metadata: true, signal });
    return live !== undefined && partOf(live) === set.id ? live : undefined;
  }

  async #unlabel(ref: ObjectRef): Promise<void> {
    const { cluster, signal } = this.#context;
    await cluster.merge(ref, { metadata: { labels: { [partOfLabel]: null } } }, signal);
  }
}

interface ListedResource {
  readonly name: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
}

/** They come and go by themselves. */
const passing = new Set(['Event', 'Endpoints', 'EndpointSlice', 'Lease', 'PodMetrics']);

/** Clusters put these into every namespace. */
const usual = new Set([
  'ConfigMap/kube-root-ca.crt',
  'ConfigMap/openshift-service-ca.crt',
  'ConfigMap/istio-ca-root-cert',
  'ServiceAccount/default',
]);

function isUsual({ kind }: ApiResource, { metadata }: KubeObject): boolean {
  return (
    usual.has(`${kind}/${metadata.name}`) || (kind === 'Secret' && metadata.name.startsWith('default-token-'))
  );
}
