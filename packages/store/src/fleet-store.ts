import type { DeliveryState, ItemReport, ItemTerms, RemovalMode, SitePolicy } from '@selvedge/api';

/** The key that may speak for a site. */
export interface SiteKey {
  readonly site: string;
  readonly siteUid: string;
  /** Raw Ed25519, base64url. */
  readonly publicKey: string;
  readonly fingerprint: string;
  readonly tokenUid: string;
  readonly enrolledAt: string;
}

/**
 * The one narrow row per site and application: what is wanted and what was last reported. Manifests are not in it. An
 * application that was deleted and made again has another uid and so another row: of the rows of one site, namespace
 * and application at most one is `Wanted`, the others are tombstones of former lives.
 */
export interface DeliveryRow {
  readonly site: string;
  readonly namespace: string;
  readonly application: string;
  readonly applicationUid: string;
  /** `Wanted`: an item of the site's desired state. `Removing`: a tombstone. `Removed`: a tombstone that was carried out; stays. */
  readonly phase: 'Wanted' | 'Removing' | 'Removed';
  /** Name of the Release ('' when the row is a tombstone). */
  readonly release: string;
  readonly digest: string;
  /** Site epoch at which the assignment was last set. */
  readonly epoch: number;
  readonly assignedAt: string;
  readonly deadlineSeconds: number;
  readonly terms: ItemTerms;
  /** Of a tombstone; `Delete` while `Wanted`. */
  readonly removal: RemovalMode;
  /** Name of the Rollout and wave that assigned it; '' when assigned outside one. */
  readonly rollout: string;
  readonly wave: string;
  /** Newest report of the site's present key, whatever assignment it speaks of; compare `epoch`, `digest` and `uid` before counting it. */
  readonly report?: KeptReport;
  /** Revision of the last change of anything in the row; from the sequence of `ObjectStore`, no two rows share one. */
  readonly revision: number;
  readonly createRevision: number;
  /** The site was forgotten. Seen only in `onChange` and with `sinceRevision`. */
  readonly deleted: boolean;
}

export type KeptReport = ItemReport & {
  readonly receivedAt: string;
  /**
   * By the hub's clock: since when the site is on its way with this assignment and tells of nothing that it waits for. Absent: since
   * `receivedAt`. Unlike `sinceTime` no later report moves it.
   */
  readonly unansweredSince?: string;
};

export interface Assignment {
  readonly site: string;
  readonly namespace: string;
  readonly application: string;
  readonly applicationUid: string;
  readonly release: string;
  readonly digest: string;
  readonly deadlineSeconds: number;
  readonly terms: ItemTerms;
  readonly rollout: string;
  readonly wave: string;
}

/** What a site is told beside its items. */
export interface SiteSettings {
  readonly variables: Record<string, string | number | boolean>;
  readonly policy: SitePolicy;
}

/** What a site follows, by its own signed account. */
export interface AdoptedState extends SiteSettings {
  readonly epoch: number;
  readonly rows: readonly AdoptedRow[];
}
export type AdoptedRow = Pick<
  DeliveryRow,
  | 'namespace'
  | 'application'
  | 'applicationUid'
  | 'release'
  | 'digest'
  | 'epoch'
  | 'deadlineSeconds'
  | 'terms'
  | 'removal'
> & { readonly phase: 'Wanted' | 'Removing' };

export interface DeliveryFilter {
  readonly site?: string;
  readonly namespace?: string;
  readonly application?: string;
  /**
   * Only rows changed after this revision, `deleted` ones too, in revision order; throws `Expired` when deleted rows
   * after it are forgotten already. Absent: deleted rows are left out; order (namespace, application, site, uid).
   */
  readonly sinceRevision?: number;
}

export interface Heartbeat {
  readonly site: string;
  readonly lastSeenAt: string;
  /** When this stretch of being seen or unseen began is not kept here: it is a condition of the Site. */
  readonly agentEpoch: number;
  readonly agentStateDigest: string;
  /** When the agent last saw that all its reports, as the hub has them, still hold. */
  readonly observedAt?: string;
}

/** Desired state of a site as rows; the gateway signs it. Settings as they were when the epoch was set. */
export interface SiteState extends SiteSettings {
  readonly site: string;
  readonly epoch: number;
  /** `Wanted`, `Removing` and `Removed` rows. */
  readonly rows: DeliveryRow[];
}

export interface RolloutMember {
  readonly site: string;
  readonly wave: string;
}

/**
 * Narrow tables beside the objects, in the same database and on the same revision sequence. Every method that writes
 * resolves when the write is durable, `touch` excepted.
 */
export interface FleetStore {
  /**
   * Makes a key the site's only one. Throws `AlreadyExists` when the site has a living key of another agent: revoke
   * that first (`removeSiteKey`). Same key for the same `siteUid` again: no change. A key that is new starts with no reports: those of the
   * agent before it are dropped from the rows (its `seq` counts from the start, and nobody knows what it runs).
   */
  addSiteKey(key: SiteKey): Promise<void>;
  findSiteKey(site: string): Promise<SiteKey | undefined>;
  /** With a fingerprint only when it is that of the present key, else no change. */
  removeSiteKey(site: string, fingerprint?: string): Promise<void>;

  /**
   * Sets items. An assignment equal to the present row (uid, digest, terms but for their fallback, phase Wanted) changes only
   * rollout and wave, and no epoch; deadline and fallback stay as the site was told them under the row's epoch. Otherwise
   * the site's epoch grows by one per call and site, and the row gets it. A `Wanted` row of the same name with another uid
   * becomes a tombstone (`Removing`, mode `Delete`) in that epoch. Atomic over all, and so one long step: give it some
   * hundreds at a time.
   */
  assign(assignments: readonly Assignment[]): Promise<void>;
  /**
   * Turns `Wanted` rows into tombstones (`Removing`, of that mode, assigned now), with a new epoch. Unknown or already removed
   * rows: no change.
   */
  remove(
    targets: readonly { site: string; namespace: string; application: string; mode: RemovalMode }[],
  ): Promise<void>;
  /** New epoch when they differ from the stored ones (no variables and `defaultSitePolicy` at first). */
  setSiteSettings(site: string, settings: SiteSettings): Promise<void>;
  /**
   * For a site that is ahead of a restored hub: makes exactly this state, with its epochs, the site's present one, so that
   * the site and the hub are in step again. Rows that are not in it are dropped (`deleted`) without an order to remove them.
   * A row that says what the hub's own row of that epoch said keeps its time, its report and, if the removal was carried
   * out, its end; otherwise an item counts as assigned now, and a removal as ordered in 1970, so that no limit counts it as
   * a new one. rollout and wave of the rows are ''. Throws `Conflict` when the hub's epoch is not below it, `BadRequest` when
   * the state contradicts itself.
   */
  adoptSiteState(site: string, state: AdoptedState): Promise<void>;
  /**
   * After `Site` deletion: forgets the rows, variables, key and heartbeat. The epoch is kept and grows by one, so a Site
   * made again under this name never goes back. Unknown site: no change.
   */
  forgetSite(site: string): Promise<void>;
  /** Epoch 0, no rows for an unknown site. */
  siteState(site: string): Promise<SiteState>;
  siteEpochs(): Promise<Map<string, number>>;

  /**
   * Keeps the newest report per item by `seq` (or by `epoch`, when an agent restored from a backup counts again from
   * below): older ones and repetitions change nothing. A `Removed` report that names a `Removing` row's uid and epoch turns the
   * row into `Removed`. Rows of items that the site was never given are not made. Returns the site's rows that changed.
   */
  saveReports(site: string, reports: readonly ItemReport[], receivedAt: string): Promise<DeliveryRow[]>;
  listDeliveries(filter: DeliveryFilter): Promise<{ rows: DeliveryRow[]; revision: number }>;

  /** Never blocks. Batched, at most one write per second for all sites; a crash may lose the last seconds. */
  touch(heartbeat: Heartbeat): void;
  /** Includes what is not written yet. */
  heartbeats(): Promise<Map<string, Heartbeat>>;

  /**
   * Which sites are in which wave of a rollout; set once, added to when sites come later. A site that is a member
   * already stays in its wave.
   */
  addRolloutMembers(rolloutUid: string, members: readonly RolloutMember[]): Promise<void>;
  /** In the order in which they were added. */
  rolloutMembers(rolloutUid: string): Promise<RolloutMember[]>;
  removeRolloutMembers(rolloutUid: string): Promise<void>;

  /**
   * Content by digest (`sha256:…`), encrypted at rest. Writing what is there is no change; throws `BadRequest` when the
   * bytes have another digest.
   */
  putBlob(digest: string, bytes: Uint8Array): Promise<void>;
  findBlob(digest: string): Promise<Uint8Array | undefined>;
  hasBlob(digest: string): Promise<boolean>;
  deleteBlob(digest: string): Promise<void>;
  /** Digests of all that is stored, in no order. */
  blobDigests(): Promise<string[]>;

  /**
   * Called after commit, in commit order, before the write's promise resolves; must be quick. `site` events: the epoch
   * grew. `delivery`: the row changed. Returns the unsubscriber.
   */
  onChange(listener: (change: FleetChange) => void): () => void;
}

export type FleetChange =
  | { readonly kind: 'site'; readonly site: string; readonly epoch: number }
  | { readonly kind: 'delivery'; readonly row: DeliveryRow };

export type { DeliveryState };
