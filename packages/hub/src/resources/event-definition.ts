import { type Event, events, type KubeObject, type ResourceRef } from '@selvedge/api';
import {
  aliasDefinition,
  type JsonSchema,
  type ResourceDefinition,
  type VirtualResourceDefinition,
} from '@selvedge/apiserver';
import type { ObjectStore } from '@selvedge/store';

const text = (description: string): JsonSchema => ({ type: 'string', description });
const time = (description: string): JsonSchema => ({ type: 'string', format: 'date-time', description });

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

export const eventDefinition: ResourceDefinition = {
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
      eventTime: { ...time('When it happened.'), nullable: true, default: null },
      source: {
        type: 'object',
        description: 'Who says so.',
        default: {},
        properties: { component: text('Part of the system.'), host: text('Machine.') },
      },
      series: {
        type: 'object',
        description: 'A series that the event stands for.',
        properties: {
          count: { type: 'integer', format: 'int32', description: 'Length of the series so far.' },
          lastObservedTime: { ...time('When its last event happened.'), nullable: true },
        },
      },
      reportingComponent: {
        ...text('Who says so, as in selvedge.dev/rollout-controller.'),
        default: '',
      },
      reportingInstance: { ...text('Which of them.'), default: '' },
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
      name: 'Subobject',
      type: 'string',
      description: 'Part of it that it happened to.',
      priority: 1,
      value: (o) => (o as Event).involvedObject.fieldPath,
    },
    {
      name: 'Source',
      type: 'string',
      description: 'Who says so.',
      priority: 1,
      value: (object) => {
        const { source, reportingComponent, reportingInstance } = object as Event;
        const { component = reportingComponent, host = reportingInstance } = source ?? {};
        return [component, host].filter(Boolean).join(', ');
      },
    },
    {
      name: 'Message',
      type: 'string',
      description: 'What happened, for people.',
      value: (o) => (o as Event).message,
    },
    {
      name: 'First Seen',
      type: 'date',
      description: 'When it first happened.',
      priority: 1,
      value: (object) => {
        const { firstTimestamp, eventTime } = object as Event;
        return firstTimestamp ?? eventTime;
      },
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

const groupEvents: ResourceRef = {
  group: 'events.k8s.io',
  version: 'v1',
  plural: 'events',
  kind: 'Event',
  namespaced: true,
};

/** Names of `events.k8s.io/v1` → names of `v1`. */
const fieldNames = {
  regarding: 'involvedObject',
  note: 'message',
  reportingController: 'reportingComponent',
  deprecatedSource: 'source',
  deprecatedFirstTimestamp: 'firstTimestamp',
  deprecatedLastTimestamp: 'lastTimestamp',
  deprecatedCount: 'count',
} as const;

/** The same events as newer clients write and read them. */
export function groupEventDefinition(objects: ObjectStore): VirtualResourceDefinition {
  const { schema, columns, selectableFields = {} } = eventDefinition;
  const names = new Map(Object.entries(fieldNames).map(([name, stored]) => [stored as string, name]));
  const rename = (path: string) => {
    const [first = '', ...rest] = path.split('.');
    return [names.get(first) ?? first, ...rest].join('.');
  };
  const stored = (object: KubeObject): KubeObject => {
    const entries = Object.entries(object).map(([name, value]): [string, unknown] => [
      Object.hasOwn(fieldNames, name) ? fieldNames[name as keyof typeof fieldNames] : name,
      value,
    ]);
    return Object.fromEntries(entries) as unknown as KubeObject;
  };
  const properties = Object.entries(schema['properties'] as Record<string, JsonSchema>);
  return aliasDefinition(objects, {
    ...eventDefinition,
    ref: groupEvents,
    storedAs: { ref: events, fieldNames },
    schema: {
      ...schema,
      required: ['regarding'],
      properties: Object.fromEntries(properties.map(([name, value]) => [rename(name), value])),
    },
    columns: columns.map((column) => ({
      ...column,
      value: (object, now) => column.value(stored(object), now),
    })),
    selectableFields: Object.fromEntries(
      Object.entries(selectableFields).map(([path, value]) => [
        rename(path),
        (object: KubeObject) => value(stored(object)),
      ]),
    ),
  });
}
