import type { InventoryReport } from '../inventory/site-inventory.ts';
import type { DeliveryState } from '../kinds/delivery.ts';
import type { NodeGroup } from '../kinds/site.ts';
import type { LabelSelector } from '../label-selector.ts';
import type { MachineReport, RackReport } from '../machines/machine-report.ts';
import type { RackOrder } from '../machines/rack-order.ts';
import type { LinkAccess } from '../rules/link-access.ts';

/**
 * What agents and the hub's gateway say to each other: DESIGN §6. JSON over HTTPS, opened by the agent only.
 *
 * - `GET  /gateway/v1/identity`: `HubIdentity`, no authentication.
 * - `POST /gateway/v1/enroll`: `EnrollRequest` → `EnrollResponse`.
 * - `POST /sync/v1`: `SyncRequest` → `SyncResponse`; one long-poll.
 * - `GET  /content/v1/blobs/{digest}`: the bytes; `Range` honoured; only blobs that this site's state names.
 *   With `Available-Dictionary` (RFC 9842: digest of content that the agent holds) the answer may be `Content-Encoding: dcz`: zstd with
 *   that content as dictionary. The hub uses only content that it still has, and only where that makes it shorter.
 * - `GET  /content/v1/sealed/{id}` (`SealedName.id`, encoded): `SealedValue` as JSON, sealed to the agent's key when asked.
 * - `PUT  /mirror/v1/{uid}`: what this site has for a mirror (`SitePolicy.mirrors`): canonical JSON of manifests. 204 when durable.
 * - `GET  /v2/…`: the hub's image registry (OCI distribution), read only to agents: images that this site's state names.
 * - `GET  /link/v1`: WebSocket (RFC 6455, subprotocol `linkProtocol`), opened when an answer says `openLink`. Its binary messages are
 *   the bytes of one HTTP/2 connection (RFC 9113, prior knowledge) in which the hub is the client: see `link-protocol.ts`.
 *
 * Every request but the first carries `Authorization: Bearer <JWT>`: EdDSA by the agent's key, header `kid` its
 * fingerprint, claims `iss` site name (at enrolment: ''), `aud` hub id, `iat`, `exp` (≤ 5 minutes), `bh` (base64url SHA-256
 * of the body; of no bytes for GET), `jti`. Every answer, a refusal too, carries `Selvedge-Hub-Time` (RFC 3339 with milliseconds). Errors are
 * Status bodies; `details.causes[0].reason` does not matter, `reason`/`message` do. A 401 whose message names the
 * clock is answered by measuring the offset and asking once more.
 *
 * Who accepts `Content-Encoding: zstd` gets longer answers so.
 *
 * One poll per site: a newer `SyncRequest` ends the older one (no state; its `retryAfterSeconds` is for a stranger with
 * the same key, the agent that sent the newer one ignores it). A request with reports is answered as soon as they are
 * durable. The hub waits no longer than `maxWaitSeconds`. A body of more than 1 MiB is answered 413: reports are sent in
 * batches, lowest `seq` first.
 */
export const hubTimeHeader = 'selvedge-hub-time';

/** SHA-256 over the raw 32-byte Ed25519 public key: `SHA256:<base64url>`. */
export type KeyFingerprint = string;

export interface HubIdentity {
  hubId: string;
  /** Raw Ed25519 fleet public key, base64url. Its fingerprint stands in the token. */
  fleetKey: string;
  /** PEM of the hub's own CA; a TLS-terminating proxy may show another certificate. */
  caCertificate: string;
  /** JWS (compact, EdDSA, by the fleet key) over canonical JSON of {hubId, fleetKey, caCertificate}. */
  signature: string;
}

/** Text form: `selvedge1.` + base64url of its JSON. */
export interface EnrollmentTokenClaims {
  /** Base addresses, tried in order: `https://host:port`. */
  hubs: string[];
  fleetKeyFingerprint: KeyFingerprint;
  /** Name of the EnrollmentToken. */
  token: string;
  secret: string;
}

export interface AgentInfo {
  version: string;
  hostname: string;
  os: string;
  architecture: string;
  runtime?: string;
  /** Raw X25519 public key, base64url: what values for this site are sealed to. It lives as long as the agent's identity. */
  sealingKey?: string;
}

export interface EnrollRequest {
  token: string;
  secret: string;
  /** Raw Ed25519 public key, base64url. The request's JWT proves that the agent holds its private half. */
  publicKey: string;
  agent: AgentInfo;
}

/** 202 with `pending` while a person has to approve; the same key asks again later. Idempotent for one key. */
export type EnrollResponse =
  | { status: 'Pending'; message: string; retryAfterSeconds: number }
  | { status: 'Enrolled'; hubId: string; site: string; siteUid: string };

/**
 * When a prepared release may take the place of the one before. `Hold`: not before the hub says so. `Window`: when an
 * activate window of the site is open and no blackout is on (always, at a site without windows). `Now`: at once, windows or
 * not. `At`: at `activateAt` by the hub-corrected clock, link or no link, windows or not. A hold at the site binds all of them.
 */
export const activations = ['Hold', 'Window', 'Now', 'At'] as const;
export type Activation = (typeof activations)[number];

/** A release by name and digest of its content. */
export interface ReleaseName {
  readonly release: string;
  readonly digest: string;
}

/** How an item's release takes the place of the one before. */
export interface ItemTerms {
  readonly activate: Activation;
  /** RFC 3339; with `At` only. */
  readonly activateAt?: string;
  /**
   * Grows when the same release is to be tried again. What the site found out about a digest (`Failed` and went back) binds
   * it for attempts up to that one: it answers `Failed` again without trying.
   */
  readonly attempt: number;
  /** How long preparing may take while the site's download window is open, before it is reported as Failed. */
  readonly prepareSeconds: number;
  /**
   * The release that last proved itself at this site, as the hub knows it: what runs until activation, and what the site
   * goes back to, when its own memory was lost.
   */
  readonly fallback?: ReleaseName;
}

export const defaultItemTerms: ItemTerms = { activate: 'Window', attempt: 1, prepareSeconds: 3600 };

/** One item of a site's desired state. */
export interface DesiredItem {
  /** `Application/<namespace>/<name>`. */
  id: string;
  /** UID of the Application: one deleted and made again is another item. */
  uid: string;
  /** Site epoch at which this item was last set. Reports name it. */
  epoch: number;
  /** Name of the Release. */
  release: string;
  /** Digest of the canonical manifests, fetched as a blob. */
  digest: string;
  /** How long the release may take, once activated, to become healthy here before it is reported as Failed and taken back. */
  deadlineSeconds: number;
  terms: ItemTerms;
}

/**
 * What becomes of a removed item. `Delete`: pods and Services go, volumes with data stay. `DeleteVolumes`: these too (a person
 * consented by name). `Orphan`: all of it stays and runs on, the agent only lets go of it.
 */
export const removalModes = ['Delete', 'DeleteVolumes', 'Orphan'] as const;
export type RemovalMode = (typeof removalModes)[number];

/** An order to remove. The only thing that removes an item from a site. */
export interface Tombstone {
  id: string;
  uid: string;
  epoch: number;
  mode: RemovalMode;
}

/** What the site's own rules are; evaluated at the site, with the hub or without. From `Site.spec`. */
export interface SitePolicy {
  /** IANA name. */
  readonly timeZone: string;
  /** Absent or empty: always open. */
  readonly downloadWindows?: readonly TimeWindow[];
  readonly activateWindows?: readonly TimeWindow[];
  readonly blackouts?: readonly Blackout[];
  /** The hub holds the whole site: nothing is activated and nothing removed. */
  readonly hold?: { readonly reason: string };
  /** `Site.spec.nodeGroups`; absent: none. */
  readonly nodeGroups?: readonly NodeGroup[];
  /** `Site.spec.link`; absent: `Read`. Kept by the agent, whatever the hub lets through. */
  readonly link?: LinkAccess;
  /** `Site.metadata.labels`: overrides and variables of releases go by them. Absent: none. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Values that this site may have, by their present version; fetched one by one. Sorted by id. */
  readonly sealed?: readonly SealedName[];
  /** What this site is to read out of its cluster for others. Sorted by uid. */
  readonly mirrors?: readonly MirrorOrder[];
  /** `Site.spec.depot`. */
  readonly depot?: DepotPolicy;
  /** What the site's rack is to do; absent: it has none. */
  readonly rack?: RackOrder;
}

/** A value that travels sealed to the agent's own key (`AgentInfo.sealingKey`). */
export interface SealedName {
  /** `Secret/<namespace>/<name>` or `RegistryCredential/<namespace>/<name>`. */
  readonly id: string;
  /** Keyed digest of the value (no guess can be proven by it); other value, other version. */
  readonly version: string;
}

/**
 * Answer to `GET /content/v1/sealed/{id}`. `signed` is a JWS (compact, EdDSA, by the fleet key) over canonical JSON of `SealedEnvelope`: what was not
 * made by the hub for this very site, id and version is refused, whoever carried it.
 */
export interface SealedValue {
  readonly signed: string;
}

export interface SealedEnvelope {
  readonly hubId: string;
  readonly site: string;
  readonly siteUid: string;
  readonly id: string;
  readonly version: string;
  /** Fingerprint of the sealing key (`SHA256:<base64url>` over its raw bytes). */
  readonly key: string;
  /**
   * HPKE (RFC 9180) base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM; `info` is `selvedge sealed value v1`, the additional data canonical JSON of
   * `{hubId, siteUid, id, version}`; encapsulated key and ciphertext, base64url. Plaintext: canonical JSON of `SecretValue` or `RegistryCredentialValue`.
   */
  readonly encapsulated: string;
  readonly ciphertext: string;
}

/** Of a core/v1 Secret. */
export interface SecretValue {
  readonly type: string;
  /** Base64. */
  readonly data: Readonly<Record<string, string>>;
}

export interface RegistryCredentialValue {
  readonly logins: readonly ScopedLogin[];
  /** RFC 3339; absent: it does not expire. The version does not change with it: the agent asks again before it needs another. */
  readonly expiresAt?: string;
}

/** A name and a password for a registry, or for a part of one. */
export interface ScopedLogin {
  /** `host[:port]` or `host[:port]/path`, as `registryScope` writes it. */
  readonly registry: string;
  readonly username: string;
  readonly password: string;
}

/** `Application.spec.source.mirror` of an application; the uid is the Application's. */
export interface MirrorOrder {
  readonly uid: string;
  readonly namespaces: readonly string[];
  readonly selector: LabelSelector;
  readonly kinds: readonly { readonly apiVersion: string; readonly kind: string }[];
  /** Of the first namespace. */
  readonly secrets: readonly string[];
  readonly settleSeconds: number;
}

/** What a site has for a mirror. */
export interface MirrorReport {
  readonly uid: string;
  /** `mirrorOrderDigest` of the order that it answers: what was read for an earlier one says nothing of this. */
  readonly order: string;
  /** Digest of canonical JSON of the manifests, sorted by kind, namespace, name; '' while they cannot be read. */
  readonly digest: string;
  readonly objects: number;
  /** Why it cannot be read, or what was left out, for people. */
  readonly message?: string;
  /** RFC 3339, hub-corrected clock. */
  readonly observedTime: string;
}

/** How a site brings images in: `Site.spec.depot`. */
export interface DepotPolicy {
  /** Of all that the depot fetches; absent: as fast as the link is. */
  readonly bytesPerSecond?: number;
  /** Most that images may take in the depot; absent: 80 % of what is free on its disk. */
  readonly maxBytes?: number;
  /** `host[:port]` under which images name the hub's own registry, beside the hub's addresses: they come through the hub's connection. */
  readonly hubRegistries?: readonly string[];
}

/** Opens at each match of the cron expression in the site's time zone, for `durationSeconds` of true time. */
export interface TimeWindow {
  /** Five fields: minute hour day-of-month month day-of-week. */
  readonly schedule: string;
  readonly durationSeconds: number;
}

/** Nothing changes from the beginning of `from` to the end of `to`: dates of the site's time zone (`2026-12-20`), both included. */
export interface Blackout {
  readonly from: string;
  readonly to: string;
  readonly reason?: string;
}

export const defaultSitePolicy: SitePolicy = { timeZone: 'UTC' };

export interface DesiredState {
  hubId: string;
  site: string;
  siteUid: string;
  /** Never goes back. */
  epoch: number;
  /** Values for `${site.variables.NAME}`. */
  variables: Record<string, string | number | boolean>;
  policy: SitePolicy;
  /** Sorted by id. */
  items: DesiredItem[];
  /** Sorted by id, then uid. */
  tombstones: Tombstone[];
}

/**
 * JWS (compact, EdDSA, by the fleet key); payload is canonical JSON of `SignedStateHeader`. It covers the whole state by its
 * digest, so a change can be sent as a difference and is still proven.
 */
export interface SignedStateHeader {
  hubId: string;
  site: string;
  siteUid: string;
  epoch: number;
  /** `stateDigest(DesiredState)`. */
  stateDigest: string;
}

export interface ItemReport {
  id: string;
  uid: string;
  /** The assignment that it speaks of. */
  epoch: number;
  release: string;
  digest: string;
  state: DeliveryState;
  /** Digest of the release that truly has running containers now; absent: none. */
  runningDigest?: string;
  reason?: string;
  message?: string;
  /** At most 20 lines of at most 500 characters. */
  logs?: string[];
  pods?: { wanted: number; ready: number };
  /** What the next step waits for, when that is no fault: no deadline runs meanwhile. */
  waiting?: Waiting;
  /** How far preparing is. Images count by name; bytes as far as they are known: of `image` while that is fetched. */
  progress?: {
    done: number;
    total: number;
    doneBytes?: number;
    totalBytes?: number;
    /** What is being fetched, and when it should be here: RFC 3339, hub-corrected clock. */
    image?: string;
    doneAt?: string;
  };
  /** When this release (`digest`) was activated here; absent: not yet. Hub-corrected clock. */
  activatedTime?: string;
  /** The site went back to what ran before (`runningDigest`) by itself, or because a person there said so. With state `Failed`. */
  wentBack?: 'Unhealthy' | 'RolledBackBySite';
  /**
   * What is not as the release says although it should be, and is not put back (drift: Report): at most 20 of
   * `Kind/name: field, field`; `Kind/namespace/name` outside the application's namespace.
   */
  drift?: string[];
  /** Sizes on disk of images of this release that are here. At most 50. */
  images?: { name: string; sizeBytes: number }[];
  /** When `state` began, and when it was last seen to hold. RFC 3339, hub-corrected clock. */
  sinceTime: string;
  observedTime: string;
  /**
   * Grows with every report of this agent, whatever the item; never used twice. Gaps are possible after a crash. It starts
   * at the hub's time in milliseconds at enrolment, so an agent that lost its disk does not speak of the past.
   */
  seq: number;
}

/** `Hub`: activation is on hold until the hub says so. `SiteHold`: a person at the site. `HubHold`: `Site.spec.hold`. */
export const waitingReasons = [
  'DownloadWindow',
  'ActivateWindow',
  'Blackout',
  'Instant',
  'SiteHold',
  'HubHold',
  'Hub',
] as const;

/** Why a site that could go on does not yet. */
export interface Waiting {
  readonly reason: (typeof waitingReasons)[number];
  /** When it is over, as far as that is known. RFC 3339, hub-corrected clock. */
  readonly until?: string;
  readonly message?: string;
}

/** Whether something may happen now, and when that changes next (within a year). RFC 3339. */
export interface WindowState {
  readonly isOpen: boolean;
  readonly changesAt?: string;
}

/** What a site says of itself beside its items; sent at start and when it changed. */
export interface SiteReport {
  /** Set by a person at the site with `selvedge-agent hold`; of everything, or of some items by id. */
  readonly holds: readonly LocalHold[];
  readonly windows: { readonly download: WindowState; readonly activate: WindowState };
  /** Answers of two hubs that take turns under one identity were seen; newest last. */
  readonly hubInstances?: readonly { readonly instance: string; readonly lastSeenTime: string }[];
  /** A removal that was not carried out: no tombstone, not signed, or older than what the site follows. */
  readonly refusedRemovals?: readonly {
    readonly id: string;
    readonly reason: string;
    readonly message: string;
  }[];
}

export interface LocalHold {
  /** Absent: the whole site. */
  readonly item?: string;
  readonly reason: string;
  readonly by: string;
  readonly sinceTime: string;
}

export const localActKinds = ['Hold', 'Release', 'Rollback', 'WentBack', 'RemovalRefused', 'Import'] as const;

/** Something that was done at the site; told to the hub until it is acknowledged, in order, however long that takes. */
export interface LocalAct {
  /** Counts from 1 in this agent's life, or from where the hub's `ackActs` was. */
  readonly seq: number;
  readonly time: string;
  readonly kind: (typeof localActKinds)[number];
  readonly item?: string;
  readonly by?: string;
  readonly reason?: string;
  readonly message: string;
}

export interface SyncRequest {
  /** State that the agent holds; 0 and '' before the first. */
  epoch: number;
  stateDigest: string;
  /** Agent's own clock, RFC 3339, not corrected. */
  agentTime: string;
  /** Sent at start and when it changed. */
  agent?: AgentInfo;
  /** Those that the hub has not acknowledged yet. */
  reports: ItemReport[];
  /** `reportsDigest` of all the reports that the agent holds; the hub asks for all when its own differs. */
  reportsDigest: string;
  /**
   * When the driver last looked at all that the reports speak of: they still held then. RFC 3339, hub-corrected clock; absent
   * before the first look and while the runtime cannot be asked. So a quiet site renews its knowledge without new reports.
   */
  observedTime?: string;
  /** Set when a state was refused: the hub shows it on the Site. Stays until a state is accepted. */
  refusal?: {
    reason: 'OlderEpoch' | 'BadSignature' | 'DigestMismatch' | 'WrongSite' | 'StorageFull';
    message: string;
    epoch: number;
  };
  /** Longest wait that the agent's way to the hub is known to bear, seconds. */
  maxWaitSeconds?: number;
  /** The agent wants the whole state: what it computed from a difference did not fit. */
  full?: boolean;
  /** Sent at start and when it changed. */
  site?: SiteReport;
  /** What changed in the inventory since the hub last took one; the whole of it with `from: ''`. */
  inventory?: InventoryReport;
  /** Not acknowledged yet, oldest first, at most 50. */
  acts?: LocalAct[];
  /** What the site has for each mirror that is ordered; sent at start and when it changed. */
  mirrors?: MirrorReport[];
  /** Sent at start and when it changed. */
  rack?: RackReport;
  /** Of machines, not acknowledged yet, lowest `seq` first, at most 50 and 256 KiB a request. */
  machines?: MachineReport[];
  /** `machinesDigest` of all that the rack knows, sent by racks: the hub asks for all when its own differs. */
  machinesDigest?: string;
  /** The signed state that the agent follows, when the hub asked for it (`sendState`): so a hub that lost its memory can adopt it. */
  held?: { signed: string; state: DesiredState };
}

/** Content of an item as the difference to that of the release which the item goes back to (`terms.fallback`). */
export interface ContentDelta {
  readonly digest: string;
  /** zstd with that content as dictionary, base64; at most `longestContentDelta` bytes. */
  readonly zstd: string;
}

export const longestContentDelta = 1024;

export interface SyncResponse {
  hubTime: string;
  /** Present when the agent's state is not the newest. */
  state?: {
    /** JWS over `SignedStateHeader`. */
    signed: string;
    /** `full`: items and tombstones are all there are. Else those with an epoch above the agent's. */
    full: boolean;
    variables: Record<string, string | number | boolean>;
    policy: SitePolicy;
    items: DesiredItem[];
    tombstones: Tombstone[];
    /** Content of these items that is small as a difference: then it need not be asked for. An agent that cannot use it asks all the same. */
    contents?: ContentDelta[];
  };
  /**
   * Which living store answered. It changes when a hub is restored, copied or (on SQLite) started again, and one that was
   * left never comes back: an agent that sees that knows of two hubs with one identity, and says so.
   */
  instance: string;
  /** Highest `seq` of acts that is durably known. */
  ackActs?: number;
  /** Send `held` with the next request: a person asked to adopt what the site runs. */
  sendState?: true;
  /**
   * Highest `seq` that is durably stored for the site. Above the agent's own counter: the agent was installed anew; it counts
   * on from here and sends all its reports again.
   */
  ackSeq: number;
  /** Somebody wants to reach the site: open the link unless it is open. Repeated until it is. */
  openLink?: true;
  /** The inventory that the hub has is not the one that the difference starts from: send all of it. */
  sendInventory?: true;
  /** Uids of mirrors of which the hub has not what the site has: `PUT` it. */
  sendMirrors?: string[];
  /** Highest `seq` of reports of machines that is durably stored. Above the rack's own counter: it counts on from here. */
  ackMachines?: number;
  /** Send every report of machines again. */
  sendAllMachines?: boolean;
  /** Send every report again. */
  sendAllReports?: boolean;
  /** Before the next request; 0 = at once. */
  retryAfterSeconds: number;
}
