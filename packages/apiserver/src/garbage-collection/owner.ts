import type { KubeObject, OwnerReference } from '@selvedge/api';
import type { ObjectKey } from '@selvedge/store';
import { keyOf } from '../registry/object-codec.ts';
import type { Resource, ResourceCatalog } from '../registry/resource-catalog.ts';

/** Where an object lives, as one text: `resource/namespace/name`. */
export type Location = string;
/** One life of an owner: its location and uid. A reference with another name or namespace is another owner. */
export type OwnerKey = string;

export const locationOf = ({ resource, namespace, name }: ObjectKey): Location =>
  `${resource}/${namespace}/${name}`;

export function keyAt(location: Location): ObjectKey {
  const [resource = '', namespace = '', ...name] = location.split('/');
  return { resource, namespace, name: name.join('/') };
}

export const ownerKeyOf = (key: ObjectKey, uid: string): OwnerKey => `${locationOf(key)}\0${uid}`;

export function partsOf(owner: OwnerKey): { location: Location; uid: string } {
  const end = owner.lastIndexOf('\0');
  return { location: owner.slice(0, end), uid: owner.slice(end + 1) };
}

/** Where a reference points. */
export type Target =
  | { readonly type: 'object'; readonly resource: Resource; readonly key: ObjectKey; readonly uid: string }
  /** A kind that is not served or not stored: nobody can tell whether the owner is there, so it counts as there. */
  | { readonly type: 'unknown' }
  /** The owner lives in a namespace and its dependent in none: which namespace, the reference cannot say. */
  | { readonly type: 'nowhere' };

/** The stored kinds, by the names that references use. */
export class OwnerKinds {
  readonly #byKind: ReadonlyMap<string, Resource>;
  readonly #byName: ReadonlyMap<string, Resource>;
  readonly all: readonly Resource[];

  constructor(catalog: ResourceCatalog) {
    this.all = catalog.all.filter((r) => !r.source && !r.review);
    this.#byKind = new Map(this.all.map((r) => [`${r.ref.group}/${r.ref.kind}`, r]));
    this.#byName = new Map(this.all.map((r) => [r.name, r]));
  }

  at(location: Location): Resource | undefined {
    return this.#byName.get(keyAt(location).resource);
  }

  /** The version does not count: a uid is the same in all. */
  targetOf(reference: OwnerReference, dependent: { resource: Resource; namespace: string }): Target {
    const { kind, name, uid } = reference;
    const [group = '', version] = String(reference.apiVersion).split('/');
    const resource = this.#byKind.get(`${version === undefined ? '' : group}/${kind}`);
    if (!resource) return { type: 'unknown' };
    if (resource.ref.namespaced && !dependent.resource.ref.namespaced) return { type: 'nowhere' };
    return { type: 'object', resource, key: keyOf(resource, dependent.namespace, name), uid };
  }

  /** The owners of an object that can be found. */
  ownersOf(resource: Resource, { metadata }: KubeObject): OwnerKey[] {
    const dependent = { resource, namespace: metadata.namespace ?? '' };
    const keys = (metadata.ownerReferences ?? []).flatMap((reference) => {
      const target = this.targetOf(reference, dependent);
      return target.type === 'object' ? [ownerKeyOf(target.key, target.uid)] : [];
    });
    return [...new Set(keys)];
  }
}
