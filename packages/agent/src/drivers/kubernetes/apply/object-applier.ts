import {
  type ApplyRules,
  type Clock,
  isNotFound,
  isStatusError,
  type KubeObject,
  StatusError,
} from '@selvedge/api';
import { isAutoscaled } from '../drift/autoscaled.ts';
import { managedFieldsOf, isOurs } from '../drift/field-set.ts';
import { ignoredPointers, leaveFields, leftFields } from '../drift/left-fields.ts';
import type { ObjectRef, PlannedObject } from '../release/planned-object.ts';
import { takesClaimsAlong } from './claims.ts';
import { ApplyError, immutableField, isOfAdmission, objectError, shownRef } from './apply-problem.ts';
import { type ApplySet, partOf } from './apply-set.ts';
import type { AppliedObjects } from './applied-objects.ts';
import type { Cluster } from './cluster.ts';
import { LiveMetadata, type LiveObject } from './live-metadata.ts';

/** On namespaces that did not exist before a release brought them: only these may go with it. */
export const madeByAnnotation = 'selvedge.dev/made-by';
/** Until an object that is to be made again is gone. */
const goneMs = 60_000;

export interface ApplyContext {
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly set: ApplySet;
  readonly itemUid: string;
  /** Of the application. */
  readonly namespace: string;
  readonly rules: ApplyRules;
  /** Of the release: an autoscaler may be among them. */
  readonly objects: readonly PlannedObject[];
  /** What was applied last. */
  readonly applied: AppliedObjects;
  readonly signal: AbortSignal;
}

/** Brings single objects of one release to the cluster, or tries whether that could be done. Each call may be repeated. */
export class ObjectApplier {
  readonly #context: ApplyContext;
  readonly #live: LiveMetadata;
  /** By namespace. */
  readonly #autoscalers = new Map<string, Promise<readonly KubeObject[]>>();

  /** `objects`: those that it is to be called for. */
  constructor(context: ApplyContext, objects: readonly PlannedObject[]) {
    this.#context = context;
    const refs = objects.map(({ ref }) => ref);
    this.#live = new LiveMetadata(context.cluster, refs, context.signal);
  }

  /** Throws what says why not: ApplyError, or ApiUnreachable. `dryRun`: changes nothing. */
  async apply(planned: PlannedObject, options: { dryRun: boolean }): Promise<void> {
    const { namespace } = this.#context;
    try {
      await this.#apply(planned, options.dryRun);
    } catch (error) {
      throw objectError(error, planned.ref, namespace);
    }
  }

  async #apply(planned: PlannedObject, dryRun: boolean): Promise<void> {
    const { applied } = this.#context;
    const { ref } = planned;
    const found = await this.#find(ref);
    if (found === undefined) {
      await this.#send(ref, this.#marked(planned, undefined), { force: false, dryRun });
      return;
    }
    const { object: live, isListed } = found;
    this.#assertNotOfOthers(ref, live);
    if (live.metadata.deletionTimestamp !== undefined) {
      if (dryRun) return;
      throw this.#terminating(ref, live);
    }
    const isTaken = managedFieldsOf(live).some(isOurs);
    const body = leaveFields(this.#marked(planned, live), await this.#leftFields(live, planned));
    if (applied.isStill(ref, body, live)) return;
    // What was listed a while ago may have gone to somebody else: force holds for what was seen.
    const version = isListed && isTaken && !dryRun ? live.metadata.resourceVersion : undefined;
    try {
      await this.#send(ref, body, { force: isTaken, dryRun, version });
    } catch (error) {
      if (version !== undefined && isStatusError(error, 'Conflict'))
        return await this.#apply(planned, dryRun);
      const field = immutableField(error);
      if (field !== undefined) await this.#replace(planned, live, { field, dryRun, cause: error });
      else throw this.#isConflict(error) ? this.#conflict(ref, error as StatusError) : error;
    }
  }

  async #find(ref: ObjectRef): Promise<LiveObject | undefined> {
    const { cluster, signal, rules } = this.#context;
    if (ignoredPointers(ref, rules).length === 0) return await this.#live.find(ref);
    const object = await cluster.find(ref, { signal });
    return object && { object, isListed: false };
  }

  /** `version`: the only one of the object that may be changed. */
  async #send(
    ref: ObjectRef,
    body: KubeObject,
    { force, dryRun, version }: { force: boolean; dryRun: boolean; version?: string | undefined },
  ): Promise<void> {
    const { cluster, signal, applied } = this.#context;
    const sent: KubeObject =
      version === undefined ? body : { ...body, metadata: { ...body.metadata, resourceVersion: version } };
    if (!dryRun) applied.forget(ref);
    const answer = await cluster.apply(ref, sent, { force, dryRun, signal });
    if (!dryRun) applied.note(ref, body, answer);
  }

  #assertNotOfOthers(ref: ObjectRef, live: KubeObject): void {
    const owner = partOf(live);
    const { set, namespace } = this.#context;
    if (owner === undefined || owner === set.id) return;
    throw new ApplyError(
      'OwnedByAnother',
      `${shownRef(ref, namespace)} belongs to another application (${owner}); remove it there, or give it another name here`,
      { isLasting: true },
    );
  }

  #leftFields(live: KubeObject, planned: PlannedObject): Promise<ReturnType<typeof leftFields>> {
    return this.#isScaled(live, planned.ref).then((isAutoscaledNow) => {
      const { ignoreDifferences } = this.#context.rules;
      const rules = ignoreDifferences === undefined ? {} : { ignoreDifferences };
      return leftFields(live, planned, { ...rules, isAutoscaled: isAutoscaledNow });
    });
  }

  /** Somebody scaled it, and there is an autoscaler for it. */
  async #isScaled(live: KubeObject, ref: ObjectRef): Promise<boolean> {
    const wasScaled =
      live.metadata.managedFields?.some(({ subresource }) => subresource === 'scale') === true;
    if (!wasScaled || ref.namespace === undefined) return false;
    const own = this.#context.objects.map(({ object }) => object);
    if (isAutoscaled(ref, own)) return true;
    const found = this.#autoscalers.get(ref.namespace) ?? this.#readAutoscalers(ref.namespace);
    this.#autoscalers.set(ref.namespace, found);
    return isAutoscaled(ref, await found);
  }

  async #readAutoscalers(namespace: string): Promise<readonly KubeObject[]> {
    const { cluster, signal } = this.#context;
    try {
      const path = `/apis/autoscaling/v2/namespaces/${encodeURIComponent(namespace)}/horizontalpodautoscalers`;
      const list = await cluster.api.json<{ items: KubeObject[] | null }>({ method: 'GET', path, signal });
      return list.items ?? [];
    } catch (error) {
      if (isNotFound(error) || isStatusError(error, 'Forbidden')) return [];
      throw error;
    }
  }

  /** Namespaces remember who made them. */
  #marked({ ref, object }: PlannedObject, live: KubeObject | undefined): KubeObject {
    if (ref.kind !== 'Namespace' || ref.apiVersion !== 'v1') return object;
    const maker = live === undefined ? this.#context.itemUid : live.metadata.annotations?.[madeByAnnotation];
    if (maker === undefined) return object;
    const annotations = { ...object.metadata.annotations, [madeByAnnotation]: maker };
    return { ...object, metadata: { ...object.metadata, annotations } };
  }

  async #replace(
    planned: PlannedObject,
    live: KubeObject,
    { field, dryRun, cause }: { field: string; dryRun: boolean; cause: unknown },
  ): Promise<void> {
    const { rules, namespace, cluster, signal } = this.#context;
    const { ref } = planned;
    const mayReplace = rules.onImmutableChange === 'Replace';
    if (!mayReplace || (await this.#holdsData(ref))) {
      const advice = mayReplace
        ? 'it holds data, so it is not deleted and made again'
        : 'take the change back, use another name, or set spec.apply.onImmutableChange: Replace';
      throw new ApplyError(
        'ImmutableField',
        `${shownRef(ref, namespace)}: ${field} cannot be changed; ${advice}`,
        { isLasting: true, cause },
      );
    }
    await this.#tryCreation(planned);
    if (dryRun) return;
    await cluster.delete(ref, live, signal);
    await this.#waitUntilGone(ref, live.metadata.uid);
    await this.#send(ref, planned.object, { force: false, dryRun: false });
  }

  async #waitUntilGone(ref: ObjectRef, uid: string | undefined): Promise<void> {
    const { cluster, clock, signal } = this.#context;
    const until = clock.now().getTime() + goneMs;
    for (let pauseMs = 100; ; pauseMs = Math.min(pauseMs * 2, 2000)) {
      const live = await cluster.find(ref, { metadata: true, signal });
      if (live === undefined || live.metadata.uid !== uid) return;
      if (clock.now().getTime() > until || signal.aborted) throw this.#terminating(ref, live);
      await clock.sleep(pauseMs, signal);
    }
  }

  #terminating(ref: ObjectRef, live: KubeObject): ApplyError {
    return terminatingError([{ ref, live }], this.#context.namespace);
  }

  /** What is deleted must be allowed to be made again. */
  async #tryCreation({ ref, object }: PlannedObject): Promise<void> {
    const { cluster, signal } = this.#context;
    try {
      await cluster.tryCreation(ref, object, signal);
    } catch (error) {
      // Ports and addresses that the object has now cannot be had twice: only who decides about it by rules is asked here.
      if (!(error instanceof StatusError) || isStatusError(error, 'Forbidden') || isOfAdmission(error))
        throw error;
    }
  }

  /** Deleting it would lose what cannot be made again. */
  async #holdsData(ref: ObjectRef): Promise<boolean> {
    if (dataKinds.has(ref.kind)) return true;
    const { cluster, signal } = this.#context;
    return ref.kind === 'StatefulSet' && takesClaimsAlong(await cluster.find(ref, { signal }));
  }

  #isConflict(error: unknown): boolean {
    return (
      isStatusError(error, 'Conflict') &&
      (error.details.causes ?? []).some(({ reason }) => reason === 'FieldManagerConflict')
    );
  }

  #conflict(ref: ObjectRef, error: StatusError): ApplyError {
    const causes = error.details.causes ?? [];
    const fields = causes.slice(0, 5).map(({ field, message }) => {
      const manager = /conflict with "([^"]*)"/.exec(message)?.[1];
      return `${field.replace(/^\./, '')}${manager === undefined ? '' : ` (${manager})`}`;
    });
    const more = causes.length > fields.length ? ` and ${causes.length - fields.length} more` : '';
    return new ApplyError(
      'Conflict',
      `${shownRef(ref, this.#context.namespace)} exists, and others have set fields of it to other values: ${fields.join(', ')}${more}; delete it, or make it as the release has it`,
      { isLasting: true, cause: error },
    );
  }
}

const dataKinds = new Set([
  'PersistentVolumeClaim',
  'PersistentVolume',
  'Namespace',
  'CustomResourceDefinition',
]);

export function terminatingError(
  objects: readonly { readonly ref: ObjectRef; readonly live: KubeObject }[],
  namespace: string,
): ApplyError {
  const shown = objects.slice(0, 5).map(({ ref, live }) => {
    const finalizers = live.metadata.finalizers ?? [];
    return `${shownRef(ref, namespace)}${finalizers.length === 0 ? '' : ` (${finalizers.join(', ')})`}`;
  });
  const more = objects.length > shown.length ? ` and ${objects.length - shown.length} more` : '';
  return new ApplyError('Terminating', `being deleted, waiting until gone: ${shown.join(', ')}${more}`, {
    isLasting: false,
  });
}
