import {
  type ConfigMap,
  configMaps,
  type Event,
  events,
  type FieldError,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldTooLong,
  type KubeObject,
  type Namespace,
  namespaces,
  type Secret,
  secrets,
} from '@selvedge/api';
import type { JsonSchema, ResourceDefinition } from '@selvedge/apiserver';
import { isDeepStrictEqual } from 'node:util';

/** Kinds of Kubernetes' own that the hub serves, as Kubernetes defines them. */
export function coreDefinitions(): ResourceDefinition[] {
  return [namespaceDefinition, configMapDefinition, secretDefinition, eventDefinition];
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
        properties: {
          phase: {
            type: 'string',
            enum: ['Active', 'Terminating'],
            description: 'Terminating: what is in it is being deleted.',
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

/** As Kubernetes: keys have to be file names. */
const dataKey = /^[-._a-zA-Z0-9]{1,253}$/;
const dataLimitBytes = 1024 * 1024;

function validateKeys(data: Record<string, string> | undefined, path: string): FieldError[] {
  return Object.keys(data ?? {})
    .filter((key) => !dataKey.test(key) || key === '.' || key === '..')
    .map((key) =>
      fieldInvalid(
        `${path}[${key}]`,
        key,
        "a key must consist of letters, digits, '-', '_' or '.', at most 253 of them",
      ),
    );
}

function validateSize(values: readonly string[]): FieldError[] {
  const bytes = values.reduce((sum, value) => sum + Buffer.byteLength(value), 0);
  return bytes > dataLimitBytes ? [fieldTooLong('data', `must have at most ${dataLimitBytes} bytes`)] : [];
}

/** What an object that says `immutable: true` may not have changed. */
function validateImmutable(
  object: ConfigMap | Secret,
  previous: ConfigMap | Secret | undefined,
): FieldError[] {
  if (previous?.immutable !== true) return [];
  const fields = ['immutable', 'data', 'binaryData'] as const;
  return fields
    .filter((field) => !isDeepStrictEqual(object[field], previous[field]))
    .map((field) =>
      fieldForbidden(field, 'the object is immutable: delete it and make it again to change it'),
    );
}

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
      ...validateSize([...Object.values(data ?? {}), ...Object.values(binaryData ?? {})]),
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

const secretDefinition: ResourceDefinition = {
  ref: secrets,
  singular: 'secret',
  description: 'Passwords, keys and the like. Encrypted in the store.',
  statusSubresource: false,
  strategicMergePatch: true,
  sensitive: true,
  schema: {
    type: 'object',
    properties: {
      type: { ...text('What kind of secret it is. Cannot be changed.'), default: 'Opaque' },
      data: {
        type: 'object',
        additionalProperties: { type: 'string', format: 'byte' },
        description: 'Bytes by key, in base64.',
      },
      stringData: {
        type: 'object',
        additionalProperties: { type: 'string' },
        description: 'Texts by key, for writing: the server puts them into data.',
      },
      immutable: { type: 'boolean', description: 'true: data cannot be changed any more.' },
    },
  },
  prepare: (object) => {
    const { stringData, ...secret } = object as Secret;
    if (!stringData) return secret;
    const encoded = Object.entries(stringData).map(([key, value]) => [
      key,
      Buffer.from(value, 'utf8').toString('base64'),
    ]);
    return { ...secret, data: { ...secret.data, ...Object.fromEntries(encoded) } };
  },
  validate: (object, previous) => {
    const { data, type } = object as Secret;
    const former = (previous as Secret | undefined)?.type;
    return [
      ...validateKeys(data, 'data'),
      ...validateSize(Object.values(data ?? {})),
      ...validateImmutable(object as Secret, previous as Secret | undefined),
      ...(former !== undefined && type !== former ? [fieldForbidden('type', 'cannot be changed')] : []),
    ];
  },
  selectableFields: { type: (object) => (object as Secret).type ?? '' },
  columns: [
    {
      name: 'Type',
      type: 'string',
      description: 'What kind of secret it is.',
      value: (object) => (object as Secret).type,
    },
    {
      name: 'Data',
      type: 'integer',
      description: 'Number of keys.',
      value: (object) => Object.keys((object as Secret).data ?? {}).length,
    },
  ],
};

const objectReference = (description: string): JsonSchema => ({
  type: 'object',
  description,
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
});

function eventField(path: (event: Event) => string | undefined) {
  return (object: KubeObject) => path(object as Event) ?? '';
}

const eventDefinition: ResourceDefinition = {
  ref: events,
  singular: 'event',
  shortNames: ['ev'],
  description: 'Something that happened to an object. Kept for a day.',
  statusSubresource: false,
  strategicMergePatch: true,
  schema: {
    type: 'object',
    required: ['involvedObject'],
    properties: {
      involvedObject: objectReference('The object that it happened to.'),
      related: objectReference('Another object that has to do with it.'),
      type: text('Normal or Warning.'),
      reason: text('What happened, in CamelCase, for programs.'),
      message: text('What happened, for people.'),
      action: text('What was done or failed.'),
      count: { type: 'integer', format: 'int32', description: 'How often it happened.' },
      firstTimestamp: { ...time('When it first happened.'), nullable: true },
      lastTimestamp: { ...time('When it last happened.'), nullable: true },
      eventTime: { ...time('When it happened.'), nullable: true },
      source: {
        type: 'object',
        description: 'Who says so.',
        properties: { component: text('Part of the system.'), host: text('Machine.') },
      },
      series: {
        type: 'object',
        description: 'A series that the event stands for.',
        properties: {
          count: { type: 'integer', format: 'int32', description: 'Length of the series so far.' },
          lastObservedTime: time('When its last event happened.'),
        },
      },
      reportingComponent: text('Who says so, as in selvedge.dev/rollout-controller.'),
      reportingInstance: text('Which of them.'),
    },
  },
  selectableFields: {
    'involvedObject.kind': eventField((e) => e.involvedObject.kind),
    'involvedObject.namespace': eventField((e) => e.involvedObject.namespace),
    'involvedObject.name': eventField((e) => e.involvedObject.name),
    'involvedObject.uid': eventField((e) => e.involvedObject.uid),
    'involvedObject.apiVersion': eventField((e) => e.involvedObject.apiVersion),
    'involvedObject.resourceVersion': eventField((e) => e.involvedObject.resourceVersion),
    'involvedObject.fieldPath': eventField((e) => e.involvedObject.fieldPath),
    reason: eventField((e) => e.reason),
    reportingComponent: eventField((e) => e.reportingComponent),
    source: eventField((e) => e.source?.component ?? e.reportingComponent),
    type: eventField((e) => e.type),
  },
  columns: [
    {
      name: 'Last Seen',
      type: 'date',
      description: 'When it last happened.',
      value: (object) => {
        const { lastTimestamp, eventTime, firstTimestamp } = object as Event;
        return lastTimestamp ?? eventTime ?? firstTimestamp;
      },
    },
    { name: 'Type', type: 'string', description: 'Normal or Warning.', value: (o) => (o as Event).type },
    { name: 'Reason', type: 'string', description: 'What happened.', value: (o) => (o as Event).reason },
    {
      name: 'Object',
      type: 'string',
      description: 'What it happened to.',
      value: (object) => {
        const { kind = '', name = '' } = (object as Event).involvedObject;
        return `${kind.toLowerCase()}/${name}`;
      },
    },
    {
      name: 'Message',
      type: 'string',
      description: 'What happened, for people.',
      value: (o) => (o as Event).message,
    },
    {
      name: 'Count',
      type: 'integer',
      description: 'How often it happened.',
      priority: 1,
      value: (o) => (o as Event).count,
    },
  ],
};
