import { isNotFound, type KubeObject, namespaces, type ResourceRef } from '@selvedge/api';
import { type ReconcileResult, resourcePath } from '@selvedge/kube';
import { deleteObject, nameOf, patchStatus, type Simulation } from './simulation.ts';

interface ResourceList {
  readonly groupVersion: string;
  readonly resources: readonly {
    name: string;
    kind: string;
    namespaced: boolean;
    verbs: readonly string[];
  }[];
}

/** Every kind that can be listed and deleted, in the version that the API prefers. */
export async function deletableResources({ client }: Simulation): Promise<ResourceRef[]> {
  const groups = await client.request<{ groups: { preferredVersion: { groupVersion: string } }[] }>({
    method: 'GET',
    path: '/apis',
  });
  const paths = [
    '/api/v1',
    ...groups.groups.map(({ preferredVersion }) => `/apis/${preferredVersion.groupVersion}`),
  ];
  const found: ResourceRef[] = [];
  for (const path of paths) {
    const list = await client.request<ResourceList>({ method: 'GET', path }).catch(() => undefined);
    const [version = '', group = ''] = (list?.groupVersion ?? '').split('/').reverse();
    for (const { name, kind, namespaced, verbs } of list?.resources ?? []) {
      if (name.includes('/') || !verbs.includes('delete') || !verbs.includes('list')) continue;
      found.push({ group, version, plural: name, kind, namespaced });
    }
  }
  return found;
}

/** pkg/controller/namespace/deletion: everything in it is deleted, then it goes. */
export async function reconcileNamespace(
  simulation: Simulation,
  namespace: KubeObject,
): Promise<ReconcileResult> {
  const { name, deletionTimestamp } = namespace.metadata;
  if (deletionTimestamp === undefined) return 'done';
  const remaining = new Map<string, number>();
  for (const resource of await deletableResources(simulation)) {
    if (!resource.namespaced) continue;
    const { items } = await simulation.client.list(resource, { namespace: name });
    for (const object of items.filter(({ metadata }) => metadata.deletionTimestamp === undefined)) {
      await deleteObject(simulation, [resource, object], { propagationPolicy: 'Background' });
    }
    const held = items.filter(({ metadata }) => (metadata.finalizers ?? []).length > 0);
    if (items.length > 0) remaining.set(`${resource.plural}.${resource.group}`, held.length);
  }
  if (remaining.size > 0) {
    const message = `Some resources are remaining: ${[...remaining].map(([plural, count]) => `${plural} has ${count} resource instances`).join(', ')}`;
    const condition = {
      type: 'NamespaceContentRemaining',
      status: 'True',
      reason: 'SomeResourcesRemain',
      message,
    };
    const before = (namespace['status'] as { conditions?: { message?: string }[] } | undefined)
      ?.conditions?.[0];
    if (before?.message !== message) {
      const lastTransitionTime = simulation.clock.now().toISOString();
      await patchStatus(simulation, [namespaces, namespace], {
        conditions: [{ ...condition, lastTransitionTime }],
      });
    }
    return { requeueAfterSeconds: 0.3 };
  }
  const now = await simulation.client.find<KubeObject>(namespaces, { name });
  if (now) {
    await simulation.client.request({
      method: 'PUT',
      path: resourcePath(namespaces, { name, subresource: 'finalize' }),
      body: { ...now, spec: { finalizers: [] } },
    });
  }
  return 'done';
}

/**
 * pkg/controller/garbagecollector, without its graph: an object goes when none of its owners is there any more; an owner that is deleted in
 * the foreground or with its dependents orphaned waits for them.
 */
export class GarbageCollector {
  readonly #simulation: Simulation;
  readonly #resources = new Map<string, ResourceRef>();

  constructor(simulation: Simulation) {
    this.#simulation = simulation;
  }

  async collect(resource: ResourceRef, object: KubeObject): Promise<void> {
    await this.#finishOwner(resource, object);
    const { ownerReferences: owners = [], deletionTimestamp } = object.metadata;
    if (owners.length === 0 || deletionTimestamp !== undefined) return;
    const areThere = await Promise.all(
      owners.map((owner) => this.#isThere(owner, object.metadata.namespace)),
    );
    if (!areThere.some(Boolean)) {
      await deleteObject(this.#simulation, [resource, object], { propagationPolicy: 'Background' });
    }
  }

  async #isThere(
    owner: { apiVersion: string; kind: string; name: string; uid: string },
    namespace?: string,
  ): Promise<boolean> {
    const resource = await this.#resource(owner.apiVersion, owner.kind);
    if (!resource) return true;
    const place =
      resource.namespaced && namespace !== undefined ? { namespace, name: owner.name } : { name: owner.name };
    const found = await this.#simulation.client.find(resource, place);
    return found?.metadata.uid === owner.uid;
  }

  async #finishOwner(resource: ResourceRef, owner: KubeObject): Promise<void> {
    const { finalizers = [], deletionTimestamp, namespace } = owner.metadata;
    const isForeground = finalizers.includes('foregroundDeletion');
    const isOrphaning = finalizers.includes('orphan');
    if (deletionTimestamp === undefined || !(isForeground || isOrphaning) || namespace === undefined) return;
    let isWaiting = false;
    for (const dependentResource of await deletableResources(this.#simulation)) {
      if (!dependentResource.namespaced) continue;
      const { items } = await this.#simulation.client.list(dependentResource, { namespace });
      for (const dependent of items) {
        const references = dependent.metadata.ownerReferences ?? [];
        if (!references.some(({ uid }) => uid === owner.metadata.uid)) continue;
        if (isOrphaning) {
          await this.#simulation.client.mergePatch(dependentResource, nameOf(dependent), {
            metadata: { ownerReferences: references.filter(({ uid }) => uid !== owner.metadata.uid) },
          });
        } else {
          isWaiting = true;
          if (dependent.metadata.deletionTimestamp === undefined) {
            await deleteObject(this.#simulation, [dependentResource, dependent], {
              propagationPolicy: 'Foreground',
            });
          }
        }
      }
    }
    if (isWaiting) return;
    const rest = finalizers.filter((name) => name !== 'foregroundDeletion' && name !== 'orphan');
    await this.#simulation.client
      .mergePatch(resource, nameOf(owner), { metadata: { uid: owner.metadata.uid, finalizers: rest } })
      .catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
  }

  async #resource(apiVersion: string, kind: string): Promise<ResourceRef | undefined> {
    const key = `${apiVersion}/${kind}`;
    if (!this.#resources.has(key)) {
      for (const found of await deletableResources(this.#simulation)) {
        this.#resources.set(
          `${found.group === '' ? '' : `${found.group}/`}${found.version}/${found.kind}`,
          found,
        );
      }
    }
    return this.#resources.get(key);
  }
}
