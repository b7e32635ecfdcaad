import { type ConfigMap, configMaps, fieldDuplicate, type Namespace, namespaces } from '@selvedge/api';
import type { JsonSchema, ResourceDefinition } from '@selvedge/apiserver';
import { validateImmutable, validateKeys, validateSize } from './data-rules.ts';
import { eventDefinition } from './event-definition.ts';
import { leaseDefinition } from './lease-definition.ts';
import { secretDefinition } from './secret-definition.ts';

/** Kinds of Kubernetes' own that the hub serves, as Kubernetes defines them. */
export function coreDefinitions(): ResourceDefinition[] {
  return [namespaceDefinition, configMapDefinition, secretDefinition, eventDefinition, leaseDefinition];
}

const text = (description: string): JsonSchema => ({ type: 'string', description });
const time = (description: string): JsonSchema => ({ type: 'string', format: 'date-time', description });

const namespaceDefinition: ResourceDefinition = {
  ref: namespaces,
  singular: 'namespace',
  shortNames: ['ns'],
  description: 'A scope for the names of applications and what belongs to them.',
  statusSubresource: true,
  strategicMergePatch: true,
  schema: {
    type: 'object',
    properties: {
      spec: {
        type: 'object',
        description: 'Desired state of the namespace.',
        default: {},
        properties: {
          finalizers: {
            type: 'array',
            items: { type: 'string' },
            description: 'Who has to act before the namespace goes.',
          },
        },
      },
      status: {
        type: 'object',
        description: 'State of the namespace.',
        default: {},
        properties: {
          phase: {
            type: 'string',
            enum: ['Active', 'Terminating'],
            description: 'Terminating: what is in it is being deleted.',
          },
          conditions: {
            type: 'array',
            'x-kubernetes-list-type': 'map',
            'x-kubernetes-list-map-keys': ['type'],
            description: 'What is to be said about its state.',
            items: {
              type: 'object',
              required: ['type', 'status'],
              properties: {
                type: text('What it says.'),
                status: text('True, False or Unknown.'),
                reason: text('A word for the reason.'),
                message: text('The reason in words.'),
                lastTransitionTime: time('When status changed.'),
              },
            },
          },
        },
      },
    },
  },
  selectableFields: { 'status.phase': (object) => (object as Namespace).status?.phase ?? '' },
  columns: [
    {
      name: 'Status',
      type: 'string',
      description: 'Active or Terminating.',
      value: (object) => (object as Namespace).status?.phase,
    },
  ],
};

const configMapDefinition: ResourceDefinition = {
  ref: configMaps,
  singular: 'configmap',
  shortNames: ['cm'],
  description: 'Settings for programs to read.',
  statusSubresource: false,
  strategicMergePatch: true,
  schema: {
    type: 'object',
    properties: {
      data: { type: 'object', additionalProperties: { type: 'string' }, description: 'Texts by key.' },
      binaryData: {
        type: 'object',
        additionalProperties: { type: 'string', format: 'byte' },
        description: 'Bytes by key, in base64.',
      },
      immutable: { type: 'boolean', description: 'true: data cannot be changed any more.' },
    },
  },
  validate: (object, previous) => {
    const { data, binaryData } = object as ConfigMap;
    const both = Object.keys(binaryData ?? {}).filter((key) => Object.hasOwn(data ?? {}, key));
    return [
      ...validateKeys(data, 'data'),
      ...validateKeys(binaryData, 'binaryData'),
      ...both.map((key) => fieldDuplicate(`binaryData[${key}]`, key, 'it stands in data too')),
      ...validateSize({ texts: Object.values(data ?? {}), base64: Object.values(binaryData ?? {}) }),
      ...validateImmutable(object as ConfigMap, previous as ConfigMap | undefined),
    ];
  },
  columns: [
    {
      name: 'Data',
      type: 'integer',
      description: 'Number of keys.',
      value: (object) => {
        const { data, binaryData } = object as ConfigMap;
        return Object.keys(data ?? {}).length + Object.keys(binaryData ?? {}).length;
      },
    },
  ],
};
