import { fieldOf, isObject, type JsonObject } from '../json-value.ts';

/** A place that a JSON pointer (RFC 6901) names in a document: a field of an object, or an item of a list. */
export type Place =
  | { readonly kind: 'root' }
  | { readonly kind: 'field'; readonly parent: JsonObject; readonly name: string }
  /** `index` may be one behind the last: where an item can be added. */
  | { readonly kind: 'item'; readonly parent: unknown[]; readonly index: number };

/** The names and indexes on the way; `undefined` for what is no pointer. */
export function parsePointer(pointer: string): string[] | undefined {
  if (pointer === '') return [];
  if (!pointer.startsWith('/') || /~(?![01])/.test(pointer)) return undefined;
  return pointer
    .slice(1)
    .split('/')
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** Where the tokens lead; the last may name what is not there yet. `undefined` when nothing can stand there. */
export function findPlace(document: unknown, tokens: readonly string[]): Place | undefined {
  const last = tokens.at(-1);
  if (last === undefined) return { kind: 'root' };
  let parent = document;
  for (const token of tokens.slice(0, -1)) {
    const place = placeIn(parent, token);
    if (!place || !isThere(place)) return undefined;
    parent = valueAt(document, place);
  }
  return placeIn(parent, last);
}

function placeIn(parent: unknown, token: string): Place | undefined {
  if (Array.isArray(parent)) {
    const index =
      token === '-' ? parent.length : /^(0|-?[1-9]\d{0,9})$/.test(token) ? Number(token) : Number.NaN;
    // As in Kubernetes: -1 is the last.
    const place = index < 0 ? index + parent.length : index;
    return place >= 0 && place <= parent.length ? { kind: 'item', parent, index: place } : undefined;
  }
  // Assigning to this name would change what the object is.
  if (!isObject(parent) || token === '__proto__') return undefined;
  return { kind: 'field', parent, name: token };
}

export function isThere(place: Place): boolean {
  switch (place.kind) {
    case 'root':
      return true;
    case 'field':
      return Object.hasOwn(place.parent, place.name);
    case 'item':
      return place.index < place.parent.length;
  }
}

/** What stands at a place that is there. */
export function valueAt(document: unknown, place: Place): unknown {
  switch (place.kind) {
    case 'root':
      return document;
    case 'field':
      return fieldOf(place.parent, place.name);
    case 'item':
      return place.parent[place.index];
  }
}
