import { type KubeObject, serviceAccounts } from '@selvedge/api';
import type { JsonSchema, ResourceDefinition, SubresourceAction } from '../../resource-definition.ts';

const text = (description: string): JsonSchema => ({ type: 'string', description });

const objectReference: JsonSchema = {
  type: 'object',
  description: 'A Secret of the same namespace.',
  'x-kubernetes-map-type': 'atomic',
  properties: {
    apiVersion: text('API version of the object.'),
    kind: text('Kind of the object.'),
    namespace: text('Namespace of the object.'),
    name: text('Name of the object.'),
    uid: text('Identity of the object.'),
    resourceVersion: text('State of the object that is spoken of.'),
    fieldPath: text('Part of the object that is spoken of.'),
  },
};

/** `v1 ServiceAccount`, with its subresource `token`. */
export function serviceAccountDefinition(token: SubresourceAction): ResourceDefinition {
  return {
    ref: serviceAccounts,
    singular: 'serviceaccount',
    shortNames: ['sa'],
    description: 'A name for programs, with tokens of its own: `kubectl create token NAME`.',
    statusSubresource: false,
    strategicMergePatch: true,
    schema: {
      type: 'object',
      properties: {
        secrets: {
          type: 'array',
          description: 'Secrets that programs with this name may use. Kept as it is given.',
          items: objectReference,
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['name'],
        },
        imagePullSecrets: {
          type: 'array',
          description: 'Secrets for pulling images. Kept as it is given.',
          'x-kubernetes-list-type': 'atomic',
          items: {
            type: 'object',
            'x-kubernetes-map-type': 'atomic',
            properties: { name: text('Name of the Secret.') },
          },
        },
        automountServiceAccountToken: {
          type: 'boolean',
          description: 'Whether pods get a token. Kept as it is given.',
        },
      },
    },
    actions: { token },
    columns: [
      {
        name: 'Secrets',
        type: 'integer',
        description: 'Number of Secrets named.',
        value: (object) => ((object as { secrets?: unknown[] } & KubeObject).secrets ?? []).length,
      },
    ],
  };
}
