import { isObject, type JsonObject } from '../json-value.ts';
import type { ReleaseImageChange } from '../rules/delivery-rules.ts';

/** `name:tag@digest` as it stands in a manifest, in its parts. A colon before the last slash belongs to a port. */
export function splitImage(image: string): { name: string; tag?: string; digest?: string } {
  const [rest = '', digest] = image.split('@', 2);
  const colon = rest.indexOf(':', rest.lastIndexOf('/') + 1);
  return {
    name: colon === -1 ? rest : rest.slice(0, colon),
    ...(colon === -1 ? {} : { tag: rest.slice(colon + 1) }),
    ...(digest === undefined ? {} : { digest }),
  };
}

/** The image under its other name; a new tag or digest takes the place of both. */
export function changeImage(
  image: string,
  { newName, newTag, digest, tagDigests }: ReleaseImageChange,
): string {
  const present = splitImage(image);
  const isOther = newTag !== undefined || digest !== undefined;
  const tag = isOther ? newTag : present.tag;
  const kept = tagDigests === undefined ? present.digest : new Map(Object.entries(tagDigests)).get(tag ?? '');
  const hash = isOther ? digest : kept;
  return `${newName ?? present.name}${tag === undefined ? '' : `:${tag}`}${hash === undefined ? '' : `@${hash}`}`;
}

/** The value with the image of every container in it mapped; parts in which none changes are shared. */
export function mapImages<T>(value: T, map: (image: string) => string): T {
  return mapped(value, map) as T;
}

function mapped(value: unknown, map: (image: string) => string): unknown {
  if (Array.isArray(value)) return mapItems(value, (item) => mapped(item, map));
  if (!isObject(value)) return value;
  let isChanged = false;
  const entries = Object.entries(value).map(([key, field]): [string, unknown] => {
    const isContainers = (key === 'containers' || key === 'initContainers') && Array.isArray(field);
    const containers = isContainers ? mapItems(field, (item) => withImage(item, map)) : field;
    const result = mapped(containers, map);
    isChanged ||= result !== field;
    return [key, result];
  });
  return isChanged ? Object.fromEntries(entries) : value;
}

function withImage(container: unknown, map: (image: string) => string): unknown {
  if (!isObject(container) || typeof container['image'] !== 'string') return container;
  const image = map(container['image']);
  return image === container['image'] ? container : ({ ...container, image } satisfies JsonObject);
}

function mapItems(items: readonly unknown[], map: (item: unknown) => unknown): readonly unknown[] {
  const result = items.map(map);
  return result.every((item, index) => item === items[index]) ? items : result;
}
