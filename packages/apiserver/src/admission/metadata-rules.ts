import {
  faultOfDnsLabel,
  faultOfDnsSubdomain,
  faultOfLabelKey,
  faultOfLabelValue,
  type FieldError,
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  fieldTooLong,
  type KubeObject,
  type ObjectMeta,
} from '@selvedge/api';
import type { Resource } from '../registry/resource-catalog.ts';
import { maxAnnotationBytes } from './limits.ts';
import { isNamespaceKind } from './namespace-object.ts';

/** Rules for the metadata of every kind. The types have been checked against the schema before. */
export function validateMetadata(
  resource: Resource,
  object: KubeObject,
  previous: KubeObject | undefined,
): FieldError[] {
  const { metadata } = object;
  return [
    ...(previous ? [] : validateName(resource, metadata)),
    ...validateLabels(metadata),
    ...validateAnnotations(metadata),
    ...validateFinalizers(metadata, previous?.metadata),
    ...validateOwners(metadata),
  ];
}

function validateName(resource: Resource, { name }: ObjectMeta): FieldError[] {
  if (name === '') return [fieldRequired('metadata.name', 'name or generateName is required')];
  const fault = isNamespaceKind(resource) ? faultOfDnsLabel(name) : faultOfDnsSubdomain(name);
  return fault ? [fieldInvalid('metadata.name', name, fault)] : [];
}

function validateLabels({ labels = {} }: ObjectMeta): FieldError[] {
  return Object.entries(labels).flatMap(([key, value]) => {
    const keyFault = faultOfLabelKey(key);
    const valueFault = faultOfLabelValue(value);
    return [
      ...(keyFault ? [fieldInvalid('metadata.labels', key, keyFault)] : []),
      ...(valueFault ? [fieldInvalid(`metadata.labels[${key}]`, value, valueFault)] : []),
    ];
  });
}

function validateAnnotations({ annotations = {} }: ObjectMeta): FieldError[] {
  const errors = Object.keys(annotations).flatMap((key) => {
    const fault = faultOfLabelKey(key);
    return fault ? [fieldInvalid('metadata.annotations', key, fault)] : [];
  });
  const bytes = Object.entries(annotations).reduce(
    (sum, [k, v]) => sum + Buffer.byteLength(k) + Buffer.byteLength(v),
    0,
  );
  if (bytes > maxAnnotationBytes) {
    const advice =
      '(client-side "kubectl apply" keeps the object in an annotation: use "kubectl apply --server-side")';
    errors.push(
      fieldTooLong('metadata.annotations', `may not be more than ${maxAnnotationBytes} bytes ${advice}`),
    );
  }
  return errors;
}

function validateFinalizers({ finalizers = [] }: ObjectMeta, previous: ObjectMeta | undefined): FieldError[] {
  const errors = finalizers.flatMap((finalizer, i) => {
    const fault = faultOfLabelKey(finalizer);
    return fault ? [fieldInvalid(`metadata.finalizers[${i}]`, finalizer, fault)] : [];
  });
  const added = finalizers.filter((f) => !previous?.finalizers?.includes(f));
  if (previous?.deletionTimestamp !== undefined && added.length > 0) {
    const detail = `no new finalizers can be added if the object is being deleted, found new finalizers ${JSON.stringify(added)}`;
    errors.push(fieldForbidden('metadata.finalizers', detail));
  }
  return errors;
}

function validateOwners({ ownerReferences = [] }: ObjectMeta): FieldError[] {
  const errors = ownerReferences.flatMap((owner, i) =>
    (['apiVersion', 'kind', 'name', 'uid'] as const)
      .filter((field) => !owner[field])
      .map((field) => fieldRequired(`metadata.ownerReferences[${i}].${field}`, 'must not be empty')),
  );
  if (ownerReferences.filter((o) => o.controller).length > 1) {
    errors.push(
      fieldInvalid(
        'metadata.ownerReferences',
        undefined,
        'only one reference can have controller set to true',
      ),
    );
  }
  return errors;
}
