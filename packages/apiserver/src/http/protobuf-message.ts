import { badRequest, isObject, type JsonObject } from '@selvedge/api';
import { ProtobufReader } from './protobuf-reader.ts';

/** How a field stands on the wire, and what it is in JSON. */
export type FieldType =
  | 'string'
  /** Base64 in JSON. */
  | 'bytes'
  | 'boolean'
  /** A pointer in Go: 0 is a value. */
  | 'integer'
  /** No pointer in Go, always on the wire: 0 means absent. */
  | 'count'
  /** `metav1.Time`: RFC 3339 to the second. */
  | 'time'
  /** `metav1.MicroTime`: RFC 3339 to the microsecond. */
  | 'microTime'
  /** `resource.Quantity`: a text. */
  | 'quantity'
  /** A message whose only field is a list of strings: a list in JSON. */
  | 'stringList'
  /** A message whose only field is the text of a JSON object (`FieldsV1`). */
  | 'json'
  | Message
  | { readonly list: FieldType }
  | { readonly map: FieldType };

export interface Field {
  readonly name: string;
  readonly type: FieldType;
}

/** Fields by their numbers. Tables hold no cycles, so what is read is never deeper than they are. */
export interface Message {
  readonly fields: ReadonlyMap<number, Field>;
}

/** A message from `name: [number, type]`. */
export function message(fields: Readonly<Record<string, readonly [number, FieldType]>>): Message {
  const entries = Object.entries(fields).map(([name, [number, type]]): [number, Field] => [
    number,
    { name, type },
  ]);
  return { fields: new Map(entries) };
}

export const listOf = (type: FieldType): FieldType => ({ list: type });
export const mapOf = (type: FieldType): FieldType => ({ map: type });

/** The message as its object is in JSON. Fields that the table does not know are skipped, as protobuf wants it. */
export function readMessage(bytes: Buffer, { fields }: Message): JsonObject {
  const object: JsonObject = {};
  const reader = new ProtobufReader(bytes);
  for (let number = reader.nextField(); number !== undefined; number = reader.nextField()) {
    const field = fields.get(number);
    if (field) readField(reader, object, field);
    else reader.skip();
  }
  return object;
}

function readField(reader: ProtobufReader, object: JsonObject, { name, type }: Field): void {
  if (typeof type === 'object' && 'list' in type) {
    const value = readValue(reader, type.list);
    const list = object[name];
    if (Array.isArray(list)) list.push(value);
    else object[name] = [value];
  } else if (typeof type === 'object' && 'map' in type) {
    const [key, value] = readEntry(reader.readBytes(), type.map);
    const map = isObject(object[name]) ? object[name] : {};
    // Whatever the key is called: `__proto__` has to be a field like others, so that it is found and refused.
    Object.defineProperty(map, key, { value, enumerable: true, writable: true, configurable: true });
    object[name] = map;
  } else {
    // The last one counts.
    const value = readValue(reader, type);
    if (isAbsent(value, type)) delete object[name];
    else object[name] = value;
  }
}

/** Go writes fields that are no pointers always: the empty value is what JSON leaves out. */
const isAbsent = (value: unknown, type: FieldType): boolean =>
  value === undefined || value === '' || (type === 'count' && value === 0);

function readEntry(bytes: Buffer, type: FieldType): [string, unknown] {
  const reader = new ProtobufReader(bytes);
  let key = '';
  let value: unknown;
  for (let number = reader.nextField(); number !== undefined; number = reader.nextField()) {
    if (number === 1) key = reader.readText();
    else if (number === 2) value = readValue(reader, type);
    else reader.skip();
  }
  return [key, value ?? emptyValue(type)];
}

const emptyValue = (type: FieldType): unknown => (type === 'stringList' ? [] : '');

function readValue(reader: ProtobufReader, type: FieldType): unknown {
  switch (type) {
    case 'string':
      return reader.readText();
    case 'bytes':
      return reader.readBytes().toString('base64');
    case 'boolean':
      return reader.readInteger() !== 0;
    case 'integer':
    case 'count':
      return reader.readInteger();
    case 'time':
      return readTime(reader.readBytes(), { withMicroseconds: false });
    case 'microTime':
      return readTime(reader.readBytes(), { withMicroseconds: true });
    case 'quantity':
      return readMessage(reader.readBytes(), quantity)['text'] ?? '0';
    case 'stringList':
      return readMessage(reader.readBytes(), stringList)['items'] ?? [];
    case 'json':
      return readJson(reader.readBytes());
    default:
      if ('list' in type || 'map' in type) throw new Error('lists and maps stand in fields only');
      return readMessage(reader.readBytes(), type);
  }
}

const quantity = message({ text: [1, 'string'] });
const stringList = message({ items: [1, { list: 'string' }] });
const timestamp = message({ seconds: [1, 'integer'], nanos: [2, 'integer'] });
const rawJson = message({ raw: [1, 'bytes'] });

/** The zero time of Go is an empty message. */
function readTime(bytes: Buffer, { withMicroseconds }: { withMicroseconds: boolean }): string | undefined {
  if (bytes.length === 0) return undefined;
  const { seconds = 0, nanos = 0 } = readMessage(bytes, timestamp) as { seconds?: number; nanos?: number };
  const time = new Date(seconds * 1000);
  const isWritable =
    !Number.isNaN(time.getTime()) && time.getUTCFullYear() >= 0 && time.getUTCFullYear() <= 9999;
  if (!isWritable || nanos < 0 || nanos >= 1e9)
    throw badRequest('a time of the protobuf message is out of range');
  const [whole = ''] = time.toISOString().split('.');
  if (!withMicroseconds) return `${whole}Z`;
  return `${whole}.${String(Math.floor(nanos / 1000)).padStart(6, '0')}Z`;
}

function readJson(bytes: Buffer): JsonObject {
  const { raw = '' } = readMessage(bytes, rawJson) as { raw?: string };
  try {
    const value: unknown = JSON.parse(Buffer.from(raw, 'base64').toString() || '{}');
    if (isObject(value)) return value;
  } catch (cause) {
    throw badRequest('a part of the protobuf message is not valid JSON', cause);
  }
  throw badRequest('a part of the protobuf message is not a JSON object');
}
