import type { Clock, Logger } from '@selvedge/api';
import type { KeyRing } from './key-ring.ts';
import type { RetentionPolicy } from './retention.ts';
import type { Store } from './store.ts';

export interface PostgresStoreOptions {
  /** `postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE[?sslmode=…&sslrootcert=FILE]`. */
  readonly url: string;
  /** Its first line is the password, instead of one in the URL, in PGPASSWORD or in `~/.pgpass`. */
  readonly passwordFile?: string;
  /** With them, blobs, the objects of `sensitiveResources`, site variables and log lines are encrypted at rest. */
  readonly keys?: KeyRing;
  /** As `ObjectKey.resource`: `secrets`, `applications.selvedge.dev`. */
  readonly sensitiveResources?: ReadonlySet<string>;
  /** Whose database this is, for ever: noted at the first start, compared at every other one. */
  readonly identity?: { readonly hubId: string; readonly caFingerprint: string };
  readonly clock: Clock;
  readonly logger: Logger;
  /** What of the past is kept for watches and old lists. */
  readonly retention?: Partial<RetentionPolicy>;
  /** How often watchers without news get a `progress` event. */
  readonly progressIntervalMilliseconds?: number;
  /** Connections for reads. Others: one each for writing objects, writing fleet rows, notifications, the lead. Default 8. */
  readonly poolSize?: number;
  /** How long reads and writes wait for a database that is away before they are `ServiceUnavailable`. Default 5 s. */
  readonly patienceMilliseconds?: number;
  /** How often the log is looked at when no notification comes. Default 1 s. */
  readonly pollMilliseconds?: number;
}

/**
 * Opens the one database of any number of hubs, PostgreSQL 14 or later; makes or migrates its schema. Throws with words
 * for the person who started it: server away or too old, database missing, wrong password, no rights, another hub's
 * database or key, a newer schema. No error or log line ever holds the password.
 */
export async function openPostgresStore(options: PostgresStoreOptions): Promise<Store> {
  // Loaded only here: a hub on SQLite does without the driver.
  const { openStore } = await import('./postgres/postgres-store.ts');
  return openStore(options);
}
