import { canonicalJson, isObject } from '@selvedge/api';
import type { StructuralSchema } from '../../schema/structural-schema.ts';

/**
 * Field ownership as the documentation tells it, with nothing clever: an object is a table of paths and values, an
 * owner is a set of paths. Paths are texts such as `/spec/ports/{"port":80}/name`.
 */
export type Table = ReadonlyMap<string, Cell>;

/** What stands for the value of an object or list that has parts. */
const parts = '(parts)';

export interface Cell {
  /** Of an indivisible value its JSON. */
  readonly value: string;
  /** A manager that applies it owns the path itself. */
  readonly isOwned: boolean;
}

/** Every path of a value. */
export function tableOf(value: unknown, schema: StructuralSchema | undefined): Map<string, Cell> {
  const table = new Map<string, Cell>();
  collect(value, schema, { path: '', isPart: false, table });
  table.delete('');
  return table;
}

function collect(
  value: unknown,
  schema: StructuralSchema | undefined,
  at: { path: string; isPart: boolean; table: Map<string, Cell> },
): void {
  const { path, isPart, table } = at;
  if (isObject(value) && !schema?.atomicMap) {
    const names = Object.keys(value);
    table.set(path, { value: parts, isOwned: isPart || names.length === 0 });
    for (const name of names) {
      const known = schema?.properties.get(name);
      const child = known ?? schema?.additionalProperties;
      collect(value[name], child, { path: `${path}/${name}`, isPart: !known, table });
    }
  } else if (Array.isArray(value) && schema && schema.listType !== 'atomic') {
    table.set(path, { value: parts, isOwned: isPart });
    for (const item of value as unknown[]) {
      const identity = schema.listType === 'set' ? item : keysOf(item, schema);
      collect(item, schema.items, { path: `${path}/${JSON.stringify(identity)}`, isPart: true, table });
    }
  } else table.set(path, { value: canonicalJson(value), isOwned: true });
}

function keysOf(item: unknown, schema: StructuralSchema): unknown {
  const object = isObject(item) ? item : {};
  return schema.listMapKeys.map((key) => object[key] ?? schema.items?.properties.get(key)?.default);
}

export interface ModelChanges {
  /** Paths that are new, or have another value. */
  readonly set: ReadonlySet<string>;
  readonly removed: ReadonlySet<string>;
}

export function changesBetween(before: Table, after: Table): ModelChanges {
  const set = [...after]
    .filter(([path, { value }]) => before.get(path)?.value !== value)
    .map(([path]) => path);
  const removed = [...before.keys()].filter((path) => !after.has(path));
  return { set: new Set(set), removed: new Set(removed) };
}

/** Whose is what, by name of the manager. */
export type Owners = ReadonlyMap<string, ReadonlySet<string>>;

/** After `manager` applied `applied`, which turned the object as `changes` says. */
export function ownersAfterApply(
  owners: Owners,
  manager: string,
  { applied, changes }: { applied: Table; changes: ModelChanges },
): Owners {
  const own = [...applied].filter(([, { isOwned }]) => isOwned).map(([path]) => path);
  return withOwner(lossesOfOthers(owners, manager, changes), manager, new Set(own));
}

/** After `manager` wrote the object anew. */
export function ownersAfterUpdate(owners: Owners, manager: string, changes: ModelChanges): Owners {
  const former = [...(owners.get(manager) ?? [])].filter((path) => !changes.removed.has(path));
  return withOwner(lossesOfOthers(owners, manager, changes), manager, new Set([...former, ...changes.set]));
}

function lossesOfOthers(owners: Owners, manager: string, { set, removed }: ModelChanges): Owners {
  const left = [...owners].map(([name, paths]): [string, ReadonlySet<string>] => {
    if (name === manager) return [name, paths];
    return [name, new Set([...paths].filter((path) => !set.has(path) && !removed.has(path)))];
  });
  return new Map(left);
}

function withOwner(owners: Owners, manager: string, paths: ReadonlySet<string>): Owners {
  const all = new Map([...owners, [manager, paths] as const]);
  return new Map([...all].filter(([, owned]) => owned.size > 0));
}
