import type { KubeObject, ObjectMeta } from '../object-meta.ts';

/** Some sites: how many, and the first 100 of them by name. */
export interface PlannedSites {
  count: number;
  names: string[];
}

/** One manifest that differs. */
export interface ManifestChange {
  change: 'Added' | 'Removed' | 'Changed';
  /** `Kind/name`; `Kind/namespace/name` outside the application's namespace. */
  resource: string;
  /** Unified diff of the YAML; values of Secrets are masked. Cut at 64 KiB. */
  diff: string;
}

/** A change of fields that Kubernetes does not let change in place. */
export interface ImmutableChange {
  /** As in `ManifestChange`. */
  resource: string;
  /** `spec.selector`; sorted. */
  fields: string[];
  /** Refused: sites refuse the release while they prepare it. Replaced: the object is deleted and made again. */
  outcome: 'Refused' | 'Replaced';
  /** What a person can do, or should know. */
  advice: string;
}

export interface PlannedWave extends PlannedSites {
  name: string;
  /** Of them, silent now: nobody waits for them. */
  away: number;
  /** Of them, held back by a person or a hub that they do not follow. */
  held: number;
  /** RFC 3339. Absent: it depends on a person, or on a site that has to come back; `basis` says so. */
  expectedStartTime?: string;
  expectedEndTime?: string;
  /** What the times rest on, one sentence each. */
  basis: string[];
}

/** An image that sites have to fetch, and what is known of its size. */
export interface PlannedImage {
  name: string;
  /** Sites that have to fetch it, or parts of it. */
  sites: number;
  /** To be fetched at all these sites together; absent: not known. */
  totalBytes?: number;
  /** Where the size is from. Registry: compressed layers that the site does not have. SiteReports: size on disk at a site that has it, more than what is fetched. */
  source: 'Registry' | 'SiteReports' | 'Unknown';
  /** Why it is not known, or not exactly. */
  reason?: string;
}

export interface PlannedRemoval extends PlannedSites {
  isHeld: boolean;
  /** With `isHeld`: why, and who has to do what. */
  reason?: string;
  message?: string;
}

export interface ApplicationPlanStatus {
  change: 'Created' | 'Changed' | 'PlacementOnly' | 'Unchanged';
  release: {
    name: string;
    digest: string;
    sizeBytes: number;
    /** It was condemned, and is not offered to any site until that is lifted. */
    condemned?: { rollout: string; time: string; message: string };
  };
  /** Release that the manifests are compared with: the newest. Absent: there is none. */
  base?: string;
  /** By what becomes of the application there: newly given, given another release, taken away, left as they are. */
  sites: { added: PlannedSites; changed: PlannedSites; removed: PlannedSites; unchanged: PlannedSites };
  manifests: { changes: ManifestChange[]; unchanged: number };
  /** Present when the rules (`spec.apply`, `spec.placement.nodeGroups`) differ, which makes a new release as well. */
  rules?: {
    /** Unified diff of their YAML. */
    diff: string;
  };
  /** Present when there are such, and Kubernetes sites that have the application already. */
  immutableChanges?: ImmutableChange[];
  /** Empty: nothing goes out. */
  waves: PlannedWave[];
  bytes: {
    /** The manifests, exactly. */
    manifestsPerSite: number;
    manifests: number;
    images: PlannedImage[];
    /** What is known of it; `isComplete`: that is all. */
    total: number;
    /** What each site has to fetch, of what is known: the most first, the first 100 of them. */
    perSite: { site: string; bytes: number; isComplete: boolean }[];
    isComplete: boolean;
  };
  /** Present when sites lose the application. */
  removal?: PlannedRemoval;
  /** Sites that lack a variable of the release: it is not offered to them. */
  missingVariables: ({ variable: string } & PlannedSites)[];
  /** Present when sites have none of the node groups that the application names: it is not offered to them. */
  missingNodeGroups?: PlannedSites & { nodeGroups: string[] };
  /** What a person should know beside it, one sentence each. */
  notes: string[];
}

/** Answer of `applications/plan`: what would happen if this Application were written now. Nothing was changed. */
export interface ApplicationPlan extends KubeObject {
  apiVersion: 'selvedge.dev/v1alpha1';
  kind: 'ApplicationPlan';
  metadata: ObjectMeta;
  status: ApplicationPlanStatus;
}
