import type { Resource } from '../registry/resource-catalog.ts';
import type { JsonObject } from '../schema/json-value.ts';
import { objectMetaSchema } from '../schema/object-schema.ts';
import { readSchema, type StructuralSchema } from '../schema/structural-schema.ts';

/** How a reference to another schema is written: OpenAPI 3 wraps it, Swagger 2 does not. */
export type Reference = (name: string, description: string) => JsonObject;

const objectMetaName = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta';
const listMetaName = 'io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta';

/** Name of a kind's schema: `dev.selvedge.v1alpha1.Site`; that of Kubernetes itself for the core group. */
export function schemaNameOf({ ref }: Resource): string {
  const { group, version, kind } = ref;
  return group === ''
    ? `io.k8s.api.core.${version}.${kind}`
    : `${group.split('.').reverse().join('.')}.${version}.${kind}`;
}

/** `x-kubernetes-group-version-kind` of a schema. */
export const gvkOf = ({ ref }: Resource) => ({ group: ref.group, kind: ref.kind, version: ref.version });

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
    schemas[schemaNameOf(resource)] = renderObject(resource, reference);
    schemas[`${schemaNameOf(resource)}List`] = renderList(resource, reference);
  }
  return schemas;
}

function renderObject(resource: Resource, reference: Reference): JsonObject {
  const rendered = renderSchema(resource.schema);
  const properties = rendered['properties'] as JsonObject;
  return {
    ...rendered,
    properties: { ...properties, metadata: reference(objectMetaName, 'Standard object metadata.') },
    'x-kubernetes-group-version-kind': [gvkOf(resource)],
  };
}

function renderList(resource: Resource, reference: Reference): JsonObject {
  const { kind } = resource.ref;
  const gvk = gvkOf(resource);
  return {
    type: 'object',
    description: `A list of ${kind} objects.`,
    required: ['items'],
    properties: {
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: reference(listMetaName, 'Metadata of the list.'),
      items: { type: 'array', items: reference(schemaNameOf(resource), `A ${kind}.`) },
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
  };
}
