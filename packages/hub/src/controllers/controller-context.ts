import type {
  Application,
  Clock,
  ConfigMap,
  EnrollmentToken,
  KeyedMutex,
  Logger,
  MachineClaim,
  MachineImage,
  MachineScript,
  MachineTag,
  Namespace,
  ObjectClient,
  RegistryCredential,
  Release,
  Rollout,
  ServiceAccount,
  Site,
} from '@selvedge/api';
import type { Informer } from '@selvedge/kube';
import type { FleetStore } from '@selvedge/store';
import type { ImageResolver } from '../images/image-resolver.ts';
import type { AwsKeys } from '../credentials/ecr-token.ts';
import type { SecretVersionObject } from '../credentials/secret-versions-informer.ts';
import type { SealedVersion } from '../credentials/sealed-versions.ts';
import type { MachineFacts } from '../machines/machine-facts.ts';
import type { RemovalLimits } from '../removal/judge-removal.ts';
import type { SourceCounts } from '../sources/source-counts.ts';
import type { SourceAccess } from '../sources/source-readers.ts';
import type { EventRecorder } from './event/event-recorder.ts';
import type { SiteLacks } from './rollout/site-lacks.ts';
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
  /** Asks registries what tags name. Absent: tags stay as they are. */
  readonly imageResolver?: ImageResolver;
  /** How sources are reached that are not inline. Absent: none is read. */
  readonly sources?: SourceAccess & { readonly counts?: SourceCounts };
  /** `HubIdentity.sealedVersion`. */
  readonly sealedVersion: SealedVersion;
  readonly ecr: EcrAccess;
  /** `host:port` by which images may call the hub's own registry; resolves once the hub has its port. Absent: by none. */
  readonly ownRegistries?: () => Promise<readonly string[]>;
  readonly signal: AbortSignal;
}

/** As whom, and where, the hub may ask ECR. */
export interface EcrAccess {
  /** Of the hub's own environment; absent: none stands there. */
  readonly keys?: AwsKeys;
  /** `host[:port]` of endpoints outside of AWS' own domain that may be asked. */
  readonly endpoints: readonly string[];
  /** The same, by http. */
  readonly insecureEndpoints: readonly string[];
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
    readonly configMaps: Informer<ConfigMap>;
    readonly registryCredentials: Informer<RegistryCredential>;
    readonly machines: Informer<MachineFacts>;
    readonly machineImages: Informer<MachineImage>;
    readonly machineClaims: Informer<MachineClaim>;
    readonly machineTags: Informer<MachineTag>;
    readonly machineScripts: Informer<MachineScript>;
    /** Every Secret by its version; no value is kept. */
    readonly secretVersions: Informer<SecretVersionObject>;
  };
  readonly recorder: EventRecorder;
  readonly siteLacks: SiteLacks;
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
