import {
  faultOfDnsLabel,
  faultOfDnsSubdomain,
  faultOfLabelKey,
  faultOfLabelValue,
  faultOfPathSegment,
  type FieldError,
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  fieldTooLong,
  isSameJson,
  type KubeObject,
  type ObjectMeta,
} from '@selvedge/api';
import type { Resource } from '../registry/resource-catalog.ts';
import { maxAnnotationBytes } from './limits.ts';
import { isNamespaceKind } from './namespace-object.ts';
import { validateOwners } from './owner-references.ts';

export interface Checked {
  readonly object: KubeObject;
  readonly previous: KubeObject | undefined;
  /** What is wrong is added here. */
  readonly errors: FieldError[];
  readonly warn: (message: string) => void;
}

/**
 * Rules for the metadata of every kind. The types have been checked against the schema before. What an update leaves as
 * it was has been checked when it was stored.
 */
export function validateMetadata(resource: Resource, { object, previous, errors, warn }: Checked): void {
  const { metadata } = object;
  const before = previous?.metadata;
  if (!before) errors.push(...validateName(resource, metadata));
  if (!isSame(metadata, before, 'labels')) errors.push(...validateLabels(metadata));
  if (!isSame(metadata, before, 'annotations')) errors.push(...validateAnnotations(metadata));
  if (!isSame(metadata, before, 'finalizers')) {
    errors.push(...validateFinalizers(metadata, before));
    const plain = plainFinalizers(metadata, before);
    if (resource.isBuiltIn) errors.push(...plain.map(unqualified));
    else for (const [, finalizer] of plain) warn(plainFinalizerWarning(finalizer));
  }
  if (!isSame(metadata, before, 'ownerReferences')) errors.push(...validateOwners(metadata));
}

function isSame(
  metadata: ObjectMeta,
  before: ObjectMeta | undefined,
  field: 'labels' | 'annotations' | 'finalizers' | 'ownerReferences',
): boolean {
  return before === undefined ? metadata[field] === undefined : isSameJson(metadata[field], before[field]);
}

const nameFaults = {
  subdomain: faultOfDnsSubdomain,
  label: faultOfDnsLabel,
  pathSegment: faultOfPathSegment,
} as const;

function validateName(resource: Resource, { name, generateName }: ObjectMeta): FieldError[] {
  const rule = isNamespaceKind(resource) ? 'label' : (resource.definition.nameRule ?? 'subdomain');
  const errors: FieldError[] = [];
  // Something comes behind it, so it may end as a name may not.
  const prefix = generateName?.replace(/[-.]$/, '0');
  const prefixFault = prefix === undefined || prefix === '' ? undefined : nameFaults[rule](prefix);
  if (prefixFault) errors.push(fieldInvalid('metadata.generateName', generateName, prefixFault));
  if (name === '') return [...errors, fieldRequired('metadata.name', 'name or generateName is required')];
  const fault = nameFaults[rule](name);
  if (fault) errors.push(fieldInvalid('metadata.name', name, fault));
  return errors;
}

function validateLabels({ labels = {} }: ObjectMeta): FieldError[] {
  const errors: FieldError[] = [];
  for (const [key, value] of Object.entries(labels)) {
    const keyFault = faultOfLabelKey(key);
    if (keyFault) errors.push(fieldInvalid('metadata.labels', key, keyFault));
    const valueFault = faultOfLabelValue(value);
    if (valueFault) errors.push(fieldInvalid('metadata.labels', value, valueFault));
  }
  return errors;
}

function validateAnnotations({ annotations = {} }: ObjectMeta): FieldError[] {
  const errors: FieldError[] = [];
  let bytes = 0;
  for (const [key, value] of Object.entries(annotations)) {
    // As in Kubernetes, where the prefix of an annotation may have upper case letters.
    const fault = faultOfLabelKey(key.toLowerCase());
    if (fault) errors.push(fieldInvalid('metadata.annotations', key, fault));
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (bytes > maxAnnotationBytes) {
    const advice =
      '(client-side "kubectl apply" keeps the object in an annotation: use "kubectl apply --server-side")';
    errors.push(
      fieldTooLong('metadata.annotations', `may not be more than ${maxAnnotationBytes} bytes ${advice}`),
    );
  }
  return errors;
}

const orphan = 'orphan';
const foreground = 'foregroundDeletion';
const standardFinalizers = new Set([orphan, foreground, 'kubernetes']);
/** Far more than anybody needs; each is compared with those before. */
const maxFinalizers = 1000;

function validateFinalizers({ finalizers = [] }: ObjectMeta, previous: ObjectMeta | undefined): FieldError[] {
  if (finalizers.length > maxFinalizers) {
    return [
      fieldInvalid('metadata.finalizers', finalizers.length, `must have at most ${maxFinalizers} items`),
    ];
  }
  const errors: FieldError[] = [];
  for (const [i, finalizer] of finalizers.entries()) {
    const fault = faultOfLabelKey(finalizer);
    if (fault) errors.push(fieldInvalid(`metadata.finalizers[${i}]`, finalizer, fault));
  }
  if (finalizers.includes(orphan) && finalizers.includes(foreground)) {
    const why = `${orphan} and ${foreground} cannot both be set`;
    errors.push(fieldInvalid('metadata.finalizers', finalizers, why));
  }
  const added = finalizers.filter((f) => !previous?.finalizers?.includes(f));
  if (previous?.deletionTimestamp !== undefined && added.length > 0) {
    const detail = `no new finalizers can be added if the object is being deleted, found new finalizers ${JSON.stringify(added)}`;
    errors.push(fieldForbidden('metadata.finalizers', detail));
  }
  return errors;
}

/** New ones, with their place, whose name says not whose they are. */
function plainFinalizers(
  { finalizers = [] }: ObjectMeta,
  previous: ObjectMeta | undefined,
): (readonly [number, string])[] {
  return [...finalizers.slice(0, maxFinalizers).entries()].filter(([, finalizer]) => {
    const isKnown = previous?.finalizers?.includes(finalizer) ?? false;
    return !isKnown && !finalizer.includes('/') && !standardFinalizers.has(finalizer);
  });
}

/** Kinds of Kubernetes refuse them, custom resources warn; worded as there. */
function unqualified([i, finalizer]: readonly [number, string]): FieldError {
  const why = 'name is neither a standard finalizer name nor is it fully qualified';
  return fieldInvalid(`metadata.finalizers[${i}]`, finalizer, why);
}

const plainFinalizerWarning = (finalizer: string): string =>
  `metadata.finalizers: "${finalizer}": prefer a domain-qualified finalizer name including a path (/) to avoid ` +
  'accidental conflicts with other finalizer writers';
