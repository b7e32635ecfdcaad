import type {
  Application,
  Clock,
  EnrollmentToken,
  KeyedMutex,
  Logger,
  Namespace,
  ObjectClient,
  Release,
  Rollout,
  ServiceAccount,
  Site,
} from '@selvedge/api';
import type { Informer } from '@selvedge/kube';
import type { FleetStore } from '@selvedge/store';
import type { RemovalLimits } from '../removal/judge-removal.ts';
import type { EventRecorder } from './event/event-recorder.ts';
import type { Settling } from './removal/settling.ts';

export interface ControllerOptions {
  readonly client: ObjectClient;
  readonly fleet: FleetStore;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A site is in touch when its last contact is not longer ago: one long-poll and a little. */
  readonly connectedWithinSeconds: number;
  /** How many Sites may leave the fleet within an hour. Default: 3, or 10 %. */
  readonly removalLimits?: RemovalLimits;
  readonly signal: AbortSignal;
}

/** What all controllers of one hub share. */
export interface ControllerContext extends ControllerOptions {
  readonly informers: {
    readonly applications: Informer<Application>;
    readonly releases: Informer<Release>;
    readonly rollouts: Informer<Rollout>;
    readonly sites: Informer<Site>;
    readonly tokens: Informer<EnrollmentToken>;
    readonly namespaces: Informer<Namespace>;
    readonly serviceAccounts: Informer<ServiceAccount>;
  };
  readonly recorder: EventRecorder;
  /** Since when this hub has been listening, in milliseconds since 1970: before that it could hear nobody. */
  readonly listensSince: number;
  readonly removalLimits: RemovalLimits;
  /** By UID of an Application: sites that it is to leave, as they were seen last. */
  readonly deselected: Settling;
  /**
   * By `namespace/name` of an Application: who assigns its release and who removes it take turns, so that nothing is
   * assigned any more once the removal is written.
   */
  readonly applicationLock: KeyedMutex;
  /** By digest: who makes a Release and who deletes content take turns. */
  readonly contentLock: KeyedMutex;
}
