import {
  type ApplyRules,
  canonicalJson,
  type DeliveryRules,
  type DesiredItem,
  type NodeGroup,
} from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import type { DriverItem } from '../../driver.ts';
import type { ItemState } from '../../item-state.ts';
import type { ObjectRef } from '../release/planned-object.ts';

/** A release as it was resolved for this site: enough to plan it again. */
export interface ReleaseRef {
  readonly item: DesiredItem;
  readonly siteName: string;
  readonly variables: Readonly<Record<string, string | number | boolean>>;
  readonly nodeGroups: readonly NodeGroup[];
}

/** What is remembered of an item across restarts. Holds nothing secret: references to objects, never objects. */
export interface ItemRecord {
  readonly id: string;
  readonly uid: string;
  /** The release that the cluster is to be brought to: the last one whose preparation passed. */
  active?: ReleaseRef;
  /** RFC 3339, the machine's clock. */
  activatedTime?: string;
  /** The active release was healthy once. */
  hasSucceeded: boolean;
  /** Digest of the release before the active one, which was healthy. */
  previousDigest?: string;
  /** Everything of the item that may be in the cluster; written before it is applied, shortened after it was pruned. */
  members: readonly ObjectRef[];
  /** Key of the active release once all of it was applied, and what is no more in it was pruned. */
  appliedKey?: string;
  /** Of what was applied: another key with the same plan changes nothing. */
  appliedPlan?: string;
  /** Digests of what was applied, object by object; not there while a release is being applied. See `AppliedObjects`. */
  applied?: Readonly<Record<string, string>>;
  /** Key of the last release that was healthy; and the same as far as the cluster was told. */
  succeeded?: string;
  toldSucceeded?: string;
  /** A release that may replace objects was begun, and none has been healthy since: going back from it may replace them too. */
  isReplacing?: true;
  /** Jobs of the active release that have ended well: they may be gone since, and are not run again. `refKey` of each. */
  finished?: readonly string[];
  /** Keys of releases whose preparation passed, newest first. */
  prepared?: readonly string[];
  /** Claims that hold its data, noted when its removal began. */
  claims?: readonly ObjectRef[];
  /** What was reported last, for which assignment, and since when. */
  reported?: ItemState & { readonly key: string; readonly epoch: number; readonly sinceTime: string };
}

export function refOf({ item, siteName, variables, nodeGroups }: DriverItem): ReleaseRef {
  return { item, siteName, variables, nodeGroups };
}

/** The rules by which a release is applied to what is there now. */
export function applyRulesFor(rules: DeliveryRules, record: ItemRecord): ApplyRules {
  return { ...rules.apply, ...(record.isReplacing === true ? { onImmutableChange: 'Replace' } : {}) };
}

/** Same key: the same content with the same values. */
export function releaseKey({ item, siteName, variables, nodeGroups }: ReleaseRef): string {
  return `${item.digest} ${shortDigest([item.release, siteName, variables, nodeGroups])}`;
}

export function shortDigest(value: unknown): string {
  return sha256Digest(canonicalJson(value)).slice('sha256:'.length, 'sha256:'.length + 16);
}
