import { isObject } from '@selvedge/api';
import type { JsonSchema, ResourceDefinition } from '../resource-definition.ts';
import { readSchema, type StructuralSchema } from './structural-schema.ts';

const text = (description: string): JsonSchema => ({ type: 'string', description });
const textMap = (description: string): JsonSchema => ({
  type: 'object',
  additionalProperties: { type: 'string' },
  description,
});
const time = (description: string): JsonSchema => ({ type: 'string', format: 'date-time', description });

/** `metav1.ObjectMeta`. */
export const objectMetaSchema: JsonSchema = {
  type: 'object',
  description: 'Standard object metadata.',
  properties: {
    name: text('Name, unique in the namespace (or in the cluster). Cannot be changed.'),
    generateName: text('Prefix of a name that the server makes unique, used when name is empty.'),
    namespace: text('Namespace that the object lives in. Cannot be changed.'),
    selfLink: text('Not used.'),
    uid: text('Identity of this life of the object. Set by the server.'),
    resourceVersion: text(
      'Version of this state, opaque. Send it back with an update to notice changes in between.',
    ),
    generation: { type: 'integer', format: 'int64', description: 'Counts changes of the desired state.' },
    creationTimestamp: time('When the object was created. Set by the server.'),
    deletionTimestamp: time('When deletion was asked for. Set by the server.'),
    deletionGracePeriodSeconds: { type: 'integer', format: 'int64', description: 'Set by the server.' },
    labels: textMap('Names and values to select objects by.'),
    annotations: textMap('Names and values that tools keep with the object.'),
    ownerReferences: {
      type: 'array',
      description: 'Objects that this one belongs to.',
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['uid'],
      items: {
        type: 'object',
        'x-kubernetes-map-type': 'atomic',
        required: ['apiVersion', 'kind', 'name', 'uid'],
        properties: {
          apiVersion: text('API version of the owner.'),
          kind: text('Kind of the owner.'),
          name: text('Name of the owner.'),
          uid: text('uid of the owner.'),
          controller: { type: 'boolean', description: 'Whether the owner manages the object.' },
          blockOwnerDeletion: {
            type: 'boolean',
            description: 'Whether foreground deletion of the owner waits for the object.',
          },
        },
      },
    },
    finalizers: {
      type: 'array',
      description: 'Who still has to act before a deleted object goes.',
      items: { type: 'string' },
      'x-kubernetes-list-type': 'set',
    },
    managedFields: {
      type: 'array',
      description: 'Which manager set which fields. Kept by the server.',
      items: {
        type: 'object',
        properties: {
          manager: text('Name of the manager.'),
          operation: text('Apply or Update.'),
          apiVersion: text('API version that the fields are named in.'),
          time: time('When the manager last changed its fields.'),
          fieldsType: text('FieldsV1.'),
          fieldsV1: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
          subresource: text('Subresource that the fields were written through.'),
        },
      },
    },
  },
};

/** Schema of a kind's whole object: what the definition says, with apiVersion, kind and metadata. */
export function objectSchema(
  definition: Pick<ResourceDefinition, 'schema' | 'ref' | 'description' | 'strategicMergePatch'>,
): StructuralSchema {
  const { schema, ref, description } = definition;
  const own = readSchema({ ...schema, type: 'object', description }, ref.kind);
  const properties = new Map([
    ['apiVersion', readSchema(text('Version of the schema of this object.'))],
    ['kind', readSchema(text('Kind of this object.'))],
    ['metadata', readSchema(objectMetaSchema)],
    ...(definition.strategicMergePatch ? withZeros(own).properties : own.properties),
  ]);
  return { ...own, properties };
}

/** The defaults of a built-in kind that are but Go's zero values. */
function withZeros(schema: StructuralSchema): StructuralSchema {
  const { default: value } = schema;
  const isZero = value === null || value === '' || (isObject(value) && Object.keys(value).length === 0);
  const properties = [...schema.properties].map(([name, s]) => [name, withZeros(s)] as const);
  return {
    ...schema,
    properties: new Map(properties),
    ...(schema.items ? { items: withZeros(schema.items) } : {}),
    ...(isZero ? { zero: value } : {}),
  };
}
