import { canonicalJson, type DesiredItem } from '@selvedge/api';
import type { DriverItem } from '../driver.ts';
import type { LocalImage } from './images.ts';
import type { ItemState } from '../item-state.ts';
import { shortHash } from './ownership.ts';

/** A release as it was resolved for this site: enough to read its manifests again. */
export interface ReleaseRef {
  readonly item: DesiredItem;
  readonly siteName: string;
  readonly variables: Readonly<Record<string, string | number | boolean>>;
  /** Labels of the Site. Absent: it has none. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Versions of its Secrets, by their name at the hub. Absent: it names none. */
  readonly secretVersions?: Readonly<Record<string, string>>;
  /** Names of the site's node groups. Absent: it has none. */
  readonly nodeGroups?: readonly string[];
}

/** A release that passed preparation: its images are here, its ports and names could be had. */
export interface PreparedRelease {
  readonly key: string;
  readonly digest: string;
  readonly images: readonly LocalImage[];
  /** It was so when it was last looked at. */
  readonly holds: boolean;
}

/** What is remembered of an item across restarts. Holds nothing secret. */
export interface ItemRecord {
  readonly id: string;
  readonly uid: string;
  /** The release that the pods are to be brought to: the last one whose preparation passed. */
  active?: ReleaseRef;
  /** Releases before it that may still have pods. */
  earlier: ReleaseRef[];
  /** The active release was healthy once. */
  hasSucceeded: boolean;
  /** When the active release was activated. RFC 3339, the machine's clock. */
  activatedTime?: string;
  /** Newest first; those that were active are among them, so that going back to them needs no registry. */
  prepared?: PreparedRelease[];
  /** Podman volumes of claims that its releases have used. */
  claimVolumes?: string[];
  /** What was reported last, for which assignment, and since when. */
  reported?: ItemState & { readonly key: string; readonly epoch: number; readonly sinceTime: string };
}

export function refOf(wanted: DriverItem): ReleaseRef {
  const { item, siteName, variables, labels, secretVersions, nodeGroups } = wanted;
  const names = nodeGroups.map(({ name }) => name);
  return {
    item,
    siteName,
    variables,
    ...(Object.keys(labels).length === 0 ? {} : { labels }),
    ...(Object.keys(secretVersions).length === 0 ? {} : { secretVersions }),
    ...(names.length === 0 ? {} : { nodeGroups: names }),
  };
}

/** Same key: the same manifests with the same values. */
export function releaseKey(ref: ReleaseRef): string {
  const { item, siteName, variables, labels, secretVersions, nodeGroups } = ref;
  const values = [
    item.release,
    siteName,
    variables,
    ...(nodeGroups === undefined ? [] : [nodeGroups]),
    ...(labels === undefined ? [] : [{ labels }]),
    ...(secretVersions === undefined ? [] : [{ secretVersions }]),
  ];
  return `${item.digest} ${shortHash(canonicalJson(values), 10)}`;
}
