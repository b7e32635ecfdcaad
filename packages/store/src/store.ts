import type { FleetStore } from './fleet-store.ts';
import type { ObjectStore } from './object-store.ts';
import type { StoreRecord } from './store-record.ts';

/** The one database of a hub, whatever engine it is on. */
export interface Store {
  readonly engine: 'sqlite' | 'postgres';
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
  /** Writes what was asked for before, ends the watches and lets go of the database. Again: the same promise. */
  close(): Promise<void>;
}
