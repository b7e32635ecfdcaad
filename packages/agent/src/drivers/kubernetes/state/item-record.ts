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
  /** Labels of the Site. Absent: it has none. */
  readonly labels?: Readonly<Record<string, string>>;
  readonly nodeGroups: readonly NodeGroup[];
  /** Versions of its Secrets, by their name at the hub. Absent: it names none. */
  readonly secretVersions?: Readonly<Record<string, string>>;
  /** Registries of which its pods name the pull secret (`addPullSecrets`). Absent: none. */
  readonly pulls?: readonly string[];
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
  /** `Plan.pull` as it was applied last. */
  appliedPull?: string;
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

export function refOf(wanted: DriverItem, record: ItemRecord): ReleaseRef {
  const { item, siteName, variables, labels, nodeGroups, secretVersions } = wanted;
  const pulls = pullsOf(wanted, record);
  return {
    item,
    siteName,
    variables,
    ...(Object.keys(labels).length === 0 ? {} : { labels }),
    nodeGroups,
    ...(Object.keys(secretVersions).length === 0 ? {} : { secretVersions }),
    ...(pulls.length === 0 ? {} : { pulls }),
  };
}

/** Of what was found in the cluster: logins that came since it was applied have not changed it. */
export function recoveredRef(wanted: DriverItem, record: ItemRecord): ReleaseRef {
  const ref = refOf(wanted, record);
  const { pulls: _none, ...withoutPulls } = ref;
  return record.succeeded === releaseKey(withoutPulls) ? withoutPulls : ref;
}

/**
 * A release that was healthy here pulls as it did: a login that comes, goes or changes rolls no pods. Any other has what there are logins for, and what
 * the one in force has.
 */
function pullsOf(
  { item, logins }: DriverItem,
  { active, hasSucceeded, succeeded }: ItemRecord,
): readonly string[] {
  const isActive = active?.item.digest === item.digest;
  const former = active?.pulls ?? [];
  if (isActive && (hasSucceeded || succeeded?.split(' ')[0] === item.digest)) return former;
  return [...new Set([...former, ...logins.map(({ registry }) => registry)])].sort();
}

/** The rules by which a release is applied to what is there now. */
export function applyRulesFor(rules: DeliveryRules, record: ItemRecord): ApplyRules {
  return { ...rules.apply, ...(record.isReplacing === true ? { onImmutableChange: 'Replace' } : {}) };
}

/** Same key: the same content with the same values. */
export function releaseKey(ref: ReleaseRef): string {
  const { item, siteName, variables, labels, nodeGroups, secretVersions, pulls } = ref;
  const values = [
    item.release,
    siteName,
    variables,
    nodeGroups,
    ...(labels === undefined ? [] : [{ labels }]),
    ...(secretVersions === undefined ? [] : [{ secretVersions }]),
    ...(pulls === undefined ? [] : [{ pulls }]),
  ];
  return `${item.digest} ${shortDigest(values)}`;
}

export function shortDigest(value: unknown): string {
  return sha256Digest(canonicalJson(value)).slice('sha256:'.length, 'sha256:'.length + 16);
}
