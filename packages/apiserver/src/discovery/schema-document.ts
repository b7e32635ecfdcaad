import type { JsonObject, ResourceRef } from '@selvedge/api';
import type { Resource } from '../registry/resource-catalog.ts';
import { scaleResource } from '../registry/scale.ts';
import { objectMetaSchema } from '../schema/object-schema.ts';
import { type Subresource, subresourcesOf } from './verbs.ts';
import { readSchema, type StructuralSchema } from '../schema/structural-schema.ts';

/** How a reference to another schema is written: OpenAPI 3 wraps it, Swagger 2 does not. */
export type Reference = (name: string, description: string) => JsonObject;

const objectMetaName = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta';
const listMetaName = 'io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta';

export const statusName = 'io.k8s.apimachinery.pkg.apis.meta.v1.Status';
export const deleteOptionsName = 'io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions';
export const patchName = 'io.k8s.apimachinery.pkg.apis.meta.v1.Patch';

/** Name of a kind's schema: `dev.selvedge.v1alpha1.Site`; those of Kubernetes itself as there. */
export function schemaNameOf({
  group,
  version,
  kind,
}: Pick<ResourceRef, 'group' | 'version' | 'kind'>): string {
  if (group === '') return `io.k8s.api.core.${version}.${kind}`;
  const [first = ''] = group.split('.');
  const isOfKubernetes = group.endsWith('.k8s.io') || first === group;
  return isOfKubernetes
    ? `io.k8s.api.${first}.${version}.${kind}`
    : `${group.split('.').reverse().join('.')}.${version}.${kind}`;
}

/** `x-kubernetes-group-version-kind` of a schema. */
export const gvkOf = ({ group, kind, version }: Pick<ResourceRef, 'group' | 'version' | 'kind'>) => ({
  group,
  kind,
  version,
});

/** Schemas of these kinds, of their lists, and of what they refer to. */
export function schemasOf(resources: readonly Resource[], reference: Reference): JsonObject {
  const schemas: JsonObject = {
    [objectMetaName]: renderSchema(readSchema(objectMetaSchema)),
    [listMetaName]: {
      type: 'object',
      description: 'Metadata of a list.',
      properties: {
        continue: { type: 'string', description: 'Set when there are more: where the list goes on.' },
        remainingItemCount: { type: 'integer', format: 'int64', description: 'How many more there are.' },
        resourceVersion: { type: 'string', description: 'Version of the snapshot.' },
      },
    },
  };
  for (const resource of resources) {
    schemas[schemaNameOf(resource.ref)] = renderObject(resource, reference);
    if (!resource.review) schemas[`${schemaNameOf(resource.ref)}List`] = renderList(resource, reference);
    for (const { kind } of subresourcesOf(resource)) {
      schemas[schemaNameOf(kind)] ??= renderSubresource(kind, reference);
    }
  }
  return { ...schemas, ...metaSchemas() };
}

function renderObject(resource: Resource, reference: Reference): JsonObject {
  const rendered = renderSchema(resource.schema);
  const properties = rendered['properties'] as JsonObject;
  return {
    ...rendered,
    properties: { ...properties, metadata: reference(objectMetaName, 'Standard object metadata.') },
    'x-kubernetes-group-version-kind': [gvkOf(resource.ref)],
  };
}

/** Body and answer of a subresource that is a kind of its own. */
function renderSubresource(kind: Subresource['kind'], reference: Reference): JsonObject {
  if (kind.kind === scaleResource.ref.kind && kind.group === scaleResource.ref.group) {
    return renderObject(scaleResource, reference);
  }
  return {
    type: 'object',
    description: `${kind.kind} of ${kind.group}/${kind.version}.`,
    properties: {
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: reference(objectMetaName, 'Standard object metadata.'),
      spec: { type: 'object', description: 'What is asked for.', [preserve]: true },
      status: { type: 'object', description: 'The answer.', [preserve]: true },
    },
    'x-kubernetes-group-version-kind': [kind],
  };
}

const preserve = 'x-kubernetes-preserve-unknown-fields';

/** What is not a kind of its own, but sent and answered for all. */
function metaSchemas(): JsonObject {
  const text = { type: 'string' };
  const gvk = (kind: string) => ({
    'x-kubernetes-group-version-kind': [{ group: '', kind, version: 'v1' }],
  });
  return {
    [statusName]: {
      type: 'object',
      description: 'How a request ended.',
      properties: {
        apiVersion: text,
        kind: text,
        status: { ...text, description: 'Success or Failure.' },
        message: { ...text, description: 'What happened, for people.' },
        reason: { ...text, description: 'What happened, for programs.' },
        code: { type: 'integer', format: 'int32', description: 'HTTP status.' },
        details: { type: 'object', description: 'What it is about.', [preserve]: true },
      },
      ...gvk('Status'),
    },
    [deleteOptionsName]: {
      type: 'object',
      description: 'How to delete.',
      properties: {
        apiVersion: text,
        kind: text,
        dryRun: { type: 'array', items: text, description: 'All: check and answer, delete nothing.' },
        gracePeriodSeconds: { type: 'integer', format: 'int64', description: 'Taken, without effect.' },
        orphanDependents: { type: 'boolean', description: 'The older way to say propagationPolicy.' },
        propagationPolicy: {
          ...text,
          description: 'What happens to dependents: Background, Foreground or Orphan.',
        },
        preconditions: {
          type: 'object',
          description: 'Delete only this life, or this state, of the object.',
          properties: { uid: text, resourceVersion: text },
        },
      },
      ...gvk('DeleteOptions'),
    },
    [patchName]: { type: 'object', description: 'A patch, in the form that its media type says.' },
  };
}

function renderList(resource: Resource, reference: Reference): JsonObject {
  const { kind } = resource.ref;
  const gvk = gvkOf(resource.ref);
  return {
    type: 'object',
    description: `A list of ${kind} objects.`,
    required: ['items'],
    properties: {
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: reference(listMetaName, 'Metadata of the list.'),
      items: { type: 'array', items: reference(schemaNameOf(resource.ref), `A ${kind}.`) },
    },
    'x-kubernetes-group-version-kind': [{ ...gvk, kind: `${kind}List` }],
  };
}

/** Back to JSON Schema, in the subset that both versions of OpenAPI know. */
export function renderSchema(schema: StructuralSchema): JsonObject {
  const { properties, items, additionalProperties } = schema;
  return {
    ...(schema.description ? { description: schema.description } : {}),
    ...(schema.type === 'any' ? {} : { type: schema.type }),
    ...(schema.format ? { format: schema.format } : {}),
    ...(schema.default === undefined ? {} : { default: schema.default }),
    ...(schema.enum ? { enum: schema.enum } : {}),
    ...renderLimits(schema),
    ...(schema.required.length > 0 ? { required: schema.required } : {}),
    ...(properties.size > 0
      ? { properties: Object.fromEntries([...properties].map(([name, s]) => [name, renderSchema(s)])) }
      : {}),
    ...(additionalProperties ? { additionalProperties: renderSchema(additionalProperties) } : {}),
    ...(items ? { items: renderSchema(items) } : {}),
    ...renderExtensions(schema),
  };
}

function renderLimits({ limits }: StructuralSchema): JsonObject {
  const { pattern, exclusiveMinimum, exclusiveMaximum, ...plain } = limits;
  return {
    ...plain,
    ...(pattern ? { pattern: pattern.source } : {}),
    ...(exclusiveMinimum === undefined ? {} : { minimum: exclusiveMinimum, exclusiveMinimum: true }),
    ...(exclusiveMaximum === undefined ? {} : { maximum: exclusiveMaximum, exclusiveMaximum: true }),
  };
}

function renderExtensions(schema: StructuralSchema): JsonObject {
  const { listType, listMapKeys } = schema;
  return {
    ...(schema.intOrString ? { 'x-kubernetes-int-or-string': true } : {}),
    ...(schema.preserveUnknownFields || (schema.alternatives && !schema.intOrString)
      ? { 'x-kubernetes-preserve-unknown-fields': true }
      : {}),
    ...(schema.type === 'array' ? { 'x-kubernetes-list-type': listType } : {}),
    ...(listMapKeys.length > 0
      ? {
          'x-kubernetes-list-map-keys': listMapKeys,
          'x-kubernetes-patch-merge-key': listMapKeys[0],
          'x-kubernetes-patch-strategy': 'merge',
        }
      : {}),
    ...(listType === 'set' ? { 'x-kubernetes-patch-strategy': 'merge' } : {}),
    ...(schema.atomicMap ? { 'x-kubernetes-map-type': 'atomic' } : {}),
    ...(schema.validations ? { 'x-kubernetes-validations': schema.validations } : {}),
    ...(schema.nullable ? { nullable: true } : {}),
  };
}
