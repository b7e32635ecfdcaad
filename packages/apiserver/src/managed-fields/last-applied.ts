import { isObject, type KubeObject } from '@selvedge/api';
import type { StructuralSchema } from '../schema/structural-schema.ts';
import { compare } from './compare.ts';
import { difference, emptySet, type FieldSet } from './field-set.ts';
import { withoutManagers } from './managers.ts';
import { fieldSetOf } from './typed-value.ts';

/** The one manager that client-side apply and server-side apply of one person share. */
export const kubectlManager = 'kubectl';

const lastAppliedAnnotation = 'kubectl.kubernetes.io/last-applied-configuration';
/** Of all annotations together, as in Kubernetes. */
const maxAnnotationLength = 256 * 1024;

/**
 * What `kubectl apply` without `--server-side` applied last and is still so: `kubectl apply --server-side` may take it
 * from whoever owns it, for it is the same person's.
 */
export function ownedByLastApplied(live: KubeObject, schema: StructuralSchema): FieldSet {
  const text = live.metadata.annotations?.[lastAppliedAnnotation];
  const applied = text === undefined ? undefined : parse(text);
  if (!isObject(applied) || applied['apiVersion'] !== live.apiVersion) return emptySet;
  const { set, removed } = compare(applied, withoutManagers(live), schema);
  return difference(difference(fieldSetOf(applied, schema), set), removed);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Keeps the annotation true where there is one, so that client-side apply can go on from a server-side one. */
export function withLastApplied(object: KubeObject, applied: KubeObject): KubeObject {
  const { annotations } = object.metadata;
  if (!annotations?.[lastAppliedAnnotation]) return object;
  const { [lastAppliedAnnotation]: _, ...others } = annotations;
  const text = `${JSON.stringify(sorted(withoutLastApplied(applied)))}\n`;
  const length = Object.entries(others).reduce((sum, [key, value]) => sum + key.length + value.length, 0);
  const isTooLong = length + lastAppliedAnnotation.length + Buffer.byteLength(text) > maxAnnotationLength;
  const kept = isTooLong ? others : { ...others, [lastAppliedAnnotation]: text };
  return { ...object, metadata: { ...object.metadata, annotations: kept } };
}

function withoutLastApplied(applied: KubeObject): KubeObject {
  if (!applied.metadata.annotations) return applied;
  const { [lastAppliedAnnotation]: _, ...annotations } = applied.metadata.annotations;
  return { ...applied, metadata: { ...applied.metadata, annotations } };
}

/** With the keys in order, as Kubernetes writes JSON. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isObject(value)) return value;
  const names = Object.keys(value).sort();
  return Object.fromEntries(names.map((name) => [name, sorted(value[name])]));
}
