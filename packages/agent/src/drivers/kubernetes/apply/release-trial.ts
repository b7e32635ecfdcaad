import type { KubeObject } from '@selvedge/api';
import type { Refusal } from '../../item-state.ts';
import { groupOf, phaseOf } from '../release/apply-phase.ts';
import { definedScopes, type PlannedRelease } from '../release/plan-release.ts';
import { type PlannedObject, refKey } from '../release/planned-object.ts';
import { type ApplyError, objectError, problemOf, shownRef } from './apply-problem.ts';
import { eachInFlight } from './in-flight.ts';
import { type ApplyContext, madeByAnnotation, ObjectApplier } from './object-applier.ts';
import { isFatal } from './release-applier.ts';

/** Requests at a time. */
const inFlight = 8;
/** Faults that one refusal names; the rest is counted. */
const shownFaults = 5;

/** What trying a release has shown. */
export interface Trial {
  readonly refusal?: Refusal;
  /** `Kind/name` of what cannot be tried: its namespace or its definition comes with the release. */
  readonly untried: readonly string[];
}

/**
 * Whether a release could be applied, as far as that can be told before: every object is applied as a dry run. The application's own
 * namespace is made for it, as without it nothing in it can be tried. Throws what only time can tell.
 */
export async function tryRelease(
  release: PlannedRelease,
  context: ApplyContext,
  onProgress: (done: number) => void,
): Promise<Trial> {
  const untried: string[] = [];
  const faults: ApplyError[] = [];
  const delays: unknown[] = [];
  const judge = (error: unknown) => {
    if (isFatal(error)) throw error;
    const { reason, isLasting } = problemOf(error);
    if (isLasting || reason === 'Forbidden') faults.push(error as ApplyError);
    else delays.push(error);
  };
  await makeOwnNamespace(release, context).catch(judge);
  const objects = new ObjectApplier(context, release.objects);
  const defined = definedScopes(await changingDefinitions(release, context));
  const namespaces = new Set(
    release.objects.filter(({ ref }) => ref.kind === 'Namespace').map(({ ref }) => ref.name),
  );
  namespaces.add(context.namespace);
  let done = 0;
  const tryOne = async (planned: PlannedObject) => {
    if (context.signal.aborted) return;
    const { ref } = planned;
    const isDefinedHere = defined.has(`${groupOf(ref.apiVersion)}/${ref.kind}`);
    try {
      await objects.apply(planned, { dryRun: true });
    } catch (error) {
      const { reason } = problemOf(error);
      const isOwnership = ['OwnedByAnother', 'Conflict'].includes(reason);
      const comesWithIt =
        (isDefinedHere && !isOwnership) ||
        (reason === 'NamespaceMissing' && namespaces.has(ref.namespace ?? '')) ||
        (reason === 'Invalid' && isWithoutDryRun(error));
      if (comesWithIt && !isFatal(error)) untried.push(shownRef(ref, context.namespace));
      else judge(error);
    }
    done += 1;
    onProgress(done);
  };
  await eachInFlight(release.objects, inFlight, tryOne);
  if (faults.length > 0) return { refusal: refusalOf(faults), untried };
  if (delays.length > 0) throw delays[0];
  return { untried: untried.sort() };
}

/** It is nobody's, and stays; unless the release has it: then it is marked as made by the application, and goes with it. */
async function makeOwnNamespace(release: PlannedRelease, context: ApplyContext): Promise<void> {
  const { cluster, namespace: name, itemUid, signal } = context;
  if (!release.objects.some(({ ref }) => ref.namespace === name)) return;
  const ref = { apiVersion: 'v1', kind: 'Namespace', name };
  const isOfRelease = release.objects.some((planned) => refKey(planned.ref) === refKey(ref));
  const annotations = isOfRelease ? { annotations: { [madeByAnnotation]: itemUid } } : {};
  try {
    if ((await cluster.find(ref, { metadata: true, signal })) !== undefined) return;
    const object: KubeObject = { apiVersion: 'v1', kind: 'Namespace', metadata: { name, ...annotations } };
    await cluster.apply(ref, object, { force: false, signal });
  } catch (error) {
    throw objectError(error, ref, name);
  }
}

/** Definitions that are not in the cluster as the release has them: what their objects may be, it cannot tell yet. */
async function changingDefinitions(
  release: PlannedRelease,
  { cluster, signal }: Pick<ApplyContext, 'cluster' | 'signal'>,
): Promise<KubeObject[]> {
  const definitions = release.objects.filter(({ ref }) => phaseOf(ref) === 'CustomResourceDefinitions');
  const changing: KubeObject[] = [];
  await eachInFlight(definitions, inFlight, async ({ ref, object }) => {
    try {
      const live = await cluster.find(ref, { metadata: true, signal });
      const tried = live && (await cluster.apply(ref, object, { force: true, dryRun: true, signal }));
      if (tried === undefined || tried.metadata.generation !== live?.metadata.generation)
        changing.push(object);
    } catch (error) {
      if (isFatal(error)) throw error;
      // Why is told when the definition itself is tried.
      changing.push(object);
    }
  });
  return changing;
}

/** A webhook with side effects cannot be asked without them. */
function isWithoutDryRun(error: unknown): boolean {
  return error instanceof Error && /does not support dry run/.test(error.message);
}

function refusalOf(faults: readonly ApplyError[]): Refusal {
  const rest = faults.length - shownFaults;
  const shown = faults
    .slice(0, shownFaults)
    .map(({ message }) => message.slice(0, 300))
    .join('; ');
  return { reason: faults[0]?.reason ?? 'Invalid', message: shown + (rest > 0 ? `; and ${rest} more` : '') };
}
