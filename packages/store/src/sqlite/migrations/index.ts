import { objectsAndFleet } from './0001-objects-and-fleet.ts';
import { sealedFleetRows } from './0002-sealed-fleet-rows.ts';
import { termsAndPolicy } from './0003-terms-and-policy.ts';

export interface Migration {
  /** `PRAGMA user_version` of a database that has it: 1, 2, 3, … without holes. */
  readonly version: number;
  readonly sql: string;
}

/** Oldest first. Only ever added to, and only forward. */
export const migrations: readonly Migration[] = [objectsAndFleet, sealedFleetRows, termsAndPolicy];
