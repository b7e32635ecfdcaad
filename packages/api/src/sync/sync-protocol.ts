import type { DeliveryState } from '../kinds/delivery.ts';

/**
 * What agents and the hub's gateway say to each other: DESIGN §6. JSON over HTTPS, opened by the agent only.
 *
 * - `GET  /gateway/v1/identity`: `HubIdentity`, no authentication.
 * - `POST /gateway/v1/enroll`: `EnrollRequest` → `EnrollResponse`.
 * - `POST /sync/v1`: `SyncRequest` → `SyncResponse`; one long-poll.
 * - `GET  /content/v1/blobs/{digest}`: the bytes; `Range` honoured; only blobs that this site's state names.
 *
 * Every request but the first carries `Authorization: Bearer <JWT>`: EdDSA by the agent's key, header `kid` its
 * fingerprint, claims `iss` site name (at enrolment: ''), `aud` hub id, `iat`, `exp` (≤ 5 minutes), `bh` (base64url SHA-256
 * of the body; of no bytes for GET), `jti`. Every answer, a refusal too, carries `Selvedge-Hub-Time` (RFC 3339 with milliseconds). Errors are
 * Status bodies; `details.causes[0].reason` does not matter, `reason`/`message` do. A 401 whose message names the
 * clock is answered by measuring the offset and asking once more.
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
  /** How long the release may take to become healthy here before it is reported as Failed. */
  deadlineSeconds: number;
}

/** An order to remove. The only thing that removes an item from a site. */
export interface Tombstone {
  id: string;
  uid: string;
  epoch: number;
}

export interface DesiredState {
  hubId: string;
  site: string;
  siteUid: string;
  /** Never goes back. */
  epoch: number;
  /** Values for `${site.variables.NAME}`. */
  variables: Record<string, string | number | boolean>;
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
  /** When `state` began, and when it was last seen to hold. RFC 3339, hub-corrected clock. */
  sinceTime: string;
  observedTime: string;
  /**
   * Grows with every report of this agent, whatever the item; never used twice. Gaps are possible after a crash. It starts
   * at the hub's time in milliseconds at enrolment, so an agent that lost its disk does not speak of the past.
   */
  seq: number;
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
}

export interface SyncResponse {
  hubTime: string;
  /** Present when the agent's state is not the newest. */
  state?: {
    /** JWS over `SignedStateHeader`. */
    signed: string;
    /** `full`: items and tombstones are all there are. Else those with an epoch above the agent's. */
    full: boolean;
    variables: Record<string, string | number | boolean>;
    items: DesiredItem[];
    tombstones: Tombstone[];
  };
  /**
   * Highest `seq` that is durably stored for the site. Above the agent's own counter: the agent was installed anew; it counts
   * on from here and sends all its reports again.
   */
  ackSeq: number;
  /** Send every report again. */
  sendAllReports?: boolean;
  /** Before the next request; 0 = at once. */
  retryAfterSeconds: number;
}
