import { badRequest, type KubeObject } from '@selvedge/api';
import type { Resource } from '../registry/resource-catalog.ts';
import { isObject } from '../schema/json-value.ts';

export interface Target {
  readonly namespace?: string | undefined;
  /** Absent when the object's own name counts (create). */
  readonly name?: string | undefined;
}

/**
 * Takes a decoded body as an object of this kind, at this place. Absent parts of the identity are filled in from the
 * target; throws `BadRequest` for others than the target's.
 */
export function withIdentity(resource: Resource, body: unknown, target: Target): KubeObject {
  if (!isObject(body)) throw badRequest(`the body must be an object of kind ${resource.ref.kind}`);
  const { kind, apiVersion } = body;
  if (typeof kind !== 'string' || kind === '') throw badRequest("Object 'Kind' is missing");
  if (typeof apiVersion !== 'string' || apiVersion === '') throw badRequest("Object 'apiVersion' is missing");
  if (apiVersion !== resource.apiVersion || kind !== resource.ref.kind) {
    throw badRequest(
      `the object is ${apiVersion} ${kind}, the request is for ${resource.apiVersion} ${resource.ref.kind}`,
    );
  }
  const metadata = body['metadata'] ?? {};
  if (!isObject(metadata)) throw badRequest('metadata must be an object');
  const name = textField(metadata, 'name') ?? target.name;
  if (target.name !== undefined && name !== target.name) {
    throw badRequest(`the name of the object (${name}) does not match the name on the URL (${target.name})`);
  }
  const namespace = textField(metadata, 'namespace') ?? target.namespace;
  if (resource.ref.namespaced && namespace !== target.namespace) {
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  }
  const { namespace: _, ...others } = metadata;
  return {
    ...body,
    apiVersion,
    kind,
    metadata: {
      ...others,
      name: name ?? '',
      ...(resource.ref.namespaced && namespace !== undefined ? { namespace } : {}),
    },
  };
}

function textField(metadata: Record<string, unknown>, field: string): string | undefined {
  const value = metadata[field] ?? '';
  if (typeof value !== 'string') throw badRequest(`metadata.${field} must be a string`);
  return value === '' ? undefined : value;
}
