import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { StatusError } from '@selvedge/api';
import { AesGcmCipher } from '../aes-gcm-cipher.ts';
import type { KeyRing } from '../key-ring.ts';
import type { PostgresStoreOptions } from '../open-postgres-store.ts';
import { defaultRetention, forgetPeriodically } from '../retention.ts';
import type { Store, StoreVerdict } from '../store.ts';
import { storeClosed } from '../store-closed.ts';
import type { StoreRecord } from '../store-record.ts';
import { WatchFanOut } from '../watch-fan-out.ts';
import { BlobTable } from './blob-table.ts';
import { type Change, CommitFollower, type Position } from './commit-follower.ts';
import { CommitLoop } from './commit-loop.ts';
import { Connection, type ConnectionOptions } from './connection.ts';
import { ConnectionPool } from './connection-pool.ts';
import { type ConnectionSettings, describeSettings, parseStoreUrl } from './connection-settings.ts';
import { dumpDatabase } from './dump-database.ts';
import { FleetCommits, type FleetJob } from './fleet-commits.ts';
import { FleetRows } from './fleet-rows.ts';
import { FleetTables } from './fleet-tables.ts';
import { forgetDeliveries, forgetStates } from './forget.ts';
import { HeartbeatBatch } from './heartbeat-batch.ts';
import { adoptIdentity } from './hub-identity-check.ts';
import { adoptKeys } from './key-check.ts';
import { Leadership } from './leadership.ts';
import { checkServer, migrate } from './migrate.ts';
import { ObjectCommits, type ObjectJob } from './object-commits.ts';
import { ObjectLog } from './object-log.ts';
import { readChanges } from './read-changes.ts';
import { postgresError, storeUnavailable } from './postgres-error.ts';
import { PostgresFleetStore } from './postgres-fleet-store.ts';
import { PostgresObjectStore } from './postgres-object-store.ts';
import { resealDatabase } from './reseal.ts';
import { restoreDatabase } from './restore-database.ts';
import { adoptInstance } from './store-instance.ts';
import { noteWriterKeys } from './writer-table.ts';
import { verifyDatabase } from './verify-database.ts';

const readMilliseconds = 15_000;
const writeMilliseconds = 10_000;
const migrationMilliseconds = 600_000;
const defaults = {
  poolSize: 8,
  patienceMilliseconds: 5000,
  pollMilliseconds: 1000,
  progressMilliseconds: 5000,
};

/** See `openPostgresStore`. */
export async function openStore(options: PostgresStoreOptions): Promise<Store> {
  const settings = parseStoreUrl(options.url, options.passwordFile);
  const cipher = options.keys && new AesGcmCipher(options.keys);
  try {
    const prepared = await prepareDatabase(settings, cipher, options);
    const store = new PostgresStore({ settings, cipher, options, ...prepared });
    await store.connect();
    return store;
  } catch (error) {
    const { reason, message, details, cause } = postgresError(error);
    throw new StatusError(reason, `${describeSettings(settings)}: ${message}`, {
      details,
      cause: cause ?? error,
    });
  }
}

async function prepareDatabase(
  settings: ConnectionSettings,
  cipher: AesGcmCipher | undefined,
  options: PostgresStoreOptions,
): Promise<Pick<OpenedDatabase, 'start' | 'instance'>> {
  const connection = await Connection.open({
    settings,
    name: 'selvedge setup',
    statementMilliseconds: migrationMilliseconds,
    session: ['lock_timeout=60s'],
  });
  try {
    await checkServer(connection);
    const foundVersion = await migrate(connection);
    await adoptIdentity(connection, options.identity);
    await adoptKeys(connection, cipher);
    options.logger.debug('store opened', { store: describeSettings(settings), foundVersion });
    const [newest] = await connection.query<Position>(
      'SELECT id, revision FROM commit_log ORDER BY id DESC LIMIT 1',
    );
    if (newest === undefined) throw new StatusError('InternalError', 'the store has lost its sequence');
    return { start: newest, instance: await adoptInstance(connection) };
  } finally {
    await connection.close();
  }
}

interface OpenedDatabase {
  readonly settings: ConnectionSettings;
  readonly cipher: AesGcmCipher | undefined;
  readonly start: Position;
  readonly instance: string;
  readonly options: PostgresStoreOptions;
}

class PostgresStore implements Store {
  readonly engine = 'postgres';
  readonly objects: PostgresObjectStore;
  readonly fleet: PostgresFleetStore;
  readonly #options: PostgresStoreOptions;
  readonly #settings: ConnectionSettings;
  readonly #cipher: AesGcmCipher | undefined;
  readonly #hub = `${hostname()} ${process.pid} ${randomBytes(4).toString('hex')}`;
  readonly #pool: ConnectionPool;
  readonly #log: ObjectLog;
  readonly #tables: FleetTables;
  readonly #fanOut: WatchFanOut;
  readonly #follower: CommitFollower;
  readonly #objectCommits: ObjectCommits;
  readonly #objectLoop: CommitLoop<ObjectJob>;
  readonly #fleetCommits: FleetCommits;
  readonly #fleetLoop: CommitLoop<FleetJob>;
  readonly #heartbeats: HeartbeatBatch;
  readonly #leadership: Leadership;
  readonly #closing = new AbortController();
  readonly #loops: Promise<void>[];
  #instance: string;
  #isLeft = false;
  #closed: Promise<void> | undefined;

  constructor({ settings, cipher, start, instance, options }: OpenedDatabase) {
    const { clock, logger } = options;
    const patienceMilliseconds = options.patienceMilliseconds ?? defaults.patienceMilliseconds;
    const size = options.poolSize ?? defaults.poolSize;
    this.#settings = settings;
    this.#cipher = cipher;
    this.#instance = instance;
    this.#options = options;
    this.#pool = new ConnectionPool({
      ...this.#connection('reads', readMilliseconds),
      size,
      clock,
      patienceMilliseconds,
    });
    const sealing = cipher && { cipher, sensitiveResources: options.sensitiveResources ?? new Set<string>() };
    this.#log = new ObjectLog(sealing);
    this.#tables = new FleetTables(new FleetRows(cipher));
    this.#fanOut = new WatchFanOut({
      position: () => this.#follower.position.revision,
      reach: (revision) => this.#reach(revision),
      eventsBetween: (query, range) =>
        this.#pool.run((connection) => this.#log.eventsBetween(connection, query, range)),
    });
    this.#follower = new CommitFollower({
      connection: this.#connection('watch', readMilliseconds),
      pool: this.#pool,
      clock,
      logger,
      start,
      pollMilliseconds: options.pollMilliseconds ?? defaults.pollMilliseconds,
      patienceMilliseconds,
      readChanges: (after, commits) => this.#readChanges(after, commits),
      publish: (change) => this.#publish(change),
      onGap: () => this.#onGap(),
    });
    const loop = (name: string) => ({
      connection: this.#connection(name, writeMilliseconds, writerSession),
      hub: this.#hub,
      keyIds: () => idsOf(cipher),
      clock,
      logger,
      patienceMilliseconds,
      onSession: (writer: number) => this.#follower.addOwnWriter(writer),
    });
    this.#objectCommits = new ObjectCommits(this.#log, this.#pool, this.#follower);
    this.#objectLoop = new CommitLoop(loop('objects'), this.#objectCommits);
    this.#fleetCommits = new FleetCommits(this.#tables, this.#follower);
    this.#fleetLoop = new CommitLoop(loop('fleet'), this.#fleetCommits);
    this.#heartbeats = new HeartbeatBatch({ pool: this.#pool, clock, logger });
    this.#leadership = new Leadership({
      connection: { settings, name: `selvedge lead ${hostname()}` },
      hub: this.#hub,
      clock,
      logger,
    });
    this.objects = new PostgresObjectStore({
      pool: this.#pool,
      log: this.#log,
      commits: this.#objectLoop,
      follower: this.#follower,
      fanOut: this.#fanOut,
      close: this.close,
    });
    this.fleet = new PostgresFleetStore({
      pool: this.#pool,
      commits: this.#fleetLoop,
      tables: this.#tables,
      blobs: new BlobTable(cipher),
      heartbeats: this.#heartbeats,
      clock,
      logger,
    });
    this.#loops = [this.#forget(), this.#publishProgress()];
  }

  /** Its sessions show the others which key it seals with. */
  async connect(): Promise<void> {
    try {
      await this.#objectLoop.connect();
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  get instance(): string {
    return this.#instance;
  }

  async check(): Promise<void> {
    if (this.#closed !== undefined) throw storeClosed();
    if (this.#isLeft) {
      throw storeUnavailable(
        'this hub was away from its database for so long that changes are forgotten: restart it',
      );
    }
    // A write of its own, as durable as any.
    await this.#pool.run((connection) =>
      connection.query(
        `INSERT INTO setting (name, value) VALUES ('checked', clock_timestamp()::text)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
      ),
    );
  }

  async *dump(signal: AbortSignal): AsyncGenerator<StoreRecord> {
    await this.#heartbeats.flush();
    const options = this.#connection('dump', migrationMilliseconds);
    yield* dumpDatabase(options, { cipher: this.#cipher, log: this.#log, signal });
  }

  async whileLeading(signal: AbortSignal, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const isOver = AbortSignal.any([signal, this.#closing.signal]);
    const leading = this.#leadership.whileLeading(isOver, work);
    this.#loops.push(leading);
    await leading;
  }

  reseal(signal: AbortSignal): Promise<number> {
    const sensitiveResources = this.#options.sensitiveResources ?? new Set<string>();
    return resealDatabase(this.#pool, { cipher: this.#cipher, sensitiveResources, signal });
  }

  async useKeys(keys: KeyRing): Promise<void> {
    const cipher = this.#cipher;
    if (cipher === undefined) throw new StatusError('BadRequest', 'this store was opened without a key');
    const next = new AesGcmCipher(keys);
    await this.#pool.run((connection) => adoptKeys(connection, next, this.#hub));
    cipher.useKeys(keys);
    await this.#pool.run((connection) => noteWriterKeys(connection, this.#hub, idsOf(next)));
  }

  async restore(
    records: AsyncIterable<StoreRecord>,
    options: { readonly revisionGap: number },
  ): Promise<void> {
    this.#instance = await restoreDatabase(this.#connection('restore', migrationMilliseconds), records, {
      ...options,
      log: this.#log,
      cipher: this.#cipher,
    });
    await this.#follower.catchUp();
    this.#isLeft = false; // it was empty: nothing was missed
  }

  verify(signal: AbortSignal): Promise<StoreVerdict> {
    const options = this.#connection('verify', migrationMilliseconds);
    return verifyDatabase(options, { cipher: this.#cipher, signal });
  }

  readonly close = (): Promise<void> => {
    this.#closed ??= this.#closeAll();
    return this.#closed;
  };

  async #closeAll(): Promise<void> {
    this.#closing.abort();
    await this.#heartbeats.close();
    await Promise.all([this.#objectLoop.close(), this.#fleetLoop.close()]);
    await Promise.all([this.#objectCommits.drain(), this.#fleetCommits.drain()]);
    this.#fanOut.close();
    await this.#follower.close();
    await Promise.all(this.#loops);
    await this.#pool.close();
  }

  #connection(
    name: string,
    statementMilliseconds: number,
    session: readonly string[] = [],
  ): ConnectionOptions {
    return {
      settings: this.#settings,
      name: `selvedge ${name} ${hostname()}`,
      statementMilliseconds,
      session,
    };
  }

  async #reach(revision: number): Promise<void> {
    const newest = await this.#follower.catchUp();
    if (revision <= newest.revision) return;
    throw new StatusError(
      'Expired',
      `revision ${revision} is ahead of the store (${newest.revision}), which may have been restored from a backup: list again`,
    );
  }

  #readChanges(after: Position, commits: readonly Position[]): Promise<Change[][] | undefined> {
    return this.#pool.run((connection) =>
      readChanges(connection, { log: this.#log, tables: this.#tables, after, commits }),
    );
  }

  #publish(change: Change): void {
    if (change.kind === 'object') this.#fanOut.publish(change.event);
    else this.fleet.emit(change);
  }

  #onGap(): void {
    this.#isLeft = true;
    this.#options.logger.error('store changes missed: this hub was away from its database for too long');
    this.#fanOut.sendToLog();
  }

  async #forget(): Promise<void> {
    const { clock, logger, retention } = this.#options;
    await forgetPeriodically({
      policy: { ...defaultRetention, ...retention },
      clock,
      logger,
      signal: this.#closing.signal,
      currentRevision: () => this.#follower.position.revision,
      forget: async (revision) => {
        await forgetStates(this.#pool, revision);
        await forgetDeliveries(this.#pool, revision);
      },
    });
  }

  async #publishProgress(): Promise<void> {
    const interval = this.#options.progressIntervalMilliseconds ?? defaults.progressMilliseconds;
    while (!this.#closing.signal.aborted) {
      await this.#options.clock.sleep(interval, this.#closing.signal);
      this.#fanOut.publishProgress();
    }
  }
}

/** Writes look rows up by their keys, whatever the planner thinks of the tables' sizes. */
const writerSession = ['enable_seqscan=off', 'enable_hashjoin=off', 'enable_mergejoin=off'];

function idsOf(cipher: AesGcmCipher | undefined): string[] {
  return cipher === undefined ? [] : [...new Set([cipher.activeKeyId, ...cipher.keyIds])];
}
