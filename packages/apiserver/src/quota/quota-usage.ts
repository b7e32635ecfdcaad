import type { ResourceQuota } from '@selvedge/api';
import { findCount } from './counted-resources.ts';

export type Counts = ReadonlyMap<string, number>;

/** The limits that the quota wants, by name. */
export const hardOf = ({ spec }: ResourceQuota): Counts => countsOf(spec?.hard);

/** What is used, by name; `undefined` when that is not known for the limits of now. */
export function usedOf({ spec, status }: ResourceQuota): Counts | undefined {
  const wanted = Object.entries(spec?.hard ?? {});
  const { hard = {}, used = {} } = status ?? {};
  const isKnown =
    Object.keys(hard).length === wanted.length &&
    wanted.every(([name, limit]) => hard[name] === limit && findCount(used[name] ?? '') !== undefined);
  return isKnown ? countsOf(used) : undefined;
}

export function withUsed(quota: ResourceQuota, used: Counts): ResourceQuota {
  const hard = quota.spec?.hard ?? {};
  const texts = Object.keys(hard).map((name) => [name, String(used.get(name) ?? 0)]);
  return { ...quota, status: { hard: { ...hard }, used: Object.fromEntries(texts) } };
}

/** As Kubernetes words it: what of the names would go beyond their limits with one object more. */
export function excess(quota: ResourceQuota, names: readonly string[], used: Counts): string | undefined {
  const hard = hardOf(quota);
  const full = names.filter((name) => {
    const limit = hard.get(name);
    return limit !== undefined && (used.get(name) ?? 0) + 1 > limit;
  });
  if (full.length === 0) return undefined;
  const list = (value: (name: string) => string) => full.map((name) => `${name}=${value(name)}`).join(',');
  return (
    `exceeded quota: ${quota.metadata.name}, requested: ${list(() => '1')}, ` +
    `used: ${list((name) => String(used.get(name) ?? 0))}, limited: ${list((name) => quota.spec?.hard?.[name] ?? '')}`
  );
}

function countsOf(quantities: Readonly<Record<string, string>> = {}): Counts {
  const entries = Object.entries(quantities);
  return new Map(entries.map(([name, quantity]) => [name, findCount(quantity) ?? 0]));
}
