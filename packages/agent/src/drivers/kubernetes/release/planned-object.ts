import type { KubeObject } from '@selvedge/api';

/** Names one object of the site's API. The version is how it was written, not what it is: two refs of one group, kind and name are the same. */
export interface ObjectRef {
  readonly apiVersion: string;
  readonly kind: string;
  /** Absent: the object is in no namespace. */
  readonly namespace?: string;
  readonly name: string;
}

/** `apps/Deployment/shop/till`: group, kind, namespace, name. */
export function refKey({ apiVersion, kind, namespace, name }: ObjectRef): string {
  const group = apiVersion.includes('/') ? apiVersion.split('/')[0] : '';
  return `${group}/${kind}/${namespace ?? ''}/${name}`;
}

/** An object of a release as it is to be at this site: variables filled in, namespace set, node groups injected, our labels on it. */
export interface PlannedObject {
  readonly ref: ObjectRef;
  readonly object: KubeObject;
}
