import { isObject, type JsonObject, type KubeObject } from '@selvedge/api';
import type { ObjectStore, StoredObject } from '@selvedge/store';
import { badRequest, resourceName } from '@selvedge/api';
import type { VirtualResourceDefinition } from '../resource-definition.ts';
import { decode } from './object-codec.ts';
import type { PatchType } from './patch.ts';
import type { Resource } from './resource-catalog.ts';

type Alias = NonNullable<VirtualResourceDefinition['storedAs']>;
type Identity = { readonly apiVersion: string; readonly kind: string };

/**
 * Serves the objects of a stored kind under a second group and version, where top-level fields have other names
 * (`events` of `v1` as those of `events.k8s.io/v1`). Reads come from the store; writes are turned into writes of the stored
 * kind by the HTTP endpoints.
 */
export function aliasDefinition(
  objects: ObjectStore,
  definition: Omit<VirtualResourceDefinition, 'source'> & { storedAs: Alias },
): VirtualResourceDefinition {
  const { ref, storedAs } = definition;
  const resource = resourceName(storedAs.ref);
  const identity = { apiVersion: ref.group ? `${ref.group}/${ref.version}` : ref.version, kind: ref.kind };
  const served = (stored: StoredObject) => toServed(storedAs, identity, decode(stored));
  return {
    ...definition,
    source: {
      async list(namespace) {
        const list = await objects.list({ resource, ...(namespace === undefined ? {} : { namespace }) });
        return { objects: list.objects.map(served), revision: list.revision };
      },
      async find(namespace, name) {
        const stored = await objects.find({ resource, namespace, name });
        return stored && served(stored);
      },
      async *watch({ namespace, fromRevision, signal }) {
        const query = { resource, fromRevision, signal, ...(namespace === undefined ? {} : { namespace }) };
        for await (const event of objects.watch(query)) {
          if (event.type === 'progress') yield event;
          else if (event.type === 'delete') yield { type: 'DELETED', object: served(event.object) };
          else yield { type: event.previous ? 'MODIFIED' : 'ADDED', object: served(event.object) };
        }
      },
    },
  };
}

/** An object as clients of the alias know it. */
function toServed({ fieldNames }: Alias, { apiVersion, kind }: Identity, stored: KubeObject): KubeObject {
  const own = new Map(Object.entries(fieldNames).map(([name, storedName]) => [storedName, name]));
  return { ...(renamed(stored, (field) => own.get(field) ?? field) as KubeObject), apiVersion, kind };
}

const storedNameOf = ({ fieldNames }: Alias, field: string): string =>
  Object.hasOwn(fieldNames, field) ? (fieldNames[field] ?? field) : field;

const renamed = (object: JsonObject, rename: (field: string) => string): JsonObject =>
  Object.fromEntries(Object.entries(object).map(([field, value]) => [rename(field), value]));

/** A stored object in the form of the kind that was asked for; itself, when that is the stored kind. */
export function servedForm(served: Resource, object: KubeObject): KubeObject {
  const { storedAs, apiVersion, ref } = served;
  return storedAs ? toServed(storedAs, { apiVersion, kind: ref.kind }, object) : object;
}

/** What a client sent for the served kind, as an object of the stored one. */
export function storedForm(served: Resource, stored: Resource, body: unknown): unknown {
  const { storedAs } = served;
  if (!storedAs || !isObject(body)) return body;
  const { apiVersion, kind, ...fields } = body;
  return {
    // What is wrong stays wrong, and is refused by name.
    apiVersion: apiVersion === served.apiVersion ? stored.apiVersion : apiVersion,
    kind: kind === served.ref.kind ? stored.ref.kind : kind,
    ...renamed(fields, (field) => storedNameOf(storedAs, field)),
  };
}

/** A patch of the served kind, as a patch of the stored one. */
export function storedPatch(
  served: Resource,
  stored: Resource,
  { type, patch }: { type: PatchType | 'apply'; patch: unknown },
): unknown {
  const { storedAs } = served;
  if (!storedAs) return patch;
  if (type === 'apply') return storedForm(served, stored, patch);
  if (type !== 'json') {
    if (!isObject(patch)) return patch;
    const { apiVersion: _apiVersion, kind: _kind, ...fields } = patch;
    return renamed(fields, (field) => storedNameOf(storedAs, field));
  }
  if (!Array.isArray(patch)) throw badRequest('a JSON patch must be a list');
  const path = (value: unknown) =>
    typeof value === 'string'
      ? value.replace(/^\/([^/]+)/, (_, field: string) => `/${storedNameOf(storedAs, field)}`)
      : value;
  return patch.map((step: unknown) =>
    isObject(step)
      ? { ...step, path: path(step['path']), ...('from' in step ? { from: path(step['from']) } : {}) }
      : step,
  );
}
