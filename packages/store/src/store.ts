import type { FleetStore } from './fleet-store.ts';
import type { KeyRing } from './key-ring.ts';
import type { ObjectStore } from './object-store.ts';
import type { StoreRecord } from './store-record.ts';

/** The one database of a hub, whatever engine it is on. */
export interface Store {
  readonly engine: 'sqlite' | 'postgres';
  /**
   * Names this living store: made anew when the store is made or restored, and with each opening of an engine that one
   * process owns (so that a copied data directory shows); the same for all hubs on one PostgreSQL, and another one when that was
   * copied into another database. For `SyncResponse.instance`.
   */
  readonly instance: string;
  readonly objects: ObjectStore;
  readonly fleet: FleetStore;
  /** Resolves when a write could be made durable now; throws `ServiceUnavailable` that says why not. For `/readyz`. */
  check(): Promise<void>;
  /**
   * Everything as it is at one revision, opened (not sealed), while the store goes on serving. Ends early when the
   * signal fires.
   */
  dump(signal: AbortSignal): AsyncIterable<StoreRecord>;
  /**
   * Runs `work` while this process leads: at once on an engine with one process, else when no other hub does. `work`
   * gets a signal that fires when the lead is lost or `signal` fires, and must end then. Tries again until `signal` fires.
   */
  whileLeading(signal: AbortSignal, work: (signal: AbortSignal) => Promise<void>): Promise<void>;
  /**
   * Seals again whatever is not sealed with the active key, in small steps; returns how many rows it sealed. Idempotent;
   * goes on where it was stopped.
   */
  reseal(signal: AbortSignal): Promise<number>;
  /**
   * Seals with the active one of these keys from now on. Throws `BadRequest` when a key is missing that rows may still be
   * sealed with: `reseal` first, until it returns 0.
   */
  useKeys(keys: KeyRing): Promise<void>;
  /**
   * Fills this store with what a dump gave; whole or not at all. It must be empty, or (PostgreSQL) hold nothing but what a
   * restore under the same keys put there and no hub has used since; else `Conflict`. Afterwards the revision is that of the
   * dump plus `revisionGap`, and everything up to it is compacted: no revision that was given out after the dump comes
   * again, and every watcher lists again. Throws `BadRequest` when the dump is cut off or no dump.
   */
  restore(records: AsyncIterable<StoreRecord>, options: { readonly revisionGap: number }): Promise<void>;
  /** Reads everything and says what is wrong with it. A damaged row is a finding, not an error. */
  verify(signal: AbortSignal): Promise<StoreVerdict>;
  /** Writes what was asked for before, ends the watches and lets go of the database. Again: the same promise. */
  close(): Promise<void>;
}

/** What `Store.verify` found. */
export interface StoreVerdict {
  readonly revision: number;
  readonly compactedRevision: number;
  /** How many there are of each: `objects`, `states`, `deliveries`, `sites`, `siteKeys`, `heartbeats`, `rolloutMembers`, `blobs`. */
  readonly counts: Readonly<Record<string, number>>;
  /** Sealed rows by id of their key. */
  readonly sealedBy: Readonly<Record<string, number>>;
  /** One line each, at most 100; empty: all is well. */
  readonly problems: readonly string[];
}
