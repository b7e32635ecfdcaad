import type { StoredObject } from '@selvedge/store';

export interface PageLimits {
  readonly objects: number;
  /** Of the bodies of a page, about. */
  readonly characters: number;
}

/** Of the first page, when nobody knows yet how large objects are. */
const first = 50;

/** Objects of one kind that lie together may be small, and the next ones large. */
const mostGrowth = 4;

/** So many objects that a page of them, if they are like those on the last one, keeps within its limits. */
export function nextPageSize(limits: PageLimits, last: readonly StoredObject[] = []): number {
  if (last.length === 0) return Math.min(first, limits.objects);
  let characters = 0;
  for (const { body } of last) characters += body.length;
  const fitting = Math.floor((limits.characters / characters) * last.length);
  return Math.min(limits.objects, Math.max(1, fitting), mostGrowth * last.length);
}
