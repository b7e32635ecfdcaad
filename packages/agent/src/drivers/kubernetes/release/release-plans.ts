import type { KubeObject, ScopedLogin, SecretValue } from '@selvedge/api';
import type { Refusal } from '../../item-state.ts';
import type { KubeApi } from '../api/kube-api.ts';
import { type ReleaseRef, releaseKey, shortDigest } from '../state/item-record.ts';
import { applicationOf } from '../../resolve-for-site.ts';
import type { ObjectRef, PlannedObject } from './planned-object.ts';
import { pullSecretName, usableLogins } from './pull-secrets.ts';
import { type PlannedRelease, planRelease, readRelease } from './plan-release.ts';

export interface Plan extends PlannedRelease {
  readonly key: string;
  /** Same digest: the same objects and rules. */
  readonly planDigest: string;
  /** Pull secrets that are part of it, and the digest of their data, which is no part of `planDigest`. */
  readonly pull?: { readonly refs: readonly ObjectRef[]; readonly digest: string };
  /** `loginsDigest` of what these were made of. */
  readonly madeWith: string;
}

export type PlanOrRefusal =
  | { readonly plan: Plan; readonly refusal?: undefined }
  | { readonly plan?: undefined; readonly refusal: Refusal };

/** Of logins: whether a plan was made with these. */
export function loginsDigest(logins: readonly ScopedLogin[]): string {
  return shortDigest(logins);
}

/** What a plan is made with and is not written down. */
export interface PlanValues {
  readonly secrets: ReadonlyMap<string, SecretValue>;
  readonly logins: readonly ScopedLogin[];
}

function pullOf({ objects }: PlannedRelease, { item }: ReleaseRef): Plan['pull'] {
  const name = pullSecretName(applicationOf(item.id).name);
  const own = objects.filter(
    ({ ref, object }) => ref.kind === 'Secret' && ref.name === name && isDockerConfig(object),
  );
  if (own.length === 0) return undefined;
  const digest = shortDigest(own.map(({ object }) => object['data']));
  return { refs: own.map(({ ref }) => ref), digest };
}

function isDockerConfig(object: KubeObject): boolean {
  return object.apiVersion === 'v1' && object['type'] === 'kubernetes.io/dockerconfigjson';
}

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
    ref: ReleaseRef & PlanValues,
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
    const pull = pullOf(planned, ref);
    const isPull = ({ ref: one }: PlannedObject) => pull?.refs.includes(one) === true;
    const shown = planned.objects.map((one) => (isPull(one) ? { ref: one.ref } : one.object));
    const planDigest = shortDigest([shown, planned.rules]);
    const madeWith = loginsDigest(usableLogins({ registries: ref.pulls ?? [], logins: ref.logins }));
    const key = releaseKey(ref);
    const made = { plan: { ...planned, key, planDigest, madeWith, ...(pull === undefined ? {} : { pull }) } };
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
