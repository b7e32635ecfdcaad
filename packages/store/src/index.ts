/**
 * Where the hub keeps everything: objects with revisions (`ObjectStore`) and narrow rows about sites (`FleetStore`),
 * in one database and on one sequence of revisions.
 *
 * The two contracts know no engine; each has a conformance suite in `@selvedge/testkit`, and every implementation
 * passes it. `openSqliteStore` opens the embedded one: a single file, a single process, durable at every
 * acknowledgement, sensitive rows encrypted. `openPostgresStore` opens PostgreSQL for any number of hubs.
 *
 * Inside `sqlite/`: `db` is the engine behind a small interface, `group-commit` the only writer. Inside `postgres/`:
 * `commit-loop` writes and finds out what a lost connection did, `commit-follower` publishes the commits of all hubs in
 * order. In both, `object-log` and the `…-table` files hold the SQL, `migrations/` is the schema; `watch-fan-out` hands
 * committed events to watchers.
 */
export { AesGcmCipher } from './aes-gcm-cipher.ts';
export type {
  AdoptedRow,
  AdoptedState,
  Assignment,
  DeliveryFilter,
  DeliveryRow,
  FleetChange,
  FleetStore,
  Heartbeat,
  KeptReport,
  RolloutMember,
  SiteKey,
  SiteSettings,
  SiteState,
} from './fleet-store.ts';
export { keptReport } from './fleet-rules.ts';
export type {
  ListQuery,
  ListResult,
  ObjectKey,
  ObjectStore,
  StoredObject,
  StoreEvent,
  WatchQuery,
  WriteCondition,
} from './object-store.ts';
export { openPostgresStore, type PostgresStoreOptions } from './open-postgres-store.ts';
export { openSqliteStore, type SqliteStoreOptions } from './open-sqlite-store.ts';
export type { KeyRing } from './key-ring.ts';
export { readDump } from './read-dump.ts';
export { dumpSqliteFile, type SqliteFile, verifySqliteFile } from './read-sqlite-store.ts';
export type { RetentionPolicy } from './retention.ts';
export type { Store, StoreVerdict } from './store.ts';
export type { StoreRecord } from './store-record.ts';
