import { isObject, type JsonObject } from '@selvedge/api';

/**
 * One step of a field path, as FieldsV1 writes it: `f:name` a field, `k:{"key":"value"}` an item of a keyed list,
 * `v:"value"` an item of a set, `i:3` an item by its place. There is one text for each step, so texts can be compared.
 */
export type PathElement = string;

const maxKnownFields = 10_000;
const knownFields = new Map<string, PathElement>();

/** Kept once made: most writes speak of fields that others spoke of. */
export function fieldElement(name: string): PathElement {
  const known = knownFields.get(name);
  if (known !== undefined) return known;
  if (knownFields.size >= maxKnownFields) knownFields.clear();
  const element = `f:${name}`;
  knownFields.set(name, element);
  return element;
}

export const valueElement = (value: unknown): PathElement => `v:${jsonOf(value)}`;

/** `keys` in order of their names. */
export function keyElement(keys: readonly (readonly [name: string, value: unknown])[]): PathElement {
  let text = keyElementStart;
  for (const [name, value] of keys) text = withKey(text, JSON.stringify(name), value);
  return `${text}}`;
}

export const keyElementStart = 'k:{';

/** One more key of an element that is being made; to be closed with `}`. */
export function withKey(element: string, quotedName: string, value: unknown): string {
  const separator = element.length > keyElementStart.length ? ',' : '';
  return `${element}${separator}${quotedName}:${jsonOf(value)}`;
}

/** As Go encodes JSON: what HTML would take for its own is escaped. Other programs compare these texts. */
function jsonOf(value: unknown): string {
  if (typeof value === 'string' && plainText.test(value)) return `"${value}"`;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  const text = JSON.stringify(value) ?? 'null';
  return escapedByGo.test(text) ? text.replace(everyEscapedByGo, escapeAsGo) : text;
}

/** Needs no escapes. */
const plainText = /^[\w .:/@%+=,;!?()#$*|~^-]*$/;
const escapedByGo = /[<>&\u2028\u2029]|\\[bf]/;
const everyEscapedByGo = /[<>&\u2028\u2029]|\\\\|\\[bf]/g;
const goEscapes: Readonly<Record<string, string>> = { '\\b': '\\u0008', '\\f': '\\u000c' };
const escapeAsGo = (found: string): string =>
  found.startsWith('\\')
    ? (goEscapes[found] ?? found)
    : `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`;

/**
 * The one text of an element that somebody else wrote; `undefined` for a kind of element that is not known (yet).
 * Throws a plain Error for what is none.
 */
export function canonicalElement(element: string): PathElement | undefined {
  if (element[1] !== ':') throw new Error('a path element begins with its kind and a colon');
  const text = element.slice(2);
  switch (element[0]) {
    case 'f':
      return element;
    case 'v':
      return valueElement(JSON.parse(text));
    case 'k':
      return keyElement(keysOf(element));
    case 'i':
      if (!/^-?\d{1,15}$/.test(text)) throw new Error('the place of an item is a number');
      return `i:${Number(text)}`;
    default:
      return undefined;
  }
}

function keysOf(element: PathElement): [string, unknown][] {
  const keys: unknown = JSON.parse(element.slice(2));
  if (!isObject(keys)) throw new Error('the keys of an item are an object');
  return Object.entries(keys as JsonObject).sort(([a], [b]) => compareTexts(a, b));
}

/** For people, as Kubernetes writes paths: `.spec.ports[port=80,protocol="TCP"].name`, `.spec.tags[="a"]`. */
export function describePath(path: readonly PathElement[]): string {
  return path.map(describeElement).join('');
}

export function describeElement(element: PathElement): string {
  const text = element.slice(2);
  switch (element[0]) {
    case 'f':
      return `.${text}`;
    case 'v':
      return `[=${describeValue(JSON.parse(text))}]`;
    case 'k':
      return `[${keysOf(element)
        .map(([name, value]) => `${name}=${describeValue(value)}`)
        .join(',')}]`;
    default:
      return `[${text}]`;
  }
}

/** Texts in quotes, as Go quotes them. */
function describeValue(value: unknown): string {
  if (typeof value !== 'string') return JSON.stringify(value);
  const escaped = value.replace(/["\\]|(?! )[\p{C}\p{Z}]/gu, (found) => {
    const code = found.codePointAt(0) ?? 0;
    const short = { 7: 'a', 8: 'b', 9: 't', 10: 'n', 11: 'v', 12: 'f', 13: 'r', 34: '"', 92: '\\' }[code];
    if (short !== undefined) return `\\${short}`;
    if (code < 0x80) return `\\x${code.toString(16).padStart(2, '0')}`;
    return code < 0x1_00_00
      ? `\\u${code.toString(16).padStart(4, '0')}`
      : `\\U${code.toString(16).padStart(8, '0')}`;
  });
  return `"${escaped}"`;
}

/** By their UTF-16 units, as JavaScript sorts. */
export const compareTexts = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
