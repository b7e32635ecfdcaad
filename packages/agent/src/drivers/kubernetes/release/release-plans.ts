import type { KubeObject } from '@selvedge/api';
import type { Refusal } from '../../item-state.ts';
import type { KubeApi } from '../api/kube-api.ts';
import { type ReleaseRef, releaseKey, shortDigest } from '../state/item-record.ts';
import type { ObjectRef } from './planned-object.ts';
import { type PlannedRelease, planRelease, readRelease } from './plan-release.ts';

export interface Plan extends PlannedRelease {
  readonly key: string;
  /** Same digest: the same objects and rules. */
  readonly planDigest: string;
}

export type PlanOrRefusal =
  | { readonly plan: Plan; readonly refusal?: undefined }
  | { readonly plan?: undefined; readonly refusal: Refusal };

/** Makes plans of the releases of one item and keeps those that matter now. */
export class ReleasePlans {
  readonly #api: KubeApi;
  readonly #applySetId: string;
  readonly #plans = new Map<string, PlanOrRefusal>();

  constructor(api: KubeApi, applySetId: string) {
    this.#api = api;
    this.#applySetId = applySetId;
  }

  find(ref: ReleaseRef | undefined): PlanOrRefusal | undefined {
    return ref && this.#plans.get(releaseKey(ref));
  }

  planOf(ref: ReleaseRef | undefined): Plan | undefined {
    return this.find(ref)?.plan;
  }

  /**
   * Asks the API for the kinds that it uses. A plan with kinds that nobody knows is not kept: they may come. `applied`: objects that
   * were applied before, whose kinds are known also when their definitions went.
   */
  async make(
    ref: ReleaseRef,
    content: readonly KubeObject[],
    applied: readonly ObjectRef[] = [],
  ): Promise<PlanOrRefusal> {
    const place = { ...ref, applySetId: this.#applySetId };
    const release = readRelease(content, place);
    if (release.refusal) return this.#keep(ref, { refusal: release.refusal });
    const former = new Map(
      applied.map(({ apiVersion, kind, namespace }) => [`${apiVersion}/${kind}`, namespace !== undefined]),
    );
    const scopes = new Map<string, boolean>();
    for (const { apiVersion, kind } of release.manifests) {
      const name = `${apiVersion}/${kind}`;
      if (scopes.has(name)) continue;
      const found =
        (await this.#api.findResource(apiVersion, kind)) ??
        (await this.#api.findResource(apiVersion, kind, { refresh: true }));
      const isNamespaced = found?.namespaced ?? former.get(name);
      if (isNamespaced !== undefined) scopes.set(name, isNamespaced);
    }
    const planned = planRelease(release, place, (apiVersion, kind) => scopes.get(`${apiVersion}/${kind}`));
    const planDigest = shortDigest([planned.objects.map(({ object }) => object), planned.rules]);
    const made = { plan: { ...planned, key: releaseKey(ref), planDigest } };
    return planned.unknownKinds.length > 0 ? made : this.#keep(ref, made);
  }

  /** Drops all others: objects of applications are the largest thing that an agent holds. */
  keepOnly(refs: readonly (ReleaseRef | undefined)[]): void {
    const kept = new Set(refs.flatMap((ref) => (ref === undefined ? [] : [releaseKey(ref)])));
    for (const key of this.#plans.keys()) if (!kept.has(key)) this.#plans.delete(key);
  }

  #keep(ref: ReleaseRef, made: PlanOrRefusal): PlanOrRefusal {
    this.#plans.set(releaseKey(ref), made);
    return made;
  }
}
