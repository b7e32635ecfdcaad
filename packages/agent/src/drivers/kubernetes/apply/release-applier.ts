import type { KubeObject } from '@selvedge/api';
import { ApiUnreachable } from '../api/kube-connection.ts';
import { applyPhases, phaseOf } from '../release/apply-phase.ts';
import type { PlannedRelease } from '../release/plan-release.ts';
import { type PlannedObject, refKey } from '../release/planned-object.ts';
import { ApplyError, problemOf, shownRef } from './apply-problem.ts';
import { eachInFlight } from './in-flight.ts';
import { type ApplyContext, ObjectApplier } from './object-applier.ts';

/** Requests at a time. */
const inFlight = 8;
/** Between two chunks newer orders are looked at. */
const chunkSize = 50;
/** Until a definition is established; then it is tried again later. */
const establishedMs = 30_000;

/** Applies one release, phase by phase. What was applied once is not applied again by the same object of this class. */
export class ReleaseApplier {
  readonly #context: ApplyContext;
  readonly #release: PlannedRelease;
  readonly #objects: ObjectApplier;
  readonly #done = new Set<string>();

  constructor(release: PlannedRelease, context: ApplyContext) {
    this.#release = release;
    this.#context = context;
    this.#objects = new ObjectApplier(context, release.objects);
  }

  get progress(): { done: number; total: number } {
    return { done: this.#done.size, total: this.#release.objects.length };
  }

  /** Throws what keeps it from being complete; call again later to go on. Ends early, incomplete, with the signal. */
  async apply(): Promise<void> {
    const failures: unknown[] = [];
    for (const phase of applyPhases) {
      const left = this.#release.objects.filter(
        ({ ref }) => phaseOf(ref) === phase && !this.#done.has(refKey(ref)),
      );
      for (let start = 0; start < left.length; start += chunkSize) {
        await eachInFlight(left.slice(start, start + chunkSize), inFlight, async (planned) => {
          await this.#applyOne(planned, failures);
        });
        if (this.#context.signal.aborted) return;
      }
      if (phase === 'CustomResourceDefinitions') await this.#waitForDefinitions(left);
      // What comes later needs these; other phases may be what a failure waits for, as the backend of a webhook.
      const isBase = phase === 'Namespaces' || phase === 'CustomResourceDefinitions';
      if (isBase && failures.length > 0) break;
    }
    if (failures.length > 0) throw worst(failures);
  }

  async #applyOne(planned: PlannedObject, failures: unknown[]): Promise<void> {
    if (this.#context.signal.aborted) return;
    try {
      await this.#applyWithNamespace(planned);
      this.#done.add(refKey(planned.ref));
    } catch (error) {
      if (isFatal(error)) throw error;
      failures.push(error);
    }
  }

  /** The application's own namespace is made when it is not there; it is nobody's, and stays. */
  async #applyWithNamespace(planned: PlannedObject): Promise<void> {
    try {
      await this.#objects.apply(planned, { dryRun: false });
    } catch (error) {
      const { namespace } = this.#context;
      if (problemOf(error).reason !== 'NamespaceMissing' || planned.ref.namespace !== namespace) throw error;
      await ensureNamespace(this.#context, namespace);
      await this.#objects.apply(planned, { dryRun: false });
    }
  }

  async #waitForDefinitions(planned: readonly PlannedObject[]): Promise<void> {
    const { cluster, clock, signal, namespace } = this.#context;
    const until = clock.now().getTime() + establishedMs;
    for (const { ref, object } of planned) {
      if (!this.#done.has(refKey(ref))) continue;
      for (let pauseMs = 100; !signal.aborted; pauseMs = Math.min(pauseMs * 2, 2000)) {
        const trouble = establishmentTrouble(await cluster.find(ref, { signal }));
        if (trouble === undefined) break;
        if (clock.now().getTime() > until) {
          this.#done.delete(refKey(ref));
          throw new ApplyError('DefinitionNotEstablished', `${shownRef(ref, namespace)}: ${trouble}`, {
            isLasting: false,
          });
        }
        await clock.sleep(pauseMs, signal);
      }
      await this.#refreshKinds(object);
    }
  }

  async #refreshKinds(definition: KubeObject): Promise<void> {
    const {
      group,
      names,
      versions = [],
    } = definition['spec'] as {
      group: string;
      names: { kind: string };
      versions?: { name: string; served?: boolean }[];
    };
    for (const { name, served } of versions) {
      if (served === false) continue;
      await this.#context.cluster.api.findResource(`${group}/${name}`, names.kind, { refresh: true });
    }
  }
}

/** Nothing else will succeed either. */
export function isFatal(error: unknown): boolean {
  return (
    error instanceof ApiUnreachable ||
    ['LeaseNotHeld', 'ClusterBusy', 'ClusterUnavailable'].includes(problemOf(error).reason)
  );
}

/** What lasts is told rather than what may pass. */
function worst(failures: readonly unknown[]): unknown {
  return failures.find((error) => problemOf(error).isLasting) ?? failures[0];
}

function establishmentTrouble(live: KubeObject | undefined): string | undefined {
  const status = live?.['status'] as
    | { conditions?: { type: string; status: string; message?: string }[] }
    | undefined;
  const condition = (type: string) => status?.conditions?.find((one) => one.type === type);
  if (condition('Established')?.status === 'True') return undefined;
  const names = condition('NamesAccepted');
  if (names?.status === 'False') return names.message ?? 'its names are taken by another definition';
  return 'the cluster has not established it yet';
}

export async function ensureNamespace(
  { cluster, signal }: Pick<ApplyContext, 'cluster' | 'signal'>,
  name: string,
): Promise<void> {
  const ref = { apiVersion: 'v1', kind: 'Namespace', name };
  if ((await cluster.find(ref, { metadata: true, signal })) !== undefined) return;
  const object: KubeObject = { apiVersion: 'v1', kind: 'Namespace', metadata: { name } };
  await cluster.apply(ref, object, { force: false, signal });
}
