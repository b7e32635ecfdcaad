import type { KubeObject } from '@selvedge/api';
import { fieldManager } from '../drift/field-set.ts';
import { type ObjectRef, refKey } from '../release/planned-object.ts';
import { shortDigest } from '../state/item-record.ts';

/**
 * Remembers what was applied last, object by object, and how it was then: what is to be applied again and still is so needs no request.
 * Holds digests only.
 */
export class AppliedObjects {
  readonly #digests: Map<string, string>;

  constructor(digests: Readonly<Record<string, string>> = {}) {
    this.#digests = new Map(Object.entries(digests));
  }

  /** `body` was what was applied last, and nobody has changed a field of it since. */
  isStill(ref: ObjectRef, body: KubeObject, live: KubeObject): boolean {
    return this.#digests.get(refKey(ref)) === digestOf(body, live);
  }

  /** `answer`: the object as the API returned it. */
  note(ref: ObjectRef, body: KubeObject, answer: KubeObject): void {
    this.#digests.set(refKey(ref), digestOf(body, answer));
  }

  /** Before it is changed: whether that succeeds may remain unknown. */
  forget(ref: ObjectRef): void {
    this.#digests.delete(refKey(ref));
  }

  /** For the record: of these objects only. */
  digests(refs: readonly ObjectRef[]): Record<string, string> {
    const entries = refs.map((ref) => [refKey(ref), this.#digests.get(refKey(ref))] as const);
    return Object.fromEntries(entries.filter((entry): entry is [string, string] => entry[1] !== undefined));
  }
}

/**
 * Whoever gives a field of ours another value takes it away from our entry in `managedFields`; the same by our own name changes the
 * generation, or the version of kinds that count none.
 */
function digestOf(body: KubeObject, { metadata }: KubeObject): string {
  const own = (metadata.managedFields ?? []).filter(
    ({ manager, operation, subresource }) =>
      manager === fieldManager && operation === 'Apply' && (subresource ?? '') === '',
  );
  const edition = metadata.generation ?? metadata.resourceVersion;
  return shortDigest([body, metadata.uid ?? '', edition ?? '', own]);
}
