import type { RolloutStatus, RolloutStrategy } from '@selvedge/api';
import type { DeliveryRow, RolloutMember } from '@selvedge/store';

/** What the engine has to know of a site. Instants are milliseconds since 1970. */
export interface SiteFacts {
  readonly name: string;
  /** Since when the agent has been in touch without a gap; absent: it is not. */
  readonly connectedSince?: number;
  /** Last contact; absent: never. */
  readonly lastSeen?: number;
  /** Names of the variables that the site defines. */
  readonly variables: ReadonlySet<string>;
}

/** Everything that a rollout's next step depends on; nothing else does. */
export interface RolloutInput {
  readonly rollout: string;
  readonly applicationUid: string;
  readonly release: { readonly name: string; readonly digest: string; readonly variables: readonly string[] };
  readonly strategy: RolloutStrategy;
  /** A person said so in the Application. */
  readonly isPaused: boolean;
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

/**
 * What to do, in this order: write `status`, keep `join`, carry out `assign`. A crash in between is made good by
 * planning again: the same input gives the same plan, and a plan that was carried out leaves nothing to do.
 */
export interface RolloutPlan {
  readonly status: RolloutStatus;
  /** Sites drawn into a wave by this plan. */
  readonly join: readonly RolloutMember[];
  /** Sites to be given the release, and the wave that it goes out with. */
  readonly assign: readonly RolloutMember[];
  readonly failures: readonly SiteFailure[];
  /** When time alone changes the plan; absent: only an event can. */
  readonly wakeInSeconds?: number;
}
