import type { KubeObject } from '@selvedge/api';

/** JSON texts of objects as clients get them, for as long as the objects live. */
const texts = new WeakMap<KubeObject, string>();

/**
 * Parses the text and remembers it, so that an answer with this object need not be encoded again. Whoever changes the
 * object must not answer with it: changed copies have no text.
 */
export function objectOfText(text: string): KubeObject {
  return withText(JSON.parse(text) as KubeObject, text);
}

/** Remembers the text of an object. */
export function withText(object: KubeObject, text: string): KubeObject {
  texts.set(object, text);
  return object;
}

/** The object as JSON: what is remembered, else encoded. */
export function textOf(object: KubeObject): string {
  return texts.get(object) ?? JSON.stringify(object);
}
