import type { KubeObject } from '@selvedge/api';
import { fieldOf, isObject } from '../drift/json-pointer.ts';

/** What stands at a path of field names: `valueAt(object, 'status.phase')`. */
export function valueAt(object: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>(fieldOf, object);
}

export function numberAt(object: unknown, path: string): number | undefined {
  const value = valueAt(object, path);
  return typeof value === 'number' ? value : undefined;
}

/** Empty texts count as none. */
export function textAt(object: unknown, path: string): string | undefined {
  const value = valueAt(object, path);
  return typeof value === 'string' && value !== '' ? value : undefined;
}

export function listAt(object: unknown, path: string): readonly unknown[] {
  const value = valueAt(object, path);
  return Array.isArray(value) ? value : [];
}

export interface ObjectCondition {
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
  readonly observedGeneration?: number;
  readonly lastUpdateTime?: string;
}

export function findCondition(object: KubeObject, type: string): ObjectCondition | undefined {
  const found = listAt(object, 'status.conditions').find((c) => isObject(c) && c['type'] === type);
  if (found === undefined) return undefined;
  const reason = textAt(found, 'reason');
  const message = textAt(found, 'message');
  const observedGeneration = numberAt(found, 'observedGeneration');
  const lastUpdateTime = textAt(found, 'lastUpdateTime');
  return {
    status: String(fieldOf(found, 'status')),
    ...(reason === undefined ? {} : { reason }),
    ...(message === undefined ? {} : { message }),
    ...(observedGeneration === undefined ? {} : { observedGeneration }),
    ...(lastUpdateTime === undefined ? {} : { lastUpdateTime }),
  };
}

/** `apps/Deployment`; `/Pod` of the core group. */
export function groupKind({ apiVersion, kind }: { apiVersion: string; kind: string }): string {
  return `${apiVersion.includes('/') ? apiVersion.split('/')[0] : ''}/${kind}`;
}
