import { type Clock, isNotFound, type KubeObject, type Logger } from '@selvedge/api';
import type { ApiResource, KubeApi } from '../api/kube-api.ts';
import { pathOf } from '../apply/cluster.ts';
import { isAutoscaled } from '../drift/autoscaled.ts';
import { type DriftFinding, findDrift } from '../drift/drift-check.ts';
import { fieldManager } from '../drift/field-set.ts';
import { healthOf, isHealthyByExistence } from '../health/health-of.ts';
import type { ObjectHealth } from '../health/object-health.ts';
import { findCondition, groupKind, textAt } from '../health/read-fields.ts';
import type { ObjectRef } from '../release/planned-object.ts';
import type { PodProblem } from './observer.ts';
import { podCounts, workloadKinds } from './pod-counts.ts';
import { findProblem, restartedLately } from './problem-finder.ts';
import { absentObject, type ItemState, type ObjectState, type SeenObject } from './tracked-object.ts';

/** The label that every applied object has (KEP-3659). */
export const memberLabel = 'applyset.kubernetes.io/part-of';
const metadataOnly = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json';
/** How long it is believed which autoscalers a namespace has. */
const autoscalersMs = 60_000;

export interface Look {
  readonly object: ObjectState;
  readonly item: ItemState;
  readonly resource: ApiResource;
  readonly signal: AbortSignal;
}

/** Looks at one object: reads it, judges its health and drift, and looks at its pods when it is not as it should be. */
export class ObjectReader {
  readonly #api: KubeApi;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #autoscalers = new Map<string, { readonly at: number; readonly found: readonly KubeObject[] }>();

  constructor({ api, clock, logger }: { api: KubeApi; clock: Clock; logger: Logger }) {
    this.#api = api;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Throws what the API answered when the object cannot be read. */
  async read(look: Look): Promise<SeenObject> {
    const { object, item } = look;
    const { ref } = object.planned;
    const rules = await item.health;
    const needsBody = !isHealthyByExistence(ref, rules);
    const live = needsBody
      ? await this.#get(look, 'whole')
      : (object.told ?? (await this.#get(look, 'metadata')));
    if (!live) return absentObject(ref, 'it is not there');
    let health = healthOf(live, rules);
    const drift = await this.#drift(look, live, needsBody);
    const isWorkload = workloadKinds.has(groupKind(ref));
    const before = object.seen?.observed.problem;
    let problem: PodProblem | undefined;
    let hasPodLook = false;
    const isDue = object.nextPodLook !== undefined && object.nextPodLook <= this.#clock.now().getTime();
    if (isWorkload && health.status === 'Current' && before && isAboutRestarts(before)) {
      // Between two of its ends a crashing container looks well.
      hasPodLook = true;
      if (await restartedLately(this.#api, live, { now: this.#clock.now(), signal: look.signal })) {
        health = restarted;
        problem = before;
      }
    } else if (isWorkload && mayBeStuck(health)) {
      hasPodLook = isDue;
      problem = isDue ? await findProblem(this.#api, live, look.signal) : before;
    }
    return {
      resourceVersion: live.metadata.resourceVersion,
      observed: {
        ref,
        exists: true,
        health,
        drift: drift.finding?.fields ?? [],
        ...(problem ? { problem } : {}),
        ...(isDone(live) ? { isDone: true } : {}),
      },
      pods: needsBody ? podCounts(live) : { wanted: 0, ready: 0 },
      drift: drift.finding,
      isSelected: live.metadata.labels?.[memberLabel] !== undefined,
      isOpen: !drift.isKnown || (isWorkload && mayBeStuck(health)),
      hasPodLook,
    };
  }

  /** Undefined: it is not there. */
  async #get(
    { object, resource, signal }: Look,
    part: 'whole' | 'metadata',
  ): Promise<KubeObject | undefined> {
    const { ref } = object.planned;
    try {
      const live = await this.#api.json({
        method: 'GET',
        path: pathOf(resource, ref),
        signal,
        ...(part === 'metadata' ? { accept: metadataOnly } : {}),
      });
      // Metadata alone does not say what it is of.
      return { ...live, apiVersion: ref.apiVersion, kind: ref.kind };
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async #drift(
    look: Look,
    live: KubeObject,
    isWhole: boolean,
  ): Promise<{ finding: DriftFinding | undefined; isKnown: boolean }> {
    const { object, item, resource, signal } = look;
    const { planned } = object;
    const known = object.seen?.drift;
    if (live.metadata.deletionTimestamp !== undefined) return { finding: undefined, isKnown: true };
    let whole = isWhole ? live : undefined;
    try {
      const finding = await findDrift(
        { planned, rules: item.rules, metadata: live.metadata, known },
        {
          isAutoscaled: () => this.#isAutoscaled(planned.ref, item, signal),
          read: async () => {
            const read = whole ?? (await this.#get(look, 'whole')) ?? live;
            // Asked for again: it has changed meanwhile.
            whole = undefined;
            return read;
          },
          dryRun: (body) =>
            this.#api.json({
              method: 'PATCH',
              path: pathOf(resource, planned.ref),
              query: { fieldManager, force: 'true', dryRun: 'All' },
              contentType: 'application/apply-patch+yaml',
              body,
              signal,
            }),
        },
      );
      return { finding, isKnown: true };
    } catch (error) {
      if (signal.aborted) throw error;
      this.#logger.debug('whether an object has drifted cannot be told now', {
        object: object.key,
        error: error instanceof Error ? error.message : String(error),
      });
      return { finding: known, isKnown: false };
    }
  }

  async #isAutoscaled(ref: ObjectRef, item: ItemState, signal: AbortSignal): Promise<boolean> {
    if (
      isAutoscaled(
        ref,
        item.planned.map(({ object }) => object),
      )
    )
      return true;
    const { namespace } = ref;
    if (namespace === undefined) return false;
    const now = this.#clock.now().getTime();
    let known = this.#autoscalers.get(namespace);
    if (known === undefined || now - known.at > autoscalersMs) {
      known = { at: now, found: await this.#listAutoscalers(namespace, signal) };
      this.#autoscalers.set(namespace, known);
    }
    return isAutoscaled(ref, known.found);
  }

  async #listAutoscalers(namespace: string, signal: AbortSignal): Promise<KubeObject[]> {
    for (const version of ['v2', 'v1']) {
      const path = `/apis/autoscaling/${version}/namespaces/${encodeURIComponent(namespace)}/horizontalpodautoscalers`;
      try {
        const list = await this.#api.json<{ items?: KubeObject[] }>({ method: 'GET', path, signal });
        return list.items ?? [];
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
    return [];
  }
}

const restarted: ObjectHealth = {
  status: 'InProgress',
  reason: 'RestartedLately',
  message: 'its pods run, one of them was restarted a moment ago',
};

/** It has done its work, and is not to be made again when it is cleared away. */
function isDone(live: KubeObject): boolean {
  const kind = groupKind(live);
  if (kind === 'batch/Job') return findCondition(live, 'Complete')?.status === 'True';
  return kind === '/Pod' && textAt(live, 'status.phase') === 'Succeeded';
}

const mayBeStuck = ({ status }: ObjectHealth): boolean => status === 'InProgress' || status === 'Failed';

const isAboutRestarts = ({ reason }: PodProblem): boolean =>
  reason === 'CrashLoopBackOff' || reason === 'OOMKilled' || reason === 'Restarted';
