import { badRequest, StatusError } from '@selvedge/api';
import type { JsonObject } from '../schema/json-value.ts';
import { readFields } from './protobuf-reader.ts';

/**
 * kubectl since 1.32 sends a few built-in kinds as protobuf and takes no refusal. Only what it sends is known here;
 * numbers are those of k8s.io/api generated.proto.
 */
type FieldType =
  | 'string'
  | 'bytes'
  | 'bool'
  | 'int'
  | 'time'
  | Message
  | { readonly map: 'string' | 'bytes' };
interface Field {
  readonly name: string;
  readonly type: FieldType;
  readonly repeated?: true;
}
interface Message {
  readonly fields: Readonly<Record<number, Field>>;
}

const field = (name: string, type: FieldType): Field => ({ name, type });
const list = (name: string, type: FieldType): Field => ({ name, type, repeated: true });

const ownerReference: Message = {
  fields: {
    1: field('kind', 'string'),
    3: field('name', 'string'),
    4: field('uid', 'string'),
    5: field('apiVersion', 'string'),
    6: field('controller', 'bool'),
    7: field('blockOwnerDeletion', 'bool'),
  },
};
const objectMeta: Message = {
  fields: {
    1: field('name', 'string'),
    2: field('generateName', 'string'),
    3: field('namespace', 'string'),
    5: field('uid', 'string'),
    6: field('resourceVersion', 'string'),
    8: field('creationTimestamp', 'time'),
    11: field('labels', { map: 'string' }),
    12: field('annotations', { map: 'string' }),
    13: list('ownerReferences', ownerReference),
    14: list('finalizers', 'string'),
  },
};
const namespaceSpec: Message = { fields: { 1: list('finalizers', 'string') } };
const namespaceStatus: Message = { fields: { 1: field('phase', 'string') } };

const messages: Readonly<Record<string, Message>> = {
  'v1 Namespace': {
    fields: {
      1: field('metadata', objectMeta),
      2: field('spec', namespaceSpec),
      3: field('status', namespaceStatus),
    },
  },
  'v1 ConfigMap': {
    fields: {
      1: field('metadata', objectMeta),
      2: field('data', { map: 'string' }),
      3: field('binaryData', { map: 'bytes' }),
      4: field('immutable', 'bool'),
    },
  },
  'v1 Secret': {
    fields: {
      1: field('metadata', objectMeta),
      2: field('data', { map: 'bytes' }),
      3: field('type', 'string'),
      4: field('stringData', { map: 'string' }),
      5: field('immutable', 'bool'),
    },
  },
  DeleteOptions: {
    fields: {
      1: field('gracePeriodSeconds', 'int'),
      2: field('preconditions', {
        fields: { 1: field('uid', 'string'), 2: field('resourceVersion', 'string') },
      }),
      3: field('orphanDependents', 'bool'),
      4: field('propagationPolicy', 'string'),
      5: list('dryRun', 'string'),
    },
  },
};

const magic = Buffer.from('k8s\0', 'latin1');
const typeMeta: Message = { fields: { 1: field('apiVersion', 'string'), 2: field('kind', 'string') } };
/** `runtime.Unknown`. */
const envelope: Message = { fields: { 1: field('typeMeta', typeMeta), 2: field('raw', 'bytes') } };

/** The object in a body of type application/vnd.kubernetes.protobuf, as it would be in JSON. */
export function decodeProtobuf(body: Buffer): JsonObject {
  if (!body.subarray(0, 4).equals(magic)) throw badRequest('the body is not a Kubernetes protobuf message');
  const { typeMeta: type, raw } = readMessage(body.subarray(4), envelope) as {
    typeMeta?: { apiVersion?: string; kind?: string };
    raw?: string;
  };
  const { apiVersion = '', kind = '' } = type ?? {};
  const message = messages[kind === 'DeleteOptions' ? kind : `${apiVersion} ${kind}`];
  if (!message) {
    throw new StatusError(
      'UnsupportedMediaType',
      `${apiVersion} ${kind} cannot be read as protobuf: send it as JSON`,
    );
  }
  return { apiVersion, kind, ...readMessage(Buffer.from(raw ?? '', 'base64'), message) };
}

/** Default values are not on the wire in the generated code of Kubernetes, empty strings are: they mean absent. */
function readMessage(bytes: Buffer, { fields }: Message): JsonObject {
  const read = new Map<string, unknown[]>();
  for (const { number, value } of readFields(bytes)) {
    const known = fields[number];
    if (!known) continue;
    const { name, type } = known;
    const values = read.get(name) ?? [];
    read.set(name, values);
    const isMap = typeof type === 'object' && 'map' in type;
    values.push(isMap ? readEntry(asBytes(value), type.map) : readValue(value, type));
  }
  const object: JsonObject = {};
  for (const { name, type, repeated } of Object.values(fields)) {
    const values = read.get(name);
    if (!values) continue;
    const last = values.at(-1);
    if (typeof type === 'object' && 'map' in type)
      object[name] = Object.fromEntries(values as [string, unknown][]);
    else if (repeated) object[name] = values;
    else if (last !== '' && last !== undefined) object[name] = last;
  }
  return object;
}

function readEntry(bytes: Buffer, type: 'string' | 'bytes'): [string, unknown] {
  let key = '';
  let entry: unknown = '';
  for (const { number, value } of readFields(bytes)) {
    if (number === 1) key = asBytes(value).toString();
    if (number === 2) entry = readValue(value, type);
  }
  return [key, entry];
}

function readValue(value: bigint | Buffer, type: Exclude<FieldType, { map: unknown }>): unknown {
  switch (type) {
    case 'string':
      return asBytes(value).toString();
    case 'bytes':
      return asBytes(value).toString('base64');
    case 'bool':
      return value !== 0n;
    case 'int':
      return Number(value);
    case 'time':
      return readTime(asBytes(value));
    default:
      return readMessage(asBytes(value), type);
  }
}

function readTime(bytes: Buffer): string | undefined {
  const { seconds } = readMessage(bytes, { fields: { 1: field('seconds', 'int') } });
  return typeof seconds === 'number' ? new Date(seconds * 1000).toISOString() : undefined;
}

function asBytes(value: bigint | Buffer): Buffer {
  if (typeof value === 'bigint') throw badRequest('the body is not a valid protobuf message');
  return value;
}
