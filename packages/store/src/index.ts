/**
 * Where the hub keeps everything: objects with revisions (`ObjectStore`) and narrow rows about sites (`FleetStore`),
 * in one database and on one sequence of revisions.
 *
 * The two contracts know no engine; each has a conformance suite in `@selvedge/testkit`, and every implementation
 * passes it. `openSqliteStore` opens the embedded one: a single file, a single process, durable at every
 * acknowledgement, sensitive rows encrypted.
 *
 * Inside `sqlite/`: `db` is the engine behind a small interface, `group-commit` the only writer, `object-log` and
 * the `…-table` files hold the SQL, `watch-fan-out` hands committed events to watchers, `migrations/` is the schema.
 */
export { AesGcmCipher } from './aes-gcm-cipher.ts';
export type {
  Assignment,
  DeliveryFilter,
  DeliveryRow,
  FleetChange,
  FleetStore,
  Heartbeat,
  RolloutMember,
  SiteKey,
  SiteState,
} from './fleet-store.ts';
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
export { openSqliteStore, type SqliteStore, type SqliteStoreOptions } from './open-sqlite-store.ts';
export type { KeyRing } from './key-ring.ts';
export type { RetentionPolicy } from './retention.ts';
export type { Store } from './store.ts';
export type { StoreRecord } from './store-record.ts';
