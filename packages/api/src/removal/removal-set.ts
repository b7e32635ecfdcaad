import type { Application } from '../kinds/application.ts';
import type { Site } from '../kinds/site.ts';

/** Everything that a person consents to when they approve that an Application leaves sites. */
export interface RemovalSet {
  /** UID of the Application. */
  readonly uid: string;
  readonly policy: 'Delete' | 'Orphan';
  /** Whether volumes with data are asked to go. */
  readonly volumes: 'Retain' | 'Delete';
  /** `sinceTime` of the hold: consent to one removal is none to the same sites another time. */
  readonly sinceTime: string;
  /** In any order. */
  readonly sites: readonly string[];
}

/** What the removal of `application` from `sites` would be, with its policy as it is now. */
export function removalSet(
  { metadata, spec }: Application,
  { sites, sinceTime }: Pick<RemovalSet, 'sites' | 'sinceTime'>,
): RemovalSet {
  const { policy = 'Delete', volumes = 'Retain' } = spec.removal ?? {};
  // Who runs on keeps what they have.
  return {
    uid: metadata.uid ?? '',
    policy,
    volumes: policy === 'Orphan' ? 'Retain' : volumes,
    sinceTime,
    sites,
  };
}

/** The JSON value whose canonical form is digested. */
export function removalDigestInput(set: RemovalSet): object {
  return { kind: 'Application', ...set, sites: [...set.sites].sort() };
}

/** The same for Sites that were deleted together: consent is to the end of these very ones. */
export function siteRemovalDigestInput(sites: readonly Site[]): object {
  const pairs = sites.map(({ metadata }): [string, string] => [metadata.name, metadata.uid ?? '']);
  return { kind: 'Site', sites: pairs.sort(([a], [b]) => (a < b ? -1 : 1)) };
}
