import {
  configMaps,
  events,
  fieldInvalid,
  isObject,
  type KubeObject,
  namespaces,
  type ResourceRef,
  secrets,
} from '@selvedge/api';
import type { JsonSchema, ResourceDefinition } from '../resource-definition.ts';

/** Definitions for tests: a few kinds that together use everything the server can do. */
export const gadgets: ResourceRef = {
  group: 'example.dev',
  version: 'v1alpha1',
  plural: 'gadgets',
  kind: 'Gadget',
  namespaced: true,
};

const text = { type: 'string' } as const;
const textMap = { type: 'object', additionalProperties: text } as const;

const gadgetSchema: JsonSchema = {
  type: 'object',
  required: ['spec'],
  properties: {
    spec: {
      type: 'object',
      description: 'What the gadget is to be.',
      required: ['size'],
      properties: {
        size: { type: 'integer', minimum: 1, maximum: 100, description: 'How big it is.' },
        color: { anyOf: [{ const: 'red' }, { const: 'green' }], default: 'red', description: 'Its color.' },
        budget: { anyOf: [{ type: 'integer' }, { type: 'string' }], 'x-kubernetes-int-or-string': true },
        tags: { type: 'array', items: text, 'x-kubernetes-list-type': 'set' },
        notes: { type: 'array', items: text },
        variables: {
          type: 'object',
          patternProperties: { '^.*$': { anyOf: [text, { type: 'number' }, { type: 'boolean' }] } },
        },
        waves: {
          type: 'array',
          maxItems: 5,
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['name'],
          items: {
            type: 'object',
            required: ['name'],
            properties: {
              name: { type: 'string', minLength: 1 },
              percent: { type: 'integer', minimum: 1, maximum: 100 },
              soak: { type: 'string', default: '0s' },
            },
          },
        },
        manifests: {
          type: 'array',
          items: { type: 'object', properties: {}, additionalProperties: true },
        },
      },
    },
    status: {
      type: 'object',
      properties: {
        phase: text,
        seen: { type: 'integer' },
        conditions: {
          type: 'array',
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['type'],
          items: {
            type: 'object',
            required: ['type', 'status'],
            properties: { type: text, status: text, reason: text, message: text, lastTransitionTime: text },
          },
        },
      },
    },
  },
};

const specOf = (object: KubeObject): Record<string, unknown> =>
  isObject(object['spec']) ? object['spec'] : {};
const statusOf = (object: KubeObject): Record<string, unknown> =>
  isObject(object['status']) ? object['status'] : {};
const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

export const gadgetDefinition: ResourceDefinition = {
  ref: gadgets,
  singular: 'gadget',
  shortNames: ['gg'],
  categories: ['all'],
  description: 'A thing to test the server with.',
  schema: gadgetSchema,
  statusSubresource: true,
  columns: [
    {
      name: 'Size',
      type: 'integer',
      description: 'How big it is.',
      value: (o) => specOf(o)['size'] as number,
    },
    {
      name: 'Phase',
      type: 'string',
      description: 'Where it is.',
      value: (o) => statusOf(o)['phase'] as string,
    },
    {
      name: 'Color',
      type: 'string',
      priority: 1,
      description: 'Its color.',
      value: (o) => specOf(o)['color'] as string,
    },
  ],
  selectableFields: { 'spec.color': (o) => textOf(specOf(o)['color']) },
  validate: (object) =>
    specOf(object)['size'] === 13 ? [fieldInvalid('spec.size', 13, 'brings bad luck, choose another')] : [],
  actions: {
    paint: {
      kind: { group: 'example.dev', version: 'v1alpha1', kind: 'Paint' },
      invoke: async (object, body) => ({
        apiVersion: 'example.dev/v1alpha1',
        kind: 'Paint',
        metadata: { name: object.metadata.name },
        received: body,
      }),
    },
    forecast: {
      kind: { group: 'example.dev', version: 'v1alpha1', kind: 'Forecast' },
      over: (sent, present) => ({ ...sent, spec: { color: specOf(present)['color'], ...specOf(sent) } }),
      preview: async ({ object, previous }) => ({
        apiVersion: 'example.dev/v1alpha1',
        kind: 'Forecast',
        metadata: { name: object.metadata.name },
        would: object,
        ...(previous === undefined ? {} : { was: previous }),
      }),
    },
  },
};

const core = { columns: [], statusSubresource: false, strategicMergePatch: true } as const;

export const namespaceDefinition: ResourceDefinition = {
  ...core,
  ref: namespaces,
  singular: 'namespace',
  shortNames: ['ns'],
  description: 'A namespace.',
  statusSubresource: true,
  schema: {
    type: 'object',
    properties: {
      spec: { type: 'object', properties: { finalizers: { type: 'array', items: text } } },
      status: { type: 'object', properties: { phase: text } },
    },
  },
  columns: [
    {
      name: 'Status',
      type: 'string',
      description: 'Active or Terminating.',
      value: (o) => statusOf(o)['phase'] as string,
    },
  ],
};

export const configMapDefinition: ResourceDefinition = {
  ...core,
  ref: configMaps,
  singular: 'configmap',
  shortNames: ['cm'],
  description: 'Configuration.',
  schema: {
    type: 'object',
    properties: { data: textMap, binaryData: textMap, immutable: { type: 'boolean' } },
  },
};

export const secretDefinition: ResourceDefinition = {
  ...core,
  ref: secrets,
  singular: 'secret',
  description: 'Secret values.',
  sensitive: true,
  schema: {
    type: 'object',
    properties: {
      data: { type: 'object', additionalProperties: { type: 'string', format: 'byte' } },
      stringData: textMap,
      type: { type: 'string', default: 'Opaque' },
      immutable: { type: 'boolean' },
    },
  },
  prepare: ({ stringData, ...secret }) => {
    if (!isObject(stringData)) return secret as KubeObject;
    const encoded = Object.entries(stringData).map(([k, v]) => [
      k,
      Buffer.from(String(v)).toString('base64'),
    ]);
    const data = isObject(secret['data']) ? secret['data'] : {};
    return { ...secret, data: { ...data, ...Object.fromEntries(encoded) } } as KubeObject;
  },
};

const involvedFields = [
  'kind',
  'namespace',
  'name',
  'uid',
  'apiVersion',
  'resourceVersion',
  'fieldPath',
] as const;

export const eventDefinition: ResourceDefinition = {
  ...core,
  ref: events,
  singular: 'event',
  shortNames: ['ev'],
  description: 'Something that happened.',
  schema: {
    type: 'object',
    required: ['involvedObject'],
    properties: {
      involvedObject: {
        type: 'object',
        properties: Object.fromEntries(involvedFields.map((name) => [name, text])),
      },
      type: text,
      reason: text,
      message: text,
      count: { type: 'integer' },
      firstTimestamp: { type: 'string', format: 'date-time' },
      lastTimestamp: { type: 'string', format: 'date-time' },
      source: { type: 'object', properties: { component: text, host: text } },
    },
  },
  selectableFields: Object.fromEntries(
    involvedFields.map((name) => [
      `involvedObject.${name}`,
      (o: KubeObject) => textOf((o['involvedObject'] as Record<string, unknown>)[name]),
    ]),
  ),
};

export const sampleDefinitions: readonly ResourceDefinition[] = [
  namespaceDefinition,
  configMapDefinition,
  secretDefinition,
  eventDefinition,
  gadgetDefinition,
];
