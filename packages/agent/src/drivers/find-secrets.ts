import type { SecretValue } from '@selvedge/api';

/** Values of an item's Secrets by name and version, from this machine only; undefined when one of them is not here. */
export type FindSecrets = (
  item: string,
  versions: Readonly<Record<string, string>>,
) => ReadonlyMap<string, SecretValue> | undefined;

/** Where there are none. */
export const noSecrets: FindSecrets = (_item, versions) =>
  Object.keys(versions).length === 0 ? new Map() : undefined;
