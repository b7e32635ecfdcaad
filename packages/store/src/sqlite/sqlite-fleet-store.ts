import { StatusError, type Clock, type ItemReport, type Logger, type RemovalMode } from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import type { AesGcmCipher } from '../aes-gcm-cipher.ts';
import {
  adoptedRows,
  assignedRow,
  isAssigned,
  isSameSettings,
  keptReport,
  noSettings,
  tombstoneOf,
  type UnsavedRow,
} from '../fleet-rules.ts';
import type {
  AdoptedState,
  Assignment,
  DeliveryFilter,
  DeliveryRow,
  FleetChange,
  FleetStore,
  Heartbeat,
  RolloutMember,
  SiteKey,
  SiteSettings,
  SiteState,
} from '../fleet-store.ts';
import { BlobTable } from './blob-table.ts';
import type { Db } from './db.ts';
import { DeliveryTable, type ApplicationName } from './delivery-table.ts';
import { storeClosed, type GroupCommit, type WriteScope } from './group-commit.ts';
import { HeartbeatBatch } from './heartbeat-batch.ts';
import { SiteTable, unknownSite } from './site-table.ts';

export interface SqliteFleetStoreOptions {
  readonly db: Db;
  readonly commits: GroupCommit;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly cipher?: AesGcmCipher;
}

const purgeStep = 500;

/** `FleetStore` on SQLite, in the database and on the revision sequence of `SqliteObjectStore`. */
export class SqliteFleetStore implements FleetStore {
  readonly #db: Db;
  readonly #commits: GroupCommit;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #sites: SiteTable;
  readonly #deliveries: DeliveryTable;
  readonly #blobs: BlobTable;
  readonly #heartbeats: HeartbeatBatch;
  readonly #listeners = new Set<(change: FleetChange) => void>();

  constructor(options: SqliteFleetStoreOptions) {
    this.#db = options.db;
    this.#commits = options.commits;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#sites = new SiteTable(options.db, options.cipher);
    this.#deliveries = new DeliveryTable(options.db, options.cipher);
    this.#blobs = new BlobTable(options.db, options.cipher);
    this.#heartbeats = new HeartbeatBatch(options);
  }

  addSiteKey(key: SiteKey): Promise<void> {
    return this.#commits.write((scope) => {
      const present = this.#sites.findKey(key.site);
      if (present?.publicKey === key.publicKey && present.siteUid === key.siteUid) return;
      if (present !== undefined && present.publicKey !== key.publicKey) {
        throw new StatusError(
          'AlreadyExists',
          `site "${key.site}" already has an agent (key ${present.fingerprint}): revoke it before another one may join`,
        );
      }
      this.#sites.setKey(key);
      for (const { report, ...row } of this.#deliveries.ofSite(key.site)) {
        if (report !== undefined) this.#save(scope, row);
      }
    });
  }

  async findSiteKey(site: string): Promise<SiteKey | undefined> {
    this.#requireOpen();
    return this.#sites.findKey(site);
  }

  removeSiteKey(site: string, fingerprint?: string): Promise<void> {
    return this.#commits.write(() => {
      const present = this.#sites.findKey(site);
      if (fingerprint === undefined || present?.fingerprint === fingerprint) this.#sites.removeKey(site);
    });
  }

  async assign(assignments: readonly Assignment[]): Promise<void> {
    if (assignments.length === 0) return;
    await this.#commits.write((scope) => {
      const epochs = new NewEpochs(this.#sites);
      for (const assignment of assignments) this.#assignOne(scope, assignment, epochs);
      this.#announceEpochs(scope, epochs);
    });
  }

  #assignOne(scope: WriteScope, assignment: Assignment, epochs: NewEpochs): void {
    const { site, applicationUid, rollout, wave } = assignment;
    const present = this.#deliveries.find(assignment, applicationUid);
    if (isAssigned(present, assignment)) {
      const isSame = present.rollout === rollout && present.wave === wave;
      if (!isSame) this.#save(scope, { ...present, rollout, wave });
      return;
    }
    const displaced = this.#deliveries.findWanted(assignment);
    if (displaced !== undefined && displaced.applicationUid !== applicationUid) {
      this.#save(
        scope,
        tombstoneOf(displaced, { epoch: epochs.of(site), now: this.#clock.now(), mode: 'Delete' }),
      );
    }
    this.#save(scope, assignedRow(assignment, { epoch: epochs.of(site), now: this.#clock.now(), present }));
  }

  async remove(targets: readonly (ApplicationName & { readonly mode: RemovalMode })[]): Promise<void> {
    if (targets.length === 0) return;
    await this.#commits.write((scope) => {
      const epochs = new NewEpochs(this.#sites);
      for (const target of targets) {
        const row = this.#deliveries.findWanted(target);
        if (row === undefined) continue;
        const order = { epoch: epochs.of(row.site), now: this.#clock.now(), mode: target.mode };
        this.#save(scope, tombstoneOf(row, order));
      }
      this.#announceEpochs(scope, epochs);
    });
  }

  setSiteSettings(site: string, settings: SiteSettings): Promise<void> {
    return this.#commits.write((scope) => {
      if (isSameSettings(this.#sites.find(site) ?? noSettings, settings)) return;
      const epochs = new NewEpochs(this.#sites);
      epochs.of(site);
      this.#sites.setSettings(site, settings);
      this.#announceEpochs(scope, epochs);
    });
  }

  adoptSiteState(site: string, state: AdoptedState): Promise<void> {
    return this.#commits.write((scope) => {
      const { epoch } = this.#sites.find(site) ?? unknownSite;
      const present = { epoch, rows: this.#deliveries.ofSite(site), now: this.#clock.now() };
      for (const row of adoptedRows(site, state, present)) this.#save(scope, row);
      this.#setEpoch(scope, site, state.epoch);
      this.#sites.setSettings(site, state);
    });
  }

  #setEpoch(scope: WriteScope, site: string, epoch: number): void {
    this.#sites.setEpoch(site, epoch);
    scope.afterCommit(() => this.#emit({ kind: 'site', site, epoch }));
  }

  forgetSite(site: string): Promise<void> {
    return this.#commits.write((scope) => {
      this.#sites.removeKey(site);
      this.#heartbeats.removeRow(site);
      for (const { report: _, ...row } of this.#deliveries.ofSite(site)) {
        this.#save(scope, { ...row, deleted: true });
      }
      const epochs = new NewEpochs(this.#sites);
      if (this.#sites.find(site) !== undefined) {
        epochs.of(site);
        this.#sites.setSettings(site, noSettings);
      }
      scope.afterCommit(() => this.#heartbeats.forget(site));
      this.#announceEpochs(scope, epochs);
    });
  }

  async siteState(site: string): Promise<SiteState> {
    this.#requireOpen();
    const state = this.#sites.find(site) ?? unknownSite;
    return { site, ...state, rows: this.#deliveries.ofSite(site) };
  }

  async siteEpochs(): Promise<Map<string, number>> {
    this.#requireOpen();
    return this.#sites.epochs();
  }

  async saveReports(
    site: string,
    reports: readonly ItemReport[],
    receivedAt: string,
  ): Promise<DeliveryRow[]> {
    if (reports.length === 0) return [];
    return this.#commits.write((scope) => {
      const changed = new Map<string, DeliveryRow>();
      for (const report of reports) {
        const row = this.#findReported(site, report);
        if (row === undefined || !isNewer(report, row.report)) continue;
        const isRemoved =
          row.phase === 'Removing' && report.state === 'Removed' && report.epoch === row.epoch;
        const saved = this.#save(scope, {
          ...row,
          phase: isRemoved ? 'Removed' : row.phase,
          report: keptReport(report, row.report, receivedAt),
        });
        changed.set(`${report.id} ${report.uid}`, saved);
      }
      return [...changed.values()];
    });
  }

  #findReported(site: string, report: ItemReport): DeliveryRow | undefined {
    const [kind, namespace, application, ...rest] = report.id.split('/');
    if (kind !== 'Application' || namespace === undefined || application === undefined || rest.length > 0) {
      return undefined;
    }
    const row = this.#deliveries.find({ site, namespace, application }, report.uid);
    return row?.deleted === true ? undefined : row;
  }

  async listDeliveries(filter: DeliveryFilter): Promise<{ rows: DeliveryRow[]; revision: number }> {
    this.#requireOpen();
    return { rows: this.#deliveries.list(filter), revision: this.#commits.revision };
  }

  touch(heartbeat: Heartbeat): void {
    this.#heartbeats.touch(heartbeat);
  }

  async heartbeats(): Promise<Map<string, Heartbeat>> {
    return this.#heartbeats.all();
  }

  async addRolloutMembers(rolloutUid: string, members: readonly RolloutMember[]): Promise<void> {
    if (members.length === 0) return;
    await this.#commits.write(() => {
      for (const { site, wave } of members) {
        this.#db.run(
          'INSERT INTO rollout_member (rollout_uid, site, wave) VALUES (?, ?, ?) ON CONFLICT DO NOTHING',
          [rolloutUid, site, wave],
        );
      }
    });
  }

  async rolloutMembers(rolloutUid: string): Promise<RolloutMember[]> {
    this.#requireOpen();
    const rows = this.#db.all<RolloutMember>(
      'SELECT site, wave FROM rollout_member WHERE rollout_uid = ? ORDER BY id',
      [rolloutUid],
    );
    return rows.map(({ site, wave }) => ({ site, wave }));
  }

  async removeRolloutMembers(rolloutUid: string): Promise<void> {
    await this.#commits.write(() => {
      this.#db.run('DELETE FROM rollout_member WHERE rollout_uid = ?', [rolloutUid]);
    });
  }

  async putBlob(digest: string, bytes: Uint8Array): Promise<void> {
    if (sha256Digest(bytes) !== digest) {
      throw new StatusError('BadRequest', `the bytes given as ${digest} have another digest`);
    }
    await this.#commits.write(() => {
      if (!this.#blobs.has(digest)) this.#blobs.put(digest, bytes);
    });
  }

  async findBlob(digest: string): Promise<Uint8Array | undefined> {
    this.#requireOpen();
    return this.#blobs.find(digest);
  }

  async hasBlob(digest: string): Promise<boolean> {
    this.#requireOpen();
    return this.#blobs.has(digest);
  }

  async deleteBlob(digest: string): Promise<void> {
    await this.#commits.write(() => this.#blobs.delete(digest));
  }

  async blobDigests(): Promise<string[]> {
    this.#requireOpen();
    return this.#blobs.digests();
  }

  onChange(listener: (change: FleetChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Forgets deleted rows that nobody needs to hear of any more, in moderate steps. */
  async purgeDeleted(revision: number): Promise<void> {
    let purged: number;
    do {
      purged = await this.#commits.write(() => this.#deliveries.purgeDeleted(revision, purgeStep));
    } while (purged === purgeStep);
  }

  /** After the database was filled from outside. */
  reload(): void {
    this.#heartbeats.reload();
  }

  /** Writes the heartbeats that are still in memory. */
  flushHeartbeats(): Promise<void> {
    return this.#heartbeats.flush();
  }

  /** As `flushHeartbeats`, and takes no more of them. */
  closeHeartbeats(): Promise<void> {
    return this.#heartbeats.close();
  }

  /** Gives the row the next revision; without `createRevision` a new life begins. */
  #save(scope: WriteScope, row: UnsavedRow): DeliveryRow {
    const revision = scope.takeRevision();
    const saved: DeliveryRow = { ...row, revision, createRevision: row.createRevision ?? revision };
    this.#deliveries.save(saved);
    scope.afterCommit(() => this.#emit({ kind: 'delivery', row: saved }));
    return saved;
  }

  #announceEpochs(scope: WriteScope, epochs: NewEpochs): void {
    for (const [site, epoch] of epochs) scope.afterCommit(() => this.#emit({ kind: 'site', site, epoch }));
  }

  #emit(change: FleetChange): void {
    for (const listener of this.#listeners) {
      try {
        listener(change);
      } catch (error) {
        // What is committed stays committed, and the other listeners must hear of it.
        this.#logger.error('fleet change listener failed', { error });
      }
    }
  }

  #requireOpen(): void {
    if (this.#commits.closed) throw storeClosed();
  }
}

/** Sites whose epoch grew in one write: once each, however many of their rows changed. */
class NewEpochs {
  readonly #sites: SiteTable;
  readonly #epochs = new Map<string, number>();

  constructor(sites: SiteTable) {
    this.#sites = sites;
  }

  of(site: string): number {
    const epoch = this.#epochs.get(site) ?? this.#sites.raiseEpoch(site);
    this.#epochs.set(site, epoch);
    return epoch;
  }

  [Symbol.iterator](): IterableIterator<[string, number]> {
    return this.#epochs.entries();
  }
}

function isNewer(report: ItemReport, stored: ItemReport | undefined): boolean {
  return stored === undefined || report.seq > stored.seq || report.epoch > stored.epoch;
}
