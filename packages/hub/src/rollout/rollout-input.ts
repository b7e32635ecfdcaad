import type { ItemTerms, ReleaseName, RolloutStatus, RolloutStrategy } from '@selvedge/api';
import type { DeliveryRow, RolloutMember } from '@selvedge/store';

/** Why a site cannot be given a release, for a reason of its own. */
export interface SiteLack {
  readonly reason: 'VariableUndefined' | 'NoNodeGroup' | 'OverrideInvalid' | 'NotRendered';
  readonly message: string;
}

/** What the engine has to know of a site. Instants are milliseconds since 1970. */
export interface SiteFacts {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Since when the agent has been in touch without a gap; absent: it is not. */
  readonly connectedSince?: number;
  /** Last contact; absent: never. */
  readonly lastSeen?: number;
  /** Silent for longer than the Site says is to be expected. */
  readonly isOverdue: boolean;
  /** Names of the variables that the site defines. */
  readonly variables: ReadonlySet<string>;
  /** Names of the groups of its nodes. */
  readonly nodeGroups: ReadonlySet<string>;
  /** What it lacks for the release of the rollout, where that depends on overrides and declared variables; absent: nothing. */
  readonly lack?: SiteLack;
  /**
   * Why nothing that the hub wants is followed there, though it is in touch: a hold of the whole site (by the hub or a person), a
   * state that it refuses, a hub that is behind it. Such a site is neither pending nor failed.
   */
  readonly held?: { readonly reason: string; readonly message: string };
}

/** A Release of the application, as the hub knows it. */
export interface ReleaseFacts extends ReleaseName {
  readonly isCondemned: boolean;
  /** Name of the Rollout that condemned it (`Release.status.condemned.rollout`), while it is condemned. */
  readonly condemnedBy?: string;
  /** Why and when it was condemned, while it is. */
  readonly condemned?: { readonly reason: string; readonly message: string; readonly time: string };
  /** It has passed every wave of a rollout. */
  readonly isApproved: boolean;
  /** Highest number of a Rollout that brought it; 0: none is known any more. */
  readonly number: number;
}

/** What a site has to have to be given the release. */
export interface ReleaseNeeds {
  readonly variables: readonly string[];
  /** One of them; none named: nothing is asked for. */
  readonly nodeGroups: readonly string[];
}

/** What people said of this rollout. */
export interface RolloutControl {
  /** By the Application or the Rollout. */
  readonly isPaused: boolean;
  readonly approvedWaves: ReadonlySet<string>;
  readonly waivedWaves: ReadonlySet<string>;
  readonly stop?: 'Abort' | 'Revert';
}

/** Everything that a rollout's next step depends on; nothing else does. */
export interface RolloutInput {
  readonly rollout: string;
  /** n of `<application>-<n>`; grows with every rollout of the application. Also the attempt that its assignments carry. */
  readonly number: number;
  /** When the Rollout object was made: rows that were adopted after it wait for a newer one. */
  readonly created: number;
  readonly applicationUid: string;
  readonly release: ReleaseFacts & ReleaseNeeds;
  /** Other Releases of the application that still exist, in no order. */
  readonly others: readonly ReleaseFacts[];
  readonly strategy: RolloutStrategy;
  readonly control: RolloutControl;
  /** Decides the order of sites; the same seed gives the same canaries every time. */
  readonly seed: string;
  /** Every site that the placement selects now. */
  readonly sites: readonly SiteFacts[];
  /** Site → wave, as drawn so far. */
  readonly members: ReadonlyMap<string, string>;
  /** Site → row of this application. */
  readonly rows: ReadonlyMap<string, DeliveryRow>;
  /** As the engine left it. */
  readonly status: RolloutStatus | undefined;
  readonly now: number;
}

/** A site that does not get well with this release. */
export interface SiteFailure {
  readonly site: string;
  readonly reason: string;
  readonly message: string;
}

/** What a site is to be given: the release of the rollout, or (revert, catching up) another one. */
export interface PlannedAssignment extends ReleaseName {
  readonly site: string;
  /** '' outside any wave. */
  readonly wave: string;
  readonly terms: ItemTerms;
  readonly deadlineSeconds: number;
}

/**
 * What to do, in this order: condemn or approve the Release, write `status`, keep `join`, carry out `assign`. A crash in
 * between is made good by planning again: the same input gives the same plan, and a plan that was carried out leaves nothing
 * to do.
 */
export interface RolloutPlan {
  readonly status: RolloutStatus;
  /** What becomes of the Release, when that is new. */
  readonly verdict?:
    | { readonly kind: 'Approved' }
    | { readonly kind: 'Condemned'; readonly reason: string; readonly message: string };
  /** Sites drawn into a wave by this plan. */
  readonly join: readonly RolloutMember[];
  readonly assign: readonly PlannedAssignment[];
  readonly failures: readonly SiteFailure[];
  /** When time alone changes the plan; absent: only an event can. */
  readonly wakeInSeconds?: number;
}
