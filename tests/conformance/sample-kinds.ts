import type { JsonSchema, ResourceDefinition } from '@selvedge/apiserver';

/** A group that only the comparison has: kinds that together use everything that schemas can say of ownership. */
export const sampleGroupVersion = 'comparison.example.dev/v1';

const text: JsonSchema = { type: 'string' };
const number: JsonSchema = { type: 'integer' };
const textMap: JsonSchema = { type: 'object', additionalProperties: text };

const port: JsonSchema = {
  type: 'object',
  required: ['port', 'protocol'],
  properties: {
    port: number,
    protocol: { type: 'string', default: 'TCP' },
    name: text,
    labels: textMap,
    options: { type: 'object', properties: { a: number, b: number } },
  },
};

const specProperties: Record<string, JsonSchema> = {
  replicas: number,
  color: { type: 'string', enum: ['red', 'green', 'blue'] },
  mode: { type: 'string', default: 'auto' },
  title: { type: 'string', maxLength: 12, pattern: '^[a-z]*$' },
  percent: { type: 'integer', minimum: 1, maximum: 100 },
  isOpen: { type: 'boolean' },
  remark: { type: 'string', nullable: true },
  size: { 'x-kubernetes-int-or-string': true },
  tags: { type: 'array', items: text, 'x-kubernetes-list-type': 'set' },
  sizes: { type: 'array', items: number, 'x-kubernetes-list-type': 'set' },
  notes: { type: 'array', items: text, maxItems: 4 },
  ports: {
    type: 'array',
    items: port,
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['port', 'protocol'],
  },
  parts: {
    type: 'array',
    items: {
      type: 'object',
      required: ['name'],
      properties: {
        name: text,
        count: number,
        sub: {
          type: 'array',
          items: { type: 'object', required: ['key'], properties: { key: text, value: text } },
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['key'],
        },
      },
    },
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['name'],
  },
  labels: textMap,
  selector: { ...textMap, 'x-kubernetes-map-type': 'atomic' },
  place: {
    type: 'object',
    properties: { city: text, zip: text, door: { type: 'object', properties: { floor: number } } },
  },
  fixed: {
    type: 'object',
    'x-kubernetes-map-type': 'atomic',
    properties: { a: number, b: textMap },
  },
  limits: {
    type: 'object',
    additionalProperties: { type: 'object', properties: { min: number, max: number } },
  },
  free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
  half: { type: 'object', properties: { known: text }, 'x-kubernetes-preserve-unknown-fields': true },
};

const schema: JsonSchema = {
  type: 'object',
  properties: {
    spec: { type: 'object', required: [], properties: specProperties },
    status: {
      type: 'object',
      properties: {
        replicas: number,
        phase: text,
        conditions: {
          type: 'array',
          items: {
            type: 'object',
            required: ['type'],
            properties: { type: text, status: text, message: text },
          },
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['type'],
        },
      },
    },
  },
};

export const widgetDefinition: ResourceDefinition = {
  ref: {
    group: 'comparison.example.dev',
    version: 'v1',
    plural: 'widgets',
    kind: 'Widget',
    namespaced: true,
  },
  singular: 'widget',
  description: 'A kind with a status, as most have.',
  schema,
  columns: [],
  statusSubresource: true,
  scale: { specReplicasPath: '.spec.replicas', statusReplicasPath: '.status.replicas' },
};

export const gizmoDefinition: ResourceDefinition = {
  ref: { group: 'comparison.example.dev', version: 'v1', plural: 'gizmos', kind: 'Gizmo', namespaced: false },
  singular: 'gizmo',
  description: 'A kind of the whole cluster, whose status is a field as any.',
  schema,
  columns: [],
  statusSubresource: false,
};
