import type { ResourceRef } from '@selvedge/api';

/** Core resources that a quota may also name without `count/`, as in Kubernetes. */
const classicNames = new Set([
  'configmaps',
  'persistentvolumeclaims',
  'pods',
  'replicationcontrollers',
  'resourcequotas',
  'secrets',
  'services',
]);

/** The names in a quota that count objects of the resource: `count/deployments.apps`, `secrets` and `count/secrets`. */
export function quotaNamesOf({ group, plural }: Pick<ResourceRef, 'group' | 'plural'>): readonly string[] {
  if (group !== '') return [`count/${plural}.${group}`];
  return classicNames.has(plural) ? [`count/${plural}`, plural] : [`count/${plural}`];
}

/** The resource that a name in a quota counts, as `plural` or `plural.group`; `undefined` when it counts none. */
export function countedResource(quotaName: string): string | undefined {
  if (classicNames.has(quotaName)) return quotaName;
  return /^count\/([a-z0-9]([-a-z0-9.]*[a-z0-9])?)$/.exec(quotaName)?.[1];
}

export const countableNames: readonly string[] = ['count/RESOURCE.GROUP', ...classicNames];

const factors: Readonly<Record<string, number>> = {
  k: 1e3,
  M: 1e6,
  G: 1e9,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
};

/** A quantity that counts something: `10`, `5k`. `undefined` for any other. */
export function findCount(quantity: string): number | undefined {
  const [, digits, suffix] = /^(\d{1,12})(k|M|G|Ki|Mi|Gi)?$/.exec(quantity) ?? [];
  return digits === undefined
    ? undefined
    : Number(digits) * (suffix === undefined ? 1 : (factors[suffix] ?? 1));
}
