/** What can be put in order: by namespace, then by name. */
export interface Named {
  readonly namespace: string;
  readonly name: string;
}

export interface Range {
  /** Absent: all namespaces. */
  readonly namespace?: string | undefined;
  /** Begin behind this one. */
  readonly after?: Named | undefined;
}

const maxLeaf = 128;

interface Leaf<T> {
  /** Of the generation in which it may be changed in place; in later ones it is copied first. */
  readonly generation: number;
  readonly objects: T[];
}

/**
 * Objects in order of namespace and name, with snapshots for nothing: a snapshot shares the leaves, and a leaf that
 * is shared is copied when it is changed next.
 */
export class SortedObjects<T extends Named> {
  #generation = 0;
  #leaves: Leaf<T>[] = [];
  /** Present while nothing has changed since it was taken. */
  #snapshot: SortedSnapshot<T> | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  find(place: Named): T | undefined {
    const leaf = this.#leaves[leafIndex(this.#leaves, place)];
    const found = leaf && leaf.objects[lowerBound(leaf.objects, place)];
    return found && compare(found, place) === 0 ? found : undefined;
  }

  /** Puts the object in the place of the one with its name, or anew. */
  set(object: T): void {
    this.#snapshot = undefined;
    const index = leafIndex(this.#leaves, object);
    const { objects } = this.#ownLeaf(index);
    const position = lowerBound(objects, object);
    const present = objects[position];
    if (present && compare(present, object) === 0) {
      objects[position] = object;
      return;
    }
    objects.splice(position, 0, object);
    this.#size += 1;
    if (objects.length > maxLeaf) {
      // The last one is split at its end: names that only grow fill leaves whole.
      const isGrowing = index === this.#leaves.length - 1 && position === objects.length - 1;
      const upper = objects.splice(isGrowing ? maxLeaf : maxLeaf / 2);
      this.#leaves.splice(index + 1, 0, { generation: this.#generation, objects: upper });
    }
  }

  delete(place: Named): void {
    if (this.find(place) === undefined) return;
    this.#snapshot = undefined;
    const index = leafIndex(this.#leaves, place);
    const { objects } = this.#ownLeaf(index);
    objects.splice(lowerBound(objects, place), 1);
    this.#size -= 1;
    if (objects.length === 0) this.#leaves.splice(index, 1);
  }

  /** What is there now; later changes do not touch it. */
  snapshot(): SortedSnapshot<T> {
    if (this.#snapshot) return this.#snapshot;
    this.#generation += 1;
    this.#snapshot = new SortedSnapshot(this.#leaves.map(({ objects }) => objects));
    return this.#snapshot;
  }

  #ownLeaf(index: number): Leaf<T> {
    const leaf = this.#leaves[index];
    if (leaf?.generation === this.#generation) return leaf;
    const own = { generation: this.#generation, objects: leaf ? leaf.objects.slice() : [] };
    this.#leaves[index] = own;
    return own;
  }
}

/** Objects in order, as they were at one moment. */
export class SortedSnapshot<T extends Named> {
  readonly #leaves: readonly (readonly T[])[];

  constructor(leaves: readonly (readonly T[])[]) {
    this.#leaves = leaves;
  }

  *range({ namespace, after }: Range): Generator<T> {
    const start = startOf({ namespace, after });
    let index = start ? Math.max(0, this.#lastLeafNotAbove(start)) : 0;
    let position = start ? lowerBound(this.#leaves[index] ?? [], start) : 0;
    for (; index < this.#leaves.length; index++, position = 0) {
      const leaf = this.#leaves[index] ?? [];
      for (; position < leaf.length; position++) {
        const object = leaf[position] as T;
        if (namespace !== undefined && object.namespace !== namespace) return;
        if (after && compare(object, after) === 0) continue;
        yield object;
      }
    }
  }

  /** How many are in the range; touches leaves, not objects. */
  count(range: Range): number {
    const { namespace } = range;
    const start = startOf(range);
    const from = start === undefined ? 0 : this.#positionOf(start);
    const isThere = range.after !== undefined && this.#has(range.after);
    const end =
      namespace === undefined ? this.#size() : this.#positionOf({ namespace: `${namespace}\0`, name: '' });
    return end - from - (isThere ? 1 : 0);
  }

  #size(): number {
    return this.#leaves.reduce((sum, leaf) => sum + leaf.length, 0);
  }

  #has(place: Named): boolean {
    const leaf = this.#leaves[Math.max(0, this.#lastLeafNotAbove(place))] ?? [];
    const found = leaf[lowerBound(leaf, place)];
    return found !== undefined && compare(found, place) === 0;
  }

  /** How many come before the place. */
  #positionOf(place: Named): number {
    const index = Math.max(0, this.#lastLeafNotAbove(place));
    let before = lowerBound(this.#leaves[index] ?? [], place);
    for (let i = 0; i < index; i++) before += this.#leaves[i]?.length ?? 0;
    return before;
  }

  #lastLeafNotAbove(place: Named): number {
    return lastNotAbove(this.#leaves.length, (i) => this.#leaves[i]?.[0], place);
  }
}

function startOf({ namespace, after }: Range): Named | undefined {
  return after ?? (namespace === undefined ? undefined : { namespace, name: '' });
}

function compare(a: Named, b: Named): number {
  if (a.namespace !== b.namespace) return a.namespace < b.namespace ? -1 : 1;
  if (a.name === b.name) return 0;
  return a.name < b.name ? -1 : 1;
}

/** The leaf that the place is in, or would be in. */
function leafIndex<T extends Named>(leaves: readonly Leaf<T>[], place: Named): number {
  return Math.max(
    0,
    lastNotAbove(leaves.length, (i) => leaves[i]?.objects[0], place),
  );
}

/** The last index whose object is not above the place; -1 when all are. */
function lastNotAbove(length: number, at: (index: number) => Named | undefined, place: Named): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const object = at(middle);
    if (object !== undefined && compare(object, place) <= 0) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** The first index whose object is not below the place. */
function lowerBound(objects: readonly Named[], place: Named): number {
  let low = 0;
  let high = objects.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compare(objects[middle] as Named, place) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
