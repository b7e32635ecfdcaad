import type { KubeObject } from '@selvedge/api';
import { refKey } from '../release/planned-object.ts';
import { kindOf, type ObjectState } from './tracked-object.ts';

/** What is tracked, found by item, by name or by kind. */
export class ObjectIndex {
  readonly #byKey = new Map<string, ObjectState>();
  /** An object may be named by more than one item. */
  #byRef = new Map<string, ObjectState[]>();

  get(key: string): ObjectState | undefined {
    return this.#byKey.get(key);
  }

  add(object: ObjectState): void {
    this.#byKey.set(object.key, object);
  }

  /** Call after `add`. @returns what was dropped. */
  keepOnly(keys: ReadonlySet<string>): ObjectState[] {
    const dropped = [...this.#byKey.values()].filter(({ key }) => !keys.has(key));
    for (const { key } of dropped) this.#byKey.delete(key);
    this.#byRef = Map.groupBy(this.#byKey.values(), ({ planned }) => refKey(planned.ref));
    return dropped;
  }

  values(): Iterable<ObjectState> {
    return this.#byKey.values();
  }

  named({
    apiVersion,
    kind,
    metadata,
  }: Pick<KubeObject, 'apiVersion' | 'kind' | 'metadata'>): readonly ObjectState[] {
    const { namespace, name } = metadata;
    const ref = { apiVersion, kind, name, ...(namespace === undefined ? {} : { namespace }) };
    return this.#byRef.get(refKey(ref)) ?? [];
  }

  ofKind(key: string): ObjectState[] {
    return [...this.#byKey.values()].filter(({ planned }) => kindOf(planned.ref) === key);
  }
}
