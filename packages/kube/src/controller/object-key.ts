import type { KubeObject, ObjectName } from '@selvedge/api';

/** `namespace/name`, or `name` for cluster-scoped objects: how work queues name an object. */
export function keyOfObject(object: Pick<KubeObject, 'metadata'>): string {
  return keyOfName(object.metadata);
}

export function keyOfName({ namespace, name }: ObjectName): string {
  return namespace ? `${namespace}/${name}` : name;
}

/** Inverse of `keyOfObject`. */
export function nameOfKey(key: string): ObjectName {
  const slash = key.indexOf('/');
  return slash < 0 ? { name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}
