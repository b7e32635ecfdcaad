import { badRequest, isObject, type KubeObject } from '@selvedge/api';
import type { Resource } from '../registry/resource-catalog.ts';

export interface Target {
  readonly namespace?: string | undefined;
  /** Absent when the object's own name counts (create). */
  readonly name?: string | undefined;
}

/**
 * Takes a decoded body as an object of this kind, at this place. An absent namespace is filled in from the target;
 * throws `BadRequest` for another name or namespace than the target's.
 */
export function withIdentity(resource: Resource, body: unknown, target: Target): KubeObject {
  if (!isObject(body)) throw badRequest(`the body must be an object of kind ${resource.ref.kind}`);
  // The path says it too; of its own kinds Kubernetes does not ask to hear it twice.
  const implied = resource.isBuiltIn ? { kind: resource.ref.kind, apiVersion: resource.apiVersion } : {};
  const { kind, apiVersion } = { ...implied, ...body };
  if (typeof kind !== 'string' || kind === '') throw badRequest("Object 'Kind' is missing");
  if (typeof apiVersion !== 'string' || apiVersion === '') throw badRequest("Object 'apiVersion' is missing");
  if (apiVersion !== resource.apiVersion || kind !== resource.ref.kind) {
    throw badRequest(
      `the object is ${apiVersion} ${kind}, the request is for ${resource.apiVersion} ${resource.ref.kind}`,
    );
  }
  const metadata = body['metadata'] ?? {};
  if (!isObject(metadata)) throw badRequest('metadata must be an object');
  const name = textField(metadata, 'name');
  if (target.name !== undefined && name !== target.name) throw wrongName(name, target.name);
  const namespace = textField(metadata, 'namespace') ?? target.namespace;
  if (resource.ref.namespaced && namespace !== target.namespace) {
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  }
  const { namespace: _, ...others } = metadata;
  // What is stored is pruned of them by its schema, which knows where null is the empty text.
  const content = resource.review ? withoutNulls(body) : body;
  return {
    ...content,
    apiVersion,
    kind,
    metadata: {
      ...others,
      name: name ?? '',
      ...(resource.ref.namespaced && namespace !== undefined ? { namespace } : {}),
    },
  };
}

function wrongName(name: string | undefined, wanted: string): Error {
  return badRequest(
    name === undefined
      ? `the name of the object (${wanted} based on URL) was undeterminable: name must be provided`
      : `the name of the object (${name}) does not match the name on the URL (${wanted})`,
  );
}

/** In Kubernetes' own kinds `null` means absent: Go writes an empty list so. Returns what it got when there is none. */
function withoutNulls<T>(value: T): T {
  if (!holdsNull(value)) return value;
  if (Array.isArray(value)) return value.map(withoutNulls) as T;
  const entries = Object.entries(value as object).filter(([, child]) => child !== null);
  return Object.fromEntries(entries.map(([name, child]) => [name, withoutNulls(child)])) as T;
}

/** In an object, however deep. */
function holdsNull(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(holdsNull);
  if (!isObject(value)) return false;
  for (const name in value) {
    const child = value[name];
    if (child === null || (typeof child === 'object' && holdsNull(child))) return true;
  }
  return false;
}

function textField(metadata: Record<string, unknown>, field: string): string | undefined {
  const value = metadata[field] ?? '';
  if (typeof value !== 'string') throw badRequest(`metadata.${field} must be a string`);
  return value === '' ? undefined : value;
}
