import { isDeepStrictEqual } from 'node:util';
import { isObject, type JsonObject } from '../../drift/json-pointer.ts';

/** Without fields that are as the API server makes them when nobody names them, and without nulls. */
export function withoutDefaults(object: JsonObject, defaults: JsonObject): JsonObject {
  const kept = Object.entries(object).filter(
    ([name, value]) =>
      value !== null && !(Object.hasOwn(defaults, name) && isDeepStrictEqual(value, defaults[name])),
  );
  return Object.fromEntries(kept);
}

export function without(object: JsonObject, names: readonly string[]): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)));
}

/** The field through `change`, when it is an object; what is no object stays as it is, for the API of the other site to refuse. */
export function withField(
  object: JsonObject,
  name: string,
  change: (value: JsonObject) => JsonObject,
): JsonObject {
  const value = object[name];
  return isObject(value) ? { ...object, [name]: change(value) } : object;
}

/** Each item of a list of objects through `change`. */
export function withItems(
  object: JsonObject,
  name: string,
  change: (value: JsonObject) => JsonObject,
): JsonObject {
  const value = object[name];
  if (!Array.isArray(value)) return object;
  return { ...object, [name]: value.map((item: unknown) => (isObject(item) ? change(item) : item)) };
}

/** Items of a list of objects that are wanted; a list that is empty after that goes too. */
export function withItemsThat(
  object: JsonObject,
  name: string,
  isWanted: (item: JsonObject) => boolean,
): JsonObject {
  const value = object[name];
  if (!Array.isArray(value)) return object;
  const kept = value.filter((item: unknown) => !isObject(item) || isWanted(item));
  return kept.length === 0 ? without(object, [name]) : { ...object, [name]: kept };
}

/** The field goes when nothing is in it. */
export function withoutEmpty(object: JsonObject, name: string): JsonObject {
  const value = object[name];
  return isObject(value) && Object.keys(value).length === 0 ? without(object, [name]) : object;
}
