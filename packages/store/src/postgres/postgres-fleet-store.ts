import { StatusError, type Clock, type ItemReport, type Logger, type RemovalMode } from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import {
  adoptedRows,
  assignedRow,
  isAssigned,
  isSameSettings,
  keptReport,
  noSettings,
  tombstoneOf,
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
import type { BlobTable } from './blob-table.ts';
import type { CommitLoop } from './commit-loop.ts';
import type { ConnectionPool } from './connection-pool.ts';
import type { FleetJob } from './fleet-commits.ts';
import { type ApplicationName, type FleetNeeds, type FleetScope, unknownSite } from './fleet-scope.ts';
import type { FleetTables } from './fleet-tables.ts';
import type { HeartbeatBatch } from './heartbeat-batch.ts';
import { inSnapshot } from './snapshot.ts';

export interface PostgresFleetStoreOptions {
  readonly pool: ConnectionPool;
  readonly commits: CommitLoop<FleetJob>;
  readonly tables: FleetTables;
  readonly blobs: BlobTable;
  readonly heartbeats: HeartbeatBatch;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** `FleetStore` on PostgreSQL, in the database and on the revision sequence of `PostgresObjectStore`. */
export class PostgresFleetStore implements FleetStore {
  readonly #o: PostgresFleetStoreOptions;
  readonly #listeners = new Set<(change: FleetChange) => void>();

  constructor(options: PostgresFleetStoreOptions) {
    this.#o = options;
  }

  addSiteKey(key: SiteKey): Promise<void> {
    const { site } = key;
    return this.#write({ sites: [site], rowsOfSites: [site] }, (scope) => {
      const present = scope.findKey(site);
      if (present?.publicKey === key.publicKey && present.siteUid === key.siteUid) return;
      if (present !== undefined && present.publicKey !== key.publicKey) {
        throw new StatusError(
          'AlreadyExists',
          `site "${site}" already has an agent (key ${present.fingerprint}): revoke it before another one may join`,
        );
      }
      scope.setKey(key);
      for (const { report, ...row } of scope.rowsOf(site)) if (report !== undefined) scope.save(row);
    });
  }

  findSiteKey(site: string): Promise<SiteKey | undefined> {
    return this.#o.pool.run((connection) => this.#o.tables.findKey(connection, site));
  }

  removeSiteKey(site: string, fingerprint?: string): Promise<void> {
    return this.#write({ sites: [site] }, (scope) => {
      const present = scope.findKey(site);
      if (present === undefined) return;
      if (fingerprint === undefined || present.fingerprint === fingerprint) scope.removeKey(site);
    });
  }

  async assign(assignments: readonly Assignment[]): Promise<void> {
    if (assignments.length === 0) return;
    await this.#write(needsOf(assignments), (scope) => {
      for (const assignment of assignments) this.#assignOne(scope, assignment);
    });
  }

  #assignOne(scope: FleetScope, assignment: Assignment): void {
    const { site, applicationUid, rollout, wave } = assignment;
    const present = scope.findRow(assignment, applicationUid);
    if (isAssigned(present, assignment)) {
      const isSame = present.rollout === rollout && present.wave === wave;
      if (!isSame) scope.save({ ...present, rollout, wave });
      return;
    }
    const displaced = scope.findWanted(assignment);
    const now = this.#o.clock.now();
    if (displaced !== undefined && displaced.applicationUid !== applicationUid) {
      scope.save(tombstoneOf(displaced, { epoch: scope.newEpoch(site), now, mode: 'Delete' }));
    }
    scope.save(assignedRow(assignment, { epoch: scope.newEpoch(site), now, present }));
  }

  async remove(targets: readonly (ApplicationName & { readonly mode: RemovalMode })[]): Promise<void> {
    if (targets.length === 0) return;
    await this.#write(needsOf(targets), (scope) => {
      for (const target of targets) {
        const row = scope.findWanted(target);
        if (row === undefined) continue;
        const order = { epoch: scope.newEpoch(row.site), now: this.#o.clock.now(), mode: target.mode };
        scope.save(tombstoneOf(row, order));
      }
    });
  }

  setSiteSettings(site: string, settings: SiteSettings): Promise<void> {
    return this.#write({ sites: [site] }, (scope) => {
      if (!isSameSettings(scope.siteOrUnknown(site), settings)) scope.setSettings(site, settings);
    });
  }

  adoptSiteState(site: string, state: AdoptedState): Promise<void> {
    return this.#write({ sites: [site], rowsOfSites: [site] }, (scope) => {
      const { epoch } = scope.siteOrUnknown(site);
      const present = { epoch, rows: scope.rowsOf(site), now: this.#o.clock.now() };
      for (const row of adoptedRows(site, state, present)) scope.save(row);
      scope.setEpoch(site, state.epoch);
      scope.setSettings(site, state);
    });
  }

  async forgetSite(site: string): Promise<void> {
    await this.#write({ sites: [site], rowsOfSites: [site] }, (scope) => {
      if (scope.findKey(site) !== undefined) scope.removeKey(site);
      scope.forgetHeartbeat(site);
      for (const { report: _, ...row } of scope.rowsOf(site)) scope.save({ ...row, deleted: true });
      if (scope.findSite(site) !== undefined) scope.setSettings(site, noSettings);
    });
    this.#o.heartbeats.forget(site);
  }

  async siteState(site: string): Promise<SiteState> {
    const { pool, tables } = this.#o;
    const [state, rows] = await pool.run((connection) =>
      inSnapshot(connection, () => [tables.findSite(connection, site), tables.list(connection, { site })]),
    );
    return { site, ...(state ?? unknownSite), rows };
  }

  siteEpochs(): Promise<Map<string, number>> {
    return this.#o.pool.run((connection) => this.#o.tables.epochs(connection));
  }

  async saveReports(
    site: string,
    reports: readonly ItemReport[],
    receivedAt: string,
  ): Promise<DeliveryRow[]> {
    const named = reports.flatMap((report) => {
      const name = reportedName(site, report);
      return name === undefined ? [] : [{ report, name }];
    });
    if (named.length === 0) return [];
    return this.#write({ applications: named.map(({ name }) => name) }, (scope) => {
      const changed = new Map<string, DeliveryRow>();
      for (const { report, name } of named) {
        const row = scope.findRow(name, report.uid);
        if (row === undefined || row.deleted || !isNewer(report, row.report)) continue;
        const isRemoved =
          row.phase === 'Removing' && report.state === 'Removed' && report.epoch === row.epoch;
        const saved = scope.save({
          ...row,
          phase: isRemoved ? 'Removed' : row.phase,
          report: keptReport(report, row.report, receivedAt),
        });
        changed.set(`${report.id} ${report.uid}`, saved);
      }
      return [...changed.values()];
    });
  }

  listDeliveries(filter: DeliveryFilter): Promise<{ rows: DeliveryRow[]; revision: number }> {
    return this.#o.pool.run(async (connection) => {
      const [marks, rows] = await inSnapshot(connection, () => [
        connection.query<{ revision: number; purged: number }>(
          `SELECT (SELECT revision FROM commit_log ORDER BY id DESC LIMIT 1) AS revision,
             (SELECT value FROM setting WHERE name = 'deliveries_purged')::bigint AS purged`,
        ),
        this.#o.tables.list(connection, filter),
      ]);
      const { revision = 1, purged = 1 } = marks[0] ?? {};
      if (filter.sinceRevision !== undefined && filter.sinceRevision < purged) {
        throw new StatusError(
          'Expired',
          `deliveries since revision ${filter.sinceRevision} are no longer known (kept since ${purged}): list again`,
        );
      }
      return { rows, revision };
    });
  }

  touch(heartbeat: Heartbeat): void {
    this.#o.heartbeats.touch(heartbeat);
  }

  heartbeats(): Promise<Map<string, Heartbeat>> {
    return this.#o.heartbeats.all();
  }

  async addRolloutMembers(rolloutUid: string, members: readonly RolloutMember[]): Promise<void> {
    if (members.length === 0) return;
    await this.#o.pool.run((connection) =>
      connection.query(
        `INSERT INTO rollout_member (rollout_uid, site, wave)
         SELECT $1, m.site, m.wave FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS m (site, wave, place)
         ORDER BY m.place ON CONFLICT DO NOTHING`,
        [rolloutUid, members.map((member) => member.site), members.map((member) => member.wave)],
      ),
    );
  }

  rolloutMembers(rolloutUid: string): Promise<RolloutMember[]> {
    return this.#o.pool.run((connection) =>
      connection.query<RolloutMember>(
        'SELECT site, wave FROM rollout_member WHERE rollout_uid = $1 ORDER BY id',
        [rolloutUid],
      ),
    );
  }

  async removeRolloutMembers(rolloutUid: string): Promise<void> {
    await this.#o.pool.run((connection) =>
      connection.query('DELETE FROM rollout_member WHERE rollout_uid = $1', [rolloutUid]),
    );
  }

  async putBlob(digest: string, bytes: Uint8Array): Promise<void> {
    if (sha256Digest(bytes) !== digest) {
      throw new StatusError('BadRequest', `the bytes given as ${digest} have another digest`);
    }
    const { pool, blobs } = this.#o;
    await pool.run(async (connection) => {
      if (!(await blobs.has(connection, digest))) await blobs.put(connection, digest, bytes);
    });
  }

  findBlob(digest: string): Promise<Uint8Array | undefined> {
    return this.#o.pool.run((connection) => this.#o.blobs.find(connection, digest));
  }

  hasBlob(digest: string): Promise<boolean> {
    return this.#o.pool.run((connection) => this.#o.blobs.has(connection, digest));
  }

  deleteBlob(digest: string): Promise<void> {
    return this.#o.pool.run((connection) => this.#o.blobs.delete(connection, digest));
  }

  blobDigests(): Promise<string[]> {
    return this.#o.pool.run((connection) => this.#o.blobs.digests(connection));
  }

  onChange(listener: (change: FleetChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Tells the listeners of a change that is committed, by whichever hub. */
  emit(change: FleetChange): void {
    for (const listener of this.#listeners) {
      try {
        listener(change);
      } catch (error) {
        // What is committed stays committed, and the other listeners must hear of it.
        this.#o.logger.error('fleet change listener failed', { error });
      }
    }
  }

  #write<Value>(needs: FleetNeeds, work: (scope: FleetScope) => Value): Promise<Value> {
    return new Promise<Value>((resolve, reject) => {
      this.#o.commits.add({
        askedAt: performance.now(),
        needs,
        work,
        resolve: (value) => resolve(value as Value),
        reject,
      });
    });
  }
}

function needsOf(applications: readonly ApplicationName[]): FleetNeeds {
  return { sites: [...new Set(applications.map((name) => name.site))], applications };
}

function reportedName(site: string, report: ItemReport): ApplicationName | undefined {
  const [kind, namespace, application, ...rest] = report.id.split('/');
  if (kind !== 'Application' || namespace === undefined || application === undefined) return undefined;
  return rest.length > 0 ? undefined : { site, namespace, application };
}

function isNewer(report: ItemReport, stored: ItemReport | undefined): boolean {
  return stored === undefined || report.seq > stored.seq || report.epoch > stored.epoch;
}
